"""Who goes when there are to be fewer replicas."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.replicas.sizing import Candidate, leaving

READY = Candidate(ready=True)
CANDIDATES = st.builds(Candidate, st.booleans(), st.integers(0, 3), st.integers(0, 2))


@pytest.mark.parametrize(
    ("candidates", "count", "expected"),
    [
        pytest.param([READY, Candidate(False), READY], 1, [1], id="who is not ready"),
        pytest.param([Candidate(True, sequences=1), READY, Candidate(True, sequences=2)], 1, [1], id="no sequences"),
        pytest.param([Candidate(True, 3), Candidate(True, 2), Candidate(True, 9)], 2, [0, 1], id="fewest sequences"),
        pytest.param([Candidate(True, 0, 1), READY, Candidate(True, 0, 2)], 1, [1], id="least to finish"),
        pytest.param([READY, READY, READY], 2, [1, 2], id="the newest"),
        pytest.param([READY], 0, [], id="nobody"),
    ],
)
def test_who_goes_first(candidates: list[Candidate], count: int, expected: list[int]) -> None:
    """Whoever is missed the least."""
    assert leaving(candidates, count) == expected


@given(st.lists(CANDIDATES, min_size=1), st.data())
def test_nobody_with_sequences_goes_before_one_without(candidates: list[Candidate], data: st.DataObject) -> None:
    """So many go, each once; of those that are ready none that keeps more sequences than one that stays."""
    count = data.draw(st.integers(0, len(candidates)))
    going = leaving(candidates, count)
    assert len(set(going)) == len(going) == count
    gone = [candidates[index] for index in going]
    staying = [each for index, each in enumerate(candidates) if index not in going]
    assert not any(one.ready and not other.ready for one in gone for other in staying)
    assert all(one.sequences <= other.sequences for one in gone for other in staying if one.ready and other.ready)
