from __future__ import annotations

import json
import re
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidegate.protocol.datatypes import Datatype
from tidegate.protocol.errors import InvalidRequest, InvalidTensor
from tidegate.protocol.json_data import COUNTED_FROM, decode_data
from tidegate.protocol.json_form import json_form
from tidegate.protocol.limits import DEFAULT_LIMITS, Limits
from tidegate.protocol.nan import NanPolicy
from tidegate.protocol.shapes import check_shape
from tidegate.protocol.tensors import Tensor, join_bytes

INTEGERS = [kind for kind in Datatype if kind.is_integer]


def decode(text: str, kind: Datatype, *shape: int) -> Any:
    """The decoded data as an array of its shape."""
    count = check_shape("x", shape, kind, DEFAULT_LIMITS)
    data = decode_data("x", kind, shape, msgspec.Raw(text.encode()), count)
    return Tensor("x", kind, shape, data).numpy()


def form(array: Any, kind: Datatype | None = None, nan: NanPolicy = NanPolicy.NULL) -> bytes:
    """What a tensor over ``array`` looks like in a response."""
    return msgspec.json.encode(json_form(Tensor.from_numpy("x", array, kind), nan).reshape(-1).tolist())


@pytest.mark.parametrize(
    ("text", "kind", "shape", "expected"),
    [
        pytest.param("[1, 2.5]", Datatype.FP32, (2,), [1.0, 2.5], id="flat"),
        pytest.param("[[1,2],[3,4]]", Datatype.FP64, (2, 2), [[1, 2], [3, 4]], id="nested"),
        pytest.param("[1,2,3,4]", Datatype.FP64, (2, 2), [[1, 2], [3, 4]], id="flat-for-a-matrix"),
        pytest.param(" [\n [ 1 , 2 ] ] ", Datatype.INT8, (1, 2), [[1, 2]], id="white-space"),
        pytest.param("[true,false]", Datatype.BOOL, (2,), [True, False], id="bool"),
        pytest.param('["a","é\\u00e9,\\"", ""]', Datatype.BYTES, (3,), [b"a", 'éé,"'.encode(), b""], id="text"),
        pytest.param("[7]", Datatype.INT8, (), 7, id="scalar"),
        pytest.param("[]", Datatype.FP32, (0,), [], id="empty"),
        pytest.param("[]", Datatype.FP32, (0, 3), [], id="no-rows"),
        pytest.param("[[],[]]", Datatype.BYTES, (2, 0), [[], []], id="empty-rows"),
        pytest.param("[]", Datatype.INT64, (2, 0), [[], []], id="empty-rows-flat"),
        pytest.param("[[],[]]", Datatype.INT64, (2, 0, 3), [[], []], id="nothing-below-zero"),
    ],
)
def test_reads(text: str, kind: Datatype, shape: tuple[int, ...], expected: Any) -> None:
    """Data is flat, or nests as its shape does."""
    assert np.array_equal(decode(text, kind, *shape), np.array(expected).reshape(shape))


@pytest.mark.parametrize(
    ("text", "kind", "shape", "problem"),
    [
        pytest.param("5", Datatype.FP32, (1,), "data: expected an array", id="number"),
        pytest.param("null", Datatype.FP32, (1,), "data: expected an array", id="null"),
        pytest.param('"a"', Datatype.BYTES, (1,), "data: expected an array", id="bare-string"),
        pytest.param(
            "[1,2,3]", Datatype.FP32, (2, 2), "data has 3 elements, its shape [2, 2] has 4", id="too-few"
        ),
        pytest.param("[1,2]", Datatype.FP32, (), "data has 2 elements, its shape [] has 1", id="two-for-a-scalar"),
        pytest.param("[1]", Datatype.FP32, (0,), "data has 1 elements, its shape [0] has 0", id="one-for-none"),
        pytest.param(
            "[[1,2],[3]]", Datatype.FP32, (2, 2), "data[1] has 1 elements, its shape [2, 2] has 2 there", id="ragged"
        ),
        pytest.param(
            "[[[1],[2]],[[3],[4,5]]]", Datatype.FP32, (2, 2, 1),
            "data[1][1] has 2 elements, its shape [2, 2, 1] has 1 there", id="ragged-inside",
        ),
        pytest.param(
            "[[1,2]]", Datatype.FP32, (2, 2), "data has 1 elements, its shape [2, 2] has 2 there", id="rows-missing"
        ),
        pytest.param(
            "[[1,2],3]", Datatype.FP32, (2, 2), "data[1]: expected an array, got an integer", id="half-nested"
        ),
        pytest.param("[1,[2]]", Datatype.FP32, (2,), "data[1]: expected a number, got an array", id="nested-element"),
        pytest.param(
            "[[[1]]]", Datatype.FP32, (1, 1),
            "data nests more than 2 deep, expected a flat array, or nested 2 deep as its shape", id="too-deep",
        ),
        pytest.param(
            "[[1]]", Datatype.FP32, (1,), "data nests more than 1 deep, expected a flat array", id="nested-vector"
        ),
        pytest.param(
            "[[1]]", Datatype.FP32, (1, 1, 1),
            "data nests 2 deep, expected a flat array, or nested 3 deep as its shape", id="between",
        ),
        pytest.param("[1,true]", Datatype.FP32, (2,), "data[1]: expected a number, got true or false", id="bool-float"),
        pytest.param('["1"]', Datatype.FP32, (1,), "data[0]: expected a number, got '1'", id="text-float"),
        pytest.param('["1"]', Datatype.INT8, (1,), "data[0]: expected an integer, got a string", id="text-integer"),
        pytest.param(
            "[1.0]", Datatype.INT64, (1,), "data[0]: expected an integer, got a decimal number", id="decimal-integer"
        ),
        pytest.param("[null]", Datatype.INT64, (1,), "data[0]: expected an integer, got null", id="null-integer"),
        pytest.param("[1]", Datatype.BOOL, (1,), "data[0]: expected true or false, got an integer", id="integer-bool"),
        pytest.param("[1]", Datatype.BYTES, (1,), "data[0]: expected a string, got an integer", id="integer-text"),
        pytest.param(
            "[0, 1e39]", Datatype.FP32, (2,),
            "element 1 is 1e+39, FP32 holds -3.402823e+38 to 3.402823e+38", id="fp32-range",
        ),
        pytest.param(
            "[null, -1e39]", Datatype.FP32, (2,),
            "element 1 is -1e+39, FP32 holds -3.402823e+38 to 3.402823e+38", id="fp32-range-beside-nan",
        ),
        pytest.param("[1e999]", Datatype.FP64, (1,), "data[0]: the number is out of range", id="fp64-range"),
        pytest.param(
            "[" + "9" * 5000 + "]", Datatype.INT64, (1,), "data[0]: the number is out of range", id="endless-integer"
        ),
        pytest.param(
            '["\\ud800"]', Datatype.BYTES, (1,),
            "data is not valid JSON: it ends too early, or a string holds half a surrogate pair", id="surrogate",
        ),
        pytest.param(
            "[1]", Datatype.FP16, (1,),
            "FP16 has no JSON form; send it as binary data (parameters.binary_data_size)", id="fp16",
        ),
        pytest.param(
            "[1]", Datatype.BF16, (1,),
            "BF16 has no JSON form; send it as binary data (parameters.binary_data_size)", id="bf16",
        ),
    ],
)  # fmt: skip
def test_refuses(text: str, kind: Datatype, shape: tuple[int, ...], problem: str) -> None:
    """What does not fit is refused with its position and both sides of the disagreement."""
    with pytest.raises(InvalidTensor, match="^" + re.escape(f"input 'x': {problem}") + "$"):
        decode(text, kind, *shape)


def test_text_must_be_utf8() -> None:
    """Bytes that are no UTF-8 are refused with the form that can carry them."""
    expected = r"^input 'x': data is not valid UTF-8 \(invalid start byte\); send it as binary data$"
    with pytest.raises(InvalidTensor, match=expected):
        decode_data("x", Datatype.BYTES, (1,), msgspec.Raw(b'["\xff"]'), 1)


@pytest.mark.parametrize("kind", [pytest.param(kind, id=kind.value) for kind in INTEGERS])
def test_integers_are_exact_to_their_range(kind: Datatype) -> None:
    """Both ends of every integer type are read exactly; one beyond is refused with the range."""
    info = np.iinfo(kind.value.lower())
    assert decode(f"[{info.min},{info.max}]", kind, 2).tolist() == [info.min, info.max]
    for beyond in (info.min - 1, info.max + 1, 10**30):
        problem = f"input 'x': element 1 is {beyond}, {kind.value} holds {info.min} to {info.max}"
        with pytest.raises(InvalidTensor, match=f"^{re.escape(problem)}$"):
            decode(f"[0,{beyond}]", kind, 2)


@pytest.mark.parametrize("kind", [pytest.param(Datatype.FP32, id="FP32"), pytest.param(Datatype.FP64, id="FP64")])
def test_non_finite_floats_are_read(kind: Datatype) -> None:
    """null is a NaN, and the three names are what they say."""
    values = decode('[null,"NaN","Infinity","-Infinity",1]', kind, 5)
    assert np.isnan(values[:2]).all()
    assert values[2:].tolist() == [np.inf, -np.inf, 1]


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        pytest.param(Datatype.INT8, "[" + "0," * COUNTED_FROM + "0]", id="flat-numbers"),
        pytest.param(Datatype.FP32, "[[0,0]," + "[0,0]," * COUNTED_FROM + "[0,0]]", id="nested-numbers"),
        pytest.param(Datatype.BOOL, "[[]" + ",[]" * COUNTED_FROM + "]", id="empty-lists"),
        pytest.param(Datatype.BYTES, "[" + '"",' * COUNTED_FROM + '""]', id="text"),
        pytest.param(Datatype.BYTES, "[" + '"\\"",' * COUNTED_FROM + '""]', id="text-of-quotes"),
    ],
)
def test_a_flood_of_elements_is_refused_unbuilt(kind: Datatype, text: str) -> None:
    """Data that holds far more than its shape is refused by counting alone."""
    expected = r"^input 'x': data has more than 4 elements, the most that fit its shape or the limits$"
    with pytest.raises(InvalidTensor, match=expected):
        decode(text, kind, 2, 2)


def test_counting_does_not_refuse_what_fits() -> None:
    """Large data that fits is read: commas and quotes within text are no elements."""
    texts = [",[]" * 1000, '"' * 1000, "\\" * 1000, "x" * COUNTED_FROM]
    assert decode(json.dumps(texts), Datatype.BYTES, 4).tolist() == [text.encode() for text in texts]
    numbers = np.arange(60_000).reshape(100, 200, 3)
    assert np.array_equal(decode(json.dumps(numbers.tolist()), Datatype.INT64, 100, 200, 3), numbers)
    assert decode("[" + "[],\n" * 29_999 + "[]]", Datatype.INT64, 30_000, 0).shape == (30_000, 0)


def test_brackets_behind_a_flood_of_white_space_are_not_searched() -> None:
    """White space costs no walk: brackets behind 4 KiB of it are not found."""
    with pytest.raises(InvalidTensor, match=r"^input 'x': data\[0\]: expected an integer, got an array$"):
        decode("[" + " " * 5000 + "[1]]", Datatype.INT8, 1, 1)


@pytest.mark.parametrize(
    ("shape", "kind", "problem"),
    [
        pytest.param((1,) * 17, Datatype.INT8, "shape has 17 dimensions, at most 16 are allowed", id="rank"),
        pytest.param((2, -1), Datatype.INT8, "shape[1] is -1, expected an integer >= 0", id="negative"),
        pytest.param(
            (1 << 31, 1 << 31), Datatype.INT8,
            "shape [2147483648, 2147483648] has more than 67108864 elements of INT8", id="overflow",
        ),
        pytest.param((1 << 62, 1 << 62, 0), Datatype.INT8, None, id="overflow-beside-zero"),
        pytest.param((1 << 200,), Datatype.INT8, None, id="endless"),
        pytest.param(
            (1 << 24, 2), Datatype.FP32,
            "shape [16777216, 2] has more than 16777216 elements of FP32", id="bytes",
        ),
        pytest.param(
            (1 << 25,), Datatype.BYTES,
            "shape [33554432] has more than 16777216 elements of BYTES", id="text",
        ),
    ],
)  # fmt: skip
def test_shapes_are_checked_first(shape: tuple[int, ...], kind: Datatype, problem: str | None) -> None:
    """No shape that could not be carried is taken, however it hides its size."""
    with pytest.raises(InvalidTensor, match="^" + re.escape(f"input 'x': {problem}") + "$" if problem else "has more"):
        check_shape("x", shape, kind, DEFAULT_LIMITS)


def test_the_limit_on_elements_is_exact() -> None:
    """A tensor at the limit passes, one above does not."""
    limits = Limits(max_elements=6)
    assert check_shape("x", (2, 3), Datatype.INT8, limits) == 6
    assert check_shape("x", (), Datatype.INT8, limits) == 1
    assert check_shape("x", (6, 0), Datatype.INT8, limits) == 0
    with pytest.raises(InvalidTensor):
        check_shape("x", (7,), Datatype.INT8, limits)


@pytest.mark.parametrize(
    ("array", "policy", "expected"),
    [
        pytest.param(np.array([[1, 2], [3, 4]], dtype=np.int8), NanPolicy.NULL, b"[1,2,3,4]", id="integers"),
        pytest.param(np.array([2**64 - 1], dtype=np.uint64), NanPolicy.NULL, b"[18446744073709551615]", id="uint64"),
        pytest.param(np.array([True, False]), NanPolicy.NULL, b"[true,false]", id="bool"),
        pytest.param(np.array([0.1], dtype=np.float32), NanPolicy.NULL, b"[0.1]", id="float32"),
        pytest.param(np.array([0.1, 1e300]), NanPolicy.NULL, b"[0.1,1e300]", id="float64"),
        pytest.param(np.array(["é", b'"'], dtype=object), NanPolicy.NULL, '["é","\\""]'.encode(), id="text"),
        pytest.param(np.zeros((3, 0)), NanPolicy.NULL, b"[]", id="empty"),
        pytest.param(np.array(5), NanPolicy.NULL, b"[5]", id="scalar"),
        pytest.param(np.array([np.nan, np.inf, -np.inf, 1]), NanPolicy.NULL, b"[null,null,null,1.0]", id="null"),
        pytest.param(
            np.array([np.nan, np.inf, -np.inf, 1], dtype=np.float32), NanPolicy.STRING,
            b'["NaN","Infinity","-Infinity",1.0]', id="string",
        ),
        pytest.param(
            np.array([np.nan, np.inf, -np.inf, 1]), NanPolicy.LITERAL, b"[NaN,Infinity,-Infinity,1.0]", id="literal"
        ),
        pytest.param(np.array([1.5]), NanPolicy.LITERAL, b"[1.5]", id="finite"),
    ],
)  # fmt: skip
def test_writes(array: Any, policy: NanPolicy, expected: bytes) -> None:
    """Elements are written flat and row-major, non-finite ones by the policy."""
    assert form(array, nan=policy) == expected


@pytest.mark.parametrize(
    ("array", "kind", "problem"),
    [
        pytest.param(np.zeros(1), Datatype.FP16, "is FP16", id="fp16"),
        pytest.param(np.zeros(1), Datatype.BF16, "is BF16", id="bf16"),
        pytest.param(
            np.array([b"a", b"\xff"], dtype=object), None, "holds bytes that are no UTF-8 (element 1)", id="bytes"
        ),
    ],
)
def test_what_has_no_json_form(array: Any, kind: Datatype | None, problem: str) -> None:
    """The message tells how to ask for it instead."""
    message = f"'x' {problem}, which JSON cannot carry; use binary data (parameters.binary_data: true)"
    with pytest.raises(InvalidRequest, match=f"^{re.escape(message)}$"):
        form(array, kind)


SHAPES = st.lists(st.integers(0, 3), max_size=4).map(tuple)
JSON_KINDS = [kind for kind in Datatype if not kind.raw_only]


@settings(derandomize=True, deadline=None, max_examples=400)
@given(st.sampled_from(JSON_KINDS), SHAPES, st.booleans(), st.data())
def test_round_trip(kind: Datatype, shape: tuple[int, ...], nested: bool, data: st.DataObject) -> None:
    """Every JSON datatype of every shape reads back bit for bit, flat and nested, NaN and infinities included."""
    count = int(np.prod(shape, dtype=int))
    if kind is Datatype.BYTES:
        texts = data.draw(st.lists(st.text(max_size=5), min_size=count, max_size=count))
        buffer = join_bytes(text.encode() for text in texts)
    elif kind is Datatype.BOOL:
        buffer = bytes(data.draw(st.lists(st.integers(0, 1), min_size=count, max_size=count)))
    else:
        size = count * kind.itemsize
        buffer = data.draw(st.binary(min_size=size, max_size=size))
    tensor = Tensor("x", kind, shape, buffer)
    array = json_form(tensor, NanPolicy.STRING)
    text = msgspec.json.encode(array.tolist() if nested and shape else array.reshape(-1).tolist())
    back = decode_data("x", kind, shape, msgspec.Raw(text), count)
    if kind.is_float:
        # All NaNs are one in JSON.
        assert np.array_equal(np.frombuffer(back, kind.stored), np.frombuffer(buffer, kind.stored), equal_nan=True)
    else:
        assert back == buffer
