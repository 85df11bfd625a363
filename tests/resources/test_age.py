"""How long ago something was, in words."""

from __future__ import annotations

import pytest

from tidegate.resources.age import age, span


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        *((-2, "<invalid>"), (-1, "0s"), (0, "0s"), (119, "119s"), (120, "2m"), (599, "9m59s"), (600, "10m")),
        *((10799, "179m"), (10800, "3h"), (28799, "7h59m"), (28800, "8h"), (172799, "47h"), (172800, "2d")),
        *((691199, "7d23h"), (691200, "8d"), (63071999, "729d"), (63072000, "2y"), (252288000, "8y")),
    ],
)
def test_ages_are_worded_as_kubectl_does(seconds: float, text: str) -> None:
    """The bounds are those of k8s.io/apimachinery's HumanDuration."""
    assert span(seconds) == text


@pytest.mark.parametrize("time", [None, "", "yesterday", 5, "0001-01-01T00:00:00+14:00", "2027-13-01T00:00:00Z"])
def test_what_is_no_time_has_no_age(time: object) -> None:
    """Whatever somebody has written there."""
    assert age(time, 1_800_000_000.0) == "<unknown>"
    assert age("2027-01-15T07:59:00Z", 1_800_000_000.0) == "60s"
