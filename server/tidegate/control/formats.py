"""What manifests call formats and runtimes, held against who reads a model here. Pure, but for what is installed."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from importlib.metadata import PackageNotFoundError, version

from tidegate.protocol.errors import ModelLoadFailed, shown

READERS: Mapping[str, str] = {
    "sklearn": "sklearn",
    "scikit-learn": "sklearn",
    "xgboost": "xgboost",
    "lightgbm": "lightgbm",
    "onnx": "onnx",
    "pytorch": "torch",
    "torch": "torch",
    "torchscript": "torch",
    "tensorflow": "tensorflow",
    "keras": "tensorflow",
    "huggingface": "huggingface",
    "transformers": "huggingface",
    "python": "python",
}
"""Names of modelFormat, ours and KServe's, in lower case, and the runtime that reads such models."""

DISTRIBUTIONS: Mapping[str, tuple[str, ...]] = {
    "sklearn": ("scikit-learn",),
    "xgboost": ("xgboost-cpu", "xgboost"),
    "lightgbm": ("lightgbm",),
    "onnx": ("onnxruntime", "onnxruntime-gpu"),
    "torch": ("torch",),
    "tensorflow": ("tensorflow-cpu", "tensorflow"),
    "huggingface": ("transformers",),
}
"""The distributions of a runtime's framework, of which one is installed."""

_OF_KSERVE = "kserve-"
"""How the names of KServe's own runtimes begin. Whoever asks for one of them asks for who reads the format."""
_FORMAT = "spec.predictor.model.modelFormat.name"
_RUNTIME = "spec.predictor.model.runtime"


def reader_of(form: str, installed: Collection[str]) -> str:
    """The runtime that reads what a manifest calls so.

    Raises:
        ModelLoadFailed: none does.
    """
    reader = READERS.get(form.lower(), form if form in installed else "")
    if not reader:
        known = ", ".join(sorted({*READERS, *installed}))
        raise ModelLoadFailed(f"{_FORMAT} '{shown(form)}' is read by no runtime here, expected one of {known}")
    return reader


def check_reader(form: str, runtime: str, found: str, found_format: str, installed: Collection[str]) -> None:
    """Hold a manifest's modelFormat and runtime ("" for none) against the runtime and the format that were found.

    Raises:
        ModelLoadFailed: they are not the same, or are not known here.
    """
    reader = reader_of(form, installed)
    if reader != found:
        raise ModelLoadFailed(
            f"{_FORMAT} is '{shown(form)}', but the model is a {found_format} file or folder, which {found} reads"
        )
    if not runtime or runtime.startswith(_OF_KSERVE) or runtime == found:
        return
    if runtime in installed:
        raise ModelLoadFailed(
            f"{_RUNTIME} is '{runtime}', but the model is a {found_format} file or folder, which {found} reads"
        )
    raise ModelLoadFailed(
        f"{_RUNTIME} '{shown(runtime)}' is none of this machine, expected one of {', '.join(sorted(installed))}, or "
        f"nothing"
    )


def with_version(runtime: str) -> str:
    """``sklearn/1.9.0``: a runtime with the version of its framework, which is not imported for it."""
    for distribution in DISTRIBUTIONS.get(runtime, ()):
        try:
            return f"{runtime}/{version(distribution)}"
        except PackageNotFoundError:
            continue
    return runtime


def without_version(runtime: str) -> str:
    """The name of a runtime that ``with_version`` has written."""
    return runtime.partition("/")[0]
