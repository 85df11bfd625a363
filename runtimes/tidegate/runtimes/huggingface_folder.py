"""What the JSON files of a model's folder say: its task, its weights, and how its authors make embeddings.

Read as data, before Transformers looks at the folder: what is decided here is whether it may.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from tidegate.protocol.errors import ModelLoadFailed, shown
from tidegate.runtimes.options import read_switch
from tidegate.runtimes.runtime import Artifact

TEXT, TOKEN, EMBEDDING = "text-classification", "token-classification", "feature-extraction"
"""The tasks that are served, by Transformers' names."""

AUTO_CLASSES = {
    TEXT: "AutoModelForSequenceClassification",
    TOKEN: "AutoModelForTokenClassification",
    EMBEDDING: "AutoModel",
}
POOLINGS = ("mean", "cls")

_ENDS = {"ForSequenceClassification": TEXT, "ForTokenClassification": TOKEN, "Model": EMBEDDING}
_SAFE = ("model.safetensors", "model.safetensors.index.json")
_PICKLED = ("pytorch_model.bin", "pytorch_model.bin.index.json")
_SERVED_MODULES = {"Transformer", "Pooling", "Normalize"}
"""The steps of a sentence-transformers model that are done here; another one (Dense) would be left out."""


class ModelFolder(msgspec.Struct, frozen=True):
    """The folder as far as it matters before loading."""

    task: str
    pickled_weights: str
    """The name of weights that are a pickle; "" where there are safetensors."""
    custom_classes: bool
    """Whether it names Python files that shall be run."""
    pooling: str
    normalize: bool
    max_length: int
    """What sentence-transformers cuts a text to; 0 where it does not say."""


def read_folder(artifact: Artifact) -> ModelFolder:
    """Read the folder's JSON files and the options that stand above them.

    Raises:
        ModelLoadFailed: one of them is no JSON object, there are no weights, or the task or pooling is not served.
    """
    config = _read_object(artifact, "config.json")
    if not isinstance(config.get("model_type"), str):
        raise ModelLoadFailed(
            f"model '{artifact.name}': 'config.json' names no model_type; expected a folder that Transformers' "
            f"save_pretrained wrote"
        )
    tokenizer = _read_object(artifact, "tokenizer_config.json", needed=False)
    sentence = _read_object(artifact, "sentence_bert_config.json", needed=False)
    modules = _read_modules(artifact)
    length = sentence.get("max_seq_length")
    normalize = read_switch(artifact, "normalize")
    return ModelFolder(
        task=_task(artifact, config),
        pickled_weights=_pickled_weights(artifact),
        custom_classes="auto_map" in config or "auto_map" in tokenizer,
        pooling=_pooling(artifact),
        normalize="Normalize" in modules if normalize is None else normalize,
        max_length=length if isinstance(length, int) else 0,
    )


def _task(artifact: Artifact, config: Mapping[str, Any]) -> str:
    task = artifact.options.get("task")
    if task is not None:
        if task not in AUTO_CLASSES:
            raise ModelLoadFailed(
                f"model '{artifact.name}': option 'task' is '{shown(task)}', expected {', '.join(AUTO_CLASSES)}"
            )
        return task
    architectures = config.get("architectures")
    named = str(architectures[0]) if isinstance(architectures, list) and architectures else ""
    for end, task in _ENDS.items():
        if named.endswith(end):
            return task
    raise ModelLoadFailed(
        f"model '{artifact.name}': 'config.json' names the architecture '{shown(named)}', whose task is not served; "
        f"set the option 'task' to one of {', '.join(AUTO_CLASSES)} if the weights are of it"
    )


def _pickled_weights(artifact: Artifact) -> str:
    for name in (*_SAFE, *_PICKLED):
        if (artifact.path / name).is_file():
            return "" if name in _SAFE else name
    raise ModelLoadFailed(
        f"model '{artifact.name}': '{shown(artifact.path.name)}' holds no weights; expected model.safetensors beside "
        f"config.json"
    )


def _pooling(artifact: Artifact) -> str:
    wanted = artifact.options.get("pooling")
    if wanted is not None:
        if wanted not in POOLINGS:
            raise ModelLoadFailed(
                f"model '{artifact.name}': option 'pooling' is '{shown(wanted)}', expected {' or '.join(POOLINGS)}"
            )
        return wanted
    told = _read_object(artifact, "1_Pooling/config.json", needed=False)
    modes = [name for name, value in told.items() if name.startswith("pooling_mode_") and value is True]
    served = {"pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "cls"}
    if not modes:
        return POOLINGS[0]
    if len(modes) > 1 or modes[0] not in served:
        raise ModelLoadFailed(
            f"model '{artifact.name}': '1_Pooling/config.json' asks for {shown(', '.join(modes), 200)}; served are "
            f"{', '.join(served)}, one at a time"
        )
    return served[modes[0]]


def _read_modules(artifact: Artifact) -> set[str]:
    """The steps of a sentence-transformers model by their classes' names; none where it is no such model."""
    listed = _read_json(artifact, "modules.json")
    steps = listed if isinstance(listed, list) else []
    names = {str(step.get("type")).rpartition(".")[2] for step in steps if isinstance(step, dict)}
    if further := sorted(names - _SERVED_MODULES):
        raise ModelLoadFailed(
            f"model '{artifact.name}': 'modules.json' lists {shown(', '.join(further), 200)}; served are "
            f"{', '.join(sorted(_SERVED_MODULES))}"
        )
    return names


def _read_object(artifact: Artifact, name: str, *, needed: bool = True) -> Mapping[str, Any]:
    content = _read_json(artifact, name)
    if content is None and not needed:
        return {}
    if not isinstance(content, dict):
        raise ModelLoadFailed(f"model '{artifact.name}': '{name}' is no JSON object")
    return content


def _read_json(artifact: Artifact, name: str) -> Any:
    path: Path = artifact.path / name
    try:
        return msgspec.json.decode(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ModelLoadFailed(
            f"model '{artifact.name}': '{name}' cannot be read: {shown(getattr(error, 'strerror', error), 200)}"
        ) from error
