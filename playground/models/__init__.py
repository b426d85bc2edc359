"""Which models and variants exist, where they are, and what they weigh. Loads neither torch nor transformers."""

from playground.models.names import split
from playground.models.variants import describe, models, resolve, variant, variants

__all__ = ["describe", "models", "resolve", "split", "variant", "variants"]
