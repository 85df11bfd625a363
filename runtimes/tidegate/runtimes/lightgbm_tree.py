"""Whether one tree of a LightGBM text model is a tree.

LightGBM reads trees in parallel, and ends the process over most of what is wrong in one; what it does read it follows
without looking, out of the arrays or in a circle. So arrays must have the lengths that the tree tells, and every node
must lead on to a later one or to a leaf.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]

_NODES = ("split_feature", "split_gain", "threshold", "decision_type", "left_child", "right_child")
_NODES_IF_THERE = ("internal_value", "internal_weight", "internal_count")
_LEAVES_IF_THERE = ("leaf_weight", "leaf_count", "leaf_const", "num_features")
_CATEGORICAL = 1
"""The bit of ``decision_type`` that makes ``threshold`` the number of a set of categories."""


def check_tree(lines: list[str], features: int) -> None:
    """Hold the NAME=VALUE lines of a tree against each other; its rows have so many features.

    Raises:
        ValueError: a line is missing, stands there twice, or is at odds with another one.
        KeyError: a line is missing.
    """
    tree = {name: value for name, _, value in (line.partition("=") for line in lines)}
    if len(tree) < len(lines):
        raise ValueError("a line stands there twice")
    leaves, sets, linear = (int(tree.get(name, "0")) for name in ("num_leaves", "num_cat", "is_linear"))
    if leaves < 1 or sets < 0 or linear not in (0, 1):
        raise ValueError(f"num_leaves is {leaves}, num_cat {sets}, is_linear {linear}")
    float(tree.get("shrinkage", "1"))
    _floats(tree, "leaf_value", leaves)
    for name in _LEAVES_IF_THERE:
        if tree.get(name):
            _floats(tree, name, leaves)
    if linear:
        _check_linear(tree, leaves, features)
    if leaves > 1:
        for name in (*_NODES, *(name for name in _NODES_IF_THERE if tree.get(name))):
            _floats(tree, name, leaves - 1)
        _check_nodes(tree, leaves, features)
        _check_categories(tree, leaves, sets)


def _check_nodes(tree: Mapping[str, str], leaves: int, features: int) -> None:
    _within(tree, "split_feature", leaves - 1, 0, features)
    own = np.arange(leaves - 1)
    for name in ("left_child", "right_child"):
        child = _within(tree, name, leaves - 1, -leaves, leaves - 1)
        if ((child >= 0) & (child <= own)).any():
            raise ValueError(f"{name} leads back to an earlier node")


def _check_categories(tree: Mapping[str, str], leaves: int, sets: int) -> None:
    decisions = _within(tree, "decision_type", leaves - 1, 0, 16)
    chosen = _floats(tree, "threshold", leaves - 1)[(decisions & _CATEGORICAL) == 1]
    if len(chosen) and not ((chosen >= 0) & (chosen < sets)).all():
        raise ValueError(f"a threshold names a set of categories, and there are {sets}")
    if sets:
        words = tree["cat_threshold"].split()
        bounds = _within(tree, "cat_boundaries", sets + 1, 0, len(words) + 1)
        if bounds[0] != 0 or bounds[-1] != len(words) or (np.diff(bounds) < 0).any():
            raise ValueError("cat_boundaries do not divide cat_threshold")
        _within(tree, "cat_threshold", len(words), 0, 1 << 32)


def _check_linear(tree: Mapping[str, str], leaves: int, features: int) -> None:
    _floats(tree, "leaf_const", leaves)
    count = int(_within(tree, "num_features", leaves, 0, features + 1).sum())
    _within(tree, "leaf_features", count, 0, features)
    _floats(tree, "leaf_coeff", count)


def _floats(tree: Mapping[str, str], name: str, count: int) -> npt.NDArray[np.float64]:
    values = tree[name].split()
    if len(values) != count:
        raise ValueError(f"{name} has {len(values)} values, expected {count}")
    return np.array(values, np.float64)


def _within(tree: Mapping[str, str], name: str, count: int, low: int, high: int) -> Ints:
    """Whole numbers from ``low`` up to ``high``, which is not among them."""
    values = tree[name].split()
    if len(values) != count:
        raise ValueError(f"{name} has {len(values)} values, expected {count}")
    numbers = np.array([int(value) for value in values], np.int64)
    if ((numbers < low) | (numbers >= high)).any():
        raise ValueError(f"{name} has values outside {low} to {high - 1}")
    return numbers
