"""PyTorch models: TorchScript, exported programs, and weights with an architecture.

Every one of them needs a trusted source. TorchScript is a program. An exported program is one, too, and its archive
can ask for pickles, which PyTorch then reads without restraint. Weights are read as data alone (``weights_only=True``,
or safetensors), but the architecture that they fill is Python: naming any importable callable, in options that may
lie beside the weights, is as good as bringing code.
"""

from __future__ import annotations

import pickle
import re
from collections.abc import Mapping
from typing import Any

from tidegate.protocol.errors import ModelLoadFailed, shown
from tidegate.runtimes.framework import import_framework
from tidegate.runtimes.options import check_options, read_switch
from tidegate.runtimes.runtime import Artifact, Format, Model
from tidegate.runtimes.torch_architecture import build_architecture
from tidegate.runtimes.torch_file import Content, read_content
from tidegate.runtimes.torch_framework import Framework, open_framework, unreadable
from tidegate.runtimes.torch_model import TorchModel
from tidegate.runtimes.torch_program import Program, open_exported, open_module, open_torchscript
from tidegate.runtimes.trust import admit

PYTORCH = Format("PyTorch", (".jit", ".pt", ".pt2", ".pth", ".ts"), executes_code=True)
SAFETENSORS = Format("safetensors", (".safetensors",), executes_code=True)
"""Without an architecture nothing can be served, and that is code, though the file is data."""

OPTIONS = ("architecture", "batch_dimension")

_NESTED = ("state_dict", "model_state_dict")
"""Where training loops put the weights among the rest of a checkpoint."""
_FOREIGN = re.compile(r"GLOBAL ([\w.]+)")


class TorchRuntime:
    """Tells by its content what a file holds, and calls it."""

    name = "torch"
    package = "tidegate[torch]"
    formats = (PYTORCH, SAFETENSORS)

    def preload(self) -> None:
        """See ``Preloadable.preload``."""
        for module in ("torch", "torch.export", "safetensors.torch"):
            import_framework(module, self)

    def load(self, artifact: Artifact) -> Model:
        """See ``Runtime.load``."""
        form = admit(artifact, self.formats)
        check_options(artifact, OPTIONS)
        batches = read_switch(artifact, "batch_dimension")
        framework = open_framework(artifact, self)
        program = self._open_safetensors(framework, artifact) if form is SAFETENSORS else _open(framework, artifact)
        return TorchModel.prepare(framework, program, artifact, batches)

    def _open_safetensors(self, framework: Framework, artifact: Artifact) -> Program:
        safetensors = import_framework("safetensors.torch", self)
        try:
            weights = safetensors.load_file(artifact.path)
        except Exception as error:  # SafetensorError, and what the system says
            raise unreadable(artifact, error) from error
        return open_module(framework, artifact, build_architecture(framework.torch, artifact), weights, "safetensors")


def _open(framework: Framework, artifact: Artifact) -> Program:
    content = read_content(artifact.path)
    if content is Content.UNKNOWN:
        raise ModelLoadFailed(
            f"model '{artifact.name}': '{artifact.path.name}' is neither TorchScript, nor an exported program, nor "
            f"weights that torch.save wrote; it is corrupt, cut short or of another kind"
        )
    if content is Content.WEIGHTS:
        weights = _read_weights(framework.torch, artifact)
        return open_module(framework, artifact, build_architecture(framework.torch, artifact), weights, content.value)
    if "architecture" in artifact.options:
        raise ModelLoadFailed(
            f"model '{artifact.name}': option 'architecture' is for weights, and '{artifact.path.name}' is "
            f"{content.value}, which brings its own"
        )
    return (open_torchscript if content is Content.TORCHSCRIPT else open_exported)(framework, artifact)


def _read_weights(torch: Any, artifact: Artifact) -> Mapping[str, Any]:
    try:
        content = torch.load(artifact.path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if foreign := _FOREIGN.search(str(error)):
            raise ModelLoadFailed(
                f"model '{artifact.name}': '{artifact.path.name}' holds {shown(foreign[1])}, which is no weight: only "
                f"weights are read, and never a module that was saved whole; save model.state_dict(), or export it"
            ) from error
        raise unreadable(artifact, error) from error
    except Exception as error:  # a damaged archive surfaces as nearly anything
        raise unreadable(artifact, error) from error
    for key in _NESTED:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not isinstance(content, Mapping) or not all(torch.is_tensor(value) for value in content.values()):
        raise ModelLoadFailed(
            f"model '{artifact.name}': '{artifact.path.name}' holds {type(content).__name__}; expected a state dict, "
            f"alone or under {' or '.join(_NESTED)}"
        )
    return content


RUNTIME = TorchRuntime()
