"""``ray`` decides as Ray Serve's own unit tests say: serve/tests/unit/test_autoscaling_policy.py."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from tidegate.autoscaler.ray import RaySettings, RayState, delayed, desired

NOW = RaySettings(upscale_delay=0.0, downscale_delay=0.0)


def decided(now: float, total: float, running: int, state: RayState, target: float, settings: RaySettings) -> RayState:
    """One call of the policy with its wrapper, without bounds."""
    wish = desired(total, running, state.desired, target, settings)
    return delayed(now, wish, state, settings)[0]


@pytest.mark.parametrize(("factor", "expected"), [(10.0, 10), (0.5, 1)])
def test_from_zero(factor: float, expected: int) -> None:
    """test_scaling_factor_scale_up_from_0_replicas."""
    assert desired(1.0, 0, 0, 2.0, RaySettings(upscaling_factor=factor)) == expected


def test_nothing_comes_from_nothing() -> None:
    """_get_cold_start_scale_up_replicas: without requests the target stays, and so it does while replicas start."""
    assert desired(0.0, 0, 0, 2.0, RaySettings()) == 0
    assert desired(9.0, 0, 4, 2.0, RaySettings()) == 4


def test_to_zero_it_stops_at_one() -> None:
    """test_scaling_factor_scale_down_to_0_replicas: a large factor."""
    settings = replace(NOW, downscaling_factor=10.0)
    one = decided(0.0, 0.0, 5, RayState(desired=5, asked=0.0), 2.0, settings)
    assert one.desired == 1
    assert max(0, decided(0.0, 0.0, 1, one, 2.0, settings).desired) == 0  # the bound 0 is the policy's


def test_to_zero_it_does_not_get_stuck() -> None:
    """test_scaling_factor_scale_down_to_0_replicas: a small factor, five steps from five."""
    state = RayState(desired=5, asked=0.0)
    for _ in range(5):
        state = decided(0.0, 0.0, state.desired, state, 2.0, replace(NOW, downscaling_factor=0.2))
    assert state.desired == 0


@pytest.mark.parametrize("to_zero", [None, 300.0])
def test_delays(to_zero: float | None) -> None:
    """test_upscale_downscale_delay: 30 s up, 600 s down, and what comes between begins it anew."""
    settings = RaySettings(downscale_to_zero_delay=to_zero)
    state = RayState(desired=1, asked=0.0)

    def through(begin: float, seconds: float, total: float, state: RayState) -> RayState:
        """Every tenth of a second up to, not with, the last one."""
        for tick in range(round(seconds * 10)):
            held = decided(begin + tick / 10, total, state.desired, state, 1.0, settings)
            assert held.desired == state.desired
            state = held
        return state

    state = through(0.0, 30.0, 2.0, state)
    state = decided(30.0, 2.0, 1, state, 1.0, settings)
    assert state.desired == 2
    state = through(100.0, 300.0, 0.0, state)
    state = decided(400.0, 4.0, 2, state, 1.0, settings)  # the other direction
    state = through(401.0, 600.0, 0.0, state)
    state = decided(1001.0, 0.0, 2, state, 1.0, settings)
    assert state.desired == 1
    last = 600.0 if to_zero is None else to_zero
    state = through(1002.0, last, 0.0, state)
    assert decided(1002.0 + last, 0.0, 1, state, 1.0, settings).desired == 0


def test_replicas_that_start_late() -> None:
    """test_replicas_delayed_startup."""
    settings = RaySettings(upscale_delay=0.0, downscale_delay=100_000.0)
    state = RayState(desired=1, asked=0.0)
    found = []
    for total, running in ((100.0, 1), (100.0, 1), (123.0, 3), (10.0, 4)):
        state = decided(0.0, total, running, state, 1.0, settings)
        found.append(state.desired)
    assert found == [100, 100, 123, 123]


@pytest.mark.parametrize(("delay", "expected"), [(30.0, [1, 2] * 50), (0.0, [2, 1] * 50)])
def test_load_that_swings(delay: float, expected: list[int]) -> None:
    """test_fluctuating_ongoing_requests: with a delay nothing changes, without one everything."""
    settings = RaySettings(upscale_delay=delay, downscale_delay=delay)
    state = RayState(desired=1, asked=0.0)
    found = []
    for trial in range(100):
        total, running = (100.0, 1) if trial % 2 == 0 else (40.0, 2)
        state = decided(trial / 10, total, running, replace(state, desired=running), 50.0, settings)
        found.append(state.desired)
    assert found == expected


@pytest.mark.parametrize(("total", "expected"), [(20.0, 4), (100.0, 20), (10.0, 2)])
def test_requests_at_one_replica_count_as_all(total: float, expected: int) -> None:
    """test_single_replica_receives_all_requests, with a target of 5 at four replicas."""
    assert decided(0.0, total, 4, RayState(desired=4, asked=0.0), 5.0, NOW).desired == expected
