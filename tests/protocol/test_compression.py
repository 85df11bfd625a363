from __future__ import annotations

import gzip
import re
import zlib
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidegate.protocol.compression import MAX_MEMBERS, choose_encoding, deflate, inflate
from tidegate.protocol.errors import InvalidRequest, PayloadTooLarge, UnsupportedMediaType

TEXT = b'{"inputs": []}' * 20


def raw_deflate(data: bytes) -> bytes:
    machine = zlib.compressobj(wbits=-15)
    return machine.compress(data) + machine.flush()


@pytest.mark.parametrize(
    ("body", "encoding"),
    [
        pytest.param(gzip.compress(TEXT), "gzip", id="gzip"),
        pytest.param(gzip.compress(TEXT), " X-GZIP ", id="old-name-and-case"),
        pytest.param(zlib.compress(TEXT), "deflate", id="deflate"),
        pytest.param(raw_deflate(TEXT), "deflate", id="raw-deflate"),
        pytest.param(gzip.compress(TEXT[:50]) + gzip.compress(TEXT[50:]), "gzip", id="two-members"),
        pytest.param(TEXT, "", id="none"),
        pytest.param(TEXT, "identity", id="identity"),
    ],
)
def test_inflates(body: bytes, encoding: str) -> None:
    """Every form that clients send is read."""
    assert inflate(body, encoding, limit=1 << 16) == TEXT
    assert inflate(memoryview(bytearray(body)), encoding, limit=1 << 16) == TEXT


@settings(derandomize=True, deadline=None)
@given(st.binary(max_size=2000), st.sampled_from(["gzip", "deflate"]))
def test_round_trip(data: bytes, encoding: str) -> None:
    """What is deflated inflates to the same bytes, with a limit of exactly their number."""
    assert inflate(deflate(data, encoding), encoding, limit=len(data)) == data


def test_others_read_what_we_write() -> None:
    """The standard library's readers take both forms; deflate is the zlib container."""
    assert gzip.decompress(deflate(memoryview(TEXT), "gzip")) == TEXT
    assert zlib.decompress(deflate(TEXT, "deflate")) == TEXT


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_a_bomb_stops_at_the_limit(encoding: str) -> None:
    """A small body that would inflate to 64 MiB is refused with the limit."""
    bomb = deflate(bytes(64 << 20), encoding)
    assert len(bomb) < 1 << 20
    with pytest.raises(PayloadTooLarge, match=r"^the body inflates to more than 1000000 bytes, which is the limit$"):
        inflate(bomb, encoding, limit=1_000_000)


def test_the_limit_counts_all_members() -> None:
    """Several gzip members share one limit, to the byte."""
    body = gzip.compress(b"a" * 600) * 2
    assert len(inflate(body, "gzip", limit=1200)) == 1200
    with pytest.raises(PayloadTooLarge):
        inflate(body, "gzip", limit=1199)


def test_a_flood_of_empty_members_is_refused() -> None:
    """Members that hold nothing are counted too, because each costs time."""
    with pytest.raises(InvalidRequest, match=rf"^the body has more than {MAX_MEMBERS} gzip members$"):
        inflate(gzip.compress(b"") * (MAX_MEMBERS + 1), "gzip", limit=10)


@pytest.mark.parametrize(
    ("body", "encoding", "message"),
    [
        pytest.param(gzip.compress(TEXT)[:-1], "gzip", "it ends too early", id="gzip-cut"),
        pytest.param(b"", "gzip", "it ends too early", id="gzip-empty"),
        pytest.param(zlib.compress(TEXT)[:-1], "deflate", "it ends too early", id="deflate-cut"),
        pytest.param(zlib.compress(TEXT) + b"xy", "deflate", "2 bytes follow its end", id="deflate-trailing"),
        pytest.param(raw_deflate(TEXT) + b"xy", "deflate", "2 bytes follow its end", id="raw-trailing"),
    ],
)
def test_broken_bodies_are_refused(body: bytes, encoding: str, message: str) -> None:
    """A body that is cut or followed by something else is refused with the reason."""
    with pytest.raises(InvalidRequest, match=f"^{re.escape(f'the body is not valid {encoding}: {message}')}$"):
        inflate(body, encoding, limit=1 << 16)


@pytest.mark.parametrize(
    ("body", "encoding"),
    [
        pytest.param(gzip.compress(TEXT) + b"garbage", "gzip", id="gzip-trailing"),
        pytest.param(TEXT, "gzip", id="not-compressed"),
        pytest.param(TEXT, "deflate", id="not-deflated"),
        pytest.param(gzip.compress(TEXT)[:-8] + bytes(8), "gzip", id="checksum"),
    ],
)
def test_corrupt_bodies_are_refused(body: bytes, encoding: str) -> None:
    """zlib's own reason is passed on."""
    with pytest.raises(InvalidRequest, match=rf"^the body is not valid {encoding}: Error -3 while decompressing data"):
        inflate(body, encoding, limit=1 << 16)


@settings(derandomize=True, deadline=None)
@given(st.binary(max_size=200), st.sampled_from(["gzip", "deflate", "identity", "br"]))
def test_arbitrary_bytes_raise_only_ours(data: bytes, encoding: str) -> None:
    """Whatever arrives, the answer is bytes or a 4xx."""
    with suppress(InvalidRequest):
        inflate(data, encoding, limit=100_000)


def test_unknown_encodings_are_refused() -> None:
    """The message says what is accepted."""
    expected = r"^Content-Encoding 'br' is not supported; send gzip, deflate or none$"
    with pytest.raises(UnsupportedMediaType, match=expected):
        inflate(b"", "br", limit=10)


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        pytest.param("", None, id="none"),
        pytest.param("gzip", "gzip", id="gzip"),
        pytest.param("deflate", "deflate", id="deflate"),
        pytest.param("deflate, gzip", "gzip", id="equal-weights"),
        pytest.param("gzip;q=0.5, deflate;q=0.8", "deflate", id="weights"),
        pytest.param("GZIP ; Q=1.0", "gzip", id="case-and-space"),
        pytest.param("gzip;q=0", None, id="refused"),
        pytest.param("gzip;q=0, *", "deflate", id="any-but-gzip"),
        pytest.param("*;q=0.1", "gzip", id="any"),
        pytest.param("*;q=0", None, id="none-at-all"),
        pytest.param("identity", None, id="identity"),
        pytest.param("identity, gzip;q=0.5", None, id="identity-preferred"),
        pytest.param("identity;q=0.5, gzip", "gzip", id="identity-second"),
        pytest.param("br, zstd", None, id="unknown"),
        pytest.param("gzip;q=nan", None, id="not-a-number"),
        pytest.param("gzip;q=abc", None, id="not-a-weight"),
        pytest.param("gzip;q=7", None, id="too-heavy"),
        pytest.param("x-gzip", "gzip", id="old-name"),
        pytest.param(",;,=;q", None, id="garbage"),
    ],
)
def test_choose_encoding(accept: str, expected: str | None) -> None:
    """The heaviest of what we can write is taken; 0 refuses, * stands for the rest."""
    assert choose_encoding(accept) == expected
