"""A very small BERT with a vocabulary of a few words, with seeded weights, for each task that is served."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from tidegate.runtimes.huggingface import RUNTIME
from tidegate.testing.zoo.case import Arrays, Case

WORDS = "[PAD] [UNK] [CLS] [SEP] [MASK] a the flower iris with wide narrow long short petals sepals and ##s ."
LABELS = ["O", "B-PART", "I-PART", "B-SIZE"]
TEXTS = (
    "a flower with wide petals",
    "the iris",
    "short sepals and long petals.",
    "",
    "narrow narrow petals and the long sepals of a flower",
    "Iris flowers with long petals, wide sepals, and a short, café-like name",
    "wide",
    "a long long long long flower",
    "petals",
    "sepals and petals",
)
LENGTH = 32
"""Tokens that the model has places for."""


def write(folder: Path, network: str, scale: float = 1.0) -> Path:
    """``network`` is the name of Transformers' class; ``scale`` makes its last layer's answers more decided."""
    import torch
    import transformers

    path = folder / "iris"
    words = {word: number for number, word in enumerate(WORDS.split())}
    config = transformers.BertConfig(
        vocab_size=len(words),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=LENGTH,
        initializer_range=0.5,
        id2label=dict(enumerate(LABELS)),
        label2id={label: number for number, label in enumerate(LABELS)},
    )
    transformers.utils.logging.disable_progress_bar()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = getattr(transformers, network)(config)
    if scale != 1.0:
        model.classifier.weight.data.mul_(scale)
    model.save_pretrained(path)
    transformers.BertTokenizer(vocab=words).save_pretrained(path)
    return path


def sample() -> Arrays:
    return {"text": np.array([text.encode() for text in TEXTS], dtype=object)}


def truncated(path: Path, inputs: Arrays) -> Any:
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(path)
    return np.array([len(tokenizer(text.decode())["input_ids"]) > LENGTH for text in inputs["text"]])


def _pipeline(path: Path, task: str, inputs: Arrays, **settings: Any) -> list[Any]:
    """What Transformers' own pipeline answers, text by text."""
    transformers: Any = import_module("transformers")  # its types do not know that the task is a value
    run = transformers.pipeline(task, model=str(path), device="cpu", **settings)
    return [run([text.decode()])[0] for text in inputs["text"]]


def expected_classes(path: Path, inputs: Arrays) -> Arrays:
    answers = _pipeline(path, "text-classification", inputs, top_k=None)
    scores = [{item["label"]: item["score"] for item in answer} for answer in answers]
    return {
        "label": np.array([answer[0]["label"] for answer in answers], dtype=object),
        "score": np.array([answer[0]["score"] for answer in answers], np.float32),
        "scores": np.array([[row[label] for label in LABELS] for row in scores], np.float32),
        "truncated": truncated(path, inputs),
    }


def expected_entities(path: Path, inputs: Arrays) -> Arrays:
    answers = _pipeline(path, "token-classification", inputs, aggregation_strategy="simple")
    rows = [
        [
            {
                "label": item["entity_group"],
                "score": round(float(item["score"]), 4),
                "start": item["start"],
                "end": item["end"],
                "text": text.decode()[item["start"] : item["end"]],
            }
            for item in answer
        ]
        for text, answer in zip(inputs["text"], answers, strict=True)
    ]
    written = [json.dumps(row, ensure_ascii=False, separators=(",", ":")).encode() for row in rows]
    return {"entities": np.array(written, dtype=object), "truncated": truncated(path, inputs)}


def expected_embeddings(path: Path, inputs: Arrays) -> Arrays:
    answers = _pipeline(path, "feature-extraction", inputs)
    means = [np.asarray(answer[0], np.float32).mean(0) for answer in answers]
    return {"embedding": np.stack(means), "truncated": truncated(path, inputs)}


def _case(id: str, write: Callable[[Path], Path], expected: Callable[[Path, Arrays], Arrays]) -> Case:
    return Case(
        id=id,
        runtime=RUNTIME,
        format="Transformers",
        write=write,
        sample=sample,
        expected=expected,
        framework="transformers",
        tolerance=1e-5,
        body="model.safetensors",
    )


CASES = (
    _case("text classification", lambda folder: write(folder, "BertForSequenceClassification"), expected_classes),
    # Decided answers: scores in JSON are text, which is equal or is not.
    _case("token classification", lambda folder: write(folder, "BertForTokenClassification", 1e4), expected_entities),
    _case("embedding", lambda folder: write(folder, "BertModel"), expected_embeddings),
)
