"""Selectors that are none. What good ones select is part of the store's contract."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.protocol.errors import InvalidRequest
from tidegate.resources.selector import parse_selector


@pytest.mark.parametrize(
    "text", ["=x", "a=b=c", "a in x", "a in (x", "a,", ",", "a b", "a=(", "-a", "a>1", "!", "a in (-)"]
)
def test_a_label_selector_that_is_none_is_refused(text: str) -> None:
    """400, with the text, the part at fault and what can be said."""
    with pytest.raises(
        InvalidRequest, match=r"^the label selector '.*' is not understood at '.*', expected NAME=VALUE"
    ):
        parse_selector(text)


@pytest.mark.parametrize("text", ["metadata.name", "spec.x=1", "metadata.name in (a)", "=", "metadata.name=a,"])
def test_a_field_selector_that_is_none_is_refused(text: str) -> None:
    """Only name and namespace can be selected, as with custom resources of a cluster."""
    with pytest.raises(InvalidRequest, match=r"expected =, == or != on metadata\.name or metadata\.namespace$"):
        parse_selector(fields=text)


@pytest.mark.parametrize("text", ["a," * 200, "a" * 9000], ids=["many", "long"])
def test_a_selector_is_bounded(text: str) -> None:
    """Neither its length nor its requirements are the caller's to choose."""
    with pytest.raises(InvalidRequest, match=r"^the selector has .*, expected at most"):
        parse_selector(text)


@given(st.text(alphabet="ab=!(), innot.", max_size=20))
def test_any_text_is_a_selector_or_refused(text: str) -> None:
    """Whatever is sent."""
    for labels, fields in ((text, ""), ("", text)):
        with suppress(InvalidRequest):
            selector = parse_selector(labels, fields)
            assert len(selector.labels) <= labels.count(",") + 1
            assert len(selector.fields) <= fields.count(",") + 1
