"""How a model is run, in the words of Triton's configuration: what holds in the end, wherever it was said. Pure."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from msgspec import UNSET

from tidegate.app.models import Plan
from tidegate.gateway.caller import CallerSettings
from tidegate.protocol.configuration import (
    ConfiguredParameter,
    DynamicBatching,
    InstanceGroup,
    ModelConfiguration,
    QueuePolicy,
    ResponseCache,
    configured_tensors,
)
from tidegate.protocol.messages import ModelMetadata
from tidegate.storage.config import VersionPolicy

_ELSEWHERE = frozenset(("max_batch", "batch_sizes", "max_latency", "max_queue", "padded_dimensions"))
"""Settings of the batcher that Triton has a field for, or that have no short text."""
_KINDS = {"cpu": "KIND_CPU", "cuda": "KIND_GPU"}


def configuration_of(plan: Plan, metadata: ModelMetadata, callers: CallerSettings, cached: bool) -> ModelConfiguration:
    """The configuration of a version whose load has told its signature."""
    batching = plan.batching
    most = batching.max_batch
    if metadata.max_batch_size:
        most = min(most, metadata.max_batch_size)
    return ModelConfiguration(
        name=plan.source.name,
        platform=metadata.platform,
        backend=plan.source.runtime,
        version_policy=_policy(plan.source.config.version_policy),
        max_batch_size=most if metadata.batch_dimension else 0,
        input=configured_tensors(metadata, metadata.inputs),
        output=configured_tensors(metadata, metadata.outputs),
        instance_group=(
            InstanceGroup(
                plan.source.name,
                _KINDS.get(plan.artifact.device.partition(":")[0], "KIND_AUTO"),
                plan.replica.replicas,
            ),
        ),
        dynamic_batching=DynamicBatching(
            preferred_batch_size=batching.batch_sizes,
            max_queue_delay_microseconds=round(batching.max_latency * 1e6),
            priority_levels=callers.priority_levels,
            default_priority_level=callers.default_priority,
            default_queue_policy=QueuePolicy(batching.max_queue),
        ),
        parameters={name: ConfiguredParameter(text) for name, text in _parameters(plan).items()},
        response_cache=ResponseCache(True) if cached else None,
    )


def _policy(policy: VersionPolicy) -> Mapping[str, Mapping[str, int | tuple[int, ...]]]:
    if policy.all:
        return {"all": {}}
    if policy.specific:
        return {"specific": {"versions": policy.specific}}
    return {"latest": {"num_versions": 1 if policy.latest is UNSET else policy.latest}}


def _parameters(plan: Plan) -> dict[str, str]:
    """What Triton has no field for: the batcher's other settings, and the runtime's options as they were given."""
    batcher = {
        name: _text(value) for name, value in msgspec.structs.asdict(plan.batching).items() if name not in _ELSEWHERE
    }
    load = "on_demand" if plan.on_demand else "eager"
    own = {"device": plan.artifact.device, "threads": str(plan.artifact.threads), "load": load}
    return {**batcher, **own, **{f"options.{name}": value for name, value in plan.artifact.options.items()}}


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else str(value)
