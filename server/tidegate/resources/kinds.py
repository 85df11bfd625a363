"""The kinds that are known: one table, from which discovery, CRDs, explanation and decoding read."""

from __future__ import annotations

from dataclasses import dataclass

from tidegate.resources.document import GroupKind
from tidegate.resources.inference_service import InferenceService
from tidegate.resources.metadata import Resource
from tidegate.resources.model_service import ModelService
from tidegate.resources.serving_job import ServingJob
from tidegate.resources.serving_revision import ServingRevision
from tidegate.resources.serving_rollout import ServingRollout
from tidegate.resources.serving_runtime import ClusterServingRuntime, ServingRuntime

OURS = "tidegate.dev"
KSERVE = "serving.kserve.io"
SERVICES = (GroupKind(OURS, "ModelService"), GroupKind(KSERVE, "InferenceService"))
"""A name is one service's among all of them in a namespace: it is what requests are routed by."""


@dataclass(frozen=True)
class Kind:
    """One kind in one version."""

    group: str
    version: str
    name: str
    plural: str
    short: tuple[str, ...]
    namespaced: bool
    model: type[Resource]
    words: tuple[str, ...] = ()
    """More short names, for where there are no kinds but these: our own server and command line. In a cluster they
    would take ``kubectl get job`` away from batch/v1, so that the CRDs do not have them."""

    @property
    def aliases(self) -> tuple[str, ...]:
        """All short names that our own server and command line know."""
        return (*self.short, *self.words)

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}"

    @property
    def foreign(self) -> bool:
        """Whether it is KServe's: a field that is unknown to us may be known to a later KServe."""
        return self.group == KSERVE


KINDS = (
    Kind(OURS, "v1", "ModelService", "modelservices", ("msvc",), True, ModelService),
    Kind(OURS, "v1", "ServingRevision", "servingrevisions", ("srev",), True, ServingRevision),
    Kind(OURS, "v1", "ServingRollout", "servingrollouts", ("srol",), True, ServingRollout, ("rollout", "rollouts")),
    Kind(OURS, "v1", "ServingJob", "servingjobs", ("sjob",), True, ServingJob, ("job", "jobs")),
    Kind(KSERVE, "v1beta1", "InferenceService", "inferenceservices", ("isvc",), True, InferenceService),
    Kind(KSERVE, "v1alpha1", "ServingRuntime", "servingruntimes", (), True, ServingRuntime),
    Kind(KSERVE, "v1alpha1", "ClusterServingRuntime", "clusterservingruntimes", (), False, ClusterServingRuntime),
)


def find_kind(word: str) -> Kind | None:
    """The kind that a person means: by name, plural or short name, in any case."""
    word = word.lower()
    return next((kind for kind in KINDS if word in (kind.name.lower(), kind.plural, *kind.aliases)), None)
