"""GGUF: the block formats of llama.cpp, multiplied without being unpacked.

Legacy formats (Q4_0, Q4_1 …): blocks of 32 with a scale each; K-quants: super-blocks of 256 whose scales are quantized
too, https://github.com/ggml-org/llama.cpp/pull/1684
"""

from playground.methods.row import Method

ROW = Method(
    name="gguf",
    title="GGUF",
    schemes=("Q8_0", "Q6_K", "Q5_K_M", "Q5_1", "Q5_0", "Q4_K_M", "Q4_K_S", "Q4_1", "Q4_0", "Q3_K_M", "Q2_K"),
    needs_calibration=False,
    output_format="one .gguf file",
    engines=("llamacpp", "transformers"),
    devices=("cuda", "mps", "cpu"),
    paper="https://github.com/ggml-org/llama.cpp/pull/1684",
    good_at="One file that decodes fast on a processor: the blocks are multiplied as they are.",
    bad_at="Only llama.cpp and its relatives have the kernels; transformers unpacks it to BF16.",
    requires=("xllamacpp", "gguf"),
)
