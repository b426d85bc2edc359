"""Prevent imports of transformers that no process here needs."""

from __future__ import annotations


def without_sklearn() -> None:
    """Prevent the import of scikit-learn. Call it before anything imports transformers' models.

    If scikit-learn is installed (lm-eval requires it), transformers 5.17 imports it for a threshold of assisted
    generation, which is not used here. It takes 100 to 140 MB of each process that loads a model. transformers has no
    setting for it.
    """
    import transformers.utils

    transformers.utils.is_sklearn_available = lambda: False
