"""Whether an exception says that there was not enough memory, whichever framework it comes from.

Frameworks have classes of their own for it, or say it in words. They are known by name, so none has to be imported;
an exception of another package that means the same is the model's failure like any other.
"""

from __future__ import annotations

import errno
import re

import msgspec


class Pattern(msgspec.Struct, frozen=True):
    """Exceptions of classes that are defined in ``package`` and named ``name``, whose text contains ``words``."""

    package: str
    name: str
    words: re.Pattern[str] = re.compile("")


_NO_MEMORY = re.compile(
    r"out of memory|bad_alloc|bad allocation|(?:failed|can't|cannot|unable) (?:to )?allocate|not enough memory"
    r"|_ALLOC_FAILED",
    re.IGNORECASE,
)

PATTERNS = (
    # Its CPU allocator and older CUDA versions raise a plain RuntimeError.
    Pattern("torch", "OutOfMemoryError"),
    Pattern("torch", "AcceleratorError", _NO_MEMORY),
    Pattern("builtins", "RuntimeError", _NO_MEMORY),
    Pattern("onnxruntime", "RuntimeException", _NO_MEMORY),
    Pattern("onnxruntime", "Fail", _NO_MEMORY),
    Pattern("tensorflow", "ResourceExhaustedError"),
    Pattern("jaxlib", "XlaRuntimeError", re.compile("^RESOURCE_EXHAUSTED")),
    Pattern("jax", "JaxRuntimeError", re.compile("^RESOURCE_EXHAUSTED")),
)
"""By class and its bases, for frameworks derive classes of their own from them."""


def out_of_memory(error: BaseException) -> bool:
    """Whether this exception means that memory ran out."""
    if isinstance(error, MemoryError):
        return True
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    text = str(error)
    classes = {(kind.__module__.partition(".")[0], kind.__name__) for kind in type(error).__mro__}
    return any((one.package, one.name) in classes and one.words.search(text) is not None for one in PATTERNS)
