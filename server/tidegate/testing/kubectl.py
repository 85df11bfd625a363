"""What kubectl must be able to do here, step by step; and its requests, recorded to be asked without it. ::

    python -m tidegate.testing.kubectl > tests/e2e/kubectl_requests.jsonl

Store, clock and uids of a recording are those of a test, so that the same requests have the same answers again.
"""

from __future__ import annotations

import asyncio
import base64
import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import httpx
import msgspec
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tidegate.app.admin import AdminApplication
from tidegate.control.api.application import ResourceApi
from tidegate.control.api.kubeconfig import Access, kubeconfig
from tidegate.gateway.http.listener import HttpListener
from tidegate.gateway.http.settings import HttpSettings
from tidegate.gateway.http.status import uncounted
from tidegate.protocol.limits import DEFAULT_LIMITS
from tidegate.testing.admin import ready_status
from tidegate.testing.api import SERVICES
from tidegate.testing.store import ManualClock, MemoryStore

PATIENCE = 60.0
OLDEST = (1, 27)
ROSE = """
apiVersion: tidegate.dev/v1
kind: ModelService
metadata: {name: rose, labels: {team: a}}
spec:
  predictor:
    minReplicas: 1
    model: {storageUri: /models/rose, modelFormat: {name: onnx}}
"""
IRIS = """
apiVersion: serving.kserve.io/v1beta1
kind: InferenceService
metadata: {name: iris}
spec:
  predictor:
    sklearn: {storageUri: "s3://bucket/iris"}
"""
FILES = {
    "rose.yaml": ROSE,
    "rose2.yaml": ROSE.replace("/models/rose", "/models/rose2"),
    "iris.yaml": IRIS,
    "bad.yaml": ROSE.replace("minReplicas: 1", "minReplicas: -1").replace("storageUri", "storageUrl"),
    "team.yaml": "apiVersion: v1\nkind: Namespace\nmetadata: {name: team}\n",
}


def program() -> str:
    """The kubectl on the PATH, "" where there is none that is new enough."""
    found = shutil.which("kubectl")
    if found is None:
        return ""
    told = subprocess.run([found, "version", "--client", "-o", "json"], capture_output=True, check=True).stdout
    numbers = re.match(r"v(\d+)\.(\d+)", json.loads(told)["clientVersion"]["gitVersion"])
    return found if numbers and (int(numbers[1]), int(numbers[2])) >= OLDEST else ""


class Step(msgspec.Struct, frozen=True):
    """A command line, what it exits with, and what it prints on either stream (a regular expression)."""

    words: str
    code: int = 0
    prints: str = ""


READY = Step("READY")
"""Not kubectl's: the server says that rose is ready."""
STEPS = (
    Step("version", prints=r"Server Version: v1\.\d+\.0\+tidegate"),
    Step("api-resources", prints=r"modelservices +msvc +tidegate.dev/v1 +true +ModelService"),
    Step("api-versions", prints=r"serving.kserve.io/v1beta1\ntidegate.dev/v1\nv1"),
    Step("apply -f rose.yaml", prints="modelservice.tidegate.dev/rose created"),
    Step("apply -f rose.yaml", prints="modelservice.tidegate.dev/rose unchanged"),
    Step("apply -f iris.yaml", prints=r"Warning: spec.predictor.sklearn becomes model[\s\S]*iris created"),
    Step("apply -f iris.yaml", prints="iris configured"),
    Step("create -f rose.yaml", 1, r"Error from server \(AlreadyExists\)"),
    Step("apply -f bad.yaml", 1, r"The ModelService \"rose\" is invalid: [\s\S]*\* spec.predictor.minReplicas: is -1"),
    Step("apply -f rose2.yaml --dry-run=server", prints=r"configured \(server dry run\)"),
    Step("diff -f rose.yaml"),
    Step("diff -f rose2.yaml", 1, r"\+ +storageUri: /models/rose2"),
    Step("apply -f rose2.yaml", prints="configured"),
    READY,
    Step("wait --for=condition=Ready msvc/rose --timeout=30s", prints="condition met"),
    Step("wait --for=jsonpath={.status.url} msvc/rose --timeout=30s", prints="condition met"),
    Step(
        "get msvc", prints=r"NAME +READY +REPLICAS +URL +REVISION +LATEST +AGE\nrose +True +http\S+ +rose-00002 +100 +"
    ),
    Step("get isvc", prints=r"NAME +URL +READY +PREV +LATEST +PREVROLLEDOUTREVISION +LATESTREADYREVISION +AGE"),
    Step("get all", prints=r"modelservice.tidegate.dev/rose[\s\S]*inferenceservice.serving.kserve.io/iris"),
    Step("get msvc rose -o jsonpath={.spec.predictor.model.storageUri}", prints="^/models/rose2$"),
    Step("get msvc,isvc -o name", prints="modelservice.tidegate.dev/rose\ninferenceservice.serving.kserve.io/iris"),
    Step("get msvc -l team=a -A --show-labels --chunk-size=1", prints=r"default +rose .*team=a"),
    Step("get msvc nope", 1, r"Error from server \(NotFound\): ModelService 'default/nope' is not found"),
    Step("describe msvc rose", prints=r"Storage Uri: +/models/rose2[\s\S]*Events:"),
    Step("explain msvc.spec.predictor.minReplicas", prints=r"FIELD: minReplicas <integer>"),
    Step("explain isvc --recursive", prints="predictor"),
    Step("scale msvc rose --replicas=3", prints="scaled"),
    Step("scale msvc rose --replicas=2 --current-replicas=3", prints="scaled"),
    Step("scale msvc rose --replicas=9 --current-replicas=7", 1, "Expected replicas to be 7"),
    Step("get msvc rose --subresource=scale", prints=r"NAME +DESIRED +AVAILABLE +AGE\nrose +2 +0 "),
    Step('patch msvc rose --type=merge -p {"spec":{"predictor":{"minReplicas":2}}}', prints="patched"),
    Step(
        'patch msvc rose --type=json -p [{"op":"replace","path":"/spec/predictor/minReplicas","value":3}]',
        prints="patched",
    ),
    Step('patch msvc rose -p {"spec":{}}', 1, "strategic-merge-patch"),
    Step('patch msvc rose --subresource=status --type=merge -p {"status":{"x":"y"}}', prints="patched"),
    Step("label msvc rose color=red", prints="labeled"),
    Step("annotate isvc iris example.org/note=x", prints="annotated"),
    Step("replace -f rose2.yaml", prints="replaced"),
    Step("apply --server-side -f rose.yaml", 1, "conflict"),
    Step("apply --server-side --force-conflicts -f rose.yaml", prints="serverside-applied"),
    Step("apply --server-side --field-manager=other -f rose2.yaml", 1, "storageUri is owned by 'kubectl'"),
    Step("apply --server-side --field-manager=other --force-conflicts -f rose2.yaml", prints="serverside-applied"),
    Step("diff --server-side --force-conflicts -f rose.yaml", 1, r"\+ +storageUri: /models/rose\n"),
    Step("apply -f iris.yaml", prints="iris configured"),
    Step("apply --server-side -f iris.yaml", prints="serverside-applied"),
    Step("auth can-i delete msvc", prints="yes"),
    Step("auth whoami", prints=r"Username +local"),
    Step("create ns team", 1, "UnsupportedMediaType"),
    Step("apply -f team.yaml", prints="namespace/team created"),
    Step("get ns", prints=r"default +Active [\s\S]*team +Active"),
    Step("apply -n team -f rose.yaml", prints="created"),
    Step("delete ns team", 1, "still holds ModelService 'rose'"),
    Step("delete -n team msvc --all", prints="deleted"),
    Step("delete ns team", prints='namespace "team" deleted'),
    Step("delete ns default", 1, "Forbidden"),
    Step("delete srev nope", 1, "the server writes revisions"),
    Step("get events", prints="No resources found"),
    Step("get nodes", 1, "doesn't have a resource type"),
    Step("delete -f rose.yaml", prints='"rose" deleted'),
    Step("wait --for=delete msvc/rose --timeout=30s"),
    Step("delete isvc iris", prints='"iris" deleted'),
    Step("get msvc,isvc", prints="No resources found"),
)


class Kubectl:
    """kubectl with a home of its own in a directory, which its files and its caches are in."""

    def __init__(self, program: str, directory: Path, access: Access) -> None:
        self._program = program
        self._directory = directory
        for name, text in FILES.items():
            (directory / name).write_text(text)
        config = directory / "config"
        config.write_text(kubeconfig(access))
        path = str(Path(program).parent)
        self._environment = {"KUBECONFIG": str(config), "HOME": str(directory), "PATH": f"{path}:/usr/bin:/bin"}

    def run(self, words: str) -> tuple[int, str]:
        """Its exit code and what it prints."""
        with self.start(words) as process:
            printed, _ = process.communicate(timeout=PATIENCE)
        return process.returncode, printed

    def start(self, words: str) -> subprocess.Popen[str]:
        """One that goes on by itself; both of its streams are ``stdout``."""
        return subprocess.Popen(
            [self._program, *words.split()],
            cwd=self._directory,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )


def say_ready(url: str, **options: Any) -> None:
    """What READY does."""
    with httpx.Client(base_url=url, **options) as client:
        rose = client.get(f"{SERVICES}/rose").json()
        written = client.put(f"{SERVICES}/rose/status", json={**rose, "status": ready_status(rose)})
        written.raise_for_status()


class Recorder:
    """An application that keeps the requests that it is asked, and how they were answered."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self.step = ""
        self.requests: list[dict[str, Any]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        kept = {name: headers[name] for name in ("accept", "content-type", "user-agent") if name in headers}
        query = scope["query_string"].decode()
        path = scope["raw_path"].decode() + (f"?{query}" if query else "")
        body = b""
        entry: dict[str, Any] = {"step": self.step, "method": scope["method"], "path": path, "headers": kept}
        self.requests.append(entry)

        async def receiving() -> Message:
            nonlocal body
            message = await receive()
            body += message.get("body", b"")
            if body:
                entry["body"] = base64.b64encode(body).decode() if body.startswith(b"k8s") else body.decode()
            return message

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                told = dict(message["headers"])
                entry["code"], entry["type"] = message["status"], told.get(b"content-type", b"").decode()
            await send(message)

        await self._app(scope, receiving, sending)


def body_of(entry: dict[str, Any]) -> bytes | None:
    """The body of a recorded request."""
    if "body" not in entry:
        return None
    text: str = entry["body"]
    protobuf = entry["headers"].get("content-type", "").startswith("application/vnd.kubernetes.protobuf")
    return base64.b64decode(text) if protobuf else text.encode()


async def record(program: str) -> list[dict[str, Any]]:
    """All requests of all steps.

    Raises:
        AssertionError: a step did not do what it should.
    """
    clock = ManualClock()
    store = MemoryStore(clock=clock)
    api = ResourceApi(store, clock=clock, version="1.2.3")
    await api.prepare()
    recorder = Recorder(AdminApplication(api))
    listener = HttpListener(recorder, HttpSettings(port=0), DEFAULT_LIMITS, uncounted)
    await listener.start()
    url = f"http://127.0.0.1:{listener.port}"
    with tempfile.TemporaryDirectory() as directory:
        kubectl = Kubectl(program, Path(directory), Access(name="test", server=url))
        for step in STEPS:
            recorder.step = step.words
            if step is READY:
                await asyncio.to_thread(say_ready, url)
                continue
            code, printed = await asyncio.to_thread(kubectl.run, step.words)
            assert code == step.code, f"{step.words}: {code}, {printed}"
            assert re.search(step.prints, printed), f"{step.words}: {printed}"
    api.close()
    await listener.stop(1.0)
    await store.close()
    return recorder.requests


def main() -> None:
    program = sys.argv[1] if len(sys.argv) > 1 else "kubectl"
    told = subprocess.run([program, "version", "--client", "-o", "json"], capture_output=True, check=True).stdout
    print(json.dumps({"kubectl": json.loads(told)["clientVersion"]["gitVersion"]}))
    for entry in asyncio.run(record(program)):
        print(json.dumps(entry))


if __name__ == "__main__":
    main()
