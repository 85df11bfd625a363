"""Every policy by its name. A module is loaded when its policy is asked for."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import msgspec

from tidegate.autoscaler.policy import Policy
from tidegate.protocol.errors import InvalidRequest

_POLICIES = {
    "qda": ("qda", "Qda"),
    "kpa": ("kpa", "Kpa"),
    "hpa": ("hpa", "Hpa"),
    "ray": ("ray", "Ray"),
    "fixed": ("fixed", "Fixed"),
}
"""Module here, and class. The class of its state is called the same with ``State`` after it."""

NAMES = tuple(_POLICIES)


def policy_of(name: str, settings: msgspec.Struct | None = None) -> Policy[Any]:
    """The policy of that name, with its defaults or with settings of its own kind.

    Raises:
        InvalidRequest: there is none of that name.
    """
    kind = _kind(name)
    policy: Policy[Any] = kind() if settings is None else kind(settings)
    return policy


def state_of(name: str, document: Any) -> msgspec.Struct:
    """The state of a policy from the JSON document that it was kept as.

    Raises:
        InvalidRequest: there is no policy of that name, or the document is no state of it.
    """
    kind = _kind(name, "State")
    try:
        state: msgspec.Struct = msgspec.convert(document, kind)
    except msgspec.ValidationError as fault:
        raise InvalidRequest(f"what was kept of the policy {name!r} is not its state: {fault}") from None
    return state


def _kind(name: str, suffix: str = "") -> Any:
    if name not in _POLICIES:
        raise InvalidRequest(f"the policy is {name!r}, expected one of {', '.join(NAMES)}")
    module, kind = _POLICIES[name]
    return getattr(import_module(f"tidegate.autoscaler.{module}"), kind + suffix)
