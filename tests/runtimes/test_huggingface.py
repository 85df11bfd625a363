"""The huggingface runtime beyond what the contract of all runtimes holds."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tidegate.protocol.datatypes import Datatype
from tidegate.protocol.errors import InvalidTensor, ModelLoadFailed, UntrustedModel
from tidegate.protocol.messages import TensorSpec
from tidegate.runtimes.huggingface import RUNTIME
from tidegate.runtimes.huggingface_entities import Token, group_entities
from tidegate.runtimes.runtime import Artifact, Model
from tidegate.testing.zoo import huggingface as zoo
from tidegate.testing.zoo.sklearn import Touch

pytestmark = pytest.mark.framework

CLASSIFIER, NETWORK = "BertForSequenceClassification", "BertModel"


def load(path: Path, trusted: bool = True, **options: str) -> Model:
    return RUNTIME.load(Artifact("m", "1", path, trusted=trusted, options=options))


def ask(model: Model, *texts: str, pairs: tuple[str, ...] = ()) -> Any:
    inputs = {"text": np.array([text.encode() for text in texts], dtype=object)}
    if pairs:
        inputs["text_pair"] = np.array([text.encode() for text in pairs], dtype=object)
    return model.predict(inputs, (), {})


def change(path: Path, **changes: Any) -> None:
    """Set fields of a JSON file; None takes one out."""
    content = json.loads(path.read_text()) if path.exists() else {}
    content.update(changes)
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({name: value for name, value in content.items() if value is not None}))


def test_a_classifier_tells_its_signature(tmp_path: Path) -> None:
    """Text in; the best label, its score, all scores and whether the text was cut out; the labels by name."""
    meta = load(zoo.write(tmp_path, CLASSIFIER)).metadata
    assert meta.platform == "huggingface_transformers"
    assert meta.inputs == (TensorSpec("text", Datatype.BYTES, (-1,)),)
    assert meta.outputs == (
        TensorSpec("label", Datatype.BYTES, (-1,)),
        TensorSpec("score", Datatype.FP32, (-1,)),
        TensorSpec("scores", Datatype.FP32, (-1, 4)),
        TensorSpec("truncated", Datatype.BOOL, (-1,)),
    )
    assert (meta.properties["task"], meta.properties["labels"]) == (
        "text-classification",
        json.dumps(zoo.LABELS, separators=(",", ":")),
    )


@pytest.mark.parametrize(
    ("problem", "total"),
    [("multi_label_classification", None), ("regression", None), ("single_label_classification", 1)],
)
def test_scores_are_what_the_problem_says(tmp_path: Path, problem: str, total: int | None) -> None:
    """One of several labels sums up to one, several at once are each between 0 and 1, regression is as it comes."""
    path = zoo.write(tmp_path, CLASSIFIER)
    change(path / "config.json", problem_type=problem)
    answers = ask(load(path), *zoo.TEXTS)
    assert (np.abs(answers["scores"].sum(-1) - 1) < 1e-5).all() == (total == 1)
    np.testing.assert_array_equal(answers["score"], answers["scores"].max(-1))
    if problem == "multi_label_classification":
        assert ((answers["scores"] > 0) & (answers["scores"] < 1)).all()


def test_a_long_text_is_cut_and_says_so(tmp_path: Path) -> None:
    """At the model's places, or earlier by the option; what lies behind changes nothing."""
    path = zoo.write(tmp_path, CLASSIFIER)
    answers = ask(load(path), "iris " * 29, "iris " * 31, "iris " * 9000)
    assert answers["truncated"].tolist() == [False, True, True]
    short = ask(load(path, max_length="4"), "a flower", "a flower with petals", "a flower and sepals")
    assert short["truncated"].tolist() == [False, True, True]
    np.testing.assert_allclose(short["scores"][1], short["scores"][2], rtol=1e-6)
    with pytest.raises(ModelLoadFailed, match=r"^model 'm': option 'max_length' is 33, the model has places for 32 to"):
        load(path, max_length="33")


def test_a_pair_is_two_inputs(tmp_path: Path) -> None:
    """With the option the second text is an input like the first."""
    model = load(zoo.write(tmp_path, CLASSIFIER), text_pair="true")
    assert [spec.name for spec in model.metadata.inputs] == ["text", "text_pair"]
    one, other = ask(model, "a flower", "a flower", pairs=("petals", "the iris"))["scores"]
    assert not np.allclose(one, other)


def test_text_that_is_none_is_the_caller_s_fault(tmp_path: Path) -> None:
    """The element is named."""
    model = load(zoo.write(tmp_path, CLASSIFIER))
    with pytest.raises(InvalidTensor, match=r"^input 'text': element 1 is not UTF-8 text"):
        model.predict({"text": np.array([b"a", b"\xff"], dtype=object)}, (), {})


def test_embeddings_are_pooled_as_told(tmp_path: Path) -> None:
    """By the folder's own sentence-transformers files, and by options above them."""
    path = zoo.write(tmp_path, NETWORK)
    mean, first = (ask(load(path, pooling=pooling), *zoo.TEXTS)["embedding"] for pooling in ("mean", "cls"))
    assert not np.allclose(mean, first)
    change(path / "1_Pooling" / "config.json", pooling_mode_cls_token=True, pooling_mode_mean_tokens=False)
    steps = [{"type": f"sentence_transformers.models.{name}"} for name in ("Transformer", "Pooling", "Normalize")]
    (path / "modules.json").write_text(json.dumps(steps))
    change(path / "sentence_bert_config.json", max_seq_length=8)
    model = load(path)
    assert {name: model.metadata.properties[name] for name in ("pooling", "normalize", "max_length")} == {
        "pooling": "cls",
        "normalize": "true",
        "max_length": "8",
    }
    answers = ask(model, *zoo.TEXTS[:3])
    lengths = np.linalg.norm(first, axis=-1, keepdims=True)
    np.testing.assert_allclose(answers["embedding"], (first / lengths)[:3], rtol=1e-4, atol=1e-6)
    plain = ask(load(path, normalize="false"), "the iris")["embedding"]
    np.testing.assert_allclose(plain, first[1:2], rtol=1e-4, atol=1e-6)


def test_the_task_can_be_told(tmp_path: Path) -> None:
    """A classifier's body makes embeddings; a body without a head is no classifier, though it would answer."""
    assert (
        load(zoo.write(tmp_path / "a", CLASSIFIER), task="feature-extraction").metadata.outputs[0].name == "embedding"
    )
    with pytest.raises(ModelLoadFailed) as caught:
        load(zoo.write(tmp_path / "b", NETWORK), task="text-classification")
    assert caught.value.message == (
        "model 'm' has no weights for classifier.bias, classifier.weight: it was not trained for the task "
        "text-classification"
    )


@pytest.mark.parametrize(
    ("damage", "options", "problem"),
    [
        pytest.param(
            lambda p: change(p / "config.json", model_type=None), {}, "'config.json' names no model_type", id="foreign"
        ),
        pytest.param(lambda p: (p / "config.json").write_text("[]"), {}, "'config.json' is no JSON object", id="list"),
        pytest.param(
            lambda p: (p / "config.json").write_text("{"), {}, "'config.json' cannot be read: ", id="cut short"
        ),
        pytest.param(
            lambda p: change(p / "config.json", architectures=["BertForMaskedLM"]),
            {},
            "'config.json' names the architecture 'BertForMaskedLM', whose task is not served; set the option 'task'",
            id="task",
        ),
        pytest.param(
            lambda p: (p / "model.safetensors").unlink(),
            {},
            "'iris' holds no weights; expected model.s",
            id="no weights",
        ),
        pytest.param(
            lambda p: (p / "tokenizer.json").write_text("{}"),
            {},
            "'iris' holds no tokenizer that can be",
            id="tokenizer",
        ),
        pytest.param(
            lambda p: (p / "modules.json").write_text('[{"type": "sentence_transformers.models.Dense"}]'),
            {},
            "'modules.json' lists Dense; served are Normalize, Pooling, Transformer",
            id="dense",
        ),
        pytest.param(
            lambda p: change(p / "1_Pooling" / "config.json", pooling_mode_max_tokens=True),
            {},
            "'1_Pooling/config.json' asks for pooling_mode_max_tokens; served are",
            id="pooling",
        ),
        pytest.param(
            lambda p: None,
            {"task": "fill-mask"},
            "option 'task' is 'fill-mask', expected text-class",
            id="unknown task",
        ),
        pytest.param(
            lambda p: None, {"pooling": "max"}, "option 'pooling' is 'max', expected mean or cls", id="unknown pooling"
        ),
        pytest.param(
            lambda p: None, {"max_length": "many"}, "option 'max_length' is 'many', expected a whole", id="length"
        ),
    ],
)
def test_what_cannot_be_served_is_told(
    tmp_path: Path, damage: Callable[[Path], Any], options: dict[str, str], problem: str
) -> None:
    """One sentence that names the file or the option, and no folder of this machine."""
    path = zoo.write(tmp_path, NETWORK)
    damage(path)
    with pytest.raises(ModelLoadFailed) as caught:
        load(path, True, **options)
    assert problem in caught.value.message
    assert str(tmp_path) not in caught.value.message


def test_weights_in_a_pickle_need_trust_and_are_data_even_then(tmp_path: Path) -> None:
    """A stranger's are not opened; a trusted one's are read as weights alone."""
    path = zoo.write(tmp_path, NETWORK)
    weights = load_file(path / "model.safetensors")
    (path / "model.safetensors").unlink()
    torch.save(weights, path / "pytorch_model.bin")
    with pytest.raises(
        UntrustedModel, match=r"^model 'm' keeps its weights in the pickle 'pytorch_model\.bin', and re"
    ):
        load(path, trusted=False)
    assert ask(load(path), "iris")["embedding"].shape == (1, 16)
    touched = tmp_path / "touched"
    torch.save({"w": Touch(touched)}, path / "pytorch_model.bin")
    with pytest.raises(ModelLoadFailed, match=r"^model 'm': 'iris' holds no model that can be read"):
        load(path)
    assert not touched.exists()


@pytest.mark.parametrize("file", ["config.json", "tokenizer_config.json"])
def test_classes_of_the_folder_s_own_need_trust_and_the_option(tmp_path: Path, file: str) -> None:
    """The Python files that auto_map names are not run for a stranger, nor for a trusted source that did not ask."""
    path, touched = zoo.write(tmp_path, NETWORK), tmp_path / "touched"
    (path / "own.py").write_text(f"import os\n\nos.mkdir({str(touched)!r})\n")
    change(
        path / file, auto_map={"AutoConfig": "own.Config", "AutoModel": "own.Model", "AutoTokenizer": ["own.T", None]}
    )
    wishes: tuple[dict[str, str], ...] = ({}, {"trust_remote_code": "true"})
    for options in wishes:
        with pytest.raises(UntrustedModel, match=r"^model 'm' names Python files of its own \(auto_map\), and reading"):
            load(path, False, **options)
    with pytest.raises(ModelLoadFailed, match=r"are not run; set the option trust_remote_code=true if they shall be$"):
        load(path)
    assert not touched.exists()


def test_classes_of_the_folder_s_own_are_run_where_both_are_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which proves that the refusals refuse something."""
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules"))
    path, touched = zoo.write(tmp_path, NETWORK), tmp_path / "touched"
    (path / "own.py").write_text(f"import os\n\nos.mkdir({str(touched)!r})\n")
    change(path / "config.json", auto_map={"AutoConfig": "own.Config", "AutoModel": "own.Model"})
    with pytest.raises(ModelLoadFailed):
        load(path, trust_remote_code="true")
    assert touched.exists()


def test_safetensors_of_a_stranger_are_data(tmp_path: Path) -> None:
    """With trust or without, the same answers."""
    path = zoo.write(tmp_path, NETWORK)
    np.testing.assert_array_equal(
        ask(load(path, trusted=False), "iris")["embedding"], ask(load(path), "iris")["embedding"]
    )


def test_a_device_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """As for the torch runtime."""
    artifact = Artifact("m", "1", zoo.write(tmp_path, NETWORK), device="cuda:99")
    with pytest.raises(
        ModelLoadFailed, match=r"^model 'm': device 'cuda:99' cannot be used: PyTorch 2\.\S+ sees \d+ CUDA"
    ):
        RUNTIME.load(artifact)


def tokens(*labels: str) -> list[Token]:
    """One token of two characters per label, a space between them, with the scores 1, 0.5, …"""
    return [Token(label, 1 / (at + 1), 3 * at, 3 * at + 2) for at, label in enumerate(labels)]


@pytest.mark.parametrize(
    ("labels", "entities"),
    [
        pytest.param([], [], id="none"),
        pytest.param(["O", "O"], [], id="outside"),
        pytest.param(["B-X", "I-X"], [("X", 0.75, 0, 5)], id="one of two tokens"),
        pytest.param(["B-X", "B-X"], [("X", 1.0, 0, 2), ("X", 0.5, 3, 5)], id="two neighbours"),
        pytest.param(["I-X", "I-Y"], [("X", 1.0, 0, 2), ("Y", 0.5, 3, 5)], id="two labels"),
        pytest.param(["B-X", "O", "I-X"], [("X", 1.0, 0, 2), ("X", 0.3333, 6, 8)], id="parted"),
        pytest.param(["X", "X", "O"], [("X", 0.75, 0, 5)], id="no prefix"),
    ],
)
def test_tokens_are_grouped(labels: list[str], entities: list[tuple[str, float, int, int]]) -> None:
    """Neighbours of one label are one entity, unless one begins anew."""
    text = "aa bb cc"
    found = group_entities(text, tokens(*labels))
    assert [msgspec.structs.astuple(entity) for entity in found] == [
        (*entity, text[entity[2] : entity[3]]) for entity in entities
    ]
