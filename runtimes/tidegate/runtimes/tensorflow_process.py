"""TensorFlow in this process: its import, its log, its threads and its devices.

All of these are of the process as a whole and are settled before TensorFlow first computes; a worker holds one model,
so they are that model's own.
"""

from __future__ import annotations

import logging
import os
from typing import Any

from tidegate.protocol.errors import ModelLoadFailed
from tidegate.runtimes.device import Device, read_device, refuse_cuda
from tidegate.runtimes.framework import import_framework
from tidegate.runtimes.runtime import Artifact, Runtime

log = logging.getLogger(__name__)

_ENVIRONMENT = {
    "TF_CPP_MIN_LOG_LEVEL": "2",  # errors only: each start tells of the processor's features and of absent GPUs
}
_FORCED = {
    "KERAS_BACKEND": "tensorflow",  # the user's keras.json may name another, and importing TensorFlow imports Keras
}


def start_tensorflow(artifact: Artifact, runtime: Runtime) -> tuple[Any, Device]:
    """The module tensorflow, and the device that the artifact's words mean here.

    Raises:
        FrameworkMissing: it is not installed.
        ModelLoadFailed: the device is unknown, or it is not there.
    """
    device = read_device(artifact)
    tensorflow = import_tensorflow(runtime)
    device = _choose_device(artifact, tensorflow, device)
    if artifact.threads:
        try:
            tensorflow.config.threading.set_intra_op_parallelism_threads(artifact.threads)
            tensorflow.config.threading.set_inter_op_parallelism_threads(artifact.threads)
        except RuntimeError:  # only where somebody else computes in this process, too
            log.warning("TensorFlow has started with other threads; %d cannot be set any more", artifact.threads)
    return tensorflow, device


def import_tensorflow(runtime: Runtime) -> Any:
    """The module tensorflow, and nothing that it would start.

    Raises:
        FrameworkMissing: it is not installed.
    """
    os.environ.update(_FORCED | {name: value for name, value in _ENVIRONMENT.items() if name not in os.environ})
    tensorflow = import_framework("tensorflow", runtime)
    tensorflow.get_logger().setLevel(logging.ERROR)  # or every load says that its loader is deprecated
    return tensorflow


def _choose_device(artifact: Artifact, tensorflow: Any, device: Device) -> Device:
    found = tensorflow.config.list_physical_devices("GPU")
    if not found:
        built = tensorflow.test.is_built_with_cuda()
        reason = "TensorFlow finds no CUDA device" if built else "this TensorFlow is built without CUDA"
        refuse_cuda(artifact, device, f"{reason}; expected cpu or auto")
        return device.resolved(cuda=False)
    device = device.resolved(cuda=True)
    if device.kind == "cuda" and device.index >= len(found):
        raise ModelLoadFailed(
            f"model '{artifact.name}': device '{artifact.device}' cannot be used: TensorFlow finds {len(found)} CUDA "
            f"devices, counted from 0"
        )
    chosen = [found[device.index]] if device.kind == "cuda" else []
    try:
        tensorflow.config.set_visible_devices(chosen, "GPU")
        for gpu in chosen:  # by default TensorFlow takes all memory of the device at once, and other models get none
            tensorflow.config.experimental.set_memory_growth(gpu, True)
    except RuntimeError as error:
        raise ModelLoadFailed(
            f"model '{artifact.name}': device '{artifact.device}' cannot be chosen any more: TensorFlow has started in "
            f"this process with other devices"
        ) from error
    return device
