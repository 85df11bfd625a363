"""What is waited for, judged on documents."""

from __future__ import annotations

from typing import Any

import pytest

from tidegate.cli.failure import Failure
from tidegate.cli.goals import Condition, Created, Deleted, judge, parse_goal

READY = {"type": "Ready", "status": "True"}


def service(
    generation: int = 2, observed: int | None = 2, *conditions: dict[str, Any], **status: Any
) -> dict[str, Any]:
    told = {"conditions": list(conditions), **status}
    if observed is not None:
        told["observedGeneration"] = observed
    return {"metadata": {"name": "iris", "uid": "u-1", "generation": generation}, "status": told}


@pytest.mark.parametrize(
    ("text", "goal"),
    [
        ("condition=Ready", Condition("Ready")),
        ("condition=Ready=False", Condition("Ready", "False")),
        ("delete", Deleted()),
        ("create", Created()),
    ],
)
def test_goals_are_written_as_kubectl_s(text: str, goal: object) -> None:
    """Word for word."""
    assert parse_goal(text) == goal


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Ready",
        "condition",
        "condition=",
        "delete=x",
        "jsonpath=",
        "jsonpath={.a",
        "jsonpath={.a[}",
        "jsonpath={..a}",
    ],
)
def test_what_is_no_goal_is_usage(text: str) -> None:
    """With the forms that there are."""
    with pytest.raises(Failure) as caught:
        parse_goal(text)
    assert caught.value.code == 2


@pytest.mark.parametrize(
    ("document", "met", "told"),
    [
        (service(2, 2, READY), True, "Ready is True"),
        (service(3, 2, READY), False, "the server has not looked at its latest change yet"),
        (service(2, None, READY), False, "the server has not looked at its latest change yet"),
        (service(3, 3, {**READY, "observedGeneration": 2}), False, "Ready is of an earlier generation"),
        (
            service(2, 2, {"type": "Ready", "status": "False", "reason": "Failed", "message": "no file"}),
            False,
            "Ready is False (Failed: no file)",
        ),
        (service(2, 2), False, "it has no condition ready yet"),
        (None, False, "there is no such resource"),
        ({"metadata": {}, "status": {"conditions": [READY]}}, True, "Ready is True"),
    ],
    ids=["ready", "stale", "never-seen", "stale-condition", "false", "none", "absent", "without-generations"],
)
def test_a_condition_holds_for_the_resource_as_it_is_now(document: Any, met: bool, told: str) -> None:
    """What was said of an earlier generation says nothing."""
    assert judge(Condition("ready"), document) == (met, told)


def test_another_one_of_its_name_is_not_the_one_that_was_deleted() -> None:
    """A new one has another uid."""
    assert judge(Deleted(), None, "u-1").met
    assert not judge(Deleted(), service(), "u-1").met
    assert judge(Deleted(), service(), "u-0").met
    assert not judge(Deleted(), service()).met
    assert judge(Created(), service()).met
    assert not judge(Created(), None).met


@pytest.mark.parametrize(
    ("text", "met"),
    [
        ("jsonpath={.status.url}=there", True),
        ("jsonpath='{.status.url}'='there'", True),
        ("jsonpath=.status.url=there", True),
        ("jsonpath={.status.url}", True),
        ("jsonpath={.status.url}=elsewhere", False),
        ("jsonpath={.status.replicas}=2", True),
        ("jsonpath={.status.fine}=true", True),
        ("jsonpath={.status.conditions[0].type}=Ready", True),
        ("jsonpath={.status.conditions[1].type}", False),
        ("jsonpath={.status['url']}=there", True),
        ('jsonpath={.status["a.b"]}=x=y', True),
        ("jsonpath={.status.url[0]}", False),
        ("jsonpath={.spec.none}", False),
        ("jsonpath={.status.url}=", False),
    ],
)
def test_a_field_is_found_by_its_path(text: str, met: bool) -> None:
    """Numbers and truth values as JSON writes them."""
    if text.startswith("jsonpath='"):  # with a shell's quotes left in, as in a script
        text = text.replace("='{", "={").replace("}'", "}")
    document = service(2, 2, READY, **{"url": "there", "replicas": 2, "fine": True, "a.b": "x=y"})
    assert judge(parse_goal(text), document).met is met


def test_how_it_is_instead_is_told() -> None:
    """For who waits in vain."""
    goal = parse_goal("jsonpath={.status.replicas}=3")
    assert judge(goal, service(replicas=2)).told == ".status.replicas is 2"
    assert judge(goal, {"metadata": {}}).told == ".status.replicas is not there"
