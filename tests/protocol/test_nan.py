from __future__ import annotations

import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidegate.protocol.nan import name_of, quote_literals


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(b"[NaN]", b'["NaN"]', id="nan"),
        pytest.param(b"[Infinity,-Infinity]", b'["Infinity","-Infinity"]', id="infinities"),
        pytest.param(b'["NaN", NaN]', b'["NaN", "NaN"]', id="beside-a-string"),
        pytest.param(b'["a\\"NaN", NaN]', b'["a\\"NaN", "NaN"]', id="escaped-quote"),
        pytest.param(b'["\\\\", NaN]', b'["\\\\", "NaN"]', id="escaped-backslash"),
        pytest.param(b'[NaN, "open NaN', b'["NaN", "open NaN', id="open-string"),
        pytest.param(b'["NaN"]', None, id="only-in-strings"),
        pytest.param(b"[1]", None, id="none"),
        pytest.param(b'"NaN\\', None, id="ends-in-a-backslash"),
    ],
)
def test_literals_are_quoted_outside_of_strings(text: bytes, expected: bytes | None) -> None:
    """Only what stands outside of a string is changed; None tells that nothing was."""
    assert quote_literals(text) == expected
    assert quote_literals(memoryview(bytearray(text))) == expected


@settings(derandomize=True, deadline=None)
@given(
    st.recursive(
        st.floats() | st.text() | st.sampled_from(["NaN", '"NaN', "\\", "-Infinity"]),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=10,
    )
)
def test_what_python_writes_becomes_json(value: object) -> None:
    """Python's own output, bare literals and all, reads as strict JSON once quoted; strings are untouched."""

    def refuse(constant: str) -> object:
        raise AssertionError(f"{constant} is still bare")

    def quoted(value: object) -> object:
        if isinstance(value, float) and not math.isfinite(value):
            return name_of(value)
        if isinstance(value, list):
            return [quoted(item) for item in value]
        return {key: quoted(item) for key, item in value.items()} if isinstance(value, dict) else value

    text = json.dumps(value).encode()
    assert json.loads(quote_literals(text) or text, parse_constant=refuse) == quoted(value)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(b'NaN"' + b'\\"' * 1_000_000, id="one-open-string"),
        pytest.param(b"NaN" + b'"\\' * 1_000_000, id="quotes-and-backslashes"),
        pytest.param(b"[" + b"NaN," * 1_000_000, id="literals"),
        pytest.param(b"[" + b'"",NaN,' * 200_000, id="strings-and-literals"),
    ],
)
def test_a_hostile_text_takes_linear_time(text: bytes) -> None:
    """Megabytes of quotes and literals are done with: a quadratic scan would not end."""
    assert quote_literals(text) is not None


@pytest.mark.parametrize(
    ("number", "name"),
    [
        pytest.param(math.nan, "NaN", id="nan"),
        pytest.param(math.inf, "Infinity", id="inf"),
        pytest.param(-math.inf, "-Infinity", id="-inf"),
    ],
)
def test_names(number: float, name: str) -> None:
    """Each non-finite number has the name that protobuf's JSON gives it."""
    assert name_of(number) == name
