"""Train the small model of the comparisons: ``python train_iris.py FILE.joblib``.

It stands alone, so that each peer's own environment can run it: a model is loaded by the scikit-learn that saved it.
"""

from __future__ import annotations

import sys


def main(path: str) -> None:
    import joblib
    from sklearn.datasets import load_iris
    from sklearn.linear_model import LogisticRegression

    rows, species = load_iris(return_X_y=True)
    joblib.dump(LogisticRegression(max_iter=500).fit(rows, species), path)


if __name__ == "__main__":
    main(sys.argv[1])
