"""What a person means by a kind and a name."""

from __future__ import annotations

import pytest

from tidegate.cli.failure import Failure
from tidegate.cli.kinds import Named, find_types, known_types, read_kinds, read_names
from tidegate.client import ResourceType

TYPES = (*known_types(), ResourceType("x.dev", "v1", "widgets", "Widget", categories=("all",)))
SERVICE, REVISION, _, _, KSERVE = TYPES[:5]


@pytest.mark.parametrize(
    "word",
    ["modelservice", "ModelService", "modelservices", "msvc", "modelservices.tidegate.dev", "msvc.v1.tidegate.dev"],
)
def test_a_kind_has_many_names(word: str) -> None:
    """By itself or with its group, in any case."""
    assert find_types(word, TYPES) == [SERVICE]


@pytest.mark.parametrize(
    ("word", "kind"),
    [("job", "ServingJob"), ("jobs", "ServingJob"), ("rollout", "ServingRollout"), ("rollouts", "ServingRollout")],
)
def test_what_people_type_is_a_kind(word: str, kind: str) -> None:
    """Here, where no other kind has that name; by name and as one of several, too."""
    (found,) = find_types(word, TYPES)
    assert found.kind == kind
    assert read_kinds([word, "a"], TYPES) == [Named(found, "a")]


def test_a_category_is_several_kinds() -> None:
    """As the server says which."""
    assert find_types("all", TYPES) == [TYPES[-1]]


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["msvc"], [Named(SERVICE, "")]),
        (["msvc,srev,msvc"], [Named(SERVICE, ""), Named(REVISION, "")]),
        (["isvc", "a", "b"], [Named(KSERVE, "a"), Named(KSERVE, "b")]),
        (["msvc/a", "isvc/b"], [Named(SERVICE, "a"), Named(KSERVE, "b")]),
    ],
    ids=str,
)
def test_kinds_and_names(words: list[str], meant: list[Named]) -> None:
    """All forms of kubectl, for commands that need a kind and for those that do not."""
    assert read_kinds(words, TYPES) == meant
    assert read_names(words, TYPES) == meant


def test_names_alone_are_services() -> None:
    """Where a kind is not needed."""
    assert read_names(["iris", "rose"], TYPES) == [Named(None, "iris"), Named(None, "rose")]


@pytest.mark.parametrize(
    ("words", "cause", "hint"),
    [
        (["modelservces"], "no kind of resource 'modelservces'", "did you mean modelservices?"),
        (["zebra"], "no kind of resource 'zebra'", "there are modelservices, servingrevisions"),
        (["msvc/a", "b"], "'b' is no KIND/NAME, and others are", "KIND/NAME, KIND NAME…"),
        (["msvc/a/b"], "'msvc/a/b' is no KIND/NAME", "KIND/NAME"),
        (["msvc/"], "'msvc/' is no KIND/NAME", "KIND/NAME"),
        ([], "there is no kind of resource", "KIND/NAME"),
    ],
    ids=str,
)
def test_what_means_nothing_is_usage(words: list[str], cause: str, hint: str) -> None:
    """With the nearest kind, or all."""
    with pytest.raises(Failure) as caught:
        read_kinds(words, TYPES)
    assert cause in caught.value.cause
    assert hint in caught.value.hint
    assert caught.value.code == 2


def test_a_mistyped_kind_is_no_service() -> None:
    """Where a name follows it; a single word may be a service of that name."""
    with pytest.raises(Failure, match="no kind of resource 'modelservce'"):
        read_names(["modelservce", "iris"], TYPES)
    assert read_names(["modelservce"], TYPES) == [Named(None, "modelservce")]
