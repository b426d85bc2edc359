"""Which models and variants exist, where they are, and what they weigh. Loads neither torch nor transformers."""

from playground.catalog.names import split
from playground.catalog.variants import describe, models, resolve, variant, variants

__all__ = ["describe", "models", "resolve", "split", "variant", "variants"]
