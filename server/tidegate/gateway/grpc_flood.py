"""What h2 lets a peer do and we do not: many frames that cost work and move nothing, and one that is too big."""

from __future__ import annotations

_HEAD = 9
"""Bytes before a frame's content, the first three its length (RFC 9113, section 4.1)."""


class Flood:
    """A bucket that fills at a steady rate: ``rate`` frames per second, and as many at once after a quiet second.

    ``now`` is a time in seconds.
    """

    def __init__(self, rate: int, now: float) -> None:
        self._rate = float(rate)
        self._left = float(rate)
        self._then = now

    def __repr__(self) -> str:
        return f"<Flood {self._left:.0f} of {self._rate:.0f} left>"

    def exceeded(self, now: float) -> bool:
        """Count one frame; True if it was one too many."""
        self._left = min(self._rate, self._left + (now - self._then) * self._rate)
        self._then = now
        self._left -= 1
        return self._left < 0


class FrameSizes:
    """Reads along which length each frame announces. h2 holds up to 16 MiB of a frame before it refuses it."""

    def __init__(self, opening: int, most: int) -> None:
        self._skip = opening
        self._most = most
        self._head = bytearray()

    def __repr__(self) -> str:
        return f"<FrameSizes at most {self._most}, {self._skip} bytes of one are to come>"

    def oversized(self, data: memoryview) -> bool:
        """Whether a frame that begins in these next bytes is longer than allowed."""
        position, size = 0, len(data)
        while position < size:
            if self._skip:
                step = min(self._skip, size - position)
                self._skip -= step
                position += step
                continue
            missing = _HEAD - len(self._head)
            self._head += data[position : position + missing]
            position += missing
            if len(self._head) == _HEAD:
                self._skip = int.from_bytes(self._head[:3], "big")
                self._head.clear()
                if self._skip > self._most:
                    return True
        return False
