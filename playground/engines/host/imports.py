"""What transformers imports and none of our processes needs."""

from __future__ import annotations


def without_sklearn() -> None:
    """Call it before anything imports transformers' models.

    Where scikit-learn is installed (lm-eval brings it), transformers 5.17 imports it for one threshold of assisted
    generation, which nothing here uses: 100 to 140 MB of each process that loads a model, and of what is said to be
    free for one. transformers has no setting for it.
    """
    import transformers.utils

    transformers.utils.is_sklearn_available = lambda: False
