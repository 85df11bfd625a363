"""Notifications from a real server to real receivers: forms, retries, refusals, and what a crash leaves of them."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from slack_sdk.models.blocks import Block
from standardwebhooks import Webhook

from tidegate.cli.main import run
from tidegate.control.notifications.subscriptions import deliveries_of
from tidegate.control.store.sqlite import SqliteStore
from tidegate.testing.channels import WEBHOOK_KEY
from tidegate.testing.process import PATIENCE
from tidegate.testing.service_server import ServiceServer, manifest
from tidegate.testing.stores import occurrence

pytestmark = [pytest.mark.e2e]

SLACK = {"slack": {"secretRef": "team-slack"}}
TEAMS = {"teams": {"secretRef": "team-teams"}}
EVENTS = "/api/v1/namespaces/default/events"


class Got(NamedTuple):
    """One request at the receiver."""

    path: str
    headers: dict[str, str]
    body: bytes


class Receiver:
    """An HTTP server on the loopback. It answers 200, unless a path has other answers; those to ``/held`` wait."""

    def __init__(self) -> None:
        self.got: list[Got] = []
        self.answers: dict[str, deque[tuple[int, dict[str, str]]]] = defaultdict(deque)
        self.changed = threading.Condition()
        self.release = threading.Event()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                with receiver.changed:
                    receiver.got.append(Got(self.path, headers, body))
                    receiver.changed.notify_all()
                if self.path == "/held":
                    receiver.release.wait(PATIENCE)
                status, more = receiver.answers[self.path].popleft() if receiver.answers[self.path] else (200, {})
                try:
                    self.send_response(status)
                    for name, value in (more | {"content-length": "2"}).items():
                        self.send_header(name, value)
                    self.end_headers()
                    self.wfile.write(b"ok")
                except OSError:
                    pass  # whoever asked was killed

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.origin = f"http://127.0.0.1:{self.server.server_address[1]}"
        self._thread = threading.Thread(target=self.server.serve_forever)
        self._thread.start()

    def close(self) -> None:
        self.release.set()
        self.server.shutdown()
        self.server.server_close()
        self._thread.join()

    def at(self, path: str) -> list[Got]:
        return [got for got in self.got if got.path == path]

    def until(self, holds: Callable[[], bool]) -> None:
        with self.changed:
            assert self.changed.wait_for(holds, PATIENCE), [got.path for got in self.got]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.close()


@pytest.fixture
def words(tmp_path: Path, receiver: Receiver) -> list[str | Path]:
    """The options of a server that may send to the receiver, whose addresses the secrets have."""
    secrets = tmp_path / "secrets/default"
    secrets.mkdir(parents=True)
    (secrets / "team-slack").write_text(f"{receiver.origin}/slack\n")
    (secrets / "team-teams").write_text(f"{receiver.origin}/teams\n")
    (secrets / "held").write_text(f"{receiver.origin}/held\n")
    (secrets / "key").write_text(f"{WEBHOOK_KEY}\n")
    return ["--secrets", secrets.parent, "--outgoing", receiver.origin, "--outgoing-network", "127.0.0.1/32"]


def hook(receiver: Receiver) -> dict[str, Any]:
    return {"webhook": {"url": f"{receiver.origin}/hook", "secretRef": "key"}}


def told(state: Path, identity: str, *channels: dict[str, Any]) -> bool:
    """Tell it as a server does that is killed right after it."""

    async def tell() -> bool:
        async with await SqliteStore.open(state) as store:
            deliveries = deliveries_of(channels, "rollout.succeeded")
            happened = occurrence(identity, message=f"it is {identity}", time=time.time(), data={"revision": 3})
            return await store.tell(happened, deliveries)

    return asyncio.run(tell())


def warnings(server: ServiceServer) -> dict[str, str]:
    """The messages of warnings by their reason."""
    items = server.admin.get(EVENTS).raise_for_status().json()["items"]
    return {each["reason"]: each["message"] for each in items if each["type"] == "Warning"}


def until_warned(server: ServiceServer, reason: str) -> str:
    deadline = time.monotonic() + PATIENCE
    while reason not in warnings(server):
        assert time.monotonic() < deadline
    return warnings(server)[reason]


def until_counted(server: ServiceServer, channel: str, outcome: str, count: int) -> None:
    """Until so many attempts had this outcome: what is counted was written."""
    server.serving.until_figure(count, "tidegate_notifications_total", channel=channel, outcome=outcome)


def test_each_channel_is_told_once_in_its_form(tmp_path: Path, receiver: Receiver, words: list[str | Path]) -> None:
    """Also by a server that starts after the one that knew of it was killed, and not again by the one after that."""
    state = tmp_path / "state"
    assert told(state, "a", SLACK, TEAMS, hook(receiver))
    with ServiceServer.start(state, *words) as server:
        receiver.until(lambda: len(receiver.got) == 3)
        for sort in ("slack", "teams", "webhook"):
            until_counted(server, sort, "delivered", 1)
        server.serving.process.kill()
        server.serving.process.wait()
        server.begin_again()
        assert server.admin.get("/tidegate/v1/cloudevents").json()["id"] == "a"
    assert not told(state, "a", SLACK)
    with ServiceServer.start(state, *words):
        pass
    assert sorted(got.path for got in receiver.got) == ["/hook", "/slack", "/teams"]

    [slack] = receiver.at("/slack")
    message = json.loads(slack.body)
    assert message["text"].startswith("Rollout succeeded: default/iris")
    for block in Block.parse_all(message["blocks"]):
        block.validate_json()
    [teams] = receiver.at("/teams")
    card = json.loads(teams.body)["attachments"][0]["content"]
    assert (card["type"], card["version"]) == ("AdaptiveCard", "1.4")
    [webhook] = receiver.at("/hook")
    assert webhook.headers["content-type"] == "application/cloudevents+json"
    Webhook(WEBHOOK_KEY).verify(webhook.body, webhook.headers)
    event = json.loads(webhook.body)
    assert (event["id"], event["type"], event["data"]["details"]) == (
        "a",
        "dev.tidegate.rollout.succeeded",
        {"revision": 3},
    )


def test_what_fails_is_tried_again_with_the_same_id(
    tmp_path: Path, receiver: Receiver, words: list[str | Path]
) -> None:
    """After a 500 and a 429; the receiver can tell that it is the same, and each signature holds."""
    state = tmp_path / "state"
    receiver.answers["/hook"] += [(500, {}), (429, {"retry-after": "1"})]
    assert told(state, "a", hook(receiver))
    with ServiceServer.start(state, *words) as server:
        receiver.until(lambda: len(receiver.got) == 3)
        until_counted(server, "webhook", "delivered", 1)
        until_counted(server, "webhook", "retried", 2)
        assert warnings(server) == {}
    for got in receiver.got:
        Webhook(WEBHOOK_KEY).verify(got.body, got.headers)
    assert len({got.headers["webhook-id"] for got in receiver.got}) == 1


def test_a_refusal_is_told_and_the_secret_is_not(tmp_path: Path, receiver: Receiver, words: list[str | Path]) -> None:
    """404 is given up at once; a secret that is not there is waited for."""
    state = tmp_path / "state"
    receiver.answers["/slack"].append((404, {}))
    assert told(state, "a", SLACK, {"teams": {"secretRef": "later"}})
    with ServiceServer.start(state, *words) as server:
        assert until_warned(server, "NotificationFailed") == (
            "rollout.succeeded was not sent to slack by the secret team-slack: it answered 404 (ok)"
        )
        assert "there is no secret 'default/later'" in until_warned(server, "NotificationDelayed")
        assert receiver.origin not in json.dumps(warnings(server))
        (tmp_path / "secrets/default/later").write_text(f"{receiver.origin}/teams")
        receiver.until(lambda: len(receiver.at("/teams")) == 1)
        assert len(receiver.at("/slack")) == 1


def test_a_server_that_may_not_send_there_says_so(tmp_path: Path, receiver: Receiver, words: list[str | Path]) -> None:
    """A private address is not allowed by a secret alone; with the options it arrives after a restart."""
    state = tmp_path / "state"
    assert told(state, "a", SLACK, hook(receiver))
    with ServiceServer.start(state, *words[:2]) as server:
        message = until_warned(server, "NotificationDelayed")
        assert "is not among the allowed origins (--outgoing, --outgoing-network)" in message
    assert receiver.got == []
    with ServiceServer.start(state, *words):
        receiver.until(lambda: len(receiver.got) == 2)


def test_what_was_not_answered_before_a_kill_is_sent_again(
    tmp_path: Path, receiver: Receiver, words: list[str | Path]
) -> None:
    """Nobody knows whether it arrived; what the same channel was to get after it comes after it."""
    state = tmp_path / "state"
    held = {"slack": {"secretRef": "held"}}
    assert told(state, "a", held)
    assert told(state, "b", held)
    with ServiceServer.start(state, *words) as server:
        receiver.until(lambda: len(receiver.got) == 1)
        server.serving.process.kill()
        server.serving.process.wait()
        receiver.release.set()
        server.begin_again()
        receiver.until(lambda: len(receiver.got) == 3)
        until_counted(server, "slack", "delivered", 2)
    texts = [json.loads(got.body)["text"].rpartition(": ")[2] for got in receiver.got]
    assert texts == ["it is a", "it is a", "it is b"]


def test_channels_are_tried_from_the_command_line(
    tmp_path: Path,
    receiver: Receiver,
    words: list[str | Path],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """At a server that is named by its address only; nothing of it is warned of."""
    with ServiceServer.start(tmp_path / "state", *words) as server:
        service = manifest("iris", tmp_path / "none.joblib", "sklearn")
        nothing = {"events": ["rollout.paused"]}  # which does not happen here
        service["spec"]["notify"] = [SLACK | nothing, hook(receiver) | nothing]
        server.write(service)
        receiver.answers["/hook"].append((410, {}))
        monkeypatch.setenv("TIDEGATE_CONFIG", str(tmp_path / "none.yaml"))
        assert run(["notify", "test", "iris", "--server", server.serving.admin]) == 1
        lines = capsys.readouterr().out.splitlines()
        assert [line.split()[-5:] for line in lines[1:]] == [
            ["team-slack", "delivered", "it", "answered", "200"],
            ["failed", "it", "answered", "410", "(ok)"],
        ]
        assert json.loads(receiver.at("/slack")[0].body)["text"].startswith("Notification test: default/iris")
        [webhook] = receiver.at("/hook")
        Webhook(WEBHOOK_KEY).verify(webhook.body, webhook.headers)
        assert "NotificationFailed" not in warnings(server)
