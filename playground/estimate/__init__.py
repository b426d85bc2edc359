"""What a quantize job will cost, before it runs: size, memory, disk, time, and whether it fits."""

from playground.estimate.cost import Estimate, Facts, estimate, facts
from playground.estimating import Measured

__all__ = ["Estimate", "Facts", "Measured", "estimate", "facts"]
