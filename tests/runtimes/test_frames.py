"""The channel's frames: every value survives, in any pieces, and nothing else is taken for a frame."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.protocol.datatypes import Datatype
from tidegate.protocol.messages import ModelMetadata, TensorSpec
from tidegate.runtimes.frames import (
    HEADER_BYTES,
    Acknowledge,
    Bounds,
    ChannelBroken,
    Decoder,
    Error,
    Forget,
    Frame,
    FrameTooLarge,
    Hello,
    Kind,
    Load,
    Loaded,
    Partial,
    Placed,
    Predict,
    Result,
    SlotUse,
    Statistics,
    encode,
)

names = st.text(max_size=20)
counts = st.integers(0, 2**63 - 1)
seconds = st.floats(0, 1e6)
placed = st.lists(
    st.builds(Placed, names, st.sampled_from(Datatype), st.lists(counts, max_size=4).map(tuple), counts, counts),
    max_size=4,
).map(tuple)
slots = st.none() | st.builds(SlotUse, counts, counts, counts)
values = st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | names
specs = st.lists(
    st.builds(TensorSpec, names, st.sampled_from(Datatype), st.lists(counts, max_size=3).map(tuple)), max_size=3
).map(tuple)

contents: dict[Kind, st.SearchStrategy[Any]] = {
    Kind.HELLO: st.builds(Hello, counts),
    Kind.LOAD: st.builds(
        Load, names, names, names, names, st.booleans(), counts, st.dictionaries(names, names, max_size=3)
    ),
    Kind.LOADED: st.builds(Loaded, st.builds(ModelMetadata, names, names, specs, specs), seconds),
    Kind.PREDICT: st.builds(
        Predict,
        placed,
        st.lists(names, max_size=3).map(tuple),
        st.dictionaries(names, values, max_size=3),
        counts,
        slots,
        st.booleans(),
        counts,
    ),
    Kind.RESULT: st.builds(Result, placed, st.floats(0.0, 1e9), slots),
    Kind.PARTIAL: st.builds(Partial, counts, placed),
    Kind.ERROR: st.builds(Error, names, names, st.none() | seconds),
    Kind.STATISTICS: st.none() | st.builds(Statistics, counts, counts, seconds),
    Kind.ACKNOWLEDGE: st.builds(Acknowledge, counts),
    Kind.FORGET: st.builds(Forget, st.lists(counts, max_size=5).map(tuple)),
}


@st.composite
def frames(draw: st.DrawFn) -> Frame:
    kind = draw(st.sampled_from(Kind))
    return Frame(
        kind,
        draw(st.integers(0, 2**64 - 1)),
        draw(st.integers(0, 2**32 - 1)),
        draw(contents.get(kind, st.none())),
        draw(st.binary(max_size=200)),
        draw(st.integers(0, 3)),
    )


@given(frames())
def test_round_trip(frame: Frame) -> None:
    """A frame of any kind comes out as it went in."""
    assert Decoder().feed(encode(frame)) == [frame]


@given(st.lists(frames(), max_size=5), st.lists(st.integers(1, 64), min_size=1, max_size=20))
def test_pieces_do_not_matter(sent: list[Frame], sizes: list[int]) -> None:
    """However the stream is cut, the same frames come out in the same order, and nothing is left over."""
    stream = b"".join(encode(frame) for frame in sent)
    decoder, received, position, turn = Decoder(), [], 0, 0
    while position < len(stream):
        size = sizes[turn % len(sizes)]
        received += decoder.feed(stream[position : position + size])
        position += size
        turn += 1
    assert received == sent
    assert decoder.pending == 0


@given(st.binary(max_size=300))
def test_garbage_is_refused_or_awaited(data: bytes) -> None:
    """Random bytes never raise anything but ChannelBroken, and never make a frame of more than they are."""
    try:
        received = Decoder().feed(data)
    except ChannelBroken:
        return
    assert sum(HEADER_BYTES + len(frame.tensors) for frame in received) <= len(data)


@given(frames(), st.data())
def test_damage_raises_only_channel_broken(frame: Frame, data: st.DataObject) -> None:
    """A frame with one wrong byte is refused, awaited, or another frame; no other error escapes."""
    damaged = bytearray(encode(frame))
    position = data.draw(st.integers(0, len(damaged) - 1))
    damaged[position] ^= data.draw(st.integers(1, 255))
    try:
        Decoder().feed(damaged)
    except ChannelBroken:
        return


def test_the_buffer_may_be_reused() -> None:
    """A frame does not look into the buffer that it was read from."""
    buffer = bytearray(encode(Frame(Kind.RESULT, content=Result((), 0.0), tensors=b"abcd")))
    [frame] = Decoder().feed(buffer)
    buffer[:] = b"\0" * len(buffer)
    assert frame.tensors == b"abcd"


def _header(magic: bytes = b"TG", version: int = 1, kind: int = 11, metadata: int = 0, tensors: int = 0) -> bytes:
    return struct.pack("<2sBBHIQII", magic, version, kind, 0, 0, 0, metadata, tensors)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        pytest.param(_header(magic=b"GT"), r"begins with b'GT', expected b'TG'", id="magic"),
        pytest.param(_header(version=2), r"version 2 of the channel, expected 1", id="version"),
        pytest.param(_header(kind=99), r"of the unknown kind 99", id="kind"),
        pytest.param(_header(metadata=1 << 30), r"claims 1073741824 bytes of metadata", id="metadata too large"),
        pytest.param(_header(tensors=1 << 30), r"1073741824 of tensors; over the bounds", id="tensors too large"),
        pytest.param(_header(metadata=1) + b"\xc0", r"kind PING has content, expected none", id="content not expected"),
        pytest.param(_header(kind=6), r"kind PREDICT has no content", id="content missing"),
        pytest.param(_header(kind=7, metadata=1) + b"\xc0", r"kind RESULT is damaged: ", id="content damaged"),
    ],
)
def test_what_is_no_frame(data: bytes, message: str) -> None:
    """What cannot be a frame is told by what is wrong with it, before its bytes are awaited."""
    with pytest.raises(ChannelBroken, match=message):
        Decoder().feed(data)


def test_too_large_to_send() -> None:
    """A frame over the bounds is refused on the sending side, where the request can still be answered."""
    with pytest.raises(FrameTooLarge, match=r"inline tensors of 11 bytes; at most 10 can be sent"):
        encode(Frame(Kind.RESULT, content=Result((), 0.0), tensors=b"x" * 11), Bounds(max_tensors=10))
    with pytest.raises(FrameTooLarge, match=r"metadata of \d+ bytes; at most 10 can be sent"):
        encode(Frame(Kind.ERROR, content=Error("ExecutionFailed", "x" * 20)), Bounds(max_metadata=10))
