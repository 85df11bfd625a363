"""ONNX models, run by ONNX Runtime.

The format is data, so it is read from any source. Weights that lie in other files (external data) are the exception:
the model names those files, so only a trusted one may. ONNX Runtime itself keeps them inside the model's folder; a
model loaded from memory would find them in the working directory, which is why an untrusted one is told of a folder
that can hold nothing.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from tidegate.protocol.errors import ModelLoadFailed, UntrustedModel, shown
from tidegate.runtimes.framework import import_framework
from tidegate.runtimes.onnx_graph import GraphModel
from tidegate.runtimes.onnx_state import OPTION as STATE
from tidegate.runtimes.onnx_state import StatefulGraphModel, read_state
from tidegate.runtimes.options import check_options, read_switch
from tidegate.runtimes.reason import plain_line
from tidegate.runtimes.runtime import Artifact, Format, Model
from tidegate.runtimes.sequences import OPTIONS as SEQUENCE_OPTIONS
from tidegate.runtimes.sequences import read_sequences
from tidegate.runtimes.trust import admit

ONNX = Format("ONNX", (".onnx",), executes_code=False, companions=True)

OPTIONS = ("batch_dimension", "providers", STATE, *SEQUENCE_OPTIONS)

_DEFAULT_PROVIDERS = "CPUExecutionProvider"
# From onnxruntime_session_options_config_keys.h; since ONNX Runtime 1.21.
_EXTERNAL_FOLDER = "session.model_external_initializers_file_folder_path"
_ERRORS_ONLY = 3  # the default, warnings, writes hundreds of lines for some good models

_CODE = re.compile(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ")
_SOURCE = re.compile(r"[\w.]+\.(?:cc|h):\d+ (?:\S.*?\) (?=\S)|\w+ )")


class OnnxRuntime:
    """Opens one inference session per model."""

    name = "onnx"
    package = "tidegate[onnx]"
    formats = (ONNX,)

    def preload(self) -> None:
        """See ``Preloadable.preload``."""
        self._framework()

    def load(self, artifact: Artifact) -> Model:
        """See ``Runtime.load``. Telemetry of ONNX Runtime is off in this process, unless its environment says else."""
        admit(artifact, self.formats)
        check_options(artifact, OPTIONS)
        batches = read_switch(artifact, "batch_dimension")
        framework = self._framework()
        providers = _providers(artifact, framework.get_available_providers())
        try:
            session = _open(framework, artifact, providers)
        except Exception as error:  # ONNX Runtime raises a dozen classes of its own, with no common base but this
            raise _refused(artifact, error) from error
        got = session.get_providers()
        if missing := [name for name in providers if name not in got]:
            raise ModelLoadFailed(
                f"model '{artifact.name}': provider {', '.join(missing)} did not start; ONNX Runtime fell back to "
                f"{', '.join(got)}"
            )
        hidden, following = read_state(artifact, session)
        if following and batches:
            raise ModelLoadFailed(
                f"model '{artifact.name}': options '{STATE}' and 'batch_dimension' exclude each other: rows of one "
                f"batch would share a state"
            )
        graph = GraphModel.prepare(framework, session, artifact, batches, hidden)
        return StatefulGraphModel(graph, hidden, following, read_sequences(artifact)) if following else graph

    def _framework(self) -> Any:
        # Read when it is imported. Builds since 1.32 send usage to their maker by default, from a thread of their own
        # that no fork survives; who wants that sets it to 0.
        os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
        return import_framework("onnxruntime", self)


def _open(framework: Any, artifact: Artifact, providers: list[str]) -> Any:
    options = framework.SessionOptions()
    options.log_severity_level = _ERRORS_ONLY
    options.intra_op_num_threads = artifact.threads
    options.inter_op_num_threads = 1
    source: str | bytes = str(artifact.path)
    if not artifact.trusted:
        options.add_session_config_entry(_EXTERNAL_FOLDER, os.devnull)
        source = artifact.path.read_bytes()
    # Without its own fallback, which would print to stdout and try the same once more.
    return framework.InferenceSession(source, options, providers=providers, enable_fallback=0)


def _providers(artifact: Artifact, available: list[str]) -> list[str]:
    wanted = [name.strip() for name in artifact.options.get("providers", _DEFAULT_PROVIDERS).split(",")]
    for name in wanted:
        if name not in available:
            raise ModelLoadFailed(
                f"model '{artifact.name}': option 'providers': this ONNX Runtime has no '{shown(name)}'; it has "
                f"{', '.join(available)}"
            )
    return wanted


def _refused(artifact: Artifact, error: Exception) -> ModelLoadFailed:
    if not artifact.trusted and "External data path" in str(error):
        return UntrustedModel(
            f"model '{artifact.name}' keeps weights in other files (external data), and names them itself; such a "
            f"model is loaded only from a trusted source"
        )
    return ModelLoadFailed(
        f"model '{artifact.name}': '{artifact.path.name}' is refused by ONNX Runtime: "
        f"{plain_reason(str(error), artifact.path)}"
    )


def plain_reason(text: str, path: Path) -> str:
    """The first line of an error of ONNX Runtime, without its code, its source locations and this machine's folders."""
    line = plain_line(_CODE.sub("", text.strip()), path)
    return shown(_SOURCE.sub("", line), 300)


RUNTIME = OnnxRuntime()
