"""A small seeded network on iris in each form that PyTorch's users save."""

from __future__ import annotations

import warnings
import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any

from tidegate.protocol.datatypes import Datatype
from tidegate.protocol.messages import TensorSpec
from tidegate.runtimes.torch import RUNTIME
from tidegate.testing.zoo.case import Arrays, Case
from tidegate.testing.zoo.iris import flowers

ARCHITECTURE = """\
import torch


class Network(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 3))

    def forward(self, x: torch.Tensor):
        scores = self.layers(x).softmax(-1)
        return {"label": scores.argmax(-1), "scores": scores}
"""
INPUTS = (TensorSpec("x", Datatype.FP32, (-1, 4)),)
_STEPS = 40


def network() -> Any:
    """The network, trained a little, in evaluation mode."""
    import torch

    names: dict[str, Any] = {}
    exec(ARCHITECTURE, names)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = names["Network"]()
    rows, labels = (torch.from_numpy(array) for array in flowers("f4"))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
    for _ in range(_STEPS):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model.layers(rows), labels).backward()
        optimizer.step()
    return model.eval()


def sample() -> Arrays:
    return {"x": flowers("f4")[0]}


def expected(path: Path, inputs: Arrays) -> Arrays:
    import torch

    model = network()
    with torch.inference_mode():
        answer = model(torch.tensor(inputs["x"]))
    return {name: value.numpy() for name, value in answer.items()}


def write_torchscript(folder: Path) -> Path:
    return save_torchscript(network(), folder / "iris.pt")


def save_torchscript(module: Any, path: Path) -> Path:
    """Trace the module, which PyTorch calls deprecated since 2.13, and save it."""
    import torch

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"`torch\.jit\.\w+` is deprecated", DeprecationWarning)
        torch.jit.trace(module, torch.zeros(2, 4), strict=False).save(path)
    return path


def write_exported(folder: Path) -> Path:
    import torch

    path = folder / "iris.pt2"
    rows = torch.export.Dim("rows")
    torch.export.save(torch.export.export(network(), (torch.zeros(2, 4),), dynamic_shapes=({0: rows},)), path)
    return path


def write_state_dict(folder: Path) -> Path:
    import torch

    path = folder / "iris.pth"
    torch.save(network().state_dict(), path)
    (folder / "network.py").write_text(ARCHITECTURE)
    return path


def write_safetensors(folder: Path) -> Path:
    from safetensors.torch import save_file

    path = folder / "iris.safetensors"
    save_file(network().state_dict(), path)
    (folder / "network.py").write_text(ARCHITECTURE)
    return path


def hostile_torchscript(folder: Path, touched: Path) -> Path:
    """TorchScript has no ``open``; its ``from_file`` makes the file that it shall map."""
    import torch

    class Touch(torch.nn.Module):
        def forward(self, x: Any) -> Any:
            mapped = torch.from_file(str(touched), shared=True, size=4)
            return {"label": x, "scores": x + mapped}

    path = folder / "iris.pt"
    save_torchscript(Touch(), path)
    touched.unlink(missing_ok=True)  # tracing has run it
    return path


def hostile_architecture(path: Path, touched: Path) -> Path:
    """The weights are as they should be, and the code that they fill is not."""
    (path.parent / "network.py").write_text(f"import os\n\nos.mkdir({str(touched)!r})\n")
    return path


def hostile_exported(folder: Path, touched: Path) -> Path:
    """The archive's own list of weights says that one of them is a pickle."""
    import pickle

    from tidegate.testing.zoo.sklearn import Touch

    path = write_exported(folder)

    def changed(name: str, data: bytes) -> bytes:
        if name.endswith("model_weights_config.json"):
            return data.replace(b'"use_pickle": false', b'"use_pickle": true').replace(
                b'"use_pickle":false', b'"use_pickle":true'
            )
        return pickle.dumps(Touch(touched)) if name.endswith("weights/weight_0") else data

    _rewrite(path, changed)
    return path


def _rewrite(path: Path, change: Any) -> None:
    file = BytesIO()
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(file, "w") as new:
        for name in old.namelist():
            new.writestr(name, change(name, old.read(name)))
    path.write_bytes(file.getvalue())


def age_archive(path: Path) -> None:
    """As if a PyTorch of the far future had written it."""
    _rewrite(path, lambda name, data: b"999\n" if name.endswith("/version") else data)


def age_exported(path: Path) -> None:
    _rewrite(path, lambda name, data: b"999" if name.endswith("/archive_version") else data)


def _case(id: str, **further: Any) -> Case:
    return Case(id=id, runtime=RUNTIME, sample=sample, expected=expected, framework="torch", tolerance=1e-6, **further)


def _weights(id: str, **further: Any) -> Case:
    return _case(id, options={"architecture": "network.py:Network"}, inputs=INPUTS, **further)


CASES = (
    _case(
        "torchscript",
        format="PyTorch",
        write=write_torchscript,
        inputs=INPUTS,
        age=age_archive,
        aged="version 999",
        hostile=hostile_torchscript,
    ),
    _case(
        "exported program",
        format="PyTorch",
        write=write_exported,
        age=age_exported,
        aged="version 999",
        hostile=hostile_exported,
    ),
    _weights(
        "state dict",
        format="PyTorch",
        write=write_state_dict,
        age=age_archive,
        aged="version 999",
        hostile=lambda folder, touched: hostile_architecture(write_state_dict(folder), touched),
    ),
    _weights(
        "safetensors",
        format="safetensors",
        write=write_safetensors,
        hostile=lambda folder, touched: hostile_architecture(write_safetensors(folder), touched),
    ),
)
