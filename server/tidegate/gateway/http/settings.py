"""What an operator can set on an HTTP listener; what one request may hold is in ``protocol.limits``."""

from __future__ import annotations

import msgspec

from tidegate.protocol.nan import NanPolicy


class HttpSettings(msgspec.Struct, frozen=True):
    host: str = "127.0.0.1"
    """Address to listen on, or a name that resolves to one. Loopback, so that nothing is exposed unasked."""
    port: int = 8080
    """TCP port; 0 takes a free one, which the server tells after its start."""
    backlog: int = 2048
    """Connections that the kernel holds until they are accepted; it cuts this to its own net.core.somaxconn."""
    max_connections: int = 4096
    """Connections at a time. One more is answered 503 and closed, so that file descriptors are left for replicas."""
    max_receiving_bytes: int = 1 << 30
    """Bodies of all requests together that are being received or answered. Each may have limits.max_body_bytes, so
    that without this bound a few hundred requests could take all memory."""
    max_headers: int = 100
    """Header lines of a request; Envoy's and Apache's default. Their bytes are bounded by limits.max_header_bytes."""
    header_timeout: float = 10.0
    """Seconds from a connection, or from a request's first byte, to the end of its headers (slowloris)."""
    body_timeout: float = 60.0
    """Seconds from the end of the headers to the end of the body."""
    write_timeout: float = 60.0
    """Seconds that a client may leave more of its answer untaken than the transport buffers (64 KiB)."""
    keep_alive_timeout: int = 75
    """Whole seconds that an idle connection is kept. Longer than the 60 that load balancers keep theirs, because the
    side that closes first must not be the one that does not choose when the next request is sent."""
    linger: float = 1.0
    """Seconds that a refused connection is still read from. Closing on unread bytes resets the connection, and a
    reset can overtake the answer that says what was wrong."""
    min_compress_bytes: int = 64 * 1024
    """Smallest response that is compressed where Accept-Encoding asks for it. Most HTTP clients ask without being
    told to, and compressing a small tensor takes longer than sending it."""
    nan: NanPolicy = NanPolicy.NULL
    """How a NaN or an infinity is written in a JSON answer; binary answers carry them as they are."""
    access_log: bool = False
    """One log line per request, on the logger ``uvicorn.access``. Off, because it costs as much as the routing."""
