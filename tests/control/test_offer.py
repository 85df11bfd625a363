"""What is to be loaded and unloaded, as values."""

from __future__ import annotations

from pathlib import Path

import pytest

from tidegate.control.offer import Offer, Steps, Survey, steps
from tidegate.storage.config import ModelConfig
from tidegate.storage.repository import ModelSource
from tidegate.storage.tree import Part


def offer(version: str, size: int = 1, replicas: int = 1) -> Offer:
    path = Path("/m") / version
    source = ModelSource("m", version, path, "fake", "fake", config=ModelConfig(replicas=replicas))
    return Offer(source, (Part("model", path, False, size),), Path("/m"))


ONE, TWO = offer("1"), offer("2")


@pytest.mark.parametrize(
    ("offered", "live", "broken", "expected"),
    [
        pytest.param([ONE], [], (), Steps((ONE,)), id="new"),
        pytest.param([ONE], [ONE], (), Steps(), id="the-same"),
        pytest.param([offer("1", 2)], [ONE], (), Steps((offer("1", 2),)), id="other-content"),
        pytest.param([offer("1", 1, 2)], [ONE], (), Steps((offer("1", 1, 2),)), id="other-configuration"),
        pytest.param([TWO], [ONE], (), Steps((TWO,), ("1",)), id="a-new-version-for-an-old-one"),
        pytest.param([], [ONE, TWO], (), Steps((), ("1", "2")), id="gone"),
        pytest.param([ONE, TWO], [ONE, TWO], ("2",), Steps((TWO,)), id="broken"),
    ],
)
def test_steps(offered: list[Offer], live: list[Offer], broken: tuple[str, ...], expected: Steps) -> None:
    """Load what is new or other, unload what is not offered any more, leave the rest alone."""
    found = steps({each.version: each for each in offered}, {each.version: each for each in live}, broken)
    assert found == expected
    assert bool(found) == bool(expected.load or expected.unload)


def test_what_cannot_be_told_is_a_problem() -> None:
    """Of the model itself, or of the path that it came from; else it is simply gone."""
    survey = Survey({"n": {}}, {"p": "bad"}, {Path("/m"): "not mounted"})
    assert survey.problem("p", {}) == "bad"
    assert survey.problem("m", {"1": ONE}) == "not mounted"
    assert survey.problem("m", {}) is None
    assert survey.problem("n", {"1": ONE}) is None
