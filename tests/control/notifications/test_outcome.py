"""What an answer means, and when the next attempt is."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.control.notifications.outcome import Fate, judged, pause, wished
from tidegate.control.notifications.settings import NotificationSettings

SETTINGS = NotificationSettings(first_pause=1.0, longest_pause=60.0, longest_wish=100.0)


@pytest.mark.parametrize(
    ("status", "fate"),
    [
        (200, Fate.DELIVERED), (202, Fate.DELIVERED), (204, Fate.DELIVERED),
        (301, Fate.REFUSED), (400, Fate.REFUSED), (401, Fate.REFUSED), (403, Fate.REFUSED), (404, Fate.REFUSED),
        (410, Fate.REFUSED), (408, Fate.AGAIN), (425, Fate.AGAIN), (429, Fate.AGAIN), (500, Fate.AGAIN),
        (503, Fate.AGAIN), (599, Fate.AGAIN),
    ],
)  # fmt: skip
def test_a_status_decides(status: int, fate: Fate) -> None:
    """Whether it has arrived, may arrive later, or never will."""
    assert judged(status, b"", "", 0.0).fate is fate


def test_slacks_word_is_told_and_nothing_else_of_an_answer() -> None:
    """Other answers may repeat the path, which is the secret."""
    assert judged(404, b"no_service", "", 0.0).why == "it answered 404 (no_service)"
    assert judged(404, b"Cannot POST /services/T0/B0/secret", "", 0.0).why == "it answered 404"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30", 30.0), (" 0 ", 0.0), ("", None), ("soon", None), ("-1", None), ("1.5", None), ("9" * 30, None),
        ("Fri, 15 Jan 2027 08:00:10 GMT", 10.0), ("Fri, 15 Jan 2027 07:00:00 GMT", 0.0),
    ],
)  # fmt: skip
def test_a_retry_after_is_seconds_or_a_date(text: str, seconds: float | None) -> None:
    """By 1,800,000,000, which is 8:00 on the 15th of January 2027."""
    assert wished(text, 1_800_000_000.0) == seconds


@given(st.text(max_size=40), st.floats(0, 4e9))
def test_any_retry_after_is_read(text: str, now: float) -> None:
    """Or passed over."""
    seconds = wished(text, now)
    assert seconds is None or seconds >= 0.0


@given(st.integers(1, 10_000), st.floats(0, 1), st.none() | st.floats(0, 1e6))
def test_pauses_are_bounded(attempts: int, chance: float, wish: float | None) -> None:
    """At least half of the doubled pause, at most all of it, unless the channel wants more, which is bounded, too."""
    longest = min(60.0, 2.0 ** min(attempts - 1, 10))
    seconds = pause(attempts, wish, SETTINGS, chance)
    if wish is None:
        assert longest / 2 <= seconds <= longest
    else:
        assert min(wish, 100.0) <= seconds <= max(longest, min(wish, 100.0))


def test_pauses_double() -> None:
    """Without chance."""
    assert [pause(n, None, SETTINGS, 0.0) for n in (1, 2, 3, 7)] == [1.0, 2.0, 4.0, 60.0]
    assert pause(1, None, SETTINGS, 1.0) == 0.5


@pytest.mark.parametrize("field", ["concurrent", "first_pause", "longest_pause", "longest_wish"])
def test_a_bound_of_nothing_is_refused(field: str) -> None:
    """With the field and the value."""
    with pytest.raises(ValueError, match=f"^{field} is 0, expected a number above 0$"):
        msgspec.structs.replace(NotificationSettings(), **{field: 0})
