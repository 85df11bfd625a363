"""What a LightGBM text model says of itself, read before LightGBM sees it.

::

    tree                                the first line
    version=v4                          a header of NAME=VALUE lines, up to an empty one
    feature_names=petal_length …
    tree_sizes=443 520                  bytes of each tree that follows
    (empty)
    Tree=0 …                            the trees
    end of trees
    feature_importances: …, parameters: … end of parameters
    pandas_categorical:null             what Python adds

LightGBM takes a file that was cut short behind its trees for whole, and ends the process over most that is wrong
within them, so all but the leaves' numbers is checked here first.
"""

from __future__ import annotations

import re

import msgspec

from tidegate.protocol.errors import ModelLoadFailed, shown
from tidegate.runtimes.lightgbm_tree import check_tree
from tidegate.runtimes.runtime import Artifact

_VERSION = re.compile(r"v([0-9]{1,4})")
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f]")
_PARAMETER = re.compile(r"\[\w+: .*\]")
_CLASSES = re.compile(r"\bnum_class:([0-9]{1,9})\b")
_CATEGORICAL = "\npandas_categorical:"


class LightgbmFile(msgspec.Struct, frozen=True):
    """The header's facts; ``version`` counts the text format: LightGBM 4 writes the fourth."""

    text: str
    version: int
    objective: str
    feature_names: tuple[str, ...]
    categorical: tuple[str, ...]
    """Features that take the code of a category."""
    pandas_categorical: str
    """The categories of the data frame's columns that the codes count, as JSON; "" where there are none."""


def read_file(artifact: Artifact, data: bytes) -> LightgbmFile:
    """The facts of a whole file.

    Raises:
        ModelLoadFailed: it is damaged, or no text model of LightGBM.
    """
    try:
        return _read(data.decode())
    except (ValueError, KeyError) as error:
        reason = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise unreadable(artifact, reason) from error


def _read(text: str) -> LightgbmFile:
    if control := _CONTROL.search(text):
        raise ValueError(f"character {control.start()} is {control[0]!r}, expected text")
    head, _, body = text.partition("\n\n")
    first, *lines = head.split("\n")
    if first != "tree":
        raise ValueError(f"its first line is '{shown(first)}', expected 'tree'")
    header = dict(line.partition("=")[::2] for line in lines)
    version = _VERSION.fullmatch(header["version"])
    if version is None:
        raise ValueError(f"its version is '{shown(header['version'])}', expected v and a number")
    names = tuple(header["feature_names"].split(" "))
    if len(names) != int(header["max_feature_idx"]) + 1:
        raise ValueError(f"{len(names)} feature_names, max_feature_idx {header['max_feature_idx']}")
    _check_classes(header)
    _check_end(body)
    _check_trees(header["tree_sizes"], body.encode(), len(names))
    kinds = header.get("feature_infos", "").split(" ")
    pandas = text.rpartition(_CATEGORICAL)[2].strip() if _CATEGORICAL in text else "null"
    return LightgbmFile(
        text=text,
        version=int(version[1]),
        objective=header.get("objective", ""),
        feature_names=names,
        categorical=tuple(
            name for name, kind in zip(names, kinds, strict=False) if kind != "none" and not kind.startswith("[")
        ),
        pandas_categorical="" if pandas in ("null", "[]") else pandas,
    )


def _check_classes(header: dict[str, str]) -> None:
    """Three lines tell how many numbers a row's answer has, and LightGBM believes each of them somewhere."""
    classes, trees = int(header["num_class"]), int(header["num_tree_per_iteration"])
    told = _CLASSES.search(header.get("objective", ""))
    if not 1 <= classes == trees == (int(told[1]) if told else classes):
        raise ValueError(f"num_class {classes}, num_tree_per_iteration {trees}, objective {header.get('objective')}")
    if len(header["tree_sizes"].split()) % trees:
        raise ValueError(f"the number of its trees is no multiple of {trees}")


def _check_trees(sizes: str, body: bytes, features: int) -> None:
    """LightGBM starts at the sums of these sizes to read trees at once: each must begin there."""
    at = 0
    for index, size in enumerate(int(size) for size in sizes.split()):
        first, *lines = body[at : at + max(size, 0)].decode().strip("\n").split("\n")
        if first != f"Tree={index}":
            raise ValueError(f"tree {index} is not where tree_sizes says")
        try:
            check_tree(lines, features)
        except ValueError as error:
            raise ValueError(f"tree {index}: {error}") from error
        at += size
    if not body.startswith(b"end of trees\n", at):
        raise ValueError("its trees do not end where tree_sizes says")


def _check_end(body: str) -> None:
    if "\nend of trees\n" not in f"\n{body}":
        raise ValueError("it does not hold the line 'end of trees'")
    _, told, rest = body.partition("\nparameters:\n")
    if not told:
        return
    lines, end, _ = rest.partition("\nend of parameters\n")
    if not end:
        raise ValueError("it does not hold the line 'end of parameters'")
    for line in lines.strip("\n").split("\n"):
        if line and not _PARAMETER.fullmatch(line):
            raise ValueError(f"'{shown(line)}' is no parameter, expected '[name: value]'")


def unreadable(artifact: Artifact, reason: str) -> ModelLoadFailed:
    return ModelLoadFailed(
        f"model '{artifact.name}': '{artifact.path.name}' cannot be read; it is corrupt, cut short or of another "
        f"kind ({shown(' '.join(reason.split()), 200)})"
    )
