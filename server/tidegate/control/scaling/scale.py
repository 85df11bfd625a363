"""Whether a service scales, and how each of its revisions does. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from tidegate.autoscaler.config import UNBOUNDED, config_of
from tidegate.autoscaler.policy import ScalingConfig, within
from tidegate.resources.actuator import RevisionId
from tidegate.resources.document import Document


class Scaling(msgspec.Struct, frozen=True):
    """What a component of a service says of its scaling, where it is to scale."""

    policy: str
    config: ScalingConfig

    def bounded_by(self, most: int) -> Scaling:
        """The same, with ``most`` for the upper bound where it has none."""
        if self.config.most != UNBOUNDED:
            return self
        return self.with_bounds(self.config.least, max(self.config.least, most, 1))

    def at_least(self, replicas: int) -> Scaling:
        """The same, with so many replicas at least, as far as the upper bound lets it."""
        return self.with_bounds(within(replicas, self.config), self.config.most)

    def with_bounds(self, least: int, most: int) -> Scaling:
        return Scaling(self.policy, msgspec.structs.replace(self.config, least=least, most=most))

    def guessing(self, start: float | None) -> Scaling:
        """The same, with so many seconds for the first guess of a start; None leaves the usual one."""
        if start is None:
            return self
        return Scaling(self.policy, msgspec.structs.replace(self.config, first_start=start))


def scaling_of(component: Mapping[str, Any], slo: Mapping[str, Any] | None) -> Scaling | None:
    """How a component scales; None where the number of its replicas is fixed.

    It scales where it has a ``scalePolicy``, or a ``maxReplicas`` above ``minReplicas``, or ``minReplicas`` 0, unless
    ``replicas`` or the policy ``fixed`` fix it. Without ``maxReplicas`` a policy has no bound but the machine; without
    either there are as many as ``minReplicas``, so that a manifest that says nothing starts one process.

    Raises:
        InvalidRequest: a policy that nothing here can follow.
    """
    least, most = component.get("minReplicas", 1), component.get("maxReplicas", 0)
    said = component.get("scalePolicy") is not None or _by_kserve(component)
    if "replicas" in component or not (said or most > least or least == 0):
        return None
    name, config = config_of(component, slo)
    if name == "fixed":
        return None
    return Scaling(name, config).with_bounds(least, max(most, least, 1) if most or not said else UNBOUNDED)


def _by_kserve(component: Mapping[str, Any]) -> bool:
    return any(component.get(name) is not None for name in ("scaleMetric", "scaleTarget", "scaleMetricType"))


class Scale(msgspec.Struct, frozen=True):
    """One revision that is to be scaled now, at one look at its service."""

    revision: RevisionId
    uid: str
    """Of the ServingRevision: one that is made anew under its name is another."""
    scaling: Scaling
    """With the bounds that hold at the moment: those of the service, and what a rollout needs."""
    wanted: int
    """Replicas that it was asked to run with."""
    ready: int
    asleep: bool = False
    """Whether it has no replica because nobody uses it: none is on its way."""
    falls: bool = True
    """Whether it may have fewer replicas than it has."""
    stored: Document = {}
    """``status.scaling`` of its ServingRevision."""
    version: int = 0
    """The version of that document."""
