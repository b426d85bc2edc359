"""Text for the methods that look at activations: where it comes from, and the exact token ids that a method sees.

For calibration only. `overlap` tells whether text that is to be evaluated on is in it. Loads neither torch nor
transformers; `datasets` is imported only when a hub data set is asked for.
"""

from playground.quantize.calibration import Tokenized, tokenize
from playground.texts.overlap import Overlap, overlap
from playground.texts.rows import Sample
from playground.texts.sources import Calibration, Draw, draw, samples

__all__ = ["Calibration", "Draw", "Overlap", "Sample", "Tokenized", "draw", "overlap", "samples", "tokenize"]
