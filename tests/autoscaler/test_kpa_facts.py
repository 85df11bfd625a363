"""``kpa`` decides as Knative's own unit tests say: pkg/autoscaler/scaling/autoscaler_test.go unless said otherwise."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import pytest
from msgspec.structs import replace

from tidegate.autoscaler.kpa_law import Panic, activators, at_start, scale
from tidegate.autoscaler.kpa_settings import Aim, KpaSettings, aim_of
from tidegate.autoscaler.kpa_zero import Sleep, last
from tidegate.autoscaler.metering import Series, mean, smoothed, weight
from tidegate.autoscaler.peaks import Peaks, largest, put
from tidegate.autoscaler.policy import ScalingConfig

MINUTE = 60.0
SETTINGS = KpaSettings(max_scale_up_rate=10.0, max_scale_down_rate=10.0, target_burst_capacity=100.0)
"""As newTestAutoscaler has them; its PanicThreshold of 2 is the default."""
CALM = Panic()
DELAYED = replace(SETTINGS, panic_threshold_percentage=10_000.0, scale_down_delay=5 * MINUTE)


@dataclass
class Step:
    """One call of Scale: the means of the two windows, and what comes of them."""

    stable: float
    panic: float
    expected: int
    at: float = 0.0
    ready: int = 1
    target: float | None = None
    """Where it is another one from here on."""
    panicking_since: float | None = field(default=math.nan)
    """When panic began; NaN where the test does not say it."""
    reachable: bool = True


CASES = {
    "ScaleDownDelay/simple": (
        10.0,
        DELAYED,
        CALM,
        [Step(40, 40, 4, at=2), Step(0, 0, 4, at=5 * MINUTE), Step(0, 0, 0, at=5 * MINUTE + 2)],
    ),
    "ScaleDownDelay/gradual": (
        10.0,
        DELAYED,
        CALM,
        [
            Step(40, 40, 4, at=9 * MINUTE),
            Step(30, 30, 4, at=10 * MINUTE),
            Step(0, 0, 4, at=11 * MINUTE),
            Step(0, 0, 3, at=14 * MINUTE),
            Step(0, 0, 0, at=15 * MINUTE),
        ],
    ),
    "ScaleDownDelayNotReachable": (
        10.0,
        DELAYED,
        CALM,
        [Step(40, 40, 4, at=2), Step(0, 0, 4, at=MINUTE), Step(0, 0, 0, at=MINUTE + 2, reachable=False)],
    ),
    "ScaleDownDelayZero": (
        10.0,
        replace(DELAYED, scale_down_delay=0.0),
        CALM,
        [Step(40, 40, 4, reachable=False), Step(20, 20, 2, at=0.5, reachable=False)],
    ),
    "StableModeIncreaseWithConcurrencyDefault": (10.0, SETTINGS, CALM, [Step(50, 10, 5), Step(100, 10, 10)]),
    "StableModeIncreaseWithRPS": (10.0, SETTINGS, CALM, [Step(50, 50, 5), Step(100, 99, 10)]),
    "UnpanicAfterSlowIncrease": (
        1.0,
        SETTINGS,
        CALM,
        [
            Step(11, 25, 25, ready=10, panicking_since=0.0),
            Step(30, 41, 41, at=30, ready=40, panicking_since=0.0),
            Step(50, 56, 50, at=62, ready=55, panicking_since=None),
        ],
    ),
    "ExtendPanicWindow": (
        1.0,
        SETTINGS,
        CALM,
        [
            Step(11, 25, 25, ready=10, panicking_since=0.0),
            Step(30, 80, 80, at=30, ready=40, panicking_since=30.0),
        ],
    ),
    "StableModeDecrease": (10.0, SETTINGS, CALM, [Step(100, 100, 10, ready=8), Step(50, 50, 5, ready=8)]),
    "StableModeNoTrafficScaleToZero": (10.0, SETTINGS, CALM, [Step(1, 0, 1), Step(0, 0, 0)]),
    "ActivationScale": (10.0, replace(SETTINGS, activation_scale=2), CALM, [Step(0, 0, 0), Step(1, 0, 2)]),
    "PanicModeExponentialTrackAndStabilize": (
        1.0,
        SETTINGS,
        CALM,
        [
            Step(6, 6, 6),
            Step(36, 36, 36, ready=6, panicking_since=0.0),
            Step(216, 216, 216, at=1, ready=36, panicking_since=1.0),
            Step(1296, 1296, 1296, at=1, ready=216, panicking_since=1.0),
            Step(1296, 1296, 1296, at=2, ready=1296),
        ],
    ),
    "Scale/UnlimitedTBC": (181.0, replace(SETTINGS, target_burst_capacity=-1.0), CALM, [Step(21, 26, 1)]),
    "Scale/0TBC": (10.0, replace(SETTINGS, target_burst_capacity=0.0), CALM, [Step(50, 49, 5)]),
    "Scale/StableModeNoChange": (10.0, SETTINGS, CALM, [Step(50, 50, 5)]),
    "Scale/StableModeNoChangeAlreadyScaled": (10.0, SETTINGS, CALM, [Step(50, 50, 5, ready=5)]),
    "Scale/PanicStableLargerThanPanic": (1.0, SETTINGS, Panic(since=-5.0, most=5), [Step(50, 30, 50, ready=5)]),
    "Scale/PanicStableLessThanPanic": (1.0, SETTINGS, Panic(since=-5.0, most=5), [Step(20, 30, 30, ready=5)]),
    "Scale/IncreaseWithSmallScaleUpRate": (
        1.0,
        replace(SETTINGS, max_scale_up_rate=1.1),
        CALM,
        [Step(3, 3.1, 3, ready=2)],
    ),
    "Scale/DecreaseWithSmallScaleDownRate": (
        10.0,
        replace(SETTINGS, max_scale_down_rate=1.1),
        CALM,
        [Step(1, 1, 90, ready=100)],
    ),
    "Scale/DecreaseNonReachable": (
        10.0,
        replace(SETTINGS, max_scale_down_rate=1.1),
        CALM,
        [Step(1, 1, 1, ready=100, reachable=False)],
    ),
    "Scale/PanicModeDoublePodCount": (10.0, SETTINGS, CALM, [Step(50, 100, 10)]),
    "PanicThenUnPanicScaleDown": (
        10.0,
        SETTINGS,
        CALM,
        [
            Step(100, 100, 10),
            Step(100, 1000, 100, ready=10),
            Step(1, 1, 100, at=30, ready=10),
            Step(1, 1, 1, at=61, ready=10),
        ],
    ),
    "RateLimitScaleUp": (10.0, SETTINGS, CALM, [Step(1000, 1001, 10), Step(1000, 1001, 100, ready=10)]),
    "RateLimitScaleDown": (10.0, SETTINGS, CALM, [Step(1, 1, 10, ready=100), Step(1, 1, 1, ready=10)]),
    "UseOnePodAsMinimumIfEndpointsNotFound": (10.0, SETTINGS, CALM, [Step(1000, 888, 10, ready=0)]),
    "UpdateTarget": (10.0, SETTINGS, CALM, [Step(100, 101, 10), Step(100, 101, 100, ready=10, target=1.0)]),
    "Scale/NoDataAtZero": (10.0, SETTINGS, CALM, [Step(0, 0, 0)]),
}


@pytest.mark.parametrize("name", CASES)
def test_the_law_decides_as_knative(name: str) -> None:
    """Number, panic, and excess burst capacity, with totals of 4/3 of the target as in the harness."""
    target, settings, panic, steps = CASES[name]
    for step in steps:
        target = step.target or target
        aim = Aim(target=target, total=target / 0.75)
        told = replace(settings, reachable=step.reachable)
        found = scale(step.at, step.stable, step.panic, step.ready, aim, panic, told)
        assert found.replicas == step.expected
        if step.panicking_since is None or not math.isnan(step.panicking_since):
            assert found.panic.since == step.panicking_since
        burst = settings.target_burst_capacity
        spare = math.floor(aim.total * step.ready - burst - step.panic) if burst > 0 else int(burst)
        assert abs(found.spare - spare) <= 1  # as approxEquateInt32 has it
        panic = found.panic


@pytest.mark.parametrize(("ready", "panicking", "most"), [(0, False, 0), (1, False, 1), (2, True, 2)])
def test_it_starts_in_panic_over_one_replica(ready: int, panicking: bool, most: int) -> None:
    """TestStartInPanicMode."""
    begun = at_start(5.0, ready)
    assert (begun.since is not None, begun.most) == (panicking, most)


@pytest.mark.parametrize(
    ("ready", "burst", "expected"),
    [(0, 200, 2), (1, 200, 3), (15, 200, 17), (100, 0, 2), (5, -1, 5)],
)
def test_activators(ready: int, burst: float, expected: int) -> None:
    """kpa_test.go, TestComputeActivatorNum; one replica takes what one activator does."""
    settings = KpaSettings(target_burst_capacity=burst, activator_capacity=100.0)
    assert activators(ready, Aim(target=70.0, total=100.0), settings) == expected


def test_the_largest_of_a_window() -> None:
    """aggregation/max/window_test.go, with five entries."""
    peaks: Peaks = ()
    found = []
    for index, value in enumerate([5, 8, 5, 7, 5, 5, 1, 4, 4, 4, 4, 9, 3, 4, 2, 1, 0]):
        peaks = put(peaks, index, value, 5)
        found.append(largest(peaks))
    assert found == [5, 8, 8, 8, 8, 8, 7, 7, 5, 5, 4, 9, 9, 9, 9, 9, 4]


def test_the_largest_of_one_index() -> None:
    """aggregation/max: of several values of one index the largest counts."""
    peaks = put(put((), 1, 7, 5), 1, 3, 5)
    assert largest(peaks) == 7
    assert largest(put(peaks, 6, 0, 5)) == 0


@pytest.mark.parametrize(("now", "expected"), [(4.0, 3.0), (6.0, 4.0), (9.5, None)])
def test_a_window_is_averaged(now: float, expected: float | None) -> None:
    """aggregation/bucketing_test.go: 1 to 5 in five buckets; a hole at the end; nothing at all."""
    series = Series(seconds=(0, 1, 2, 3, 4), values=(1.0, 2.0, 3.0, 4.0, 5.0))
    assert mean(series, now, 5.0) == expected


@pytest.mark.parametrize(("seconds", "expected"), [(100, 0.2), (60, 0.2), (40, 0.20567), (6, 0.78456)])
def test_the_weight_of_the_newest(seconds: int, expected: float) -> None:
    """aggregation/bucketing_test.go, of weightedExponential."""
    assert weight(seconds) == pytest.approx(expected, abs=5e-6)


def test_a_window_is_weighted() -> None:
    """aggregation/bucketing_test.go: 2 to 6, of which the linear mean is 4."""
    series = Series(seconds=(0, 1, 2, 3, 4), values=(2.0, 3.0, 4.0, 5.0, 6.0))
    assert smoothed(series, 4.0, 5.0) == pytest.approx(5.812, abs=5e-4)
    assert mean(series, 4.0, 5.0) == 4.0


@pytest.mark.parametrize(
    ("config", "utilisation", "target", "total"),
    [
        (ScalingConfig(concurrency=12), 0.75, 9.0, 12.0),
        (ScalingConfig(concurrency=10), 0.8, 8.0, 10.0),
        (ScalingConfig(metric="rps"), 0.7, 140.0, 200.0),
        (ScalingConfig(target=10, concurrency=1), 1.0, 1.0, 1.0),
        (ScalingConfig(), 0.7, 70.0, 100.0),
        (ScalingConfig(target=0.001), 0.7, 0.01, 0.001),
    ],
)
def test_the_target(config: ScalingConfig, utilisation: float, target: float, total: float) -> None:
    """resources/target_test.go; the last two by the defaults of config-autoscaler."""
    found = aim_of(config, KpaSettings(target_utilisation=utilisation))
    assert found.target == pytest.approx(target)
    assert found.total == total


GRACE, WINDOW, TIMEOUT = 30.0, 60.0, 630.0


@pytest.mark.parametrize(
    ("sleep", "settings", "expected", "phase"),
    [
        (Sleep(phase="active", since=-WINDOW + 1), KpaSettings(), 1, "active"),
        (Sleep(phase="active", since=-19.0), KpaSettings(stable_window=20.0), 1, "active"),
        (Sleep(phase="active", since=-WINDOW), KpaSettings(), None, "inactive"),
        (Sleep(phase="active", since=-20.0), KpaSettings(stable_window=20.0), None, "inactive"),
        (Sleep(phase="inactive", since=-GRACE), KpaSettings(), 0, "inactive"),
        (Sleep(phase="inactive", since=-GRACE + 1), KpaSettings(), None, "inactive"),
        (Sleep(phase="inactive", since=-GRACE + 1, buffered=-GRACE + 1), KpaSettings(), None, "inactive"),
        (Sleep(phase="inactive", since=-GRACE + 1, buffered=-GRACE), KpaSettings(), 0, "inactive"),
        (Sleep(phase="inactive", since=-40.0, buffered=-99.0), KpaSettings(pod_retention=41.0), None, "inactive"),
        (Sleep(phase="inactive", since=-41.0), KpaSettings(pod_retention=41.0), 0, "inactive"),
        (Sleep(phase="activating", since=-TIMEOUT / 2), KpaSettings(), None, "activating"),
        (Sleep(phase="activating", since=-TIMEOUT - 1), KpaSettings(), 0, "inactive"),
        (Sleep(phase="active", since=0.0), KpaSettings(scale_to_zero=False), 1, "active"),
    ],
    ids=[
        "waits to scale to zero (just before idle period)",
        "waits to scale to zero (just before idle period), custom PA window",
        "waits to scale to zero after idle period",
        "waits to scale to zero after idle period (custom PA window)",
        "scale to zero after grace period",
        "waits to scale to zero (just before grace period)",
        "waits to scale to zero (just before grace period, sks short)",
        "waits to scale to zero (just before grace period, sks in proxy long)",
        "retention is hard, whatever the time in proxy",
        "scale to zero after retention",
        "waits to scale to zero while activating until after deadline exceeded",
        "scale to zero while activating after deadline exceeded",
        "EnableScaleToZero == false and minScale == 0",
    ],
)
def test_the_last_replica(sleep: Sleep, settings: KpaSettings, expected: int | None, phase: str) -> None:
    """kpa/scaler_test.go, TestScaler and TestDisableScaleToZero, at time 0 with 0 wished for. None leaves it."""
    ready = 0 if sleep.phase == "activating" else 1
    found = last(0.0, 0, ready, sleep, settings)
    assert (found.replicas, found.sleep.phase) == (expected, phase)


@pytest.mark.parametrize("phase", ["active", "inactive", "activating"])
def test_a_wish_is_granted_in_every_phase(phase: str) -> None:
    """kpa/scaler_test.go: scales up; scale up inactive revision; scales up from zero to desired one."""
    sleep = Sleep(phase=phase, since=-15.0)  # type: ignore[arg-type]
    assert last(0.0, 10, 0, sleep, KpaSettings()).replicas == 10
