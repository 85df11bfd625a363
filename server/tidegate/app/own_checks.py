"""A user's own checks: what they are asked over HTTP, and the verdicts that their answers are. Pure but for ``ask``."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from math import isnan
from typing import Any, Literal
from urllib.parse import urlencode

import httpx
import msgspec

from tidegate.analysis.verdict import Outcome, Verdict
from tidegate.outgoing.fetch import DestinationRefused, FetchFailed, fetch
from tidegate.outgoing.sending import Answer, send
from tidegate.outgoing.settings import OutgoingSettings
from tidegate.protocol.errors import shown
from tidegate.resources.actuator import RevisionId
from tidegate.resources.rollout import Check, PrometheusQuery, Webhook

LONGEST = 300
"""Characters of a webhook's message that are told."""

Sign = Callable[[str, str, bytes], Awaitable[Mapping[str, str]]]
"""Headers that sign a body, by the namespace and the name of a secret."""


class Inquiry(msgspec.Struct, frozen=True):
    """What a check is asked about."""

    check: Check
    stable: RevisionId
    canary: RevisionId
    phase: str

    @property
    def name(self) -> str:
        """What its verdicts are called."""
        return f"check/{self.check.name}"


async def ask(
    inquiry: Inquiry,
    settings: OutgoingSettings,
    sign: Sign | None = None,
    transport: httpx.AsyncBaseTransport | None = None,
) -> Verdict:
    """Ask it once. Without an answer that can be understood it is no data, and the sentence says why."""
    check = inquiry.check
    try:
        if check.webhook is not None:
            answer = await _posted(inquiry, check.webhook, settings, sign, transport)
            return webhook_verdict(inquiry, answer.status, answer.body)
        if check.prometheus is not None:
            url = query_url(check.prometheus, inquiry)
            return prometheus_verdict(inquiry, check.prometheus, await fetch(url, settings, transport=transport))
    except DestinationRefused as error:
        return _no_data(inquiry, f"{error}; --outgoing allows one")
    except FetchFailed as error:
        return _no_data(inquiry, error.message)
    return _no_data(inquiry, "it has neither a webhook nor a query")


async def _posted(
    inquiry: Inquiry,
    webhook: Webhook,
    settings: OutgoingSettings,
    sign: Sign | None,
    transport: httpx.AsyncBaseTransport | None,
) -> Answer:
    body = webhook_body(inquiry)
    headers = {"content-type": "application/json"}
    if webhook.secret_ref is not None:
        if sign is None:  # whoever checks signatures must not be asked without one
            raise FetchFailed("its secretRef cannot be honoured: this server signs nothing")
        headers |= await sign(inquiry.canary.namespace, webhook.secret_ref, body)
    return await send(webhook.url, body, headers, settings, transport=transport)


def webhook_body(inquiry: Inquiry) -> bytes:
    """What a webhook is sent."""
    state = {
        "check": inquiry.check.name,
        "namespace": inquiry.canary.namespace,
        "service": inquiry.canary.service,
        "stable": inquiry.stable.number,
        "canary": inquiry.canary.number,
        "phase": inquiry.phase,
    }
    return msgspec.json.encode(state)


class _Answer(msgspec.Struct):
    outcome: Literal["pass", "fail", "undecided"]
    message: str = ""


def webhook_verdict(inquiry: Inquiry, status: int, body: bytes) -> Verdict:
    """The verdict of a webhook that answered so."""
    if status != 200:
        return _no_data(inquiry, f"its webhook answered {status}, expected 200")
    try:
        answer = msgspec.json.decode(body, type=_Answer)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _no_data(inquiry, 'its webhook\'s answer is not like {"outcome": "pass", "message": "…"}')
    message = shown(" ".join(answer.message.split()), LONGEST)
    sentence = f"{inquiry.name}: {message}" if message else f"{inquiry.name} says {answer.outcome}"
    return Verdict(inquiry.name, Outcome(answer.outcome), sentence)


def query_url(prometheus: PrometheusQuery, inquiry: Inquiry) -> str:
    """The URL of an instant query (https://prometheus.io/docs/prometheus/latest/querying/api/#instant-queries).

    What stands for the rollout is replaced; other braces are PromQL's own.
    """
    query = prometheus.query
    for word, value in (
        ("{service}", inquiry.canary.service),
        ("{namespace}", inquiry.canary.namespace),
        ("{stable}", str(inquiry.stable.number)),
        ("{canary}", str(inquiry.canary.number)),
    ):
        query = query.replace(word, value)
    return f"{prometheus.url.rstrip('/')}/api/v1/query?{urlencode({'query': query})}"


class _Data(msgspec.Struct):
    resultType: str
    result: Any


class _Reply(msgspec.Struct):
    status: Literal["success"]
    data: _Data


class _Sample(msgspec.Struct):
    value: tuple[float, str]


def prometheus_verdict(inquiry: Inquiry, prometheus: PrometheusQuery, body: bytes) -> Verdict:
    """The verdict of a query that was answered so."""
    try:
        data = msgspec.json.decode(body, type=_Reply).data
        if data.resultType == "scalar":
            values = [float(msgspec.convert(data.result, tuple[float, str])[1])]
        elif data.resultType == "vector":
            values = [float(each.value[1]) for each in msgspec.convert(data.result, list[_Sample])]
        else:
            return _no_data(inquiry, f"its query gives a {shown(data.resultType)}, expected one number")
    except ValueError:  # msgspec's errors are ValueErrors, and float's
        return _no_data(inquiry, "what answered its query is no Prometheus server")
    if len(values) != 1:
        return _no_data(inquiry, f"its query gives {len(values) or 'no'} numbers, expected one")
    return _within(inquiry, prometheus, values[0])


def _within(inquiry: Inquiry, prometheus: PrometheusQuery, value: float) -> Verdict:
    if isnan(value):
        return _no_data(inquiry, "its query gives no number (NaN)")
    least, most = prometheus.min, prometheus.max
    numbers = {"value": value}
    told = f"{inquiry.name} is {value:.6g}"
    if least is not None and value < least:
        return Verdict(inquiry.name, Outcome.FAIL, f"{told}, expected at least {least:.6g}", numbers)
    if most is not None and value > most:
        return Verdict(inquiry.name, Outcome.FAIL, f"{told}, expected at most {most:.6g}", numbers)
    return Verdict(inquiry.name, Outcome.PASS, told, numbers)


def _no_data(inquiry: Inquiry, problem: str) -> Verdict:
    return Verdict(inquiry.name, Outcome.NO_DATA, f"{inquiry.name}: {problem}")
