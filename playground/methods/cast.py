"""The original weights in another floating-point type: the reference for quantized variants."""

from playground.methods.base import Method, OnLoad

ROW = Method(
    name="cast",
    title="Floating point",
    schemes=("BF16", "FP16", "FP32"),
    needs_calibration=False,
    output_format="safetensors",
    engines=("transformers", "vllm"),
    devices=("cuda", "mps", "cpu"),
    paper="https://arxiv.org/abs/1905.12322",
    good_at="The reference: nothing is lost. FP32 against BF16 is the noise floor.",
    bad_at="Every decoded token reads all of it: the most bytes, so the lowest ceiling on speed.",
    on_load=(
        OnLoad("bf16", "BF16", "BF16", "bfloat16: the range of FP32 with 8 significant bits", dtype="bfloat16"),
        OnLoad("fp16", "FP16", "FP16", "half precision: 11 significant bits, a narrow range", dtype="float16"),
        OnLoad("fp32", "FP32", "FP32", "single precision: twice the bytes of BF16", dtype="float32"),
    ),
)
