"""Policies as they are named in a comparison: ``qda``, ``qda@0.3``, ``kpa@0.5:scale_down_delay=300``.

After ``@`` stands the policy's one knob: the preference of ``qda``; of ``kpa``, ``hpa`` and ``ray`` the share of what a
replica can have in progress that is aimed at; of ``fixed`` the replicas. After ``:`` stand settings of the policy.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from tidegate.autoscaler.hpa_settings import Behavior, HpaSettings
from tidegate.autoscaler.kpa_settings import KpaSettings
from tidegate.autoscaler.policies import NAMES, policy_of
from tidegate.autoscaler.policy import Policy, ScalingConfig
from tidegate.autoscaler.ray import RaySettings
from tidegate.autoscaler.simulator.conditions import Conditions, guessed
from tidegate.autoscaler.simulator.workload import Workload
from tidegate.protocol.errors import InvalidRequest

KNOBS: dict[str, tuple[float, ...]] = {
    "qda": (0.0, 0.3, 0.5, 0.7, 1.0),
    "kpa": (0.3, 0.5, 0.7, 0.9),
    "hpa": (0.3, 0.5, 0.7, 0.9),
    "ray": (0.3, 0.5, 0.7, 0.9),
}
"""What a sweep tries."""
_USUAL = {"qda": 0.5, "kpa": 0.7, "hpa": 0.7, "ray": 0.7, "fixed": 1.0}
_WINDOWS = {"up_window": "up", "down_window": "down"}
"""Settings of ``hpa`` that lie one level deeper."""


class Contestant(msgspec.Struct, frozen=True, kw_only=True):
    """A policy with its knob and settings."""

    label: str
    """As it was written, with its knob."""
    name: str
    knob: float
    settings: dict[str, str] = {}

    def policy(self) -> Policy[Any]:
        """It, ready to decide.

        Raises:
            InvalidRequest: a setting that it does not have, or a value that it cannot be.
        """
        told = dict(self.settings)
        if self.name == "kpa":
            told["target_utilisation"] = str(self.knob)
            return policy_of("kpa", _convert(KpaSettings, told, self.label))
        if self.name == "hpa":
            windows = {field: told.pop(option) for option, field in _WINDOWS.items() if option in told}
            settings = _convert(HpaSettings, told, self.label)
            return policy_of("hpa", msgspec.structs.replace(settings, **_behaviours(settings, windows, self.label)))
        if self.name == "ray":
            return policy_of("ray", _convert(RaySettings, told, self.label))
        if told:
            raise InvalidRequest(f"policy '{self.label}' has the setting '{next(iter(told))}', expected none")
        return policy_of(self.name)

    def config(self, workload: Workload, conditions: Conditions) -> ScalingConfig:
        """What the simulated service says of its scaling; what it guesses at first is as wrong as conditions say."""
        service, guess = workload.service, guessed(workload.service, conditions)
        config = ScalingConfig(least=workload.least, most=workload.most, slo=service.slo, max_batch=service.max_batch)
        replace = msgspec.structs.replace
        if self.name == "qda":
            return replace(
                config,
                preference=self.knob,
                first_base=guess.base,
                first_per_row=guess.per_row if service.max_batch > 1 else guess.base + guess.per_row,
                first_start=guess.cold_start,
            )
        if self.name == "kpa":
            return replace(config, metric="concurrency", concurrency=service.max_batch)
        if self.name == "fixed":
            return replace(config, least=int(self.knob), most=max(int(self.knob), workload.most))
        return replace(config, metric="concurrency", target=self.knob * service.max_batch)


def parse(text: str) -> Contestant:
    """A contestant as it is written.

    Raises:
        InvalidRequest: it has another form, or there is no such policy.
    """
    head, *options = text.strip().split(":")
    name, at, value = head.partition("@")
    if name not in NAMES:
        raise InvalidRequest(f"policy is '{name}', expected one of {', '.join(NAMES)}")
    try:
        knob = float(value) if at else _USUAL[name]
        settings = dict(option.split("=", 1) for option in options)
    except ValueError:
        raise InvalidRequest(f"policy is '{text}', expected NAME, NAME@NUMBER or NAME@NUMBER:SETTING=VALUE") from None
    if not (0.0 <= knob <= 1.0 if name == "qda" else knob > 0.0):
        expected = "a preference from 0 to 1" if name == "qda" else "a number above 0"
        raise InvalidRequest(f"policy is '{text}', expected {expected} after the @")
    label = ":".join([f"{name}@{knob:g}", *options])
    found = Contestant(label=label, name=name, knob=knob, settings=settings)
    found.policy()
    return found


def swept(contestants: Sequence[Contestant]) -> list[Contestant]:
    """Each with every value of its knob, its own included, in order."""
    found: dict[str, Contestant] = {}
    for one in contestants:
        tail = "".join(f":{key}={value}" for key, value in one.settings.items())
        for knob in sorted({one.knob, *KNOBS.get(one.name, ())}):
            each = parse(f"{one.name}@{knob:g}{tail}")
            found.setdefault(each.label, each)
    return list(found.values())


def _convert(kind: Any, told: dict[str, str], label: str) -> Any:
    unknown = [name for name in told if name not in kind.__struct_fields__]
    if unknown:
        expected = ", ".join(kind.__struct_fields__)
        raise InvalidRequest(f"policy '{label}' has the setting '{unknown[0]}', expected one of {expected}")
    try:
        return msgspec.convert(told, kind, strict=False)
    except msgspec.ValidationError as fault:
        raise InvalidRequest(f"policy '{label}': {fault}") from None


def _behaviours(settings: HpaSettings, windows: dict[str, str], label: str) -> dict[str, Behavior]:
    try:
        return {
            field: msgspec.structs.replace(getattr(settings, field), window=float(text))
            for field, text in windows.items()
        }
    except ValueError:
        raise InvalidRequest(f"policy '{label}' has a window that is no number, expected seconds") from None
