"""ServingJob (tidegate.dev/v1): work that takes a while. The server writes it.

Its status::

    state: Waiting | Running | Paused | Succeeded | Failed | Cancelled
    place: 2                  # of what waits: how many go before it, and itself
    progress: 0.35            # from 0 to 1, where it can be told
    message: step 2 of 3      # one sentence
    startedAt, endedAt: 2026-11-27T10:00:00Z
"""

from __future__ import annotations

from typing import Literal

from tidegate.resources.metadata import Resource
from tidegate.resources.section import Section


class Subject(Section):
    """What a job is about, in the same namespace."""

    kind: str
    """Its kind."""
    name: str
    """Its name."""


class ServingJobSpec(Section):
    """What is done."""

    type: Literal["rollout", "download"]
    """rollout: a change of a service from one revision to another; download: a model that is fetched and kept."""
    subject: Subject
    """For what."""


class ServingJob(Resource):
    """Work that takes a while."""

    api_version: Literal["tidegate.dev/v1"]
    """Group and version of the kind: tidegate.dev/v1."""
    kind: Literal["ServingJob"]
    """The kind: ServingJob."""
    spec: ServingJobSpec
    """What is done."""
