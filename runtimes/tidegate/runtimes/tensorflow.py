"""TensorFlow models: SavedModels by their signatures, and Keras's own files.

None of the formats is only data. The graph of a SavedModel can read and write files, and a Keras file names layers that
hold code, so each needs a trusted source.
"""

from __future__ import annotations

from tidegate.runtimes.framework import import_framework
from tidegate.runtimes.options import check_options, read_switch
from tidegate.runtimes.runtime import Artifact, Format, Model
from tidegate.runtimes.tensorflow_graph import FILE, load_saved_model
from tidegate.runtimes.tensorflow_keras import load_keras
from tidegate.runtimes.tensorflow_model import prepare
from tidegate.runtimes.tensorflow_process import import_tensorflow, start_tensorflow
from tidegate.runtimes.trust import admit

SAVED_MODEL = Format("SavedModel", (), executes_code=True, marker=FILE)
KERAS = Format("Keras", (".keras",), executes_code=True)
KERAS_H5 = Format("Keras H5", (".hdf5", ".h5"), executes_code=True)

OPTIONS = {
    SAVED_MODEL: ("batch_dimension", "signature"),
    KERAS: ("batch_dimension",),
    KERAS_H5: ("batch_dimension",),
}
_PLATFORMS = {SAVED_MODEL: "tensorflow_savedmodel", KERAS: "tensorflow_keras", KERAS_H5: "tensorflow_h5"}


class TensorflowRuntime:
    """Restores a SavedModel's graph into a session of its own, or traces a Keras model."""

    name = "tensorflow"
    package = "tidegate[tensorflow]"
    formats = (SAVED_MODEL, KERAS, KERAS_H5)

    def preload(self) -> None:
        """See ``Preloadable.preload``."""
        import_tensorflow(self)
        import_framework("keras", self)

    def load(self, artifact: Artifact) -> Model:
        """See ``Runtime.load``. Threads, device and log are settled for this process as a whole."""
        form = admit(artifact, self.formats)
        check_options(artifact, OPTIONS[form])
        batches = read_switch(artifact, "batch_dimension")
        tensorflow, device = start_tensorflow(artifact, self)
        read = load_saved_model if form is SAVED_MODEL else load_keras
        loaded = read(artifact, self, tensorflow, _PLATFORMS[form])
        properties = {"tensorflow_version": str(tensorflow.__version__), "device": device.written}
        return prepare(artifact, loaded, properties, tensorflow.errors.OpError, batches)


RUNTIME = TensorflowRuntime()
