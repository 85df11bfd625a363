"""What h2 lets a peer do and we do not: many frames that cost work and move nothing, and blocks that are too big."""

from __future__ import annotations

_HEAD = 9
"""Bytes before a frame's content: three of length, one of type, then flags and stream (RFC 9113, section 4.1)."""
_HEADERS, _CONTINUATION = 1, 9
_EARNED = 4
"""Frames that one of our DATA frames pays for. Go's client measures the bandwidth with a PING for each that it gets,
and widens two windows."""


class Flood:
    """A bucket that fills at a steady rate: ``rate`` frames per second, and as many at once after a quiet second.

    What is sent to the peer fills it too: a busy connection may have as many of these frames as it has answers.
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

    def moved(self) -> None:
        """Count one DATA frame that the peer was sent."""
        self._left = min(self._rate, self._left + _EARNED)


class FrameSizes:
    """Reads along which length each frame announces: h2 holds all of a frame before it refuses it.

    ``most_block`` bounds a HEADERS frame with its CONTINUATIONs, which h2 holds until the last of them.
    """

    def __init__(self, opening: int, most: int, most_block: int) -> None:
        self._skip = opening
        self._most = most
        self._most_block = most_block
        self._block = 0
        self._head = bytearray()

    def __repr__(self) -> str:
        return f"<FrameSizes at most {self._most}, {self._skip} bytes of one are to come>"

    def oversized(self, data: memoryview) -> bool:
        """Whether a frame or a block of headers that goes on in these next bytes is longer than allowed."""
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
                self._skip, kind = int.from_bytes(self._head[:3], "big"), self._head[3]
                self._head.clear()
                if kind in (_HEADERS, _CONTINUATION):
                    self._block = self._skip + (self._block if kind == _CONTINUATION else 0)
                if self._skip > self._most or self._block > self._most_block:
                    return True
        return False
