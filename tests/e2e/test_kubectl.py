"""kubectl as it is on this machine, and the requests that one has made before."""

from __future__ import annotations

import json
import re
import threading
from pathlib import Path
from typing import Any

import httpx
import pytest

from tidegate.control.api.kubeconfig import Access
from tidegate.identity.authenticator import Authenticator
from tidegate.identity.credentials import Credentials
from tidegate.identity.identity import Identity, Proof, Role
from tidegate.testing.admin import Administered
from tidegate.testing.api import Api, OpenDoor
from tidegate.testing.kubectl import READY, STEPS, Kubectl, body_of, say_ready
from tidegate.testing.kubectl import program as kubectl_program
from tidegate.testing.stores import in_loop

RECORDED = [json.loads(line) for line in (Path(__file__).parent / "kubectl_requests.jsonl").read_text().splitlines()]
SERVICES = "/apis/tidegate.dev/v1/namespaces/default/modelservices"


@pytest.fixture(scope="module")
def program() -> str:
    """The kubectl on the PATH."""
    found = kubectl_program()
    if not found:
        pytest.skip("kubectl 1.27 or newer is not installed; its recorded requests are asked all the same")
    return found


@pytest.mark.e2e
@pytest.mark.recorded
def test_kubectl_does_all_that_it_can_do_here(program: str, tmp_path: Path) -> None:
    """Step by step, each with its exit code and what it prints."""
    with Administered.start(tmp_path / "state", ready=False) as admin:
        kubectl = Kubectl(program, tmp_path, Access(name="test", server=admin.url))
        for step in STEPS:
            if step is READY:
                say_ready(admin.url)
                continue
            code, printed = kubectl.run(step.words)
            assert (step.words, code) == (step.words, step.code), printed
            assert re.search(step.prints, printed), f"kubectl {step.words}:\n{printed}"


class OneToken:
    async def recognise(self, credentials: Credentials) -> Identity | None:
        return Identity("ann", Proof.KEY, role=Role.EDIT) if credentials.token == "secret" else None


@pytest.mark.e2e
@pytest.mark.recorded
def test_kubectl_shows_its_token_over_tls(program: str, tmp_path: Path) -> None:
    """With the kubeconfig that we write; without the token, or for what its role may not, it says so."""
    with Administered.start(tmp_path / "state", authenticator=Authenticator(OneToken())) as admin:
        assert admin.server.certificate is not None
        authority = admin.server.certificate.authority
        ann = Kubectl(program, tmp_path, Access(name="test", server=admin.url, authority=authority, token="secret"))
        assert ann.run("apply -f rose.yaml") == (0, "modelservice.tidegate.dev/rose created\n")
        assert ann.run("wait --for=condition=Ready msvc/rose --timeout=30s")[0] == 0
        assert "it answers" in ann.run("describe msvc rose")[1]
        code, printed = ann.run("auth can-i create namespaces")
        assert (code, printed.splitlines()[-1]) == (1, "no - role edit")
        assert "Error from server (Forbidden)" in ann.run("apply -f team.yaml")[1]
        nobody = Kubectl(program, tmp_path, Access(name="test", server=admin.url, authority=authority, token="wrong"))
        code, printed = nobody.run("get msvc")
        assert code == 1
        assert "You must be logged in" in printed or "Unauthorized" in printed


@pytest.mark.e2e
@pytest.mark.recorded
def test_kubectl_waits_and_watches(program: str, tmp_path: Path) -> None:
    """Until a service is ready which is not yet, and until it is gone."""
    with Administered.start(tmp_path / "state", ready=False) as admin:
        kubectl = Kubectl(program, tmp_path, Access(name="test", server=admin.url))
        kubectl.run("apply -f rose.yaml")
        results: dict[str, tuple[int, str]] = {}
        waiting = [
            "wait --for=condition=Ready msvc/rose --timeout=60s",
            "wait --for=delete msvc/rose --timeout=60s",
        ]
        threads = [
            threading.Thread(target=lambda words=words: results.update({words: kubectl.run(words)}))
            for words in waiting
        ]
        with kubectl.start("get msvc rose -w -o name") as watching:
            assert watching.stdout is not None
            assert watching.stdout.readline() == "modelservice.tidegate.dev/rose\n"
            for thread in threads:
                thread.start()
            say_ready(admin.url)
            threads[0].join()
            assert results[waiting[0]] == (0, "modelservice.tidegate.dev/rose condition met\n")
            assert watching.stdout.readline() == "modelservice.tidegate.dev/rose\n"
            httpx.delete(f"{admin.url}{SERVICES}/rose").raise_for_status()
            threads[1].join()
            assert results[waiting[1]][0] == 0
            admin.close()  # which ends the watch
            assert watching.wait(60) == 0


@pytest.mark.e2e
@pytest.mark.recorded
def test_kubectl_finds_jobs_by_the_word_that_people_type(program: str, tmp_path: Path) -> None:
    """There is no batch group here that the word could mean; one that is named is not there."""
    with Administered.start(tmp_path / "state", ready=False) as admin:
        admin.create(
            {
                "apiVersion": "tidegate.dev/v1",
                "kind": "ServingJob",
                "metadata": {"name": "fetching", "namespace": "default"},
                "spec": {"type": "download", "subject": {"kind": "ModelService", "name": "iris"}},
                "status": {"state": "Running", "progress": 0.35},
            }
        )
        kubectl = Kubectl(program, tmp_path, Access(name="test", server=admin.url))
        for words in ("get jobs", "get job fetching"):
            code, printed = kubectl.run(words)
            assert (code, printed.splitlines()[1].split()[1:5]) == (
                0,
                ["download", "modelservice/iris", "Running", "35%"],
            )
        assert kubectl.run("get jobs.batch")[0] == 1


@in_loop
async def test_recorded_requests_of_kubectl_are_answered_as_they_were() -> None:
    """Each with its code and media type; a watch begins. So kubectl's own manners are tested without it, too."""
    about, *requests = RECORDED
    assert about["kubectl"].startswith("v1.")
    async with Api.open(door=OpenDoor()) as api:
        for entry in requests:
            if "watch=true" in entry["path"]:
                async with api.watching(entry["path"], entry["headers"]) as watch:
                    await watch.open.wait()
                    assert watch.status == entry["code"]
                continue
            headers: dict[str, Any] = {name.replace("-", "_"): value for name, value in entry["headers"].items()}
            reply = await api.ask(entry["method"], entry["path"], body_of(entry), kind="", **headers)
            told = (entry["step"], entry["method"], entry["path"], reply.status_code, reply.headers.get("content-type"))
            expected = (*told[:3], entry["code"], entry["type"] or None)
            if entry["code"] == 304:
                continue  # the document of that digest may be another one by now
            assert told == expected, reply.text
        assert (await api.got(SERVICES))["items"] == []


def test_the_recording_is_of_the_steps_that_there_are() -> None:
    """Whoever changes a step records anew: python -m tidegate.testing.kubectl."""
    recorded = {entry["step"] for entry in RECORDED[1:]}
    assert recorded == {step.words for step in STEPS}
