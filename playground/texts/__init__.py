"""Texts for calibration and for measuring divergence: bundled, from a file, or from a data set on the hub.

Imports neither torch nor transformers; `datasets` is imported only to read a hub data set.
"""

from playground.texts.calibration import Calibration, Draw, draw, samples
from playground.texts.overlap import Overlap, overlap
from playground.texts.rows import Sample

__all__ = ["Calibration", "Draw", "Overlap", "Sample", "draw", "overlap", "samples"]
