"""The bounds that a request must keep, checked before anything is allocated for it.

Every bound is a setting; the defaults let through whatever Triton, KServe and MLServer do by default.
"""

from __future__ import annotations

import msgspec

MIB = 1 << 20


class Limits(msgspec.Struct, frozen=True):
    max_body_bytes: int = 64 * MIB
    """Largest HTTP body or gRPC message, as it arrives. 64 MiB is Triton's default for HTTP."""
    max_inflated_bytes: int = 64 * MIB
    """Largest body after decompression: a gzip of 64 KiB can hold 64 MiB."""
    max_json_bytes: int = 64 * MIB
    """Largest JSON part of a body, so also of the header of a binary request."""
    max_header_bytes: int = 64 * 1024
    """All HTTP headers or gRPC metadata together; h2's own default for HTTP/2."""
    max_tensors: int = 1024
    """Inputs, and requested outputs, of one request."""
    max_parameters: int = 256
    """Entries of one `parameters` object."""
    max_rank: int = 16
    """Dimensions of a tensor, so also the depth to which `data` may nest; numpy's own end is 64."""
    max_elements: int = 1 << 28
    """Elements of one tensor; beyond it not even a BOOL tensor would fit a body four times the default."""
    max_name_bytes: int = 1024
    """Name of a tensor, of a parameter, and a request's id, in UTF-8."""


DEFAULT_LIMITS = Limits()
