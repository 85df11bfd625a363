"""Which exceptions mean that memory ran out, of frameworks that are not there."""

from __future__ import annotations

import errno

import pytest

from tidegate.protocol.errors import ExecutionFailed
from tidegate.runtimes.exhaustion import out_of_memory


def foreign(module: str, name: str, text: str, base: type[BaseException] = Exception) -> BaseException:
    """An exception of a class that a framework would define."""
    kind: type[BaseException] = type(name, (base,), {"__module__": module})
    return kind(text)


ORT = "onnxruntime.capi.onnxruntime_pybind11_state"
NODE = "[ONNXRuntimeError] : 6 : Non-zero status code returned while running Conv node. Name:'c' Status Message: "


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(MemoryError(), id="Python"),
        pytest.param(foreign("numpy._core._exceptions", "_ArrayMemoryError", "", MemoryError), id="numpy"),
        pytest.param(OSError(errno.ENOMEM, "Cannot allocate memory"), id="the system"),
        pytest.param(
            foreign("torch", "OutOfMemoryError", "CUDA out of memory. Tried to allocate 2.00 GiB.", RuntimeError),
            id="torch",
        ),
        pytest.param(foreign("torch.cuda", "OutOfMemoryError", "", RuntimeError), id="torch before 2.5"),
        pytest.param(
            foreign("torch", "AcceleratorError", "CUDA error: out of memory", RuntimeError), id="torch, asynchronously"
        ),
        pytest.param(
            RuntimeError("[enforce fail at alloc_cpu.cpp:117] err == 0. DefaultCPUAllocator: can't allocate memory"),
            id="torch on a CPU",
        ),
        pytest.param(RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate`"), id="cuBLAS"),
        pytest.param(RuntimeError("MPS backend out of memory (MPS allocated: 9 GB)"), id="torch on a Mac"),
        pytest.param(
            foreign(ORT, "RuntimeException", NODE + "bfc_arena.cc:376 Failed to allocate memory for requested buffer"),
            id="ONNX Runtime",
        ),
        pytest.param(foreign(ORT, "RuntimeException", NODE + "std::bad_alloc"), id="ONNX Runtime without its arena"),
        pytest.param(
            foreign(ORT, "Fail", NODE + "CUDA failure 2: out of memory ; GPU=0"), id="ONNX Runtime on a device"
        ),
        pytest.param(
            foreign("tensorflow.python.framework.errors_impl", "ResourceExhaustedError", "OOM when allocating tensor"),
            id="TensorFlow",
        ),
        pytest.param(
            foreign("jaxlib.xla_extension", "XlaRuntimeError", "RESOURCE_EXHAUSTED: Out of memory allocating 9 bytes"),
            id="JAX",
        ),
    ],
)
def test_no_memory(error: BaseException) -> None:
    """Each framework's way of saying it is understood without importing it."""
    assert out_of_memory(error)


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(ValueError("out of memory"), id="another class"),
        pytest.param(RuntimeError("mat1 and mat2 shapes cannot be multiplied"), id="other words"),
        pytest.param(OSError(errno.ENOSPC, "No space left on device"), id="another number"),
        pytest.param(foreign("mine", "OutOfMemoryError", "of my own kind"), id="another package"),
        pytest.param(foreign("torchvision", "OutOfMemoryError", ""), id="a name that only begins like it"),
        pytest.param(
            foreign(ORT, "Fail", NODE + "Tensor storage size overflowed"), id="ONNX Runtime for another reason"
        ),
        pytest.param(foreign(ORT, "InvalidArgument", "cannot allocate"), id="ONNX Runtime about the input"),
        pytest.param(ExecutionFailed("out of memory"), id="our own"),
        pytest.param(KeyboardInterrupt(), id="no error at all"),
    ],
)
def test_something_else(error: BaseException) -> None:
    """What only sounds like it is the model's failure like any other."""
    assert not out_of_memory(error)
