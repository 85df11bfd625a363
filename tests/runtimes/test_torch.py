"""The torch runtime beyond what the contract of all runtimes holds."""

from __future__ import annotations

import os
import pickle
import warnings
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pytest
import torch

from tidegate.protocol.datatypes import Datatype
from tidegate.protocol.errors import ExecutionFailed, ModelLoadFailed
from tidegate.protocol.messages import TensorSpec
from tidegate.protocol.tensors import Tensor
from tidegate.runtimes.execution import execute
from tidegate.runtimes.runtime import Artifact, Model
from tidegate.runtimes.torch import RUNTIME
from tidegate.runtimes.torch_framework import check_version
from tidegate.runtimes.torch_tensors import TORCH_TYPES, choose_names, named_values
from tidegate.testing.zoo.sklearn import Touch

pytestmark = pytest.mark.framework

FP32 = Datatype.FP32
ROWS = np.arange(8, dtype=np.float32).reshape(2, 4)


class Module(torch.nn.Module):
    """Calls the function that it is given, so that a test says in one line what its model does."""

    def __init__(self, function: Any) -> None:
        super().__init__()
        self._function = function

    def forward(self, *arguments: Any) -> Any:
        return self._function(*arguments)


def traced(folder: Path, function: Any, *examples: Any) -> Path:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"`torch\.jit\.\w+` is deprecated", DeprecationWarning)
        torch.jit.trace(Module(function), examples, strict=False).save(folder / "m.pt")
    return folder / "m.pt"


def scripted(folder: Path, module: Any) -> Path:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"`torch\.jit\.\w+` is deprecated", DeprecationWarning)
        torch.jit.script(module).save(folder / "m.ts")
    return folder / "m.ts"


def exported(folder: Path, function: Any, *examples: Any, dynamic: Any = None) -> Path:
    # Of the one parameter *arguments, hence a tuple in a tuple.
    shapes = (dynamic,) if dynamic else None
    torch.export.save(torch.export.export(Module(function), examples, dynamic_shapes=shapes), folder / "m.pt2")
    return folder / "m.pt2"


def load(path: Path, inputs: Sequence[TensorSpec] = (), outputs: Sequence[TensorSpec] = (), **options: str) -> Model:
    return RUNTIME.load(
        Artifact("m", "1", path, trusted=True, inputs=tuple(inputs), outputs=tuple(outputs), options=options)
    )


def frozen(array: Any) -> Any:
    array.flags.writeable = False
    return array


def spec(name: str, *shape: int, datatype: Datatype = FP32) -> TensorSpec:
    return TensorSpec(name, datatype, shape)


OPEN = {0: torch.export.Dim("rows")}


@pytest.mark.parametrize(
    ("function", "dynamic", "shapes", "batches", "most"),
    [
        pytest.param(lambda x: x * 2, OPEN, ((-1, 4), (-1, 4)), True, 0, id="open"),
        pytest.param(lambda x: x * 2, {0: torch.export.Dim.DYNAMIC}, ((-1, 4), (-1, 4)), True, 0, id="open, unnamed"),
        pytest.param(lambda x: x * 2, None, ((2, 4), (2, 4)), False, 0, id="fixed"),
        pytest.param(lambda x: x * 2, {0: torch.export.Dim("r", max=16)}, ((-1, 4), (-1, 4)), True, 16, id="bounded"),
        pytest.param(lambda x: x * 2, {0: torch.export.Dim("r", max=2)}, ((-1, 4), (-1, 4)), True, 2, id="no trial"),
        pytest.param(lambda x: x.sum(0), OPEN, ((-1, 4), (4,)), False, 0, id="rows are summed"),
        pytest.param(lambda x: torch.cat([x, x]), OPEN, ((-1, 4), (-1, 4)), False, 0, id="rows are doubled"),
    ],
)
def test_an_exported_program_tells_its_signature(
    tmp_path: Path, function: Any, dynamic: Any, shapes: Any, batches: bool, most: int
) -> None:
    """Shapes are the program's own, and rows are batched where as many come back as went in."""
    model = load(exported(tmp_path, function, torch.zeros(2, 4), dynamic=(dynamic,) if dynamic else None))
    meta = model.metadata
    assert ((meta.inputs[0].shape, meta.outputs[0].shape), meta.batch_dimension) == (shapes, batches)
    assert meta.max_batch_size == most
    assert meta.platform == "torch_exported"
    answer = model.predict({meta.inputs[0].name: frozen(ROWS.copy())}, (), {})
    np.testing.assert_array_equal(answer["output_0"], function(torch.tensor(ROWS)).numpy())


def test_nested_inputs_and_outputs_have_names(tmp_path: Path) -> None:
    """Inputs are named as the program names them, outputs by their path; constants are filled in."""
    path = exported(
        tmp_path, lambda x, more, by: {"sum": x + more["y"], "rest": (x * by, None)}, ROWS_T, {"y": ROWS_T}, 3
    )
    model = load(path)
    names = [item.name for item in model.metadata.inputs]
    assert len(names) == 2
    assert [item.name for item in model.metadata.outputs] == ["sum", "rest.0"]
    answer = model.predict(dict.fromkeys(names, ROWS), (), {})
    np.testing.assert_array_equal(answer["sum"], ROWS * 2)
    np.testing.assert_array_equal(answer["rest.0"], ROWS * 3)


ROWS_T = torch.tensor(ROWS)


@pytest.mark.parametrize("datatype", TORCH_TYPES)
def test_every_datatype_passes_unchanged(tmp_path: Path, datatype: Datatype) -> None:
    """From the bytes of a request to those of the answer, without a warning."""
    example = torch.zeros(3, dtype=getattr(torch, TORCH_TYPES[datatype]))
    model = load(exported(tmp_path, lambda x: x.clone(), example, dynamic=(OPEN,)))
    assert [item.datatype for item in (*model.metadata.inputs, *model.metadata.outputs)] == [datatype, datatype]
    data = bytes([1, 0] * (3 * datatype.itemsize))[: 3 * datatype.itemsize]
    given = Tensor(model.metadata.inputs[0].name, datatype, (3,), data)
    (answer,) = execute(model, [given], (), {})
    assert (answer.datatype, bytes(answer.data)) == (datatype, data)


def test_a_model_that_works_in_place_leaves_the_request_alone(tmp_path: Path) -> None:
    """The trial run shows that it writes its input, and from then on it gets a copy."""
    model = load(traced(tmp_path, lambda x: x.mul_(2), torch.zeros(2, 4)), [spec("x", -1, 4)])
    given = frozen(ROWS.copy())
    np.testing.assert_array_equal(model.predict({"x": given}, (), {})["output_0"], ROWS * 2)
    np.testing.assert_array_equal(given, ROWS)


def test_an_input_is_not_copied(tmp_path: Path) -> None:
    """A model that gives back its input gives back the request's own memory."""
    model = load(traced(tmp_path, lambda x: (x, x + 1), torch.zeros(2, 4)), [spec("x", -1, 4)])
    given = frozen(ROWS.copy())
    assert np.shares_memory(model.predict({"x": given}, (), {})["output_0"], given)


def test_torchscript_asks_for_its_inputs(tmp_path: Path) -> None:
    """The sentence lists the arguments that the file tells."""
    path = traced(tmp_path, lambda x: x * 1, torch.zeros(2, 4))
    with pytest.raises(ModelLoadFailed) as caught:
        load(path)
    assert caught.value.message == (
        "model 'm': TorchScript tells its arguments (x: Tensor), and no datatypes and shapes of tensors; declare them "
        "in model.yaml beside the model, as in inputs: [{name: x, datatype: FP32, shape: [-1, 4]}]"
    )
    with pytest.raises(ModelLoadFailed, match=r"^model 'm': inputs declared are 'y', the model takes 'x'$"):
        load(path, [spec("y", -1, 4)])
    with pytest.raises(ModelLoadFailed, match=r"^model 'm': input 'x' is declared BYTES, the model takes Tensor; exp"):
        load(path, [spec("x", -1, datatype=Datatype.BYTES)])


class Power(torch.nn.Module):
    def forward(self, x: torch.Tensor, by: int, plus: float = 0.0) -> torch.Tensor:
        return x * by + plus


def test_numbers_among_the_arguments_are_inputs_of_one_element(tmp_path: Path) -> None:
    """An int comes as an INT64 of shape [1], and an argument with a default may be left out."""
    path = scripted(tmp_path, Power())
    model = load(path, [spec("x", -1, 4), spec("by", 1, datatype=Datatype.INT64)])
    assert not model.metadata.batch_dimension
    answer = model.predict({"x": ROWS, "by": np.array([3])}, (), {})
    np.testing.assert_array_equal(answer["output_0"], ROWS * 3)
    with pytest.raises(
        ModelLoadFailed, match=r"^model 'm': input 'by' is declared FP32 \[1\], the model takes one int"
    ):
        load(path, [spec("x", -1, 4), spec("by", 1)])


class Halves(torch.nn.Module):
    """Takes no fewer than two columns."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.view(x.shape[0], x.shape[1] // 2, 2)


def test_what_zeros_cannot_show_is_asked_for(tmp_path: Path) -> None:
    """Outputs that are neither told nor shown by a trial are to be declared; then they are believed."""
    path = scripted(tmp_path, Halves())
    with pytest.raises(
        ModelLoadFailed, match=r"^model 'm': a trial run over zeros, which would tell its outputs, fails"
    ):
        load(path, [spec("x", -1, -1)])
    model = load(path, [spec("x", -1, -1)], [spec("halves", -1, -1, 2)])
    assert model.metadata.batch_dimension
    assert model.predict({"x": ROWS}, (), {})["halves"].shape == (2, 2, 2)
    shown = load(path, [spec("x", -1, 4)])
    assert shown.metadata.outputs == (spec("output_0", -1, 2, 2),)


def test_the_batch_dimension_can_be_told(tmp_path: Path) -> None:
    """The option overrides the trial, but no size that the signature fixes."""
    path = traced(tmp_path, lambda x: x * 1, torch.zeros(2, 4))
    assert not load(path, [spec("x", -1, 4)], batch_dimension="false").metadata.batch_dimension
    with pytest.raises(ModelLoadFailed, match=r"^model 'm': option 'batch_dimension' is 'true', but not every input"):
        load(path, [spec("x", 2, 4)], batch_dimension="true")


def test_declared_outputs_name_what_comes_back(tmp_path: Path) -> None:
    """In order, where the model only counts them; too few or too many are told while loading."""
    path = traced(tmp_path, lambda x: (x, x.sum(-1)), torch.zeros(2, 4))
    model = load(path, [spec("x", -1, 4)], [spec("same", -1, 4), spec("sum", -1)])
    assert list(model.predict({"x": ROWS}, (), {})) == ["same", "sum"]
    with pytest.raises(ModelLoadFailed) as caught:
        load(path, [spec("x", -1, 4)], [spec("same", -1, 4)])
    assert caught.value.message == "model 'm': outputs declared are 'same', the model returns 'output_0', 'output_1'"


def test_without_a_trial_a_wrong_declaration_is_told_by_the_request(tmp_path: Path) -> None:
    """Everything is declared, so nothing was tried; the answer says what the model returned."""
    path = traced(tmp_path, lambda x: (x * 1, x * 1), torch.zeros(2, 4))
    model = load(path, [spec("x", 2, 4)], [spec("y", 2, 4)])
    with pytest.raises(ExecutionFailed, match=r"^the model returned 'output_0', 'output_1'; its signature says 'y'$"):
        model.predict({"x": ROWS}, (), {})


def test_a_hostile_state_dict_does_not_execute_even_if_trusted(tmp_path: Path) -> None:
    """Weights are read as data alone: a pickle that would do something is refused, and named."""
    touched = tmp_path / "touched"
    for path, old in ((tmp_path / "new.pt", False), (tmp_path / "old.pt", True)):
        torch.save({"w": Touch(touched)}, path, _use_new_zipfile_serialization=not old)
        with pytest.raises(ModelLoadFailed, match=rf"^model 'm': '{path.name}' holds posix\.mkdir, which is no weight"):
            load(path, [spec("x", -1, 4)], architecture="network.py:Network")
    plain = tmp_path / "plain.pt"
    plain.write_bytes(pickle.dumps(Touch(touched)))
    with pytest.raises(ModelLoadFailed, match=r"^model 'm': 'plain\.pt' "):
        load(plain, [spec("x", -1, 4)], architecture="network.py:Network")
    assert not touched.exists()


def test_a_whole_module_is_not_read(tmp_path: Path) -> None:
    """It is a pickle of its class, and the sentence says what to save instead."""
    torch.save(torch.nn.Linear(4, 3), tmp_path / "m.pt")
    with pytest.raises(ModelLoadFailed) as caught:
        load(tmp_path / "m.pt", [spec("x", -1, 4)])
    assert caught.value.message == (
        "model 'm': 'm.pt' holds torch.nn.modules.linear.Linear, which is no weight: only weights are read, and never "
        "a module that was saved whole; save model.state_dict(), or export it"
    )


LINEAR = "import torch\n\ndef build():\n    return torch.nn.Linear(4, 3)\n"


def weights(folder: Path, content: Any) -> Path:
    (folder / "net.py").write_text(LINEAR)
    torch.save(content, folder / "m.pt")
    return folder / "m.pt"


@pytest.mark.parametrize("key", ["", "state_dict", "model_state_dict"])
def test_weights_fill_an_architecture(tmp_path: Path, key: str) -> None:
    """A state dict alone, or inside the checkpoint of a training loop."""
    layer = torch.nn.Linear(4, 3)
    state = layer.state_dict()
    model = load(
        weights(tmp_path, {key: state, "epoch": 3} if key else state),
        [spec("input", -1, 4)],
        architecture="net.py:build",
    )
    assert model.metadata.platform == "torch_state_dict"
    np.testing.assert_allclose(
        model.predict({"input": ROWS}, (), {})["output_0"], layer(ROWS_T).detach().numpy(), rtol=1e-6
    )


@pytest.mark.parametrize(
    ("architecture", "problem"),
    [
        pytest.param(None, "'m.pt' holds weights alone; name what they fill in the option 'architecture'", id="none"),
        pytest.param("net.py", "option 'architecture' is 'net.py', expected package.module:callable or", id="no name"),
        pytest.param("../net.py:build", "option 'architecture' is '../net.py:build', expected", id="upwards"),
        pytest.param("absent.py:build", "option 'architecture': 'absent.py:build' fails: FileNotFoundError", id="file"),
        pytest.param("no_such.net:build", "'no_such.net:build' fails: ModuleNotFoundError", id="module"),
        pytest.param("net.py:other", "option 'architecture': 'net.py:other' fails: AttributeError", id="attribute"),
        pytest.param("builtins:dict", "'builtins:dict' makes dict, expected a torch.nn.Module", id="no module"),
        pytest.param("torch.nn:Identity", "'m.pt' does not hold the weights of Identity: Error(s) in", id="other"),
    ],
)
def test_an_architecture_that_does_not_fit_is_told(tmp_path: Path, architecture: str | None, problem: str) -> None:
    """Each slip has a sentence of its own, without this machine's folders."""
    options = {"architecture": architecture} if architecture else {}
    path = weights(tmp_path, torch.nn.Linear(4, 3).state_dict())
    with pytest.raises(ModelLoadFailed) as caught:
        load(path, [spec("input", -1, 4)], (), **options)
    assert problem in caught.value.message
    assert str(tmp_path) not in caught.value.message


def test_an_installed_module_is_an_architecture(tmp_path: Path) -> None:
    """What can be imported needs no file beside the weights."""
    model = load(weights(tmp_path, {}), [spec("input", -1, 4)], architecture="torch.nn:Identity")
    np.testing.assert_array_equal(model.predict({"input": ROWS}, (), {})["output_0"], ROWS)


def test_other_content_is_refused(tmp_path: Path) -> None:
    """Another archive, other things in a pickle, and an architecture where none is wanted."""
    with zipfile.ZipFile(tmp_path / "m.pt", "w") as archive:
        archive.writestr("word/document.xml", "")
    with pytest.raises(ModelLoadFailed, match=r"^model 'm': 'm\.pt' is neither TorchScript, nor an exported program"):
        load(tmp_path / "m.pt")
    with pytest.raises(ModelLoadFailed, match=r"^model 'm': 'm\.pt' holds list; expected a state dict, alone or under"):
        load(weights(tmp_path, [1]))
    path = traced(tmp_path, lambda x: x * 1, torch.zeros(2, 4))
    with pytest.raises(ModelLoadFailed, match=r"option 'architecture' is for weights, and 'm\.pt' is torchscript"):
        load(path, architecture="net.py:build")


def test_an_output_that_is_no_tensor_of_numbers_is_told(tmp_path: Path) -> None:
    """A complex tensor has no datatype in the protocol."""
    with pytest.raises(ModelLoadFailed, match=r"^model 'm': output 'output_0' is torch\.complex64; expected a tensor"):
        load(exported(tmp_path, lambda x: torch.complex(x, x), torch.zeros(2, 4)))


@pytest.mark.parametrize("version", ["2.9.1", "2.5.0+cpu", "1.13.1", "unknown"])
def test_an_old_pytorch_is_refused(version: str) -> None:
    """Before 2.10 a file of weights could run code."""
    with pytest.raises(ModelLoadFailed, match=r"is installed, and before 2\.10 a file of weights could run code"):
        check_version(Artifact("m", "1", Path("m.pt")), version)


@pytest.mark.parametrize("version", ["2.10.0", "2.13.0+cpu", "3.0"])
def test_a_recent_pytorch_is_used(version: str) -> None:
    """From 2.10 on, by numbers and not by letters."""
    check_version(Artifact("m", "1", Path("m.pt")), version)


@pytest.mark.skipif(torch.cuda.is_available(), reason="a CUDA device is here")
def test_a_device_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """A model meant for CUDA does not run on the CPU in silence."""
    artifact = Artifact(
        "m", "1", traced(tmp_path, lambda x: x * 1, torch.zeros(2, 4)), True, inputs=(spec("x", -1, 4),)
    )
    with pytest.raises(
        ModelLoadFailed, match=r"^model 'm': device 'cuda:1' cannot be used: PyTorch 2\.\S+ sees 0 CUDA"
    ):
        RUNTIME.load(msgspec.structs.replace(artifact, device="cuda:1"))
    assert RUNTIME.load(msgspec.structs.replace(artifact, device="cpu")).metadata.properties["device"] == "cpu"


class Pair(NamedTuple):
    left: Any
    right: Any


@pytest.mark.parametrize(
    ("answer", "names"),
    [
        pytest.param(1, ["output_0"], id="alone"),
        pytest.param((1, 2), ["output_0", "output_1"], id="tuple"),
        pytest.param({"a": 1, "b": [2, None, {"c": 3}]}, ["a", "b.0", "b.2.c"], id="nested"),
        pytest.param(Pair(1, (2, 3)), ["left", "right.0", "right.1"], id="named tuple"),
        pytest.param([[1, 2], None], ["output_0.0", "output_0.1"], id="lists"),
        pytest.param(None, [], id="nothing"),
    ],
)
def test_what_a_model_returns_has_names(answer: Any, names: list[str]) -> None:
    """Of mappings and named tuples their own, of others by counting."""
    assert list(named_values(answer)) == names


def test_names_are_chosen_by_name_or_by_order() -> None:
    """By name where all are there, in order where as many are there, else not at all."""
    assert choose_names(["b"], ["a", "b"]) == {"b": "b"}
    assert choose_names(["x", "y"], ["a", "b"]) == {"x": "a", "y": "b"}
    assert choose_names(["x"], ["a", "b"]) is None


def test_a_link_of_a_folder_is_no_file(tmp_path: Path) -> None:
    """What has a model's name and is no file is told so before it is opened."""
    os.mkfifo(tmp_path / "m.pt")
    with pytest.raises(ModelLoadFailed, match=r"^model 'm': 'm\.pt' is no file; expected a PyTorch file$"):
        load(tmp_path / "m.pt")
