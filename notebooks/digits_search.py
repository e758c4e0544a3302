"""What one task of the quickstart does. It lies beside the notebook: workers import it from there."""

from __future__ import annotations

from functools import cache

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import cross_val_score
from sklearn.svm import SVC


@cache
def digits() -> tuple[np.ndarray, np.ndarray]:
    """The 1,797 handwritten digits that scikit-learn carries: pixels, and what was meant."""
    return load_digits(return_X_y=True)


def score(c: float, gamma: float) -> float:
    """The share of digits that a support vector machine reads right: the mean of five cross-validations."""
    pixels, labels = digits()
    return float(cross_val_score(SVC(C=c, gamma=gamma), pixels, labels, cv=5).mean())
