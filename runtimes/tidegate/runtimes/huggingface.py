"""Transformers' encoders from a local folder: text classification, token classification, embeddings.

A folder with ``config.json``, safetensors weights and ``tokenizer.json`` is data, and is read from any source. What
is code in such a folder is not: a ``pytorch_model.bin`` is a pickle, and ``auto_map`` names Python files. Both need a
trusted source, the latter an option as well. Nothing is ever fetched: what the folder lacks is an error.
"""

from __future__ import annotations

import os
from typing import Any

from tidegate.protocol.errors import ModelLoadFailed, UntrustedModel, shown
from tidegate.runtimes.framework import import_framework
from tidegate.runtimes.huggingface_folder import AUTO_CLASSES, EMBEDDING, ModelFolder, read_folder
from tidegate.runtimes.huggingface_model import EncoderModel
from tidegate.runtimes.options import check_options, read_count, read_switch
from tidegate.runtimes.runtime import Artifact, Format, Model
from tidegate.runtimes.torch_framework import open_framework, plain_reason
from tidegate.runtimes.trust import admit

TRANSFORMERS = Format("Transformers", (), executes_code=False, marker="config.json")

OPTIONS = ("max_length", "normalize", "pooling", "task", "text_pair", "trust_remote_code")

_ENDLESS = 1 << 20
"""A tokenizer that was told no length says 10^30."""
_LENGTH = 512
"""Tokens of a text, where neither the tokenizer nor the model says."""

_SHARED = ("AutoTokenizer", "AutoModel", "PreTrainedModel", "BertModel")
"""Transformers imports what its names stand for when they are first used: these bring most of what every model uses."""


class HuggingFaceRuntime:
    """Reads what ``save_pretrained`` writes."""

    name = "huggingface"
    package = "tidegate[huggingface]"
    formats = (TRANSFORMERS,)

    def preload(self) -> None:
        """See ``Preloadable.preload``."""
        import_framework("torch", self)
        framework = self._framework()
        for name in _SHARED:
            getattr(framework, name)

    def load(self, artifact: Artifact) -> Model:
        """See ``Runtime.load``. From then on the hub's client is offline in this process, and shows no progress."""
        admit(artifact, self.formats)
        check_options(artifact, OPTIONS)
        read_count(artifact, "max_length", 0)  # a slip is told before anything large is read
        folder = read_folder(artifact)
        _check_code(artifact, folder)
        transformers = self._framework()
        framework = open_framework(artifact, self)
        transformers.utils.logging.disable_progress_bar()
        tokenizer = _read_tokenizer(transformers, artifact)
        network, missing = _read_network(transformers, artifact, folder)
        _check_complete(artifact, folder, missing)
        network.to(framework.device).eval()
        limit = _max_length(artifact, folder, tokenizer, network.config)
        return EncoderModel.prepare(framework, network, tokenizer, artifact, folder, limit)

    def _framework(self) -> Any:
        os.environ["HF_HUB_OFFLINE"] = "1"  # read once, when the hub's client is imported
        return import_framework("transformers", self)


def _check_code(artifact: Artifact, folder: ModelFolder) -> None:
    """Let no code of the folder's author pass, unless he is trusted and, for modules, it is asked for.

    Raises:
        UntrustedModel: it has weights in a pickle or classes of its own, and its source is not trusted.
        ModelLoadFailed: the option for such classes is not set.
    """
    pickled = folder.pickled_weights
    if not artifact.trusted and (pickled or folder.custom_classes):
        what = f"keeps its weights in the pickle '{pickled}'" if pickled else "names Python files of its own (auto_map)"
        raise UntrustedModel(
            f"model '{artifact.name}' {what}, and reading one can run any code that its author put there; it is "
            f"loaded only from a trusted source"
        )
    if folder.custom_classes and not read_switch(artifact, "trust_remote_code"):
        raise ModelLoadFailed(
            f"model '{artifact.name}' names Python files of its own (auto_map), which are not run; set the option "
            f"trust_remote_code=true if they shall be"
        )


def _loading(artifact: Artifact) -> dict[str, Any]:
    """What every reader of Transformers' is told. An untrusted artifact's option counts for nothing."""
    code = artifact.trusted and bool(read_switch(artifact, "trust_remote_code"))
    return {"local_files_only": True, "trust_remote_code": code}


def _read_tokenizer(transformers: Any, artifact: Artifact) -> Any:
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(str(artifact.path), **_loading(artifact))
    except Exception as error:  # OSError for what is not there, and for damage whatever its readers raise
        raise _unreadable(artifact, "tokenizer", error) from error
    if not tokenizer.is_fast:
        raise ModelLoadFailed(
            f"model '{artifact.name}': its tokenizer is {type(tokenizer).__name__}, written in Python; expected a fast "
            f"one, with a tokenizer.json in the folder"
        )
    return tokenizer


def _read_network(transformers: Any, artifact: Artifact, folder: ModelFolder) -> tuple[Any, list[str]]:
    """The network, and the names of the weights that the folder does not have for it."""
    reader = getattr(transformers, AUTO_CLASSES[folder.task])
    try:
        network, found = reader.from_pretrained(
            str(artifact.path),
            use_safetensors=not folder.pickled_weights,
            weights_only=True,
            output_loading_info=True,
            **_loading(artifact),
        )
    except Exception as error:  # as above, and SafetensorError
        raise _unreadable(artifact, "model", error) from error
    return network, sorted(found["missing_keys"])


def _check_complete(artifact: Artifact, folder: ModelFolder, missing: list[str]) -> None:
    """Transformers fills what is missing with random numbers. Only the pooler may be: no task here uses it."""
    needed = [name for name in missing if not (folder.task == EMBEDDING and ".pooler." in f".{name}")]
    if needed:
        raise ModelLoadFailed(
            f"model '{artifact.name}' has no weights for {shown(', '.join(needed), 200)}: it was not trained for the "
            f"task {folder.task}"
        )


def _max_length(artifact: Artifact, folder: ModelFolder, tokenizer: Any, config: Any) -> int:
    """The most tokens of a text: as told by the option, else the least of what folder, tokenizer and model say."""
    places = getattr(config, "max_position_embeddings", None)
    told = (folder.max_length, tokenizer.model_max_length, places)
    known = [int(limit) for limit in told if isinstance(limit, (int, float)) and 0 < limit < _ENDLESS]
    wanted = read_count(artifact, "max_length", 0)
    if wanted and isinstance(places, int) and wanted > places:
        raise ModelLoadFailed(
            f"model '{artifact.name}': option 'max_length' is {wanted}, the model has places for {places} tokens"
        )
    return wanted or min(known, default=_LENGTH)


def _unreadable(artifact: Artifact, part: str, error: Exception) -> ModelLoadFailed:
    return ModelLoadFailed(
        f"model '{artifact.name}': '{artifact.path.name}' holds no {part} that can be read; it is corrupt, incomplete "
        f"or of another kind ({plain_reason(artifact, error)})"
    )


RUNTIME = HuggingFaceRuntime()
