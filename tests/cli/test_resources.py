"""The commands over the resource API, against the real one: what they print, and how they end."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, HTTPServer
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import yaml

from tidegate.cli import get
from tidegate.cli.kinds import find_type, known_types
from tidegate.cli.main import run
from tidegate.cli.rollout import go_back
from tidegate.cli.target import Session
from tidegate.client import Resources, Selection
from tidegate.control.notifications.courier import Courier
from tidegate.control.notifications.trial import Trial
from tidegate.outgoing.settings import OutgoingSettings
from tidegate.protocol.errors import ResourceConflict
from tidegate.resources.document import Document, GroupKind, Key
from tidegate.resources.store import Severity
from tidegate.testing.admin import Administered
from tidegate.testing.channels import SLACK_URL, MemorySecrets, Receiver
from tidegate.testing.stores import occurrence

Told = Callable[..., tuple[str, str]]
IRIS = """\
apiVersion: tidegate.dev/v1
kind: ModelService
metadata: {name: iris}
spec:
  predictor:
    model: {modelFormat: {name: sklearn}, storageUri: "models:/iris"}
"""
FLOWERS = """\
apiVersion: serving.kserve.io/v1beta1
kind: InferenceService
metadata: {name: flowers, namespace: default}
spec:
  predictor:
    model: {modelFormat: {name: sklearn}, storageUri: "gs://models/flowers"}
"""
READY = {"type": "Ready", "status": "True"}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Administered]:
    with Administered.start(tmp_path / "state", ready=False) as running:
        monkeypatch.setenv("TIDEGATE_SERVER", running.url)
        monkeypatch.setenv("TIDEGATE_CONFIG", str(tmp_path / "none.yaml"))
        monkeypatch.chdir(tmp_path)
        (tmp_path / "iris.yaml").write_text(IRIS)
        (tmp_path / "flowers.yaml").write_text(FLOWERS)
        yield running


@pytest.fixture
def told(server: Administered, capsys: pytest.CaptureFixture[str]) -> Told:
    """Run a command that ends well (or with ``code``), and return what it says."""

    def run_it(*words: str, code: int = 0) -> tuple[str, str]:
        assert run(words) == code, capsys.readouterr()
        return capsys.readouterr()

    return run_it


def stored(server: Administered, name: str = "iris") -> Document:
    return server.call(server.store.get(Key(GroupKind("tidegate.dev", "ModelService"), "default", name)))


def ready(server: Administered, name: str = "iris", **status: Any) -> None:
    document = stored(server, name)
    observed = {"observedGeneration": document["metadata"]["generation"], "conditions": [READY]}
    server.set_status(document, observed | status)


def test_apply_says_what_became_of_each(told: Told) -> None:
    """Made, changed, or as it was; in kubectl's words."""
    both = ("modelservice.tidegate.dev/iris {0}\n", "inferenceservice.serving.kserve.io/flowers {0}\n")
    order = ("-f", "iris.yaml", "-f", "flowers.yaml")
    assert told("apply", *order)[0] == "".join(both).format("created")
    assert told("apply", *order)[0] == "".join(both).format("unchanged")
    Path("iris.yaml").write_text(IRIS + "    maxReplicas: 3\n")
    assert told("apply", *order)[0] == both[0].format("configured") + both[1].format("unchanged")
    Path("iris.yaml").write_text(IRIS)
    assert told("apply", "-f", ".")[0] == both[1].format("unchanged") + both[0].format("configured")
    assert "maxReplicas" not in told("get", "msvc/iris", "-o", "yaml")[0]


def test_a_dry_run_writes_nothing(told: Told) -> None:
    """Neither here nor there."""
    assert told("apply", "-f", "iris.yaml", "--dry-run", "client")[0].endswith("iris created (dry run)\n")
    assert told("apply", "-f", "iris.yaml", "--dry-run", "server")[0].endswith("iris created (server dry run)\n")
    assert told("get", "msvc") == ("", "no resources found in default namespace\n")


def test_all_faults_of_all_documents_come_at_once_and_nothing_is_sent(told: Told) -> None:
    """Each in its line, as `validate` has it."""
    Path("wrong.yaml").write_text(f"{IRIS}---\n{IRIS.replace('iris', 'rose')}    foo: 1\n    minReplicas: -1\n")
    out, err = told("apply", "-f", "flowers.yaml", "-f", "wrong.yaml", code=1)
    assert out == ""
    assert err.splitlines() == [
        "wrong.yaml:14: error: document 2: spec.predictor.foo is no field of predictor",
        "wrong.yaml:15: error: document 2: spec.predictor.minReplicas is -1, expected a whole number of at least 0",
        "error: 1 of 3 documents at fault, nothing was sent",
    ]
    assert told("get", "isvc")[0] == ""


def test_two_documents_for_one_resource_are_a_mistake(told: Told) -> None:
    """The second would undo the first."""
    Path("twice.yaml").write_text(f"{IRIS}---\n{IRIS}")
    assert told("apply", "-f", "twice.yaml", code=1)[1] == (
        "error: twice.yaml:8: modelservice.tidegate.dev/iris is in twice.yaml:1 already\n"
    )


def test_a_namespace_is_the_manifest_s_or_the_flag_s(told: Told) -> None:
    """And not two different ones."""
    Path("team.yaml").write_text("apiVersion: v1\nkind: Namespace\nmetadata: {name: team}\n---\n" + IRIS)
    assert told("apply", "-f", "team.yaml", "-n", "team")[0] == (
        "namespace/team created\nmodelservice.tidegate.dev/iris created\n"
    )
    assert told("get", "msvc", "-n", "team", "-o", "name")[0] == "modelservice.tidegate.dev/iris\n"
    assert told("get", "msvc")[0] == ""
    error, hint = told("apply", "-f", "flowers.yaml", "-n", "team", code=1)[1].splitlines()
    assert error == "error: flowers.yaml:1: InferenceService 'flowers' is of namespace 'default', and -n says 'team'"
    assert hint == "hint: leave out one of them"


def test_a_field_that_somebody_else_owns_is_told_with_who(server: Administered, told: Told) -> None:
    """The rest is applied; forcing takes it over."""
    told("apply", "-f", "iris.yaml")
    told("scale", "iris", "--replicas", "2")
    Path("iris.yaml").write_text(IRIS + "    replicas: 4\n")
    out, err = told("apply", "-f", "iris.yaml", "-f", "flowers.yaml", code=1)
    assert out == "inferenceservice.serving.kserve.io/flowers created\n"
    conflict, hint, error, _ = err.splitlines()
    assert conflict.startswith("iris.yaml:1: error: modelservice.tidegate.dev/iris: spec.predictor.replicas: ")
    assert "tidegate-scale" in conflict
    assert hint == "iris.yaml:1: hint: --force-conflicts takes these fields over"
    assert error == "error: 1 of 2 resources not applied"
    assert told("apply", "-f", "iris.yaml", "--force-conflicts")[0].endswith("iris configured\n")
    assert stored(server)["spec"]["predictor"]["replicas"] == 4


def test_a_rejection_by_the_server_is_told_cause_by_cause(server: Administered, told: Told) -> None:
    """What only the server knows: that another kind has the name already."""
    told("apply", "-f", "iris.yaml")
    Path("flowers.yaml").write_text(FLOWERS.replace("name: flowers", "name: iris"))
    error = told("apply", "-f", "flowers.yaml", code=1)[1].splitlines()[0]
    assert error.startswith("flowers.yaml:1: error: ")
    assert "iris" in error


def test_apply_waits_until_services_are_ready(server: Administered, told: Told) -> None:
    """And ends with 3 when they are not in time."""
    out, err = told("apply", "-f", "iris.yaml", "--wait", "--timeout", "0", code=3)
    assert out == "modelservice.tidegate.dev/iris created\n"
    assert err.splitlines()[-2].startswith("error: modelservice/iris was not as wanted within 0 s: ")
    ready(server)
    out, _ = told("apply", "-f", "iris.yaml", "--wait")
    assert out.splitlines()[1] == "modelservice.tidegate.dev/iris ready"


def test_diff_shows_what_apply_would_change(told: Told) -> None:
    """Ends with 1 if that is anything, and with 2 if it cannot be told, as diff does."""
    told("apply", "-f", "iris.yaml")
    assert told("diff", "-f", "iris.yaml") == ("", "")
    Path("iris.yaml").write_text(IRIS + "    maxReplicas: 3\n")
    lines = told("diff", "-f", "iris.yaml", code=1)[0].splitlines()
    assert lines[:2] == [
        "--- live/default/modelservice.tidegate.dev/iris",
        "+++ merged/default/modelservice.tidegate.dev/iris",
    ]
    assert [line for line in lines[2:] if line[0] in "+-"] == ["+    maxReplicas: 3"]
    assert all(line[0] == "+" for line in told("diff", "-f", "flowers.yaml", code=1)[0].splitlines()[3:])
    Path("iris.yaml").write_text(IRIS + "    foo: 3\n")
    assert "nothing was sent" in told("diff", "-f", "iris.yaml", code=2)[1]
    assert "is not reachable" in told("diff", "-f", "flowers.yaml", "--server", "http://127.0.0.1:1", code=2)[1]


def test_get_shows_tables(server: Administered, told: Told) -> None:
    """With the server's columns; of several kinds each by itself."""
    told("apply", "-f", "iris.yaml", "-f", "flowers.yaml")
    ready(server, url="http://here")
    head, row = told("get", "msvc")[0].splitlines()
    assert head.split()[:4] == ["NAME", "READY", "REPLICAS", "URL"]
    assert row.split()[:4] == ["iris", "True", "<none>", "http://here"]
    assert head.index("READY") == row.index("True")
    assert len(told("get", "msvc", "-o", "wide")[0].splitlines()[0]) > len(head)
    out, _ = told("get", "msvc,isvc", "-A")
    first, second = out.split("\n\n")
    assert first.splitlines()[1].split()[:2] == ["default", "modelservice.tidegate.dev/iris"]
    assert second.splitlines()[1].split()[:2] == ["default", "inferenceservice.serving.kserve.io/flowers"]
    assert told("get", "all")[0].startswith("NAME")


def test_get_writes_documents(told: Told) -> None:
    """One as itself, several as a List; who owns which field is left out."""
    told("apply", "-f", "iris.yaml", "-f", "flowers.yaml")
    document = yaml.safe_load(told("get", "msvc", "iris", "-o", "yaml")[0])
    assert list(document) == ["apiVersion", "kind", "metadata", "spec"]
    assert "managedFields" not in document["metadata"]
    several = json.loads(told("get", "msvc,isvc", "-o", "json")[0])
    assert (several["kind"], [each["kind"] for each in several["items"]]) == (
        "List",
        ["ModelService", "InferenceService"],
    )
    assert told("get", "msvc/iris", "isvc/flowers", "-o", "name")[0].splitlines() == [
        "modelservice.tidegate.dev/iris",
        "inferenceservice.serving.kserve.io/flowers",
    ]


def test_get_selects_by_labels(told: Told) -> None:
    """And what is not there is told without hiding the rest."""
    Path("iris.yaml").write_text(IRIS.replace("{name: iris}", "{name: iris, labels: {team: a}}"))
    told("apply", "-f", "iris.yaml", "-f", "flowers.yaml")
    assert told("get", "msvc,isvc", "-l", "team=a", "-o", "name")[0] == "modelservice.tidegate.dev/iris\n"
    out, err = told("get", "msvc", "iris", "rose", "-o", "name", code=1)
    assert out == "modelservice.tidegate.dev/iris\n"
    assert err == "error: ModelService 'default/rose' is not found\n"
    assert told("get", "msvc", "rose", code=1)[1] == "error: ModelService 'default/rose' is not found\n"


@pytest.mark.parametrize(
    ("words", "cause"),
    [
        (("get", "modelservces"), "there is no kind of resource 'modelservces'"),
        (("get", "msvc/iris", "-l", "a=b"), "a selector and names exclude each other"),
        (("get", "msvc", "iris", "-A"), "a resource of a name is in one namespace"),
        (("get", "msvc,isvc", "-w"), "only one kind, or one resource, can be watched"),
        (("delete",), "either resources or -f is needed"),
        (("delete", "msvc"), "a KIND alone is for -l or --all"),
        (("delete", "msvc", "iris", "--all"), "a KIND alone is for -l or --all"),
        (("wait", "msvc"), "what to wait for has no name"),
        (("scale", "msvc", "--replicas", "1"), "what to scale has no name"),
        (("scale", "iris"), "nothing says how to scale"),
        (("scale", "iris", "--replicas", "1", "--auto"), "--replicas fixes the number"),
        (("scale", "iris", "--replicas", "1", "--max", "3"), "--replicas fixes the number"),
        (("scale", "iris", "--max", "3", "--current-replicas", "2"), "--current-replicas is a condition of"),
        (("scale", "iris", "--min", "3", "--max", "2"), "--min 3 is more than --max 2"),
        (("wait", "iris", "--timeout", "soon"), "'soon' is no time"),
        (("apply",), "there is no manifest"),
        (("rollout", "undo", "ns/default"), "'ns/default' is no service"),
        (("logs", "ns/default"), "'ns/default' is no service"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_what_makes_no_sense_is_usage(told: Told, words: tuple[str, ...], cause: str) -> None:
    """It ends with 2, one line of cause and one of hint."""
    error, hint = told(*words, code=2)[1].splitlines()
    assert error.startswith(f"error: {cause}")
    assert hint.startswith("hint: ")


@pytest.mark.parametrize("words", [("apply", "-f", "iris.yaml"), ("get", "msvc"), ("rollout", "undo", "iris")], ids=str)
def test_a_server_that_is_not_there_is_one_line_and_a_hint(told: Told, words: tuple[str, ...]) -> None:
    """With its address, and how to start or name one."""
    error, hint = told(*words, "--server", "http://127.0.0.1:1", code=1)[1].splitlines()
    assert error.startswith("error: http://127.0.0.1:1 is not reachable")
    assert hint.startswith("hint: start one with `tidegate serve`, or name another with --server")


def test_describe_tells_all(server: Administered, told: Told) -> None:
    """What it is to be, what it is, its revisions, and what was told about it."""
    told("apply", "-f", "iris.yaml")
    revised(server, 1, 2)
    ready(
        server,
        url="http://here",
        components={"predictor": {"traffic": [{"revisionName": "iris-00002", "percent": 100}]}},
        replicas=2,
        scaling={
            "desired": 3,
            "policy": "qda",
            "reason": "2 -> 3: so",
            "slo": {"seconds": 0.812, "given": False},
            "starts": {"usual": 9.4, "p50": 9.1, "p95": 12.5},
            "history": [{"time": "2026-01-01T00:00:00Z", "from": 2, "to": 3, "reason": "2 -> 3: so"}],
        },
    )
    server.tell(stored(server), "RevisionReady", "revision 2 is ready")
    server.tell(stored(server), "LoadFailed", "no file", Severity.WARNING)
    text, _ = told("describe", "iris")
    assert text.splitlines()[:3] == [
        "Name:          iris",
        "Namespace:     default",
        "Kind:          ModelService (tidegate.dev/v1)",
    ]
    assert "\nURL:           http://here\n" in text
    assert "\n      storageUri: models:/iris\n" in text
    assert "\n  2          100%      True    bbbbbbbbbbbb" in text
    assert "\nReplicas:      2 ready of 3 (qda)\nScaling:       2 -> 3: so\nSLO:           0.812 s, by the time" in text
    assert "\nStarts:        9.4 s, half of the last within 9.1 s, 95 % within 12.5 s\n" in text
    assert "\nChanges of replicas:\n" in text
    assert "2      3    2 -> 3: so\n" in text
    assert "\n  Ready   True" in text
    assert "  Warning   LoadFailed      modelservice/iris   1       no file\n" in text
    error, hint = told("describe", "rose", code=1)[1].splitlines()
    assert (error, hint) == ("error: there is no service 'rose' in namespace 'default'", "hint: there are iris")


def test_a_name_alone_is_a_service_of_either_kind(told: Told) -> None:
    """A ModelService, unless an InferenceService has it."""
    told("apply", "-f", "iris.yaml", "-f", "flowers.yaml")
    assert "InferenceService (serving.kserve.io/v1beta1)" in told("describe", "flowers")[0]
    assert told("delete", "flowers", "iris")[0].splitlines() == [
        'inferenceservice.serving.kserve.io "flowers" deleted',
        'modelservice.tidegate.dev "iris" deleted',
    ]


def test_delete_waits_until_it_is_gone(server: Administered, told: Told) -> None:
    """A finalizer may take a while; ends with 3 when it is not in time."""
    Path("iris.yaml").write_text(IRIS.replace("{name: iris}", "{name: iris, finalizers: [a/b]}"))
    told("apply", "-f", "iris.yaml")
    assert told("delete", "iris", "--timeout", "0", code=3)[0] == 'modelservice.tidegate.dev "iris" deleted\n'
    told("delete", "iris", "--no-wait")
    release = threading.Timer(
        0,
        lambda: server.call(
            server.store.replace({**stored(server), "metadata": {**stored(server)["metadata"], "finalizers": []}})
        ),
    )
    release.start()
    told("delete", "-f", "iris.yaml", "--ignore-not-found")
    release.join()
    assert told("get", "msvc")[0] == ""
    told("delete", "iris", "--ignore-not-found")
    assert "is no service 'iris'" in told("delete", "iris", code=1)[1]
    assert "is not found" in told("delete", "msvc/iris", code=1)[1]


def test_delete_takes_all_that_are_selected(told: Told) -> None:
    """By labels, or all of the kind."""
    for name in ("a", "b", "c"):
        labels = "{team: x}" if name != "c" else "{}"
        Path("one.yaml").write_text(IRIS.replace("{name: iris}", f"{{name: {name}, labels: {labels}}}"))
        told("apply", "-f", "one.yaml")
    assert len(told("delete", "msvc", "-l", "team=x")[0].splitlines()) == 2
    assert told("get", "msvc", "-o", "name")[0] == "modelservice.tidegate.dev/c\n"
    told("delete", "msvc", "--all")
    assert told("get", "msvc", "-o", "name")[0] == ""


def test_wait_ends_when_it_is_so(server: Administered, told: Told) -> None:
    """A condition, a field, a deletion; each news on stderr."""
    told("apply", "-f", "iris.yaml")
    _, err = told("wait", "iris", "--timeout", "0", code=3)
    assert err.splitlines()[0] == "modelservice/iris: the server has not looked at its latest change yet"
    ready(server, url="there")
    assert (
        told("wait", "iris", "msvc/iris".removeprefix("msvc/"))[0]
        == "modelservice.tidegate.dev/iris condition met\n" * 2
    )
    told("wait", "msvc/iris", "--for", "jsonpath={.status.url}=there")
    told("delete", "iris")
    assert told("wait", "msvc/iris", "--for", "delete")[0] == "modelservice.tidegate.dev/iris condition met\n"
    assert told("wait", "msvc/iris", "--for", "create", "--timeout", "0", code=3)


def test_scale_sets_bounds_and_gives_the_number_back(server: Administered, told: Told) -> None:
    """Bounds of a service whose number is fixed would have no effect, and so would giving it back without any."""
    told("apply", "-f", "iris.yaml")
    told("scale", "iris", "--replicas", "2")
    assert "by spec.predictor.replicas" in told("scale", "iris", "--max", "8", code=1)[1]
    assert "it would not follow the load" in told("scale", "iris", "--auto", code=1)[1]
    told("scale", "iris", "--auto", "--max", "8")
    predictor = stored(server)["spec"]["predictor"]
    assert (predictor["maxReplicas"], "replicas" in predictor) == (8, False)
    told("scale", "iris", "--min", "2", "--max", "3")
    predictor = stored(server)["spec"]["predictor"]
    assert (predictor["minReplicas"], predictor["maxReplicas"]) == (2, 3)
    assert "minReplicas" in told("scale", "iris", "--min", "4", code=1)[1]
    told("scale", "iris", "--auto")


def test_scale_has_a_precondition(server: Administered, told: Told) -> None:
    """What somebody else has changed meanwhile is not written over."""
    told("apply", "-f", "iris.yaml")
    assert told("scale", "iris", "--replicas", "2")[0] == "modelservice.tidegate.dev/iris scaled\n"
    assert "has replicas '2'" in told("scale", "iris", "--replicas", "5", "--current-replicas", "3", code=1)[1]
    told("scale", "msvc/iris", "--replicas", "5", "--current-replicas", "2")
    assert stored(server)["spec"]["predictor"]["replicas"] == 5


def revised(
    server: Administered, *numbers: int, service: str = "iris", kind: str = "ModelService", **fields: Any
) -> None:
    """Revisions of a service as the control plane makes them, each with a model and a batch size of its own."""
    for number in numbers:
        predictor = {
            "model": {"modelFormat": {"name": "sklearn"}, "storageUri": "models:/iris"},
            "batcher": {"maxBatchSize": number},
        }
        server.create(
            {
                "apiVersion": "tidegate.dev/v1",
                "kind": "ServingRevision",
                "metadata": {
                    "name": f"{service}-{number:05}",
                    "namespace": "default",
                    "labels": {"tidegate.dev/service": service},
                    "annotations": {"tidegate.dev/change-cause": f"cause {number}"},
                },
                "spec": {
                    "service": {"kind": kind, "name": service},
                    "number": number,
                    "generation": number,
                    "template": {"predictor": predictor},
                    "resolved": {"digest": f"sha256:{chr(96 + number) * 64}", "version": str(number)},
                    "hash": "sha256:0",
                    **fields,
                },
                "status": {"conditions": [READY]},
            }
        )


def traffic(**percents: int) -> dict[str, Any]:
    newest = max(percents, key=lambda name: int(name[1:]))
    shares = [{"revisionName": f"iris-{int(name[1:]):05}", "percent": share} for name, share in percents.items()]
    stable = max(percents, key=lambda name: percents[name])
    return {
        "components": {
            "predictor": {
                "latestCreatedRevision": f"iris-{int(newest[1:]):05}",
                "latestRolledoutRevision": f"iris-{int(stable[1:]):05}",
                "traffic": shares,
            }
        }
    }


def test_history_shows_the_revisions(server: Administered, told: Told) -> None:
    """Each with its part of the traffic, its model and why it was made."""
    told("apply", "-f", "iris.yaml")
    assert told("rollout", "history", "iris") == ("", "modelservice/iris has no revision yet\n")
    revised(server, 1, 2)
    ready(server, **traffic(_1=90, _2=10))
    head, first, second = told("rollout", "history", "iris")[0].splitlines()
    assert head.split() == ["REVISION", "TRAFFIC", "READY", "MODEL", "VERSION", "AGE", "CHANGE-CAUSE"]
    assert first.split()[:5] == ["1", "90%", "True", "aaaaaaaaaaaa", "1"]
    assert second.split()[:5] == ["2", "10%", "True", "bbbbbbbbbbbb", "2"]
    assert second.endswith("cause 2")
    document = yaml.safe_load(told("rollout", "history", "iris", "--revision", "1")[0])
    assert document["spec"]["template"]["predictor"]["batcher"] == {"maxBatchSize": 1}
    assert (
        "has no revision 7 any more; there are 1, 2" in told("rollout", "history", "iris", "--revision", "7", code=1)[1]
    )


def test_undo_goes_back_and_says_what_changes(server: Administered, told: Told) -> None:
    """To the revision before, or to one that is named; what forms no revision stays."""
    told("apply", "-f", "iris.yaml")
    told("scale", "iris", "--replicas", "3")
    revised(server, 1, 2, 3)
    ready(server, **traffic(_2=0, _3=100))
    rolled, change = (
        "modelservice.tidegate.dev/iris rolled back to revision 2",
        '  spec.predictor.batcher: none → {"maxBatchSize":2}',
    )
    assert told("rollout", "undo", "iris", "--dry-run")[0].splitlines() == [f"{rolled} (dry run)", change]
    assert "batcher" not in stored(server)["spec"]["predictor"]
    assert told("rollout", "undo", "iris")[0].splitlines() == [rolled, change]
    service = stored(server)
    spec = service["spec"]["predictor"]
    assert (spec["batcher"], spec["replicas"]) == ({"maxBatchSize": 2}, 3)
    assert service["metadata"]["annotations"]["tidegate.dev/revision"] == "2"
    told("rollout", "undo", "iris", "--to-revision", "1")
    assert stored(server)["spec"]["predictor"]["batcher"] == {"maxBatchSize": 1}
    again = told("rollout", "undo", "iris", "--to-revision", "1")[0]
    assert again == "modelservice.tidegate.dev/iris is what revision 1 was already\n"


class Hasty(Resources):
    """A client before whose every replacement somebody else writes, so many times."""

    def __init__(self, url: str, times: int) -> None:
        super().__init__(url)
        self.times = times

    def replace(self, kind: Any, document: Document, namespace: str = "", **options: Any) -> Any:
        if self.times:
            self.times -= 1
            patch = {"spec": {"predictor": {"maxReplicas": 10 + self.times}}}
            super().patch(kind, document["metadata"]["name"], patch, namespace)
        return super().replace(kind, document, namespace, **options)


def test_an_undo_writes_over_nothing_that_it_has_not_seen(server: Administered, told: Told) -> None:
    """What somebody writes meanwhile stays; who is never fast enough is told so."""
    told("apply", "-f", "iris.yaml")
    revised(server, 1)
    with Hasty(server.url, 2) as hasty:
        said = go_back(Session(hasty, server.url, "default", False), "iris", 1, False)
    assert said[0] == "modelservice.tidegate.dev/iris rolled back to revision 1"
    predictor = stored(server)["spec"]["predictor"]
    assert (predictor["maxReplicas"], predictor["batcher"]) == (10, {"maxBatchSize": 1})
    told("apply", "-f", "iris.yaml")
    with Hasty(server.url, 100) as hasty, pytest.raises(ResourceConflict):
        go_back(Session(hasty, server.url, "default", False), "iris", 1, False)


def test_an_undo_to_another_model_of_the_same_spec_is_one(server: Administered, told: Told) -> None:
    """What was looked up since is another content of the same reference: an annotation says which one is meant."""
    told("apply", "-f", "flowers.yaml")
    predictor = yaml.safe_load(FLOWERS)["spec"]["predictor"]
    revised(server, 1, 2, service="flowers", kind="InferenceService", source={"predictor": predictor})
    server.set_status(yaml.safe_load(FLOWERS), {"resolved": {"digest": "sha256:" + "b" * 64}})
    lines = told("rollout", "undo", "flowers", "--to-revision", "1")[0].splitlines()
    assert lines == [
        "inferenceservice.serving.kserve.io/flowers rolled back to revision 1",
        f"  the model's content: sha256:{'b' * 64} → sha256:{'a' * 64}",
    ]
    assert "already" in told("rollout", "undo", "flowers", "--to-revision", "1")[0]
    assert told("apply", "-f", "flowers.yaml")[0].endswith("flowers configured\n")
    assert "tidegate.dev/revision" not in told("get", "isvc/flowers", "-o", "yaml")[0]


def test_a_manifest_applied_after_an_undo_is_what_holds(server: Administered, told: Told) -> None:
    """Without a conflict with oneself, and without the content that the undo had gone back to."""
    told("apply", "-f", "iris.yaml")
    revised(server, 1)
    told("rollout", "undo", "iris", "--to-revision", "1")
    Path("iris.yaml").write_text(IRIS.replace("models:/iris", "models:/other") + "    batcher: {maxBatchSize: 9}\n")
    assert told("diff", "-f", "iris.yaml", code=1)[0]
    assert told("apply", "-f", "iris.yaml", "--dry-run", "server")[0].endswith("configured (server dry run)\n")
    assert told("apply", "-f", "iris.yaml")[0] == "modelservice.tidegate.dev/iris configured\n"
    service = stored(server)
    assert service["spec"]["predictor"] == {
        "model": {"modelFormat": {"name": "sklearn"}, "storageUri": "models:/other"},
        "batcher": {"maxBatchSize": 9},
    }
    assert "tidegate.dev/revision" not in service["metadata"].get("annotations", {})


def test_status_tells_how_far_it_is(server: Administered, told: Told) -> None:
    """Done, not yet, or not at all."""
    told("apply", "-f", "iris.yaml")
    assert "is not rolled out yet: the server has not" in told("rollout", "status", "iris", "--no-watch", code=3)[0]
    latest = {"type": "LatestDeploymentReady", "status": "Unknown", "message": "revision 2 is not ready"}
    ready(server, conditions=[READY, latest])
    assert told("rollout", "status", "iris", "--timeout", "0", code=3)[1].splitlines()[0] == (
        "modelservice/iris: revision 2 is not ready"
    )
    ready(server, conditions=[READY, {**latest, "status": "False", "message": "no file"}])
    assert told("rollout", "status", "iris", code=1)[1] == "error: 'iris' is not rolled out: no file\n"
    ready(server, conditions=[READY, {**latest, "status": "True"}], **traffic(_1=90, _2=10))
    assert told("rollout", "status", "iris")[0] == (
        "modelservice.tidegate.dev/iris rolled out: 90 % to iris-00001, 10 % to iris-00002\n"
    )


def test_restart_writes_when(server: Administered, told: Told) -> None:
    """In the annotation that asks for the model to be looked up again."""
    told("apply", "-f", "iris.yaml")
    assert told("rollout", "restart", "iris")[0] == "modelservice.tidegate.dev/iris restarted\n"
    assert stored(server)["metadata"]["annotations"]["tidegate.dev/restartedAt"].endswith("Z")
    assert told("apply", "-f", "iris.yaml")[0].endswith("unchanged\n")


def test_occurrences_are_printed_as_cloud_events(server: Administered, told: Told) -> None:
    """A line of JSON for each, of all or of one resource, more than a page of them."""
    for number in range(501):
        about = Key(GroupKind("tidegate.dev", "ModelService"), "default", "iris" if number % 100 else "rose")
        server.call(server.store.tell(occurrence(str(number), about=about)))
    lines = told("events", "-o", "cloudevents")[0].splitlines()
    assert [json.loads(line)["id"] for line in lines] == [str(number) for number in range(501)]
    lines = told("events", "rose", "-o", "cloudevents")[0].splitlines()
    assert [json.loads(line)["id"] for line in lines] == [str(number) for number in range(0, 501, 100)]
    assert told("events", "isvc/rose", "-o", "cloudevents")[0] == ""


@pytest.mark.e2e
def test_occurrences_are_printed_as_they_come(server: Administered) -> None:
    """Each line at once, until Ctrl-C."""
    server.call(server.store.tell(occurrence("before")))
    command = [sys.executable, "-P", "-m", "tidegate", "events", "-w", "-o", "cloudevents", "--server", server.url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            assert json.loads(process.stdout.readline())["id"] == "before"
            server.call(server.store.tell(occurrence("after")))
            assert json.loads(process.stdout.readline())["id"] == "after"
            process.send_signal(signal.SIGINT)
            assert process.wait() == 130
        finally:
            process.kill()


def test_a_trial_shows_what_came_of_each_channel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As a table; the command ends with 1 unless all have taken it."""
    receiver = Receiver()
    courier = Courier(MemorySecrets({("default", "team"): SLACK_URL}), OutgoingSettings(), receiver)
    with Administered.start(tmp_path / "other", ready=False, trial=lambda store: Trial(store, courier)) as server:
        monkeypatch.setenv("TIDEGATE_SERVER", server.url)
        channels = [{"slack": {"secretRef": "team"}}, {"teams": {"secretRef": "none"}}]
        server.create(yaml.safe_load(IRIS.replace("{name: iris}", "{name: iris, namespace: default}", 1)))
        document = stored(server)
        document["spec"]["notify"] = channels
        server.call(server.store.replace(document))
        assert run(["notify", "test", "iris"]) == 1
        assert capsys.readouterr().out.splitlines() == [
            "CHANNEL   NAME                       OUTCOME     MESSAGE",
            "0         slack by the secret team   delivered   it answered 200",
            "1         teams by the secret none   failed      there is no secret 'default/none'",
        ]
        assert run(["notify", "test", "msvc/iris", "--channel", "0"]) == 0
        assert len(capsys.readouterr().out.splitlines()) == 2
        assert run(["notify", "test", "isvc/iris"]) == 2
        assert "is no ModelService" in capsys.readouterr().err
        assert run(["notify", "test", "iris", "--channel", "2"]) == 1
        assert "there is no 2: the first is 0" in capsys.readouterr().err


def test_events_are_told(server: Administered, told: Told) -> None:
    """Of one resource or of all, as a table or as documents."""
    told("apply", "-f", "iris.yaml", "-f", "flowers.yaml")
    server.tell(stored(server), "RevisionReady", "revision 1 is ready")
    server.tell(stored(server), "RevisionReady", "revision 1 is ready")
    head, row = told("events", "iris")[0].splitlines()
    assert head == "LAST SEEN   TYPE     REASON          OBJECT              COUNT   MESSAGE"
    assert row[1:] == "s          Normal   RevisionReady   modelservice/iris   2       revision 1 is ready"
    assert told("events", "flowers")[0] == ""
    assert told("events", "-A")[0].splitlines()[1].startswith("default     ")
    assert json.loads(told("events", "-o", "json")[0])["items"][0]["reason"] == "RevisionReady"


def test_completion_knows_the_commands(told: Told) -> None:
    """Those within groups, too."""
    script, _ = told("completion", "bash")
    for word in ("apply", "rollout", "undo", "set-context", "force-conflicts", "current-replicas"):
        assert word in script


def test_the_kinds_that_are_known_here_are_the_server_s(server: Administered) -> None:
    """So that nothing need be asked for, and nothing is asked for at a wrong path."""
    with Resources(server.url) as client:
        served = {kind.kind: kind for kind in client.discover()}
    for kind in known_types():
        there = served[kind.kind]
        assert (kind.group, kind.version, kind.plural, kind.namespaced, kind.short) == (
            there.group,
            there.version,
            there.plural,
            there.namespaced,
            there.short,
        )
    assert find_type("all", [served["ModelService"]]) == served["ModelService"]


def test_a_watch_prints_what_comes(server: Administered, told: Told) -> None:
    """The head once, then a line for each change, in the columns that the first had."""
    told("apply", "-f", "iris.yaml", "-f", "flowers.yaml")
    kind = find_type("msvc", known_types())
    with Resources(server.url) as client:
        for form, lines in (
            ("table", ["NAME   READY", "iris   <none>", "iris   True"]),
            ("name", ["modelservice.tidegate.dev/iris"] * 2),
            ("yaml", ["---\napiVersion: tidegate.dev/v1\nkind: ModelService"] * 2),
        ):
            view = get.View(form, namespaces=False, prefixed=False)  # type: ignore[arg-type]
            server.set_status(stored(server), {})
            with closing(client.watch(kind, Selection("default"), table=view.table)) as changes:
                texts = get.told(kind, changes, view)
                printed = list(islice(texts, len(lines) - 1))
                ready(server)
                printed.append(next(texts))
                assert all(text.startswith(line) for text, line in zip(printed, lines, strict=True)), printed


def test_logs_are_lines(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """As they were written, but for what a terminal would obey; whose and when where it is asked for."""
    asked = []

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()
            for number in (1, 2):
                line = {"time": 1.5, "revision": 3, "replica": number, "line": "a\x1b[2Jb"}
                self.wfile.write(json.dumps(line).encode() + b"\n")

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Answer) as answering:
        thread = threading.Thread(target=answering.serve_forever)
        thread.start()
        monkeypatch.setenv("TIDEGATE_SERVER", f"http://127.0.0.1:{answering.server_port}")
        try:
            assert run(["logs", "iris", "--tail", "2", "--revision", "3", "-n", "team"]) == 0
            assert capsys.readouterr().out == "a\\x1b[2Jb\n" * 2
            assert run(["logs", "iris", "-f", "--prefix", "--timestamps"]) == 0
            assert capsys.readouterr().out.splitlines()[0] == r"1970-01-01T00:00:01.500Z [3/1] a\x1b[2Jb"
        finally:
            answering.shutdown()
            thread.join()
    assert asked == [
        "/tidegate/v1/namespaces/team/services/iris/logs?revision=3&tail=2",
        "/tidegate/v1/namespaces/default/services/iris/logs?follow=true",
    ]
