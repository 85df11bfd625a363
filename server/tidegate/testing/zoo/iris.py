"""The iris flowers: 150 rows of four numbers, in three classes. scikit-learn ships them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt


def flowers(dtype: npt.DTypeLike = np.float64) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Rows of shape (150, 4) and their classes 0, 1, 2 of shape (150,). Needs scikit-learn."""
    from sklearn.datasets import load_iris

    rows, labels = load_iris(return_X_y=True)
    return np.asarray(rows, dtype), np.asarray(labels)
