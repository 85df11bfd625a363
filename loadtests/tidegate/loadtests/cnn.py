"""A convolutional network that is on every developer's disk: one of the test graphs of the ``onnx`` package.

The package ships the graphs of well-known networks without their weights. They get random ones here, scaled so that
values neither vanish nor explode, and a free batch dimension, so that different images have different answers and
rows that were mixed up show. What it computes means nothing; what it costs is what the network costs.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

NETWORKS = ("squeezenet", "resnet50", "inception_v1", "vgg19")
IMAGE = (3, 224, 224)
"""Channels, height, width of FP32 in 0…1."""


def save_network(name: str, path: Path) -> None:
    """Write the network as an ONNX model with one input of shape (-1, 3, 224, 224). Needs ``onnx``."""
    import onnx

    folder = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
    model = onnx.load(folder / f"light_{name}.onnx")
    graph = model.graph
    constants = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    drawn = _weights(graph, constants)
    kept = [node for node in graph.node if node.output[0] not in drawn]
    del graph.node[:]
    graph.node.extend(kept)
    _free_batch(graph, constants)
    constants.update(drawn)
    used = {name for node in graph.node for name in node.input}
    del graph.initializer[:]
    graph.initializer.extend(onnx.numpy_helper.from_array(v, k) for k, v in constants.items() if k in used)
    image = next(value for value in graph.input if value.name in used and value.name not in constants)
    del graph.input[:], graph.value_info[:]
    graph.input.append(image)
    for value in (*graph.input, *graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    model.ir_version = 8  # the first ones of 2017 want every weight among the inputs, too
    onnx.checker.check_model(model)
    onnx.save(model, path)


def _weights(graph: Any, constants: dict[str, Any]) -> dict[str, Any]:
    """Random values for every tensor that the graph fills with one constant, or has among its initializers as such."""
    values = np.random.default_rng(0)
    shapes = {n.output[0]: constants[n.input[0]] for n in graph.node if n.op_type == "ConstantOfShape"}
    shapes |= {name: array.shape for name, array in constants.items() if array.dtype == np.float32}
    drawn: dict[str, Any] = {}
    for node in graph.node:
        for place, name in enumerate(node.input):
            if name in shapes and name not in drawn:
                drawn[name] = _weight(node.op_type, place, tuple(int(n) for n in shapes[name]), values)
    return drawn


def _weight(kind: str, place: int, shape: tuple[int, ...], values: np.random.Generator) -> Any:
    if kind == "BatchNormalization":  # X, scale, bias, mean, variance
        return np.full(shape, 1.0 if place in (1, 4) else 0.0, np.float32)
    if len(shape) < 2:
        return np.zeros(shape, np.float32)
    scale = math.sqrt(2.0 / math.prod(shape[1:]))  # He et al. 2015, for layers followed by ReLU
    return (values.standard_normal(shape) * scale).astype(np.float32)


def _free_batch(graph: Any, constants: dict[str, Any]) -> None:
    """A Reshape to (1, …) becomes one that keeps axis 0, which is what 0 says there."""
    for node in graph.node:
        if node.op_type == "Reshape" and constants[node.input[1]][0] == 1:
            target = constants[node.input[1]].copy()
            target[0] = 0
            constants[node.input[1]] = target


def images(count: int, seed: int = 0) -> Any:
    """Random images, (count, 3, 224, 224) FP32, each different."""
    return np.random.default_rng(seed).random((count, *IMAGE), dtype=np.float32)


def open_session(path: Path, threads: int) -> Any:
    """ONNX Runtime alone: an InferenceSession on the CPU with so many threads within an operator."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3  # warnings are of the graph's age
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
