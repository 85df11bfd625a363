"""Transitions of rollouts, as Prometheus reads them."""

from __future__ import annotations

from tidegate.telemetry.metrics import Metrics


def test_transitions_are_counted_by_service_and_state_and_forgotten_with_it() -> None:
    """One that comes back under the name begins at 0."""
    metrics = Metrics("1")
    for service, to in (("iris", "Step"), ("iris", "Step"), ("iris", "RolledBack"), ("other", "Step")):
        metrics.rollout_moved("default", service, to)
    shown = metrics.exposition().decode()
    told = 'tidegate_rollout_transitions_total{namespace="default",service="iris",to="Step"}'
    assert f"{told} 2.0" in shown
    metrics.forget_service("default", "iris")
    shown = metrics.exposition().decode()
    assert 'service="iris"' not in shown
    assert f"{told.replace('iris', 'other')} 1.0" in shown
    metrics.rollout_moved("default", "iris", "Step")
    assert f"{told} 1.0" in metrics.exposition().decode()
