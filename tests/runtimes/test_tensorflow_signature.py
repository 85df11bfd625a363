"""What TensorFlow's runtime makes of a signature and of a declaration over it; no TensorFlow is needed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tidegate.protocol.datatypes import Datatype
from tidegate.protocol.errors import ModelLoadFailed
from tidegate.protocol.messages import TensorSpec
from tidegate.runtimes.runtime import Artifact
from tidegate.runtimes.tensorflow_model import plain_reason
from tidegate.runtimes.tensorflow_signature import DATATYPES, Slot, choose_signature, input_specs, output_specs

X = Slot("x", "float32", (-1, 4))
VAGUE = Slot("v", "int64", None)


def artifact(**further: object) -> Artifact:
    return Artifact("m", "1", Path("m"), **further)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("names", "options", "chosen"),
    [
        pytest.param(["predict", "serving_default"], {}, "serving_default", id="the default"),
        pytest.param(["predict", "serving_default"], {"signature": "predict"}, "predict", id="the wanted one"),
        pytest.param(["__saved_model_init_op", "predict"], {}, "predict", id="the only one"),
    ],
)
def test_one_signature_is_served(names: list[str], options: dict[str, str], chosen: str) -> None:
    """The owner's choice, else serving_default, else the only one; TensorFlow's own entries are none."""
    assert choose_signature(artifact(options=options), names) == chosen


@pytest.mark.parametrize(
    ("names", "options", "message"),
    [
        pytest.param(
            ["b", "a"], {"signature": "c"}, "model 'm': option 'signature' is 'c'; the model has 'a', 'b'", id="unknown"
        ),
        pytest.param(
            ["b", "a"],
            {},
            "model 'm' has several signatures, none of them 'serving_default'; name one with the option 'signature': "
            "'a', 'b'",
            id="several",
        ),
        pytest.param(
            ["__saved_model_init_op"],
            {},
            "model 'm' has no signature, so nothing says what goes in and what comes out; save it with signatures=…",
            id="none",
        ),
    ],
)
def test_a_choice_that_cannot_be_made_is_told(names: list[str], options: dict[str, str], message: str) -> None:
    """The message lists what there is to choose from."""
    with pytest.raises(ModelLoadFailed) as caught:
        choose_signature(artifact(options=options), names)
    assert caught.value.message == message


def test_every_datatype_of_the_protocol_has_its_counterpart() -> None:
    """None is missing, and none is told twice."""
    assert sorted(DATATYPES.values()) == sorted(Datatype)


def test_what_cannot_be_given_is_refused() -> None:
    """An input of another type is named with it, and the possible ones are listed."""
    with pytest.raises(ModelLoadFailed, match=r"^model 'm': input 'z' is complex64, which cannot be given; expected o"):
        input_specs(artifact(), (X, Slot("z", "complex64", (-1,))))


def test_a_model_may_have_no_inputs() -> None:
    """Nothing is asked for where nothing goes in."""
    assert input_specs(artifact(), ()) == ()


def test_an_unknown_rank_is_asked_for() -> None:
    """Only the owner can say how many axes an input has, and says it for all of them."""
    with pytest.raises(ModelLoadFailed) as caught:
        input_specs(artifact(), (X, VAGUE))
    assert caught.value.message == (
        "model 'm': its file does not tell the number of axes of 'v'; declare them in model.yaml beside the model, as "
        "in inputs: [{name: x, datatype: FP32, shape: [-1, 4]}]"
    )
    specs = (TensorSpec("v", Datatype.INT64, (-1, 2)), TensorSpec("x", Datatype.FP32, (-1, 4)))
    assert input_specs(artifact(inputs=specs), (X, VAGUE)) == specs


def test_a_trial_tells_the_rank_of_an_output() -> None:
    """What a run has shown need not be declared."""
    assert output_specs(artifact(), (VAGUE,), {"v": 2}) == (TensorSpec("v", Datatype.INT64, (-1, -1)),)
    with pytest.raises(ModelLoadFailed, match="does not tell the number of axes of 'v'"):
        output_specs(artifact(), (VAGUE,), {})


@pytest.mark.parametrize("shape", [(-1, 4), (1, 4)])
def test_a_declaration_may_narrow(shape: tuple[int, ...]) -> None:
    """A size that the file leaves open can be fixed."""
    spec = TensorSpec("x", Datatype.FP32, shape)
    assert input_specs(artifact(inputs=(spec,)), (X,)) == (spec,)


@pytest.mark.parametrize(
    ("specs", "reason"),
    [
        pytest.param([TensorSpec("x", Datatype.FP64, (-1, 4))], "'x' as FP64, in the model it is FP32", id="type"),
        pytest.param(
            [TensorSpec("x", Datatype.FP32, (-1, 5))], "'x' with shape [-1, 5], in the model it is [-1, 4]", id="size"
        ),
        pytest.param(
            [TensorSpec("x", Datatype.FP32, (-1, -1))], "'x' with shape [-1, -1], in the model it is [-1, 4]", id="open"
        ),
        pytest.param(
            [TensorSpec("x", Datatype.FP32, (4,))], "'x' with shape [4], in the model it is [-1, 4]", id="rank"
        ),
    ],
)
def test_a_declaration_may_not_contradict(specs: list[TensorSpec], reason: str) -> None:
    """What the file tells holds."""
    with pytest.raises(ModelLoadFailed) as caught:
        input_specs(artifact(inputs=tuple(specs)), (X,))
    assert caught.value.message == f"model 'm': inputs declare {reason}"


@pytest.mark.parametrize(
    ("specs", "reason"),
    [
        pytest.param([TensorSpec("y", Datatype.FP32, (-1,))], "inputs declare 'y', the model has x, v", id="unknown"),
        pytest.param(
            [TensorSpec("v", Datatype.INT64, (-1,))], "inputs declared are 1, the model has 2: x, v", id="one missing"
        ),
    ],
)
def test_a_declaration_names_every_tensor(specs: list[TensorSpec], reason: str) -> None:
    """Also where the file alone does not suffice."""
    with pytest.raises(ModelLoadFailed) as caught:
        input_specs(artifact(inputs=tuple(specs)), (X, VAGUE))
    assert caught.value.message == f"model 'm': {reason}"


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        pytest.param(
            'Graph execution error:\n\nDetected at node R defined at (most recent call last):\n  File "/home/a/b.py", '
            "line 9, in f\n\nInput has 4 values\n\t [[{{node R}}]] [Op:__inference_f_128]",
            "Input has 4 values",
            id="a function's",
        ),
        pytest.param(
            "Graph execution error:\n\nassertion failed: [x]\n\t [[{{node A}}]]",
            "assertion failed: [x]",
            id="a session's",
        ),
        pytest.param(
            "/srv/m/variables/v.index; No such file\n\t [[{{node R}}]]", "variables/v.index; No such file", id="path"
        ),
        pytest.param("Op type not registered\nmore", "Op type not registered", id="no node"),
        pytest.param("", "no reason given", id="nothing"),
    ],
)
def test_an_error_s_reason_is_one_line(text: str, plain: str) -> None:
    """Headings, the author's lines of code, nodes and folders go; the reason stays."""
    assert plain_reason(text, Path("/srv/m")) == plain
