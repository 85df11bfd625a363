"""A fitted estimator as a model: its signature is read from it, and completed by a dry run on one row.

The dry run tells the outputs' datatypes and shapes, finds out at load time what would otherwise fail at the first
request, and warms the estimator up.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from tidegate.protocol.datatypes import Datatype
from tidegate.protocol.errors import ModelLoadFailed, shown
from tidegate.protocol.messages import ModelMetadata, TensorSpec
from tidegate.protocol.tensors import Parameters
from tidegate.runtimes.options import read_names
from tidegate.runtimes.runtime import Arrays, Artifact
from tidegate.runtimes.sklearn_input import GivenInput, settings_of

_SCORES = ("predict_proba", "decision_function", "predict_log_proba")
"""Methods whose columns are classes."""
METHODS = ("predict", *_SCORES, "score_samples", "transform")
"""What the option ``methods`` may name: what answers a row by itself."""
_OWN_THREADS = ("xgboost", "lightgbm")
"""Packages whose estimators take every core where ``n_jobs`` is not given."""

Array = npt.NDArray[Any]


class Method(msgspec.Struct, frozen=True):
    """One method of the estimator and the outputs that it fills: several for a classifier of several targets."""

    name: str
    call: Callable[[Any], Any]
    outputs: tuple[str, ...]


class EstimatorModel:
    """Answers with what the estimator's own methods return."""

    def __init__(
        self,
        methods: tuple[Method, ...],
        given: GivenInput,
        metadata: ModelMetadata,
        release: Callable[[], None] | None,
    ) -> None:
        self.metadata = metadata
        self._methods = methods
        self._given = given
        self._release = release

    @classmethod
    def prepare(
        cls,
        estimator: Any,
        find: Callable[[Any, Artifact], GivenInput],
        artifact: Artifact,
        platform: str,
        properties: dict[str, str],
        limits: Callable[..., Any] | None,
    ) -> EstimatorModel:
        """Find the signature, limit the threads and try one row.

        ``find`` tells what the estimator takes. ``limits`` is ``threadpool_limits`` of threadpoolctl; None leaves the
        threads alone.

        Raises:
            ModelLoadFailed: the object cannot be served, or does not answer the trial row.
        """
        names = _methods(estimator, artifact)
        given = find(estimator, artifact)
        release = None
        if limits is not None:
            release = limits(limits=artifact.threads).restore_original_limits
            _limit_jobs(estimator, artifact.threads)
        methods, outputs, omitted = _dry_run(estimator, names, given, artifact)
        metadata = ModelMetadata(
            name=artifact.name,
            platform=platform,
            inputs=given.specs(),
            outputs=outputs,
            versions=(artifact.version,),
            properties=properties | _properties(estimator, methods) | omitted,
        )
        return cls(methods, given, metadata, release)

    def predict(self, inputs: Arrays, outputs: Sequence[str], parameters: Parameters) -> Arrays:
        """See ``Model.predict``; a method whose outputs nobody wants is not called."""
        rows = self._given.convert(inputs)
        answers: dict[str, Array] = {}
        for method in self._methods:
            if outputs and not any(name in outputs for name in method.outputs):
                continue
            answers.update(zip(method.outputs, _arrays(method.call(rows)), strict=True))
        return {name: answers[name] for name in outputs} if outputs else answers

    def close(self) -> None:
        self._methods = ()
        if self._release is not None:
            self._release()


def _methods(estimator: Any, artifact: Artifact) -> tuple[str, ...]:
    """Those of the option; else predict and its scores where there is a predict, transform otherwise."""
    if isinstance(estimator, type):
        raise ModelLoadFailed(
            f"model '{artifact.name}': '{artifact.path.name}' holds the class '{estimator.__name__}', "
            f"expected a fitted estimator"
        )
    if chosen := read_names(artifact, "methods", [name for name in METHODS if hasattr(estimator, name)]):
        return chosen
    if hasattr(estimator, "predict"):
        scores = (name for name in ("predict_proba", "decision_function") if hasattr(estimator, name))
        return ("predict", *list(scores)[:1])
    if hasattr(estimator, "transform"):
        return ("transform",)
    raise ModelLoadFailed(
        f"model '{artifact.name}': '{artifact.path.name}' holds an object of type '{type(estimator).__name__}', "
        f"which has neither predict nor transform"
    )


def _limit_jobs(estimator: Any, threads: int) -> None:
    """Fitting with every core is common (``n_jobs=-1``), and the model would go on using all of them."""
    estimator = getattr(estimator, "best_estimator_", estimator)
    settings = settings_of(estimator)
    jobs = {
        name: threads
        for name, value in settings.items()
        if name.rpartition("__")[2] == "n_jobs" and (value is not None or _threaded(settings, name, estimator))
    }
    if jobs:
        estimator.set_params(**jobs)


def _threaded(settings: Mapping[str, Any], name: str, estimator: Any) -> bool:
    """Whether this ``n_jobs`` belongs to an estimator that takes every core if it is None."""
    owner = settings.get(name.rpartition("__")[0], estimator)
    return any(base.__module__.partition(".")[0] in _OWN_THREADS for base in type(owner).__mro__)


def _dry_run(
    estimator: Any, names: tuple[str, ...], given: GivenInput, artifact: Artifact
) -> tuple[tuple[Method, ...], tuple[TensorSpec, ...], dict[str, str]]:
    """The methods that answer, their outputs, and as a property those that do not although the first one does."""
    row = given.convert(given.trial(artifact))
    methods: list[Method] = []
    specs: list[TensorSpec] = []
    for name in names:
        call = getattr(estimator, name)
        try:
            result = call(row)
            arrays = _arrays(result)
        except Exception as error:  # whatever the framework raises here, it would raise at every request
            reason = shown(" ".join(f"{type(error).__name__}: {error}".split()), 240)
            if (
                methods and "methods" not in artifact.options
            ):  # the row is good, so the method is at fault: some ensembles offer scores that they cannot give
                return tuple(methods), tuple(specs), {"omitted_outputs": f"{name}: {reason}"}
            raise ModelLoadFailed(
                f"model '{artifact.name}': {name} fails on the trial row ({reason}); if the row is at fault, "
                f"give a valid one with the option 'example'"
            ) from error
        outputs = tuple(f"{name}_{i}" for i in range(len(arrays))) if isinstance(result, list) else (name,)
        methods.append(Method(name, call, outputs))
        specs += [_output(artifact, *pair) for pair in zip(outputs, arrays, strict=True)]
    return tuple(methods), tuple(specs), {}


def _output(artifact: Artifact, name: str, array: Array) -> TensorSpec:
    if array.ndim == 0 or array.shape[0] != 1:
        raise ModelLoadFailed(
            f"model '{artifact.name}': {name} answers one row with shape {list(array.shape)}, expected one row back"
        )
    try:
        datatype = Datatype.of(array.dtype)
    except TypeError as error:
        raise ModelLoadFailed(f"model '{artifact.name}': {name}: {error}") from error
    return TensorSpec(name, datatype, (-1, *array.shape[1:]))


def _arrays(result: Any) -> list[Array]:
    """A method's result as arrays: a list where there are several targets, sparse ones made dense."""
    if not isinstance(result, list):
        result = [result]
    return [np.asarray(item.toarray() if hasattr(item, "toarray") else item) for item in result]


def _properties(estimator: Any, methods: tuple[Method, ...]) -> dict[str, str]:
    """What helps to read the tensors, lists as JSON: names may hold any separator."""
    properties = {"estimator": type(estimator).__name__}
    names = getattr(estimator, "feature_names_in_", None)
    if names is not None:
        properties["feature_names"] = _json(names)
    classes = getattr(estimator, "classes_", None)
    if classes is None:
        return properties
    for scores in (method.outputs for method in methods if method.name in _SCORES):
        columns = classes if len(scores) > 1 else [classes]
        properties |= {f"{name}.classes": _json(labels) for name, labels in zip(scores, columns, strict=False)}
    return properties


def _json(values: Any) -> str:
    return msgspec.json.encode(values, enc_hook=_plain).decode()


def _plain(value: Any) -> Any:
    """numpy's arrays and scalars as Python's own; a class label may be any object."""
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else str(value)
