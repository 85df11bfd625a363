"""Custom models in Python, beyond what the contract of all runtimes holds: as their authors write and break them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from textwrap import dedent
from typing import Any

import msgspec
import numpy as np
import pytest

from tidegate.protocol.datatypes import Datatype
from tidegate.protocol.errors import ExecutionFailed, InvalidRequest, InvalidTensor, ModelLoadFailed, Unsupported
from tidegate.protocol.messages import TensorSpec
from tidegate.runtimes.custom import model as decorator
from tidegate.runtimes.python import RUNTIME
from tidegate.runtimes.runtime import Artifact
from tidegate.testing.loading import LoadedModel

HEAD = """
from collections.abc import AsyncIterator, Iterator
from typing import Annotated, NamedTuple, TypedDict

import numpy as np
from tidegate.runtimes import Context, model

Rows = Annotated[np.ndarray, "FP32", -1, 2]
Sums = Annotated[np.ndarray, "FP32", -1]
"""
FIRST = HEAD.count("\n") + 1
"""The line of what stands behind the head."""

X = np.array([[1, 2], [3, 4]], np.float32)
Load = Callable[..., LoadedModel]


@pytest.fixture
def load(tmp_path: Path) -> Iterator[Load]:
    """Writes a model.py of the head and these lines, with other files beside it, and loads it."""
    loaded: list[LoadedModel] = []
    folder = tmp_path / "m"
    folder.mkdir()

    def go(source: str, files: Mapping[str, str] | None = None, **settings: Any) -> LoadedModel:
        for name, content in {"model.py": HEAD + dedent(source), **(files or {})}.items():
            (folder / name).write_text(content)
        artifact = msgspec.structs.replace(Artifact("m", "1", folder, trusted=True), **settings)
        loaded.append(LoadedModel(RUNTIME.load(artifact)))
        return loaded[-1]

    yield go
    for model in loaded:
        model.close()


def refusal(load: Load, source: str, **settings: Any) -> str:
    with pytest.raises(ModelLoadFailed) as caught:
        load(source, **settings)
    assert "\n" not in caught.value.message
    return caught.value.message


FORMS = {
    "function": """
        @model
        def predict(x: Rows) -> Sums:
            return x.sum(axis=1)
        """,
    "list": """
        @model
        def predict(x: Rows) -> Sums:
            return [float(row.sum()) for row in x]
        """,
    "mapping": """
        @model(inputs={"x": ("FP32", -1, 2)}, outputs={"output": ("FP32", (-1,))})
        def predict(x):
            return {"output": x.sum(axis=1)}
        """,
    "any input": """
        @model(inputs={"x": ("FP32", -1, 2)}, outputs={"output": ("FP32", -1)})
        def predict(**inputs):
            return inputs["x"].sum(axis=1)
        """,
    "async": """
        import asyncio

        @model
        async def predict(x: Rows) -> Sums:
            await asyncio.sleep(0)
            return x.sum(axis=1)
        """,
    "class": """
        @model
        class Summing:
            def load(self, context: Context) -> None:
                self.axis = 1

            def predict(self, x: Rows) -> Sums:
                return x.sum(axis=self.axis)
        """,
    "async class": """
        import asyncio

        @model
        class Summing:
            async def load(self, context: Context) -> None:
                self.loop = asyncio.get_running_loop()

            async def predict(self, x: Rows) -> Sums:
                assert asyncio.get_running_loop() is self.loop
                return x.sum(axis=1)

            async def close(self) -> None:
                assert asyncio.get_running_loop() is self.loop
        """,
    "generator of one": """
        @model
        def predict(x: Rows) -> Iterator[Sums]:
            yield x.sum(axis=1)
        """,
}


@pytest.mark.parametrize("source", [pytest.param(source, id=id) for id, source in FORMS.items()])
def test_every_way_to_write_a_model_answers(load: Load, source: str) -> None:
    """However it is written, the signature and the answer are the same."""
    model = load(source)
    assert model.metadata.inputs == (TensorSpec("x", Datatype.FP32, (-1, 2)),)
    assert model.metadata.outputs == (TensorSpec("output", Datatype.FP32, (-1,)),)
    assert (model.metadata.platform, model.metadata.batch_dimension) == ("python_model", False)
    assert model.predict({"x": X})["output"].tolist() == [3, 7]


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param("class Answer(NamedTuple):", id="NamedTuple"),
        pytest.param("class Answer(TypedDict):", id="TypedDict"),
    ],
)
@pytest.mark.parametrize(
    "returned", ["Answer(low=x.min(axis=1), high=x.max(axis=1))", "(x.min(axis=1), x.max(axis=1))"]
)
def test_several_outputs_are_fields(load: Load, answer: str, returned: str) -> None:
    """Named by their fields, or by their order."""
    model = load(
        f"{answer}\n    low: Sums\n    high: Sums\n\n@model\ndef predict(x: Rows) -> Answer:\n    return {returned}\n"
    )
    assert [spec.name for spec in model.metadata.outputs] == ["low", "high"]
    answers = model.predict({"x": X})
    assert (answers["low"].tolist(), answers["high"].tolist()) == ([1, 3], [2, 4])
    assert list(model.predict({"x": X}, outputs=("high",))) == ["high"]


def test_annotations_may_be_text(load: Load) -> None:
    """As `from __future__ import annotations` makes them."""
    model = load('@model\ndef predict(x: "Rows") -> "Iterator[Sums]":\n    yield x.sum(axis=1)\n')
    assert model.predict({"x": X})["output"].tolist() == [3, 7]


def test_the_owner_s_declaration_suffices(load: Load) -> None:
    """What stands in model.yaml needs not stand in model.py."""
    inputs, outputs = (TensorSpec("x", Datatype.FP32, (-1, 2)),), (TensorSpec("y", Datatype.FP32, (-1,)),)
    model = load("@model\ndef predict(x):\n    return x.sum(axis=1)\n", inputs=inputs, outputs=outputs)
    assert model.predict({"x": X})["y"].tolist() == [3, 7]


def test_text_comes_as_str_and_goes_as_either(load: Load) -> None:
    """An input declared as str is decoded, one declared as BYTES is not; zeros at an end stay."""
    model = load("""
        Text = Annotated[np.ndarray, str, -1]

        @model
        def predict(a: Text, b: Annotated[np.ndarray, "BYTES", -1]) -> Text:
            assert all(type(item) is str for item in a)
            return [a[0] + "\\0", b[0] + b"\\0"]
        """)
    assert {spec.datatype for spec in (*model.metadata.inputs, *model.metadata.outputs)} == {Datatype.BYTES}
    assert model.predict({"a": ["é"], "b": [b"\xff"]})["output"].tolist() == ["é\0".encode(), b"\xff\0"]
    with pytest.raises(InvalidTensor, match="input 'a': element 0 is not UTF-8 text"):
        model.predict({"a": [b"\xff"], "b": [b""]})


def test_arguments_are_given_by_name(load: Load) -> None:
    """The request's parameters, the wanted outputs and the context, where they are taken."""
    model = load(
        """
        @model(options={"factor": "1"})
        def predict(x: Rows, parameters, outputs, context: Context, unasked=3) -> Sums:
            assert outputs == ("output",)
            assert (context.path.name, context.name, context.version) == ("m", "m", "1")
            assert (context.device, context.threads) == ("cpu", 2)
            return x.sum(axis=1) * int(context.options["factor"]) + parameters["add"]
        """,
        options={"factor": "10"},
        device="cpu",
        threads=2,
    )
    assert model.predict({"x": X}, parameters={"add": 1})["output"].tolist() == [31, 71]


def test_batches_are_what_the_author_allows(load: Load) -> None:
    """A largest batch says that axis 0 counts rows; nothing said is no."""
    assert not load("@model\ndef predict(x: Rows) -> Sums: ...\n").metadata.batch_dimension
    meta = load("@model(max_batch_size=7)\ndef predict(x: Rows) -> Sums: ...\n").metadata
    assert (meta.batch_dimension, meta.max_batch_size) == (True, 7)
    said = refusal(load, '@model(max_batch_size=7)\ndef predict(x: Annotated[np.ndarray, "FP32", 2]) -> Sums: ...\n')
    assert said == (
        f"model 'm': predict (model.py, line {FIRST}): tensor 'x' has shape [2], and a model with a batch "
        f"dimension has -1 first in every shape"
    )


@pytest.mark.parametrize(
    "said",
    [{"max_batch_size": -1}, {"max_batch_size": 2, "batch_dimension": False}, {"stateful": True, "max_batch_size": 2}],
)
def test_a_contradiction_is_refused_where_it_is_said(said: dict[str, Any]) -> None:
    """By the decorator itself."""
    with pytest.raises(ValueError, match="batch"):
        decorator(**said)


@pytest.mark.parametrize("kind", ["def", "async def"])
def test_a_generator_streams(load: Load, kind: str) -> None:
    """Each response as it is made; a call without a stream takes exactly one."""
    annotation = "Iterator" if kind == "def" else "AsyncIterator"
    model = load(f"""
        done = []

        @model
        {kind} predict(n: Annotated[np.ndarray, "INT32"]) -> {annotation}[Annotated[np.ndarray, "INT32"]]:
            try:
                for number in range(int(n)):
                    yield np.int32(number)
            finally:
                done.append(int(n))

        def ended():
            return done
        """)
    assert model.metadata.decoupled
    assert [int(answer["output"]) for answer in model.stream({"n": 3})] == [0, 1, 2]
    stream = model.stream({"n": 1000})
    assert next(stream)["output"] == 0
    stream.close()
    assert sys.modules["model"].ended() == [3, 1000]
    assert model.predict({"n": 1})["output"] == 0
    with pytest.raises(
        Unsupported, match=r"^model 'm' made no response, and a call without a stream takes exactly one"
    ):
        model.predict({"n": 0})
    with pytest.raises(Unsupported, match=r"^model 'm' made more than one response"):
        model.predict({"n": 1000})
    assert sys.modules["model"].ended() == [3, 1000, 1, 0, 1000]


def test_a_state_lasts_as_long_as_its_sequence(load: Load) -> None:
    """Interleaved sequences do not meet; a step that fails changes nothing; the end forgets."""
    model = load("""
        @model(stateful=True)
        def predict(x: Annotated[np.ndarray, "FP32"], state: dict) -> Annotated[np.ndarray, "FP32"]:
            total = state.get("total", 0) + x
            if x < 0:
                raise ValueError("less than nothing")
            state["total"] = total
            return total
        """)
    assert model.metadata.stateful

    def step(id: int, x: float, **flags: bool) -> float:
        parameters = {"sequence_id": id, **{f"sequence_{name}": flag for name, flag in flags.items()}}
        return float(model.predict({"x": x}, parameters=parameters)["output"])

    assert [step(1, 1, start=True), step(2, 10, start=True), step(1, 1), step(2, 10)] == [1, 10, 2, 20]
    with pytest.raises(ExecutionFailed, match="ValueError: less than nothing"):
        step(1, -1)
    assert step(1, 1, end=True) == 3
    with pytest.raises(InvalidRequest, match="sequence 1 is not known"):
        step(1, 1)
    with pytest.raises(InvalidRequest, match="'sequence_id' is missing"):
        model.predict({"x": 1})


def test_helpers_beside_the_model_are_importable(load: Load) -> None:
    """While it is loaded, and nothing of them is left afterwards."""
    before = list(sys.path)
    model = load(
        "import helping\n@model\ndef predict(x: Rows) -> Sums:\n    return helping.summed(x)\n",
        files={
            "helping.py": "def summed(x):\n    from further import axis\n    return x.sum(axis)\n",
            "further.py": "axis = 1\n",
        },
    )
    assert model.predict({"x": X})["output"].tolist() == [3, 7]
    folder = Path(sys.modules["helping"].__file__ or "").parent
    model.close()
    assert sys.path == before
    assert not {"model", "helping", "further"} & set(sys.modules)
    assert not (folder / "__pycache__").exists()


REFUSED = {
    "no model": ("x = 1\n", "'model.py' declares no model; put @model (from tidegate.runtimes import model) above"),
    "several": (
        "@model\ndef f(x): ...\n@model\ndef g(x): ...\n",
        "'model.py' declares several models, 'f', 'g'; put @model",
    ),
    "syntax": ("def predict(:\n", f"'model.py' line {FIRST} is no Python: "),
    "absent module": (
        "import no_such_module\n",
        f"'model.py' line {FIRST} needs the Python module 'no_such_module', which is neither installed here nor",
    ),
    "raises": ("1 / 0\n", f"'model.py' line {FIRST} raised ZeroDivisionError: division by zero"),
    "exits": ("raise SystemExit(3)\n", f"'model.py' line {FIRST} raised SystemExit: 3"),
    "load raises": (
        "@model\nclass M:\n    def load(self, context): raise OSError(str(context.path / 'w.bin'))\n"
        "    def predict(self, x: Rows) -> Sums: ...\n",
        f"'model.py' line {FIRST + 2} raised OSError: w.bin",
    ),
    "no predict": ("@model\nclass M: ...\n", "class 'M' in 'model.py' has no method predict"),
    "no inputs": (
        "@model\ndef predict(x) -> Sums: ...\n",
        f"predict (model.py, line {FIRST}) has no annotations that tell its inputs, as x: "
        f'Annotated[np.ndarray, "FP32", -1, 4] would; declare them in model.yaml',
    ),
    "no outputs": (
        "@model\ndef predict(x: Rows): ...\n",
        f"predict (model.py, line {FIRST}) has no annotation that tells its outputs, as -> ",
    ),
    "half annotated": (
        "@model\ndef predict(x: Rows, y) -> Sums: ...\n",
        "its argument 'y' has no tensor as annotation",
    ),
    "half returned": (
        "class A(NamedTuple):\n    a: Sums\n    b: int\n@model\ndef predict(x: Rows) -> A: ...\n",
        "field 'b' of what it returns has no tensor as annotation",
    ),
    "datatype": (
        '@model\ndef predict(x: Annotated[np.ndarray, "FLOAT", -1]) -> Sums: ...\n',
        "argument 'x' has the datatype 'FLOAT', expected str or one of BOOL, UINT8",
    ),
    "size": (
        '@model(inputs={"x": ("FP32", "n")})\ndef predict(x) -> Sums: ...\n',
        "inputs of @model 'x' has the size 'n', expected a whole number, or -1 for any",
    ),
    "a list": ('@model(inputs=["x"])\ndef predict(x) -> Sums: ...\n', "inputs is ['x'], expected tensors by name"),
    "not taken": ('@model(inputs={"y": ("FP32",)})\ndef predict(x) -> Sums: ...\n', "it takes no argument 'y'"),
    "not given": (
        '@model(inputs={"x": ("FP32",)})\ndef predict(x, y) -> Sums: ...\n',
        "its argument 'y' is no input; expected 'x' and, where wanted, parameters, outputs, context, state",
    ),
    "a special name": (
        '@model(inputs={"state": ("FP32",)})\ndef predict(state) -> Sums: ...\n',
        "an input is called 'state', which is the name of something else",
    ),
    "positions": (
        '@model(inputs={"x": ("FP32",)})\ndef predict(*x) -> Sums: ...\n',
        "it has an argument that is variadic positional; expected arguments by name",
    ),
    "an unreadable annotation": (
        '@model\ndef predict(x: "Nothing") -> Sums: ...\n',
        "its annotations cannot be read: NameError: name 'Nothing' is not defined",
    ),
    "a state that is none": ("@model\ndef predict(x: Rows, state) -> Sums: ...\n", "takes a state; declare it with"),
    "requirements": (
        '@model(requirements=["no-such-package"])\ndef predict(x: Rows) -> Sums: ...\n',
        "model.py asks for no-such-package, which is not installed",
    ),
    "an option's default": (
        '@model(options={"n": 1})\ndef predict(x: Rows) -> Sums: ...\n',
        "option 'n' has the default 1",
    ),
    "not a function": ("model(3)\n", "@model decorates a function or a class, not int"),
}


@pytest.mark.parametrize(("source", "said"), [pytest.param(*pair, id=id) for id, pair in REFUSED.items()])
def test_a_mistake_is_told_with_its_line(load: Load, source: str, said: str) -> None:
    """One sentence that names what is wrong and what was expected, and no folder of this machine."""
    message = refusal(load, source)
    assert message.startswith("model 'm': ")
    assert said in message
    assert "/m/" not in message
    assert "model" not in sys.modules


def test_a_mistake_in_a_helper_is_told_with_its_own_line(load: Load) -> None:
    """The last line of the model's files, not the one that imports it."""
    assert "'helping.py' line 2 raised KeyError" in refusal(
        load, "import helping\n", files={"helping.py": "\n{}['x']\n"}
    )
    assert "'helping.py' line 1 is no Python" in refusal(load, "import helping\n", files={"helping.py": "def\n"})


def test_requirements_are_asked_for_before_anything_is_executed(load: Load) -> None:
    """What is missing is told, rather than what fails without it."""
    message = refusal(load, "1 / 0\n", files={"requirements.txt": "no-such-package>=2\n"})
    assert message.startswith(
        "model 'm': requirements.txt asks for no-such-package>=2, which is not installed; install"
    )


def test_a_device_that_is_none_is_refused(load: Load) -> None:
    """Whether it is there is the model's to find out; whether it is one is not."""
    assert "device is 'gpu', expected auto" in refusal(load, FORMS["function"], device="gpu")


UNFIT = {
    "nothing": ("None", "nothing, expected 'low', 'high'"),
    "one": ("x", "one ndarray, expected 'low', 'high'"),
    "a short tuple": ("(x,)", "a tuple of 1, expected one value for each of 'low', 'high'"),
    "a missing one": ("{'low': x[0]}", "'low', and not the output 'high'"),
    "an unknown one": (
        "{'low': x[0], 'high': x[0], 'mid': x[0]}",
        "an output 'mid', which its signature does not have",
    ),
    "another shape": ("(x[0], x)", "output 'high' with shape [2, 2], its signature says [-1]"),
    "ragged": ("(x[0], [[1], [1, 2]])", "for output 'high' what makes no array: "),
}


@pytest.mark.parametrize(("returned", "said"), [pytest.param(*pair, id=id) for id, pair in UNFIT.items()])
def test_an_answer_that_does_not_fit_is_told(load: Load, returned: str, said: str) -> None:
    """With the function, its line, what it returned and what its signature says."""
    model = load(
        "class A(NamedTuple):\n    low: Sums\n    high: Sums\n"
        f"@model\ndef predict(x: Rows) -> A:\n    return {returned}\n"
    )
    with pytest.raises(ExecutionFailed) as caught:
        model.predict({"x": X})
    assert caught.value.message.startswith(f"predict (model.py, line {FIRST + 3}) returned {said}")


def test_what_a_model_raises_reaches_the_caller_as_a_line(load: Load, caplog: pytest.LogCaptureFixture) -> None:
    """The text to the caller, the traceback to the log."""
    model = load("@model\ndef predict(x: Rows) -> Sums:\n    raise LookupError('no\\nsuch flower')\n")
    with pytest.raises(ExecutionFailed) as caught:
        model.predict({"x": X})
    assert caught.value.message == "LookupError: no\\nsuch flower"
    assert "model.py" in caplog.text


def test_a_model_may_blame_its_caller(load: Load) -> None:
    """An error of the protocol's tree goes through as it is."""
    model = load("""
        from tidegate.protocol.errors import InvalidRequest

        @model
        def predict(x: Rows) -> Sums:
            raise InvalidRequest("not today")
        """)
    with pytest.raises(InvalidRequest, match=r"^not today$"):
        model.predict({"x": X})


def test_the_decorator_costs_no_import() -> None:
    """A user's own test of a plain function does not bring numpy, msgspec or asyncio with it."""
    code = "import sys, tidegate.runtimes; print([m for m in ('numpy', 'msgspec', 'asyncio') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_a_decorated_function_stays_what_it_was() -> None:
    """It can be called, and keeps its name."""

    @decorator(max_batch_size=4)
    def predict(x: int) -> int:
        """Twice."""
        return 2 * x

    assert (predict(2), predict.__name__, predict.__doc__) == (4, "predict", "Twice.")
