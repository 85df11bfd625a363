"""What an operator can set on the gRPC listener; what one request may hold is in ``protocol.limits``."""

from __future__ import annotations

import msgspec

MIB = 1 << 20


class GrpcSettings(msgspec.Struct, frozen=True):
    host: str = "127.0.0.1"
    """Address to listen on, or a name that resolves to one. Loopback, so that nothing is exposed unasked."""
    port: int = 8081
    """TCP port; 0 takes a free one, which the server tells after its start."""
    backlog: int = 2048
    """Connections that the kernel holds until they are accepted; it cuts this to its own net.core.somaxconn."""
    max_connections: int = 4096
    """Connections at a time. One more is closed at once, so that file descriptors are left for replicas."""
    max_concurrent_streams: int = 1000
    """Calls at a time on one connection; one more is refused in a way that clients retry by themselves."""
    max_calls: int = 16_384
    """Calls at a time on all connections, refused in the same way. Each takes some kilobytes before its first byte
    of a message, which max_receiving_bytes does not see."""
    max_stream_requests: int = 64
    """Requests of one ModelStreamInfer that are answered at a time; the next is not read before one is done. Two
    batches of the default size, so that one call can keep a replica busy."""
    max_receiving_bytes: int = 1024 * MIB
    """Messages of all calls together that are being received or answered. Each call may hold limits.max_body_bytes,
    so that without this bound a few hundred calls could take all memory."""
    max_control_frames: int = 1000
    """PING, SETTINGS, PRIORITY, RST_STREAM, WINDOW_UPDATE and empty DATA frames per second and connection, with as many
    in a burst, beyond those that answers call for. More is an attack (rapid reset and its kin), and closes the
    connection with ENHANCE_YOUR_CALM."""
    window_bytes: int = 4 * MIB
    """HTTP/2 flow control: bytes that a client may send ahead of what was read, per connection and per call. A
    connection has 65,535 at least, which HTTP/2 begins with."""
    max_frame_bytes: int = 256 * 1024
    """Largest HTTP/2 frame. Sixteen times the protocol's default: a tensor of megabytes arrives in fewer pieces."""
    handshake_timeout: float = 10.0
    """Seconds from a connection to the client's HTTP/2 settings (slowloris)."""
    idle_timeout: float = 3600.0
    """Seconds that a connection without calls is kept. Clients reconnect unasked, on the next call."""
    message_timeout: float = 60.0
    """Seconds from a call's metadata to the end of its message."""
    write_timeout: float = 60.0
    """Seconds that a client may leave its answer untaken."""
    linger: float = 1.0
    """Seconds that a refused connection is still read from. Closing on unread bytes resets the connection, and a
    reset can overtake the GOAWAY that says what was wrong."""
    health_interval: float = 1.0
    """Seconds between two looks at readiness while a client watches it."""
