"""Who gets which revision: shares of a range, and where a key lies in it."""

from __future__ import annotations

from math import sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.gateway.split import PARTS, Split, part_of, salted
from tidegate.resources.traffic import Share


def split(*percents: int) -> Split:
    """Revisions 1, 2, … with these shares."""
    return Split.of([Share(number, percent) for number, percent in enumerate(percents, 1)])


def counts(made: Split) -> dict[int, int]:
    """How many numbers each revision has."""
    found = [made.at(part) for part in range(PARTS)]
    return {revision: found.count(revision) for revision in made.revisions}


@st.composite
def percents(draw: st.DrawFn) -> list[int]:
    """Up to five shares that add up to 100."""
    cuts = sorted(draw(st.lists(st.integers(0, 100), max_size=4)))
    return [high - low for low, high in zip([0, *cuts], [*cuts, 100], strict=True)]


@given(percents())
def test_each_revision_has_its_share_of_the_numbers(shares: list[int]) -> None:
    """A percent is a hundred of the ten thousand, and no percent is none."""
    assert counts(split(*shares)) == {number: share * 100 for number, share in enumerate(shares, 1)}


@given(percents(), st.integers(1, 4), st.integers(1, 100))
def test_who_is_in_a_share_that_grows_stays_in_it(shares: list[int], which: int, more: int) -> None:
    """Whatever canary it is of, when the stable revision gives up what it gains."""
    which, more = min(which, len(shares) - 1), min(more, shares[0])
    if not which:
        return
    grown = [*shares]
    grown[0] -= more
    grown[which] += more
    before, after = split(*shares), split(*grown)
    canary = which + 1
    assert all(after.at(part) == canary for part in range(PARTS) if before.at(part) == canary)


def test_the_canary_has_the_end() -> None:
    """So that one who is in it at one percent is in it at ten, and until it is stable."""
    assert [split(100 - share, share).at(PARTS - 1) for share in (0, 1, 10, 100)] == [1, 2, 2, 2]
    assert split(90, 10).starts == (0, 9000)


def test_shares_that_do_not_add_up_keep_their_proportions() -> None:
    """As where a revision of three has gone."""
    assert counts(split(60, 20)) == {1: 7500, 2: 2500}
    assert counts(split(0, 7)) == {1: 0, 2: PARTS}


@given(st.lists(st.integers(0, 100), min_size=1, max_size=6).filter(any))
def test_every_number_is_somebodys(shares: list[int]) -> None:
    """However the shares are rounded, and nobody has any without a share."""
    found = counts(split(*shares))
    assert sum(found.values()) == PARTS
    assert not any(found[number] for number, share in enumerate(shares, 1) if not share)
    assert all(
        abs(found[number] - share * PARTS / sum(shares)) <= len(shares) for number, share in enumerate(shares, 1)
    )


def test_shares_of_nothing_are_refused() -> None:
    """Nobody would answer."""
    with pytest.raises(ValueError, match=r"^the shares add up to nothing$"):
        split(0, 0)


def test_a_key_lies_where_it_lies_in_every_process() -> None:
    """These numbers may never change: callers would change their revision with tidegate's version."""
    salt = salted("rollout-1")
    assert [part_of(salt, key) for key in (b"", b"alice", b"bob", b"\xff\x00")] == [6184, 1383, 9543, 4983]


@pytest.mark.parametrize("form", ["user-%d", "%032x", "%d"])
def test_keys_fall_evenly(form: str) -> None:
    """Of 20,000 keys in a row as many fall into a share as chance lets: five standard deviations at most."""
    salt, made, number = salted("s"), split(90, 10), 20_000
    hits = sum(made.at(part_of(salt, (form % key).encode())) == 2 for key in range(number))
    assert abs(hits - number * 0.1) < 5 * sqrt(number * 0.1 * 0.9)


def test_salts_choose_independently() -> None:
    """Who is in one service's canary is in another's no more often than anybody is."""
    one, other, made, number = salted("a"), salted("b"), split(90, 10), 20_000
    keys = [b"%d" % key for key in range(number)]
    chosen = [key for key in keys if made.at(part_of(one, key)) == 2]
    both = sum(made.at(part_of(other, key)) == 2 for key in chosen)
    assert abs(both - len(chosen) * 0.1) < 5 * sqrt(len(chosen) * 0.1 * 0.9)


@given(st.text(max_size=8), st.binary(max_size=8), st.text(max_size=8), st.binary(max_size=8))
def test_salt_and_key_do_not_run_into_each_other(salt: str, key: bytes, other: str, another: bytes) -> None:
    """ "ab" with "c" is another pair than "a" with "bc"."""
    assert (salted(salt) + key == salted(other) + another) == ((salt, key) == (other, another))
