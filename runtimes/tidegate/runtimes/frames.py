"""What travels between a gateway and a worker, as values, and the bytes of it. Without I/O.

A frame is a fixed header, metadata in msgpack (typed: one struct per kind) and the bytes of small tensors. Larger
tensors do not travel: they lie in shared memory (``slots``), of which a frame names the place. A file descriptor
goes beside the frame that announces it, as ancillary data of the same socket (``channel``).

The header, little-endian: magic "TG", version of the protocol, kind, number of descriptors (2 bytes), model id (4),
request id (8), bytes of metadata (4), bytes of tensors (4). There is no pickle anywhere: a worker that runs somebody's
code can send wrong bytes, not code.
"""

from __future__ import annotations

import struct
from enum import IntEnum

import msgspec

from tidegate.protocol.datatypes import Datatype
from tidegate.protocol.messages import ModelMetadata, TensorSpec
from tidegate.protocol.tensors import Buffer, Parameter
from tidegate.runtimes.sample import Sample

VERSION = 1
_MAGIC = b"TG"
_HEADER = struct.Struct("<2sBBHIQII")
HEADER_BYTES = _HEADER.size


class ChannelBroken(Exception):
    """The peer sent what is no frame, or went away. The connection cannot be used any more."""


class FrameTooLarge(Exception):
    """What was to be sent is over the bounds that the peer would enforce; the channel is still in order."""


class Bounds(msgspec.Struct, frozen=True):
    """The largest frame that either end sends or takes."""

    max_metadata: int = 4 << 20
    """Bytes of metadata: names, shapes and parameters. 1,024 tensors need less than a tenth of it."""
    max_tensors: int = 4 << 20
    """Bytes of inline tensors; far above what is sensible to send so, as memory is copied twice."""


DEFAULT_BOUNDS = Bounds()


class Kind(IntEnum):
    HELLO = 1
    """Worker, on every new connection: who it is."""
    LOAD = 2
    LOADED = 3
    UNLOAD = 4
    UNLOADED = 5
    PREDICT = 6
    RESULT = 7
    """The one answer of a request, unless it is an ERROR."""
    PARTIAL = 8
    """A part of a streamed answer, before its RESULT."""
    ERROR = 9
    """Answers whatever frame has the same request id."""
    CANCEL = 10
    """Do not start the request of this id; it is answered all the same, so that its slot is known to be free."""
    PING = 11
    PONG = 12
    STATISTICS = 13
    """Asked without content, answered with it."""
    DRAIN = 14
    """Worker: it finishes what it has and ends; send it no more."""
    FORGET = 15
    """Gateway: these slots are gone, unmap them."""


class Placed(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A tensor and where its bytes lie, counted from the start of the inline bytes or of the shared memory."""

    name: str
    datatype: Datatype
    shape: tuple[int, ...]
    offset: int
    nbytes: int


class SlotUse(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One use of a slot. A generation is never used twice, so that a late answer shows itself as late."""

    id: int
    generation: int
    size: int


class Hello(msgspec.Struct, frozen=True, array_like=True):
    pid: int
    version: int = VERSION


class Load(msgspec.Struct, frozen=True, array_like=True):
    """``runtimes.runtime.Artifact`` and the runtime that reads it."""

    runtime: str
    name: str
    version: str
    path: str
    trusted: bool
    threads: int
    options: dict[str, str]
    inputs: tuple[TensorSpec, ...] = ()
    outputs: tuple[TensorSpec, ...] = ()
    device: str = "auto"
    warm_up: tuple[Sample, ...] = ()


class Loaded(msgspec.Struct, frozen=True, array_like=True):
    metadata: ModelMetadata
    seconds: float


class Predict(msgspec.Struct, frozen=True, array_like=True):
    """``shared``: the inputs lie in the slot, not inline. ``room``: where in the slot the result may begin."""

    inputs: tuple[Placed, ...]
    outputs: tuple[str, ...]
    parameters: dict[str, Parameter]
    inline_bytes: int
    """Up to how many bytes of result come back inline."""
    slot: SlotUse | None = None
    shared: bool = False
    room: int = 0


class Result(msgspec.Struct, frozen=True, array_like=True):
    """``slot`` names where the outputs lie. Without it they are inline, or in the memory that comes as a descriptor.

    ``seconds`` is the model's own time.
    """

    outputs: tuple[Placed, ...]
    seconds: float
    slot: SlotUse | None = None


class Partial(msgspec.Struct, frozen=True, array_like=True):
    sequence: int
    outputs: tuple[Placed, ...]


class Error(msgspec.Struct, frozen=True, array_like=True):
    """``kind`` is the name of a class of ``protocol.errors``."""

    kind: str
    message: str
    retry_after: float | None = None


class Statistics(msgspec.Struct, frozen=True, array_like=True):
    executed: int
    queued: int
    busy_seconds: float
    """Seconds spent in ``predict`` since the worker started."""


class Forget(msgspec.Struct, frozen=True, array_like=True):
    slots: tuple[int, ...]


Content = Hello | Load | Loaded | Predict | Result | Partial | Error | Statistics | Forget

_CONTENT: dict[Kind, type[Content]] = {
    Kind.HELLO: Hello,
    Kind.LOAD: Load,
    Kind.LOADED: Loaded,
    Kind.PREDICT: Predict,
    Kind.RESULT: Result,
    Kind.PARTIAL: Partial,
    Kind.ERROR: Error,
    Kind.STATISTICS: Statistics,
    Kind.FORGET: Forget,
}
_DECODERS = {kind: msgspec.msgpack.Decoder(content) for kind, content in _CONTENT.items()}
_KINDS = {int(kind): kind for kind in Kind}
_ENCODER = msgspec.msgpack.Encoder()


class Frame(msgspec.Struct, frozen=True, gc=False):
    """One frame. ``descriptors`` tells how many file descriptors belong to it."""

    kind: Kind
    request: int = 0
    model: int = 0
    content: Content | None = None
    tensors: Buffer = b""
    descriptors: int = 0


def encode(frame: Frame, bounds: Bounds = DEFAULT_BOUNDS) -> bytes:
    """The bytes of a frame.

    Raises:
        FrameTooLarge: its metadata or its inline tensors are over the bounds.
        OverflowError, UnicodeEncodeError: a parameter is no 64-bit integer or no valid text.
    """
    metadata = b"" if frame.content is None else _ENCODER.encode(frame.content)
    tensors = len(frame.tensors)
    if len(metadata) > bounds.max_metadata:
        raise FrameTooLarge(f"metadata of {len(metadata)} bytes; at most {bounds.max_metadata} can be sent")
    if tensors > bounds.max_tensors:
        raise FrameTooLarge(f"inline tensors of {tensors} bytes; at most {bounds.max_tensors} can be sent")
    header = _HEADER.pack(
        _MAGIC, VERSION, frame.kind, frame.descriptors, frame.model, frame.request, len(metadata), tensors
    )
    return b"".join((header, metadata, frame.tensors))


class Decoder:
    """Bytes in, in pieces of any size; frames out. After ChannelBroken it must not be fed again."""

    def __init__(self, bounds: Bounds = DEFAULT_BOUNDS) -> None:
        self._bounds = bounds
        self._chunks: list[bytes] = []
        self._size = 0
        self._need = HEADER_BYTES

    @property
    def pending(self) -> int:
        """Bytes of a frame that is not complete yet."""
        return self._size

    def feed(self, data: Buffer) -> list[Frame]:
        """Take the next bytes of the stream and return the frames that they complete.

        The bytes are copied: the caller may overwrite its buffer.

        Raises:
            ChannelBroken: they are no frame, or a frame over the bounds.
        """
        self._chunks.append(bytes(data))
        self._size += len(data)
        if self._size < self._need:  # chunks of a long frame are joined once, when it is complete
            return []
        stream = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
        frames: list[Frame] = []
        position = 0
        self._need = HEADER_BYTES
        while len(stream) - position >= HEADER_BYTES:
            length = self._length(stream, position)
            if len(stream) - position < length:
                self._need = length
                break
            frames.append(_decode(stream, position))
            position += length
        rest = stream[position:]
        self._chunks = [rest] if rest else []
        self._size = len(rest)
        return frames

    def _length(self, stream: bytes, position: int) -> int:
        magic, version, _kind, _fds, _model, _request, metadata, tensors = _HEADER.unpack_from(stream, position)
        if magic != _MAGIC:
            raise ChannelBroken(f"a frame begins with {magic!r}, expected {_MAGIC!r}")
        if version != VERSION:
            raise ChannelBroken(f"the peer speaks version {version} of the channel, expected {VERSION}")
        if metadata > self._bounds.max_metadata or tensors > self._bounds.max_tensors:
            raise ChannelBroken(
                f"a frame claims {metadata} bytes of metadata and {tensors} of tensors; over the bounds"
            )
        return HEADER_BYTES + int(metadata) + int(tensors)


def _decode(stream: bytes, position: int) -> Frame:
    _magic, _version, number, descriptors, model, request, metadata, tensors = _HEADER.unpack_from(stream, position)
    kind = _KINDS.get(number)
    if kind is None:
        raise ChannelBroken(f"a frame is of the unknown kind {number}")
    start = position + HEADER_BYTES
    end = start + metadata
    content: Content | None = None
    if metadata:
        decoder = _DECODERS.get(kind)
        if decoder is None:
            raise ChannelBroken(f"a frame of kind {kind.name} has content, expected none")
        try:
            content = decoder.decode(memoryview(stream)[start:end])
        except (msgspec.DecodeError, UnicodeDecodeError) as error:  # the latter is no DecodeError
            raise ChannelBroken(f"the content of a frame of kind {kind.name} is damaged: {error}") from error
    elif kind in _DECODERS and kind is not Kind.STATISTICS:
        raise ChannelBroken(f"a frame of kind {kind.name} has no content")
    # Bytes of their own: they begin at an aligned address, so that numpy sees aligned arrays in them.
    return Frame(kind, request, model, content, stream[end : end + tensors], descriptors)
