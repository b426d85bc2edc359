"""Dequantize FP8 weights with a scale per block, by the block size of the configuration.

transformers derives the block size from the number of scales: 192 columns and 2 scales give two blocks of 96, where the
checkpoint has 128 and 64. It refuses sizes that the number of scales does not divide (576 and 5).
"""

from __future__ import annotations

from typing import Any

import torch
from torch.nn.functional import pad
from transformers.integrations import finegrained_fp8


class DequantizeByBlock(finegrained_fp8.Fp8Dequantize):  # type: ignore[misc]
    """transformers' class, but with a short last block if a size is no multiple of the block size."""

    def _dequantize_one(self, quantized: torch.Tensor, scales: torch.Tensor, output_dtype: Any = None) -> torch.Tensor:
        block = self.hf_quantizer.quantization_config.weight_block_size
        rows, columns = quantized.shape[-2:]
        packed = quantized.dtype in (torch.int8, torch.float4_e2m1fn_x2)  # FP4 in blocks of another size
        if block and scales.dim() > 1 and not packed:
            more_rows, more_columns = -rows % block[0], -columns % block[1]
            fits = scales.shape[-2:] == ((rows + more_rows) // block[0], (columns + more_columns) // block[1])
            if fits and (more_rows or more_columns):
                padded = pad(quantized.to(torch.float32), (0, more_columns, 0, more_rows))
                whole: torch.Tensor = super()._dequantize_one(padded, scales, output_dtype)
                return whole[..., :rows, :columns].contiguous()
        result: torch.Tensor = super()._dequantize_one(quantized, scales, output_dtype)
        return result


def dequantize_by_block() -> None:
    """Replace transformers' class by `DequantizeByBlock`; without it such weights are dequantized wrongly.

    transformers' quantizer looks the class up in its module at each load, and has no setting for it.
    """
    finegrained_fp8.Fp8Dequantize = DequantizeByBlock
