"""``fixed``: as many replicas as the service says, whatever happens."""

from __future__ import annotations

import msgspec

from tidegate.autoscaler.observation import Observation
from tidegate.autoscaler.policy import Decision, ScalingConfig, within
from tidegate.autoscaler.reason import sentence


class FixedSettings(msgspec.Struct, frozen=True, kw_only=True):
    """It has none."""


class FixedState(msgspec.Struct, frozen=True, kw_only=True):
    desired: int


class Fixed:
    """``least`` replicas. It looks at nothing, and is never to be asked again by itself."""

    name = "fixed"

    def __init__(self, settings: FixedSettings | None = None) -> None:
        self.settings = settings or FixedSettings()

    def begin(self, now: float, provisioned: int, config: ScalingConfig) -> FixedState:
        return FixedState(desired=within(config.least, config))

    def decide(
        self, now: float, observation: Observation | None, state: FixedState, config: ScalingConfig
    ) -> Decision[FixedState]:
        replicas = within(config.least, config)
        before = state.desired if observation is None else observation.provisioned
        return Decision(
            replicas=replicas,
            reason=sentence(before, replicas, f"{replicas} is what the service says"),
            state=FixedState(desired=replicas),
        )
