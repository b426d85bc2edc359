"""Text for the methods that look at activations: where it comes from, and the exact token ids that a method sees.

For calibration only. `overlap` tells whether text that is to be evaluated on is in it. Loads neither torch nor
transformers; `datasets` is imported only when a hub data set is asked for.
"""

from playground.calibration.overlap import Overlap, overlap
from playground.calibration.rows import Sample
from playground.calibration.sources import Calibration, Draw, draw, samples
from playground.calibration.tokenized import Tokenized, tokenize

__all__ = ["Calibration", "Draw", "Overlap", "Sample", "Tokenized", "draw", "overlap", "samples", "tokenize"]
