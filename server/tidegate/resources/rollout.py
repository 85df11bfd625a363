"""How a new revision takes over: the strategy, its steps, what is compared, what happens on failure."""

from __future__ import annotations

from typing import Annotated, Literal

from tidegate.resources.scalars import Count, Fraction, Positive, Quoted, Real, Seconds, Uri, Whole
from tidegate.resources.section import Section


class Hold(Section):
    """How long a step lasts."""

    min: Seconds | None = None
    """Time before it can be passed; without it 0s."""
    max: Seconds | None = None
    """Time after which it is passed although harm is not excluded, if nothing speaks against it and there are enough
    samples; without it 10m, or min where that is longer."""


class Step(Section):
    """One share of the traffic for the new revision."""

    weight: Annotated[int, Whole(1, 100)]
    """Per cent of the traffic."""
    hold: Hold | None = None
    """How long it lasts; without it, until harm is excluded."""


class Errors(Section):
    """Answers that fail by the revision's own fault: 5xx, timeouts, invalid outputs."""

    max_increase: Fraction = 0.01
    """Share of requests that may fail beyond that of the stable revision."""


class Latency(Section):
    """Time that answers take, against the stable revision in the same window."""

    percentile: Annotated[float, Real(1.0, 99.99)] = 95
    """Which percentile is compared."""
    max_ratio: Annotated[float, Real(1.0, 1000.0)] = 1.2
    """Multiple of the stable revision's that it may reach."""


class Tolerance(Section):
    """How far an output may be from the one that is expected."""

    rtol: Annotated[float, Real(0.0)] = 0
    """Relative, to the expected value."""
    atol: Annotated[float, Real(0.0)] = 0
    """Absolute."""


class Golden(Section):
    """Requests whose answers are known."""

    uri: Uri
    """Where they lie."""
    tolerance: Tolerance | None = None
    """How far outputs may be from them; without it not at all."""


class Outputs(Section):
    """Outputs of the new revision against those of the stable one, for copies of the same requests."""

    max_different: Fraction
    """Share of requests whose outputs may differ. Asks for a shadow phase before the first step."""
    tolerance: Tolerance | None = None
    """How far numbers may be apart before they differ; without it not at all."""


class Webhook(Section):
    """Any HTTP endpoint, signed by Standard Webhooks."""

    url: Uri
    """Where it is sent."""
    secret_ref: str | None = None
    """Name of the secret that it is signed with; without it, it is not signed."""


class PrometheusQuery(Section):
    """A question to a Prometheus server."""

    url: Uri
    """The server: http://HOST:9090."""
    query: str
    """PromQL whose result is one number; {service}, {namespace}, {stable} and {canary} stand for the rollout: the
    service's name, its namespace, and the numbers of both revisions."""
    min: Annotated[float, Real(-1e300)] | None = None
    """Least value that is well; without it there is none."""
    max: Annotated[float, Real(-1e300)] | None = None
    """Largest value that is well; without it there is none."""


class Check(Section):
    """A check of your own: exactly one of webhook and prometheus."""

    name: Quoted
    """What verdicts call it."""
    webhook: Webhook | None = None
    """A POST of the rollout's state, answered with {"outcome": "pass", "message": "…"}; or fail, or undecided."""
    prometheus: PrometheusQuery | None = None
    """A number that must lie within bounds."""
    interval: Seconds | None = None
    """How often it is asked; without it 10s."""


class Analysis(Section):
    """What must hold for the new revision to go on."""

    errors: Errors | None = None
    """Failing answers; without it they are not compared."""
    latency: Latency | None = None
    """Time that answers take; without it it is not compared."""
    golden: Golden | None = None
    """Requests whose answers are known, before the first step; without it there are none."""
    outputs: Outputs | None = None
    """Outputs against those of the stable revision; without it they are not compared."""
    checks: list[Check] = []
    """Checks of your own, asked in each phase; every one of them must pass."""
    min_samples: Count = 200
    """Requests to the new revision before a step can be passed."""
    timeout: Seconds | None = None
    """Time for one step to come to a verdict; without it 30m."""
    on_timeout: Literal["pause", "rollback"] = "pause"
    """What happens then. Missing data never promotes."""


class Sticky(Section):
    """What keeps a caller with one revision."""

    header: str
    """Header of the request, whose value decides; without the header, the request's id."""


class Rollout(Section):
    """How a new revision takes over from the one before. The first deployment skips the steps."""

    strategy: Literal["immediate", "blueGreen", "canary", "shadow"] = "immediate"
    """immediate: once it is ready; blueGreen: all at once, after the analysis; canary: by steps; shadow: copies of
    requests before it takes any."""
    steps: list[Step] = []
    """Shares of a canary, in ascending order; the last is followed by all of the traffic."""
    analysis: Analysis | None = None
    """What must hold for it to go on; without it only readiness."""
    sticky: Sticky | None = None
    """What keeps a caller with one revision; without it each request is decided for itself."""
    on_failure: Literal["rollback", "pause"] = "rollback"
    """What happens when the analysis speaks against it."""
    history_limit: Positive = 10
    """Old revisions that are kept with their files, so that going back downloads nothing."""


class Slack(Section):
    """A channel of Slack, by an incoming webhook."""

    secret_ref: str
    """Name of the secret that has the webhook's URL."""


class Teams(Section):
    """A channel of Microsoft Teams, by a workflow."""

    secret_ref: str
    """Name of the secret that has the workflow's URL."""


class Channel(Section):
    """Who is told of what: exactly one of slack, teams and webhook."""

    slack: Slack | None = None
    """A channel of Slack."""
    teams: Teams | None = None
    """A channel of Microsoft Teams."""
    webhook: Webhook | None = None
    """Any HTTP endpoint."""
    events: list[Quoted] = ["rollout.*", "model.failed"]
    """Which events, by type; * stands for anything."""
