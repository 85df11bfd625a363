"""An encoder with its tokenizer as a model: texts in, and what its task makes of them out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from tidegate.protocol.datatypes import Datatype
from tidegate.protocol.errors import ModelLoadFailed
from tidegate.protocol.messages import ModelMetadata, TensorSpec
from tidegate.protocol.tensors import Parameters
from tidegate.runtimes.huggingface_entities import Token, group_entities
from tidegate.runtimes.huggingface_folder import EMBEDDING, TEXT, TOKEN, ModelFolder
from tidegate.runtimes.options import read_switch
from tidegate.runtimes.runtime import Arrays, Artifact
from tidegate.runtimes.text import decode_text
from tidegate.runtimes.torch_framework import Framework, plain_reason

Array = npt.NDArray[Any]


class Encoded(msgspec.Struct, frozen=True):
    """A batch of texts, the tokens that they became, and what the network answered."""

    texts: list[str]
    tokens: Any
    answer: Any


class EncoderModel:
    """Pads the texts of a batch to the longest, and cuts each to the most tokens that the model takes."""

    metadata: ModelMetadata

    def __init__(
        self, framework: Framework, network: Any, tokenizer: Any, folder: ModelFolder, pair: bool, limit: int
    ) -> None:
        self._torch = framework.torch
        self._device = framework.device
        self._network = network
        self._tokenizer = tokenizer
        self._folder = folder
        self._limit = limit
        self._inputs = ("text", "text_pair") if pair else ("text",)
        self._labels = [str(network.config.id2label[index]) for index in range(network.config.num_labels)]
        tasks: Mapping[str, Callable[[Encoded], Arrays]] = {
            TEXT: self._classified,
            TOKEN: self._recognised,
            EMBEDDING: self._embedded,
        }
        self._task = tasks[folder.task]

    @classmethod
    def prepare(
        cls, framework: Framework, network: Any, tokenizer: Any, artifact: Artifact, folder: ModelFolder, limit: int
    ) -> EncoderModel:
        """Run an empty text, which shows that tokenizer and network fit, and how wide an embedding is.

        Raises:
            ModelLoadFailed: they do not fit.
        """
        model = cls(framework, network, tokenizer, folder, bool(read_switch(artifact, "text_pair")), limit)
        try:
            answers = model.predict({name: np.array([b""], dtype=object) for name in model._inputs}, (), {})
        except Exception as error:  # whatever the tokenizer or the network raises
            raise ModelLoadFailed(
                f"model '{artifact.name}': a trial run over an empty text fails: {plain_reason(artifact, error)}"
            ) from error
        model.metadata = ModelMetadata(
            name=artifact.name,
            platform="huggingface_transformers",
            inputs=tuple(TensorSpec(name, Datatype.BYTES, (-1,)) for name in model._inputs),
            outputs=tuple(
                TensorSpec(name, Datatype.of(array.dtype), (-1, *array.shape[1:])) for name, array in answers.items()
            ),
            versions=(artifact.version,),
            properties=model._properties(),
        )
        return model

    def predict(self, inputs: Arrays, outputs: Sequence[str], parameters: Parameters) -> Arrays:
        """See ``Model.predict``."""
        assert self._network is not None, "predict after close"
        texts = [decode_text(name, inputs[name]).tolist() for name in self._inputs]
        tokens = self._tokenizer(*texts, padding=True, truncation=True, max_length=self._limit, return_tensors="pt").to(
            self._device
        )
        with self._torch.inference_mode():
            answers = dict(self._task(Encoded(texts[0], tokens, self._network(**tokens))))
        answers["truncated"] = np.array([bool(row.overflowing) for row in tokens.encodings])
        return {name: answers[name] for name in outputs or answers}

    def close(self) -> None:
        self._network = None

    def _classified(self, encoded: Encoded) -> Arrays:
        logits = encoded.answer.logits.float()
        kind = self._network.config.problem_type
        if kind == "regression":
            scores = logits
        elif kind == "multi_label_classification" or logits.shape[-1] == 1:
            scores = logits.sigmoid()
        else:
            scores = logits.softmax(-1)
        best, places = scores.max(-1)
        return {
            "label": self._texts(self._labels[place] for place in places.tolist()),
            "score": best.numpy(force=True),
            "scores": scores.numpy(force=True),
        }

    def _recognised(self, encoded: Encoded) -> Arrays:
        best, places = encoded.answer.logits.float().softmax(-1).max(-1)
        found = []
        rows = zip(encoded.texts, encoded.tokens.encodings, best.tolist(), places.tolist(), strict=True)
        for text, encoding, scores, labels in rows:
            tokens = [
                Token(self._labels[label], score, *span)
                for special, sequence, span, score, label in zip(
                    encoding.special_tokens_mask, encoding.sequence_ids, encoding.offsets, scores, labels, strict=True
                )
                if not special and sequence == 0
            ]
            found.append(msgspec.json.encode(group_entities(text, tokens)))
        return {"entities": self._texts(found)}

    def _embedded(self, encoded: Encoded) -> Arrays:
        states = encoded.answer.last_hidden_state.float()
        if self._folder.pooling == "cls":
            embedding = states[:, 0]
        else:
            mask = encoded.tokens["attention_mask"].unsqueeze(-1).float()
            embedding = (states * mask).sum(1) / mask.sum(1).clamp(min=1e-9)
        if self._folder.normalize:
            embedding = self._torch.nn.functional.normalize(embedding, dim=-1)
        return {"embedding": embedding.numpy(force=True)}

    @staticmethod
    def _texts(elements: Any) -> Array:
        listed = list(elements)
        array = np.empty(len(listed), dtype=object)
        array[:] = listed
        return array

    def _properties(self) -> dict[str, str]:
        import transformers  # by now it has been

        facts = {
            "task": self._folder.task,
            "model_type": str(self._network.config.model_type),
            "max_length": str(self._limit),
            "torch_version": str(self._torch.__version__),
            "transformers_version": str(transformers.__version__),
            "device": self._device,
        }
        if self._folder.task == EMBEDDING:
            return facts | {"pooling": self._folder.pooling, "normalize": str(self._folder.normalize).lower()}
        return facts | {"labels": msgspec.json.encode(self._labels).decode()}
