"""The address of a Unix socket, however long the path of its directory is.

A socket's path may have 107 bytes on Linux (104 on macOS), which a directory for temporary files can use up alone.
Where the system shows a process its own descriptors as paths, the socket is named from its directory's descriptor.
"""

from __future__ import annotations

from pathlib import Path

_DESCRIPTORS = Path("/proc/self/fd")


def socket_address(socket: Path, directory: int) -> str:
    """The address by which this process binds or connects ``socket``; ``directory`` is its directory, open."""
    through = _DESCRIPTORS / str(directory)
    return str(through / socket.name) if through.exists() else str(socket)
