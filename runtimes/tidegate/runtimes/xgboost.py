"""XGBoost models: the files that ``Booster.save_model`` and ``XGBClassifier.save_model`` write.

They are data, so they are read from any source. ``.json`` alone lost as a suffix: configurations, labels and schemas
lie beside models under it, and a directory of models must not stumble over them. ``.xgb.json`` says what it is, and
so does ``.xgb``, MLflow's name, whose content is of either form.

A file that a newer XGBoost wrote is refused: XGBoost promises to read what older versions wrote, never the other way
round, and does not look at the version itself.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Any

from tidegate.protocol.datatypes import Datatype
from tidegate.protocol.errors import ModelLoadFailed, shown
from tidegate.runtimes import tabular
from tidegate.runtimes.device import Device, read_device, refuse_cuda
from tidegate.runtimes.framework import import_framework
from tidegate.runtimes.options import check_options, read_choice, read_switch
from tidegate.runtimes.runtime import Artifact, Format, Model
from tidegate.runtimes.tabular import Array, Method, TabularModel, find_rows, json_list
from tidegate.runtimes.trust import admit
from tidegate.runtimes.xgboost_file import XgboostFile, read_file, unreadable

UBJSON = Format("UBJSON", (".ubj", ".xgb"), executes_code=False)
JSON = Format("JSON", (".xgboost.json", ".xgb.json"), executes_code=False)

OPTIONS = (*tabular.OPTIONS, "allow_version_mismatch", "iterations")

_PLACE = re.compile(r"^\[\d\d:\d\d:\d\d\] \S+:\d+: ")


class XgboostRuntime:
    """Opens one booster per model."""

    name = "xgboost"
    package = "tidegate[xgboost]"
    formats = (UBJSON, JSON)

    def preload(self) -> None:
        """See ``Preloadable.preload``."""
        import_framework("xgboost", self)

    def load(self, artifact: Artifact) -> Model:
        """See ``Runtime.load``."""
        form = admit(artifact, self.formats)
        check_options(artifact, OPTIONS)
        allowed = read_switch(artifact, "allow_version_mismatch") or False
        best = read_choice(artifact, "iterations", ("best", "all")) == "best"
        framework = import_framework("xgboost", self)
        device = _device(artifact, framework)
        data = artifact.path.read_bytes()  # once, so that what is judged is what is loaded
        file = read_file(artifact, data)
        if not allowed:
            _check_version(artifact, file, framework.__version__)
        rows = find_rows(artifact, Datatype.FP32, file.width(), file.learner.feature_names)
        booster = _open(artifact, framework, data, device)
        iterations = (0, _best(artifact, file) if best else 0)
        matrix = partial(
            framework.DMatrix,
            feature_names=booster.feature_names,
            feature_types=booster.feature_types,
            nthread=artifact.threads or None,  # of its own: the booster's is not asked
        )
        in_place = file.learner.gradient_booster.name == "gbtree" and device.kind == "cpu"
        methods = _methods(booster, matrix, in_place, iterations)
        return TabularModel.prepare(artifact, f"xgboost_{form.name.lower()}", rows, methods, _facts(framework, file))


def _device(artifact: Artifact, framework: Any) -> Device:
    """The CPU unless CUDA is asked for: rows lie in the CPU's memory, and few of them do not repay the way there."""
    device = read_device(artifact).resolved(cuda=False)
    if not framework.build_info().get("USE_CUDA"):
        refuse_cuda(artifact, device, "this XGBoost is built without CUDA; the package xgboost is built with it")
    return device


def _open(artifact: Artifact, framework: Any, data: bytes, device: Device) -> Any:
    settings: dict[str, Any] = {"nthread": artifact.threads}
    if device.kind == "cuda":
        settings |= {"device": f"cuda:{device.index}", "fail_on_invalid_gpu_id": True}
    try:
        booster = framework.Booster()
        booster.load_model(bytearray(data))
        booster.set_param(settings)
    except Exception as error:  # XGBoostError, but also what its Python side makes of odd bytes
        raise unreadable(artifact, plain_reason(error)) from error
    return booster


def _check_version(artifact: Artifact, file: XgboostFile, current: str) -> None:
    installed = tuple(int(part) for part in current.split(".")[:2])
    if file.version[:2] > installed:
        raise ModelLoadFailed(
            f"model '{artifact.name}' was saved by XGBoost {_dotted(file)}, and {current} is installed, which may "
            f"misread what a newer one wrote; install that version, or set the option allow_version_mismatch=true"
        )


def _dotted(file: XgboostFile) -> str:
    return ".".join(str(part) for part in file.version)


def _best(artifact: Artifact, file: XgboostFile) -> int:
    """How many iterations to use: up to the best one of early stopping; 0, all, where there was none."""
    best = file.learner.attributes.get("best_iteration", "")
    if not best or file.learner.gradient_booster.name == "gblinear":  # linear models have no iterations to choose
        return 0
    if not (best.isascii() and best.isdecimal() and len(best) < 10):
        raise ModelLoadFailed(
            f"model '{artifact.name}': its attribute best_iteration is '{shown(best)}', expected a whole number; "
            f"the option iterations=all disregards it"
        )
    return int(best) + 1


def _methods(
    booster: Any, matrix: Callable[[Array], Any], in_place: bool, iterations: tuple[int, int]
) -> dict[str, Method]:
    """What a booster can be asked. Trees on the CPU answer ``in_place``, without a matrix, which costs less.

    A linear booster has no other way than the matrix, dart's two ways differ in the last digits, and to a GPU the rows
    must be taken anyway.
    """

    def directly(kind: str) -> Method:
        return lambda rows: booster.inplace_predict(
            rows, predict_type=kind, iteration_range=iterations, validate_features=False
        )

    def by_matrix(**kind: bool) -> Method:
        def call(rows: Array) -> Array:
            answer: Array = booster.predict(matrix(rows), iteration_range=iterations, **kind)
            return answer

        return call

    if in_place:
        first = {"predict": directly("value"), "margin": directly("margin")}
    else:
        first = {"predict": by_matrix(), "margin": by_matrix(output_margin=True)}
    leaf = by_matrix(pred_leaf=True)
    offered = first | {
        "contributions": by_matrix(pred_contribs=True),
        "leaf": lambda rows: leaf(rows).astype("int32"),  # whole numbers, which XGBoost gives as floats
    }
    return {name: _plainly(method) for name, method in offered.items()}


def _plainly(method: Callable[[Array], Array]) -> Method:
    """The method, whose errors come without a stack trace of this machine."""

    def call(rows: Array) -> Array:
        try:
            return method(rows)
        except Exception as error:  # XGBoostError, or a ValueError of its Python side
            raise RuntimeError(plain_reason(error)) from error

    return call


def plain_reason(error: Exception) -> str:
    """The first line of an error of XGBoost, without the time, the place in its source and the stack trace."""
    line = (str(error).strip() or type(error).__name__).splitlines()[0]
    return shown(_PLACE.sub("", line), 300)


def _facts(framework: Any, file: XgboostFile) -> dict[str, str]:
    learner = file.learner
    return {
        "objective": learner.objective.name,
        "booster": learner.gradient_booster.name,
        "xgboost_version": str(framework.__version__),
        "saved_by_xgboost": _dotted(file),
        "feature_names": json_list(learner.feature_names),
        "feature_types": json_list(learner.feature_types),
        "best_iteration": learner.attributes.get("best_iteration", ""),
    }


RUNTIME = XgboostRuntime()
