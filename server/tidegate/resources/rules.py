"""What only several fields together can tell: one table of rules, after KServe's own admission where it has them.

A rule reads the plain document, in which every value that is there has the right shape, but anything may be missing:
a field that is at fault by itself was left out. So one fault does not hide another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from tidegate.resources import rules_channel as channel
from tidegate.resources import rules_kserve as kserve
from tidegate.resources import rules_rollout as rollout
from tidegate.resources import rules_service as service
from tidegate.resources.faults import Fault

Document = dict[str, Any]

SERVICES = ("ModelService", "InferenceService")
RUNTIMES = ("ServingRuntime", "ClusterServingRuntime")


@dataclass(frozen=True)
class Rule:
    """One rule: for which kinds it holds, what it says, and who looks."""

    kinds: tuple[str, ...]
    sentence: str
    check: Callable[[Document], Iterator[Fault]]


RULES = (
    Rule(SERVICES, "A name has at most 51 characters, so that NAME-transformer is a name in DNS.", service.name_length),
    Rule(SERVICES, "A predictor has exactly one implementation.", service.one_predictor),
    Rule(SERVICES, "A transformer and an explainer have exactly one implementation.", service.one_companion),
    Rule(SERVICES, "minReplicas is at most maxReplicas, unless that is 0.", service.bounds),
    Rule(SERVICES, "A model has one place: storageUri or storage.", service.one_place),
    Rule(SERVICES, "No container sets PYTHONPATH, which would put foreign code into the server.", service.python_path),
    Rule(SERVICES, "Containers of a component have different names.", service.container_names),
    Rule(SERVICES, "The shares of canaries are at most 100 per cent together.", service.canary_shares),
    Rule(("ModelService",), "Traffic is split by rollout, or by hand, not by both.", service.one_split),
    Rule(("ModelService",), "A canary has steps, which ascend; nothing else has any.", service.steps),
    Rule(("ModelService",), "A hold's min is at most its max.", service.holds),
    Rule(("ModelService",), "Own checks have names of their own, one place to ask, and bounds.", service.own_checks),
    Rule(("ModelService",), "A step of a canary has a hold's min, or there is an analysis.", rollout.step_ends),
    Rule(("ModelService",), "An analysis compares something, and not beside immediate.", rollout.analysis),
    Rule(
        ("ModelService",), "Of a step with all of the traffic no errors or latencies are compared.", rollout.all_traffic
    ),
    Rule(("ModelService",), "A hold is no longer than the analysis may take, where that is said.", rollout.timeout),
    Rule(("ModelService",), "allowedSizes and the sizes of pad ascend.", service.sizes),
    Rule(("ModelService",), "The default priority is one of the levels.", service.priorities),
    Rule(("ModelService",), "A scale policy's metric is one that it knows.", service.scale_policy),
    Rule(("ModelService",), "A channel, a warm-up and a builtin transformer are exactly one thing.", service.one_thing),
    Rule(("ModelService",), "A secret has a name in DNS, and a webhook an address of HTTP.", channel.addresses),
    Rule(("InferenceService",), "A name begins with a letter and has no dot.", kserve.name_form),
    Rule(("InferenceService",), "A model's container has no name of its own.", kserve.model_name),
    Rule(("InferenceService",), "Annotations that KServe reads have one of its values.", kserve.annotation_values),
    Rule(("InferenceService",), "storageUris is not beside storageUri, and its paths are fit to mount.", kserve.places),
    Rule(("InferenceService",), "A collocated transformer has no STORAGE_URI.", kserve.collocated),
    Rule(("InferenceService",), "A custom predictor's PROTOCOL is v1 or v2.", kserve.protocol),
    Rule(("InferenceService",), "A scale metric is one that the autoscaler of the mode knows.", kserve.scale_metric),
    Rule(("InferenceService",), "A metric of autoScaling has what its type needs.", kserve.metrics),
    Rule(("InferenceService",), "deploymentStrategy is for Standard mode.", kserve.deployment_strategy),
    Rule(("InferenceService",), "A logger's storage is complete.", kserve.logger_storage),
    Rule(("InferenceService",), "An encrypted model has a storageUri and a key.", kserve.confidential),
    Rule(
        ("InferenceService",), "A model over several nodes has one worker, a volume and no autoscaler.", kserve.workers
    ),
    Rule(("InferenceService",), "A canary differs in its model, not in its scaling.", kserve.canaries),
    Rule(RUNTIMES, "A runtime has a container.", kserve.runtime_containers),
    Rule(RUNTIMES, "A runtime gives a format one priority.", kserve.runtime_priorities),
)


def broken_rules(kind: str, document: Document) -> list[Fault]:
    """What the rules for a kind find in a document."""
    return [fault for rule in RULES if kind in rule.kinds for fault in rule.check(document)]
