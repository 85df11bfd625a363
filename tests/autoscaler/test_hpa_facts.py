"""``hpa`` decides as Kubernetes' own unit tests say: pkg/controller/podautoscaler."""

from __future__ import annotations

import pytest

from tidegate.autoscaler.hpa_behavior import Stamped, highest, limited, lowest, stabilised
from tidegate.autoscaler.hpa_calculator import by_replica, by_total, by_total_per_replica
from tidegate.autoscaler.hpa_settings import Behavior, HpaSettings, KedaSettings, Rule
from tidegate.autoscaler.keda import Activity, polled


@pytest.mark.parametrize(
    ("values", "target", "current", "unready", "missing", "expected"),
    [
        ([30.0, 50.0, 70.0], 30.0, 3, 0, 0, 5),
        ([50.0, 70.0], 30.0, 3, 1, 0, 4),
        ([40.0], 30.0, 3, 2, 0, 3),
        ([20_000.0, 10_000.0, 30_000.0], 15_000.0, 3, 0, 0, 4),
        ([12_000.0] * 5, 20_000.0, 5, 0, 0, 3),
        ([105.0, 95.0, 109.0], 100.0, 3, 0, 0, 3),
        ([20.0, 20.0], 100.0, 4, 0, 2, 3),
        ([190.0, 190.0], 100.0, 3, 0, 1, 4),
        ([130.0, 130.0], 100.0, 3, 0, 1, 3),
        ([95.0, 60.0], 100.0, 4, 0, 2, 4),
        ([95.0, 80.0], 100.0, 5, 0, 2, 5),
        ([50.0], 100.0, 3, 2, 0, 1),
        ([], 100.0, 3, 3, 0, None),
    ],
    ids=[
        "levels 300/500/700m, target 30 %",
        "the first pod unready",
        "hot CPU of unready pods",
        "custom metric 20000, 10000, 30000",
        "custom metric 12000 times 5",
        "within the tolerance of 0.1",
        "missing count as the target when it goes down: 240/4",
        "missing count as 0 when it goes up: 380/3",
        "missing turn it round: 260/3",
        "missing leave it out of the tolerance: 355/4",
        "missing bring it into the tolerance: 375/4",
        "unready are left out when it goes down",
        "no metrics of a ready pod",
    ],
)
def test_a_metric_of_each_replica(
    values: list[float], target: float, current: int, unready: int, missing: int, expected: int | None
) -> None:
    """replica_calculator_test.go for the first five, the rules of replica_calculator.go by hand for the others."""
    assert by_replica(values, target, current, unready=unready, missing=missing) == expected


@pytest.mark.parametrize(
    ("total", "target", "current", "ready", "expected"),
    [
        (8600.0, 4400.0, 1, 1, 2),
        (8600.0, 14_334.0, 5, 5, 3),
        (50_000.0, 10_000.0, 3, 1, 5),
        (10_900.0, 10_000.0, 3, 3, 3),
        (25_000.0, 10_000.0, 0, 0, 3),
    ],
    ids=["external 8600/4400", "external 8600/14334", "object with unready pods", "tolerance", "from zero"],
)
def test_a_metric_that_is_held_at_a_value(total: float, target: float, current: int, ready: int, expected: int) -> None:
    """replica_calculator_test.go for the first three, getUsageRatioReplicaCount for the others."""
    assert by_total(total, target, current, ready) == expected


@pytest.mark.parametrize(
    ("total", "target", "current", "expected"),
    [(8600.0, 2150.0, 3, 4), (8600.0, 2867.0, 3, 3), (8600.0, 2867.0, 9, 3), (0.0, 10.0, 0, 0)],
    ids=["per-pod external 8600/2150", "tolerance", "down", "none there"],
)
def test_a_metric_that_is_divided(total: float, target: float, current: int, expected: int) -> None:
    """replica_calculator_test.go for the first, GetExternalPerPodMetricReplicas for the others."""
    assert by_total_per_replica(total, target, current) == expected


PODS_4, PODS_2 = Rule(kind="Pods", value=4, period=60.0), Rule(kind="Pods", value=2, period=60.0)
MORE_50 = Rule(kind="Percent", value=50, period=60.0)
LESS_20, LESS_10 = Rule(kind="Percent", value=20, period=60.0), Rule(kind="Percent", value=10, period=60.0)
PODS_5, PODS_15 = Rule(kind="Pods", value=5, period=60.0), Rule(kind="Pods", value=15, period=60.0)


@pytest.mark.parametrize(
    ("current", "grown", "behavior", "expected"),
    [
        (5, (), Behavior(window=0.0, rules=(PODS_4,)), 9),
        (5, ((-30.0, 2),), Behavior(window=0.0, rules=(PODS_4,)), 7),
        (5, ((-61.0, 2),), Behavior(window=0.0, rules=(PODS_4,)), 9),
        (5, (), Behavior(window=0.0, select="Disabled", rules=(PODS_4,)), 5),
        (5, (), Behavior(window=0.0, select="Min", rules=(PODS_4, PODS_2)), 7),
        (10, (), Behavior(window=0.0, rules=(MORE_50,)), 15),
        (1, (), HpaSettings().up, 5),
        (10, (), HpaSettings().up, 20),
    ],
    ids=["none before", "two before", "two long before", "disabled", "the smaller", "per cent", "+4", "+100 %"],
)
def test_how_far_it_may_grow(current: int, grown: Stamped, behavior: Behavior, expected: int) -> None:
    """TestCalculateScaleUpLimitWithScalingRules as Karmada's copy has it; the last two: the defaults."""
    assert highest(0.0, current, grown, (), behavior) == expected


@pytest.mark.parametrize(
    ("current", "shrunk", "behavior", "expected"),
    [
        (10, (), Behavior(window=0.0, rules=(LESS_20,)), 8),
        (10, ((-30.0, 1),), Behavior(window=0.0, rules=(LESS_20,)), 8),
        (100, (), Behavior(window=0.0, rules=(LESS_10, PODS_5)), 90),
        (10, (), Behavior(window=0.0, select="Disabled", rules=(LESS_20,)), 10),
        (100, (), Behavior(window=0.0, select="Min", rules=(LESS_10, PODS_15)), 90),
        (100, (), HpaSettings().down, 0),
    ],
    ids=["none before", "one before", "several", "disabled", "the smaller", "-100 %"],
)
def test_how_far_it_may_shrink(current: int, shrunk: Stamped, behavior: Behavior, expected: int) -> None:
    """TestCalculateScaleDownLimitWithBehaviors as Karmada's copy has it; the last one: the default."""
    assert lowest(0.0, current, (), shrunk, behavior) == expected


@pytest.mark.parametrize(
    ("wish", "current", "past", "up", "expected"),
    [
        (3, 8, ((-299.0, 8),), 0.0, 8),
        (3, 8, ((-299.0, 5), (-100.0, 4)), 0.0, 5),
        (3, 8, ((-301.0, 8),), 0.0, 3),
        (9, 4, ((-1.0, 5),), 0.0, 9),
        (9, 4, ((-59.0, 6), (-30.0, 7)), 60.0, 6),
        (9, 4, ((-59.0, 2),), 60.0, 4),
    ],
    ids=["down", "down in part", "down after the window", "up at once", "up in part", "up with a window"],
)
def test_recommendations_are_stabilised(wish: int, current: int, past: Stamped, up: float, expected: int) -> None:
    """stabilizeRecommendationWithBehaviors: down the largest of 300 s, up the smallest of its window."""
    defaults = HpaSettings()
    grows = Behavior(window=up, rules=defaults.up.rules)
    assert stabilised(0.0, wish, current, past, grows, defaults.down) == expected


def test_a_rule_never_turns_a_wish_round() -> None:
    """Where more were added within the period than it allows, it waits."""
    only = Behavior(window=0.0, rules=(PODS_2,))
    assert limited(0.0, 20, 10, ((-5.0, 6),), (), only, only) == 10
    assert limited(0.0, 1, 10, (), ((-5.0, 6),), only, only) == 10


@pytest.mark.parametrize(
    ("current", "value", "activity", "settings", "expected"),
    [
        (0, 1.0, Activity(began=-99.0, active=-99.0), KedaSettings(), 1),
        (0, 5.0, Activity(began=-99.0, active=-99.0), KedaSettings(activation_threshold=5.0), None),
        (0, 1.0, Activity(began=-99.0, active=-99.0, polled=-29.0), KedaSettings(), None),
        (0, 1.0, Activity(began=-99.0, active=-99.0, polled=-1.0), KedaSettings(push=True), 1),
        (4, 0.0, Activity(began=-999.0, active=-301.0), KedaSettings(), 0),
        (4, 0.0, Activity(began=-999.0, active=-300.0), KedaSettings(), None),
        (4, 0.0, Activity(began=-999.0, active=-301.0), KedaSettings(initial_cooldown=1000.0), None),
        (4, 1.0, Activity(began=-999.0, active=-999.0), KedaSettings(), None),
    ],
    ids=[
        "from zero when active",
        "not above the activation threshold",
        "not polled yet",
        "pushed",
        "to zero after the cooldown",
        "within the cooldown",
        "within the initial cooldown",
        "active: HPA's",
    ],
)
def test_keda_brings_the_first_and_takes_the_last(
    current: int, value: float, activity: Activity, settings: KedaSettings, expected: int | None
) -> None:
    """scale_scaledobjects.go with the defaults of ScaledObject: polling 30 s, cooldown 300 s."""
    assert polled(0.0, current, value, activity, settings).replicas == expected
