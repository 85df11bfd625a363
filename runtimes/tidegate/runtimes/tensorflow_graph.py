"""A SavedModel as a graph in a session: only the signature is called, and no Python object is built from the file.

``tf.saved_model.load`` rebuilds the author's objects and fails where one is of another version of Keras; and what it
gives back answers more slowly.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from tidegate.protocol.errors import ModelLoadFailed, shown
from tidegate.runtimes.framework import import_framework
from tidegate.runtimes.runtime import Arrays, Artifact, Runtime
from tidegate.runtimes.tensorflow_model import Loaded, plain_reason
from tidegate.runtimes.tensorflow_signature import choose_signature, read_slots

FILE = "saved_model.pb"

_SERVE = "serve"
_HOST = re.compile(r" in binary running on \S+(?=\. )")
"""How TensorFlow names this machine where it lacks an operation."""


def load_saved_model(artifact: Artifact, runtime: Runtime, tensorflow: Any, platform: str) -> Loaded:
    """Choose a signature and restore the graph behind it.

    Raises:
        ModelLoadFailed: the file is corrupt, has no such signature, or needs what this TensorFlow has not.
    """
    graph_def = _read_graph(artifact, runtime)
    name = choose_signature(artifact, list(graph_def.signature_def))
    tags = list(graph_def.meta_info_def.tags)
    v1 = tensorflow.compat.v1
    graph = tensorflow.Graph()
    session = v1.Session(graph=graph)
    try:
        with graph.as_default():
            restored = v1.saved_model.load(session, tags, str(artifact.path))
        signature = restored.signature_def[name]

        def kind(number: int) -> str:
            return str(tensorflow.dtypes.as_dtype(number).base_dtype.name)

        inputs, outputs = read_slots(signature.inputs, kind), read_slots(signature.outputs, kind)
        feeds, fetches = (
            {slot.name: graph.get_tensor_by_name(slot.place) for slot in slots if slot.place}
            for slots in (inputs, outputs)
        )
    except Exception as error:  # TensorFlow raises its own classes and many of Python's
        session.close()
        raise _refused(artifact, error) from error
    graph.finalize()

    def run(arrays: Arrays, names: Sequence[str]) -> Sequence[Any]:
        answers: list[Any] = session.run(
            [fetches[name] for name in names], {feeds[name]: array for name, array in arrays.items()}
        )
        return answers

    others = sorted(other for other in graph_def.signature_def if other != name and not other.startswith("__"))
    properties = {
        "signature": name,
        "other_signatures": ", ".join(others),
        "method": str(signature.method_name),
        "saved_by_tensorflow": str(graph_def.meta_info_def.tensorflow_version),
    }
    return Loaded(platform, inputs, outputs, run, session.close, properties)


def _read_graph(artifact: Artifact, runtime: Runtime) -> Any:
    """The MetaGraphDef for serving; the file may hold further ones, for training or for other processors."""
    saved = import_framework("tensorflow.core.protobuf.saved_model_pb2", runtime).SavedModel()
    try:
        saved.ParseFromString((artifact.path / FILE).read_bytes())
    except Exception as error:  # protobuf's DecodeError, or one of the file system
        raise ModelLoadFailed(
            f"model '{artifact.name}': '{FILE}' cannot be read; it is corrupt, cut short or of another kind"
        ) from error
    for found in saved.meta_graphs:
        if list(found.meta_info_def.tags) == [_SERVE]:
            return found
    if len(saved.meta_graphs) == 1:
        return saved.meta_graphs[0]
    tags = "; ".join("+".join(found.meta_info_def.tags) or "untagged" for found in saved.meta_graphs)
    raise ModelLoadFailed(
        f"model '{artifact.name}': '{FILE}' holds no graph with the tag '{_SERVE}'; it has {shown(tags or 'none', 200)}"
    )


def _refused(artifact: Artifact, error: Exception) -> ModelLoadFailed:
    reason = _HOST.sub("", plain_reason(str(error), artifact.path))
    return ModelLoadFailed(f"model '{artifact.name}': '{artifact.path.name}' is refused by TensorFlow: {reason}")
