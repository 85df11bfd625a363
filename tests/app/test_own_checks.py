"""A user's own checks: what they are sent, and what their answers come to."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping

import httpx
import pytest

from tidegate.analysis.verdict import Outcome, Verdict
from tidegate.app.own_checks import Inquiry, Sign, ask
from tidegate.outgoing.settings import OutgoingSettings
from tidegate.resources.actuator import RevisionId
from tidegate.resources.rollout import Check, PrometheusQuery, Webhook

STABLE, CANARY = RevisionId("team", "iris", 3), RevisionId("team", "iris", 4)
SETTINGS = OutgoingSettings(origins=("http://checks.example",))


def webhook(**more: str) -> Check:
    return Check(name="slo", webhook=Webhook.model_validate({"url": "http://checks.example/a", **more}))


def query(*words: str, **bounds: float) -> Check:
    told = PrometheusQuery(url="http://checks.example/prom/", query=" ".join(words) or "up", **bounds)
    return Check(name="slo", prometheus=told)


class Server:
    """Answers everything so, and keeps what it was asked."""

    def __init__(self, body: object, status: int = 200) -> None:
        self.asked: list[httpx.Request] = []
        self._body = body if isinstance(body, bytes) else json.dumps(body).encode()
        self._status = status

    def verdict(self, check: Check, sign: Sign | None = None) -> Verdict:
        """What the check comes to."""
        inquiry = Inquiry(check, STABLE, CANARY, "step 1")
        return asyncio.run(ask(inquiry, SETTINGS, sign, httpx.MockTransport(self._answer)))

    async def _answer(self, request: httpx.Request) -> httpx.Response:
        await request.aread()
        self.asked.append(request)
        return httpx.Response(self._status, stream=httpx.ByteStream(self._body))


@pytest.mark.parametrize(
    ("answer", "outcome", "sentence"),
    [
        ({"outcome": "pass"}, Outcome.PASS, "check/slo says pass"),
        ({"outcome": "fail", "message": "two\n much"}, Outcome.FAIL, "check/slo: two much"),
        ({"outcome": "undecided", "message": "wait", "more": 1}, Outcome.UNDECIDED, "check/slo: wait"),
    ],
)
def test_a_webhook_says_what_it_thinks(answer: object, outcome: Outcome, sentence: str) -> None:
    """It is posted how the rollout stands."""
    server = Server(answer)
    assert server.verdict(webhook()) == Verdict("check/slo", outcome, sentence)
    assert (server.asked[0].method, str(server.asked[0].url)) == ("POST", "http://checks.example/a")
    assert server.asked[0].headers["content-type"] == "application/json"
    assert json.loads(server.asked[0].content) == {
        "check": "slo", "namespace": "team", "service": "iris", "stable": 3, "canary": 4, "phase": "step 1",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("answer", "status", "problem"),
    [
        ({"outcome": "pass"}, 503, "its webhook answered 503, expected 200"),
        ({"outcome": "no-data"}, 200, "its webhook's answer is not like"),
        ({"outcome": "maybe"}, 200, "its webhook's answer is not like"),
        (b"\xff", 200, "its webhook's answer is not like"),
        (b"", 200, "its webhook's answer is not like"),
    ],
)
def test_a_webhook_that_cannot_be_understood_is_no_data(answer: object, status: int, problem: str) -> None:
    """It is neither a pass nor a failure."""
    verdict = Server(answer, status).verdict(webhook())
    assert verdict.outcome is Outcome.NO_DATA
    assert verdict.sentence.startswith(f"check/slo: {problem}")


def test_a_webhook_with_a_secret_is_signed_or_not_asked() -> None:
    """Who checks signatures would have to let an unsigned one pass, else."""

    async def sign(namespace: str, secret: str, body: bytes) -> Mapping[str, str]:
        return {"webhook-signature": f"{namespace}/{secret}/{len(body)}"}

    server = Server({"outcome": "pass"})
    verdict = server.verdict(webhook(secretRef="key"))
    assert (verdict.outcome, server.asked) == (Outcome.NO_DATA, [])
    assert "its secretRef cannot be honoured" in verdict.sentence
    assert server.verdict(webhook(secretRef="key"), sign).outcome is Outcome.PASS
    body = server.asked[0].content
    assert server.asked[0].headers["webhook-signature"] == f"team/key/{len(body)}"


def vector(*values: str) -> dict[str, object]:
    result = [{"metric": {"a": "b"}, "value": [1700000000.1, value]} for value in values]
    return {"status": "success", "data": {"resultType": "vector", "result": result}}


@pytest.mark.parametrize(
    ("value", "bounds", "outcome", "sentence"),
    [
        ("0.25", {"max": 0.5}, Outcome.PASS, "check/slo is 0.25"),
        ("0.5", {"min": 0.5, "max": 0.5}, Outcome.PASS, "check/slo is 0.5"),
        ("0.75", {"max": 0.5}, Outcome.FAIL, "check/slo is 0.75, expected at most 0.5"),
        ("0.25", {"min": 0.5}, Outcome.FAIL, "check/slo is 0.25, expected at least 0.5"),
        ("+Inf", {"max": 0.5}, Outcome.FAIL, "check/slo is inf, expected at most 0.5"),
    ],
)
def test_a_number_lies_within_its_bounds(value: str, bounds: dict[str, float], outcome: Outcome, sentence: str) -> None:
    """Bounds are inclusive; a vector of one and a scalar are the same."""
    expected = Verdict("check/slo", outcome, sentence, {"value": float(value)})
    assert Server(vector(value)).verdict(query(**bounds)) == expected
    scalar = {"status": "success", "data": {"resultType": "scalar", "result": [1700000000, value]}}
    assert Server(scalar).verdict(query(**bounds)) == expected


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (vector(), "its query gives no numbers, expected one"),
        (vector("1", "2"), "its query gives 2 numbers, expected one"),
        (vector("NaN"), "its query gives no number (NaN)"),
        ({"status": "success", "data": {"resultType": "matrix", "result": []}}, "its query gives a matrix"),
        ({"status": "error", "error": "x"}, "what answered its query is no Prometheus server"),
        (vector("x"), "what answered its query is no Prometheus server"),
        (b"<html>", "what answered its query is no Prometheus server"),
    ],
)
def test_a_query_without_one_number_is_no_data(answer: object, problem: str) -> None:
    """An empty vector is what Prometheus says of a service that nobody has asked yet."""
    verdict = Server(answer).verdict(query(max=1))
    assert (verdict.outcome, verdict.numbers) == (Outcome.NO_DATA, {})
    assert verdict.sentence.startswith(f"check/slo: {problem}")


def test_a_query_is_about_the_rollout() -> None:
    """What stands for it is replaced; PromQL's own braces stay."""
    server = Server(vector("1"))
    server.verdict(query('sum(x{model="{namespace}/{service}",version=~"{stable}|{canary}"})', min=0))
    assert server.asked[0].url.path == "/prom/api/v1/query"
    assert server.asked[0].url.params["query"] == 'sum(x{model="team/iris",version=~"3|4"})'


def test_a_check_goes_only_where_the_server_lets_it() -> None:
    """A manifest must not be able to ask this machine's neighbours."""

    async def verdict(check: Check) -> Verdict:
        return await ask(Inquiry(check, STABLE, CANARY, "step 1"), OutgoingSettings())

    for check in (webhook(), query(max=1)):
        told = asyncio.run(verdict(check))
        assert told.outcome is Outcome.NO_DATA
        assert told.sentence == (
            "check/slo: http://checks.example:80 is not among the allowed origins; --outgoing allows one"
        )


def test_a_query_that_fails_is_no_data() -> None:
    """Prometheus says 4xx of one that it does not understand."""
    verdict = Server({"status": "error"}, 400).verdict(query(max=1))
    assert verdict.outcome is Outcome.NO_DATA
    assert "answered 400, expected 200" in verdict.sentence
