"""Texts: for calibration, and to measure divergence on. Bundled, from a file, or from a data set of the hub.

Loads neither torch nor transformers; `datasets` is imported only when a hub data set is asked for.
"""

from playground.texts.calibration import Calibration, Draw, draw, samples
from playground.texts.overlap import Overlap, overlap
from playground.texts.rows import Sample

__all__ = ["Calibration", "Draw", "Overlap", "Sample", "draw", "overlap", "samples"]
