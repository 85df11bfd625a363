"""Scopes: what is one, and what it covers."""

from __future__ import annotations

from fnmatch import fnmatchcase

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.identity.identity import LOCAL, Identity, Proof, Role, has_role, may
from tidegate.identity.scope import Verb, parse_scope, parse_scopes

NAMES = st.from_regex(r"[A-Za-z0-9._-]{1,8}", fullmatch=True)
PATTERNS = st.from_regex(r"[A-Za-z0-9._*?-]{1,8}", fullmatch=True)
VERBS = st.sampled_from([Verb.METADATA, Verb.INFER, Verb.CONTROL])


def someone(*scopes: str, role: Role | None = None) -> Identity:
    return Identity("ann", Proof.KEY, parse_scopes(scopes), role)


@given(VERBS, PATTERNS, PATTERNS, NAMES, NAMES)
def test_a_pattern_covers_what_its_two_halves_match(
    verb: Verb, namespace: str, pattern: str, space: str, name: str
) -> None:
    """Each for itself, case and all; a pattern without a namespace is of the default one."""
    scope = parse_scope(f"{verb}:{namespace}/{pattern}")
    assert scope.covers(verb, space, name) == (fnmatchcase(space, namespace) and fnmatchcase(name, pattern))
    plain = parse_scope(f"{verb}:{pattern}")
    assert plain.covers(verb, "default", name) == fnmatchcase(name, pattern)
    assert plain.covers(verb, space, name) == (space == "default" and fnmatchcase(name, pattern))
    assert str(scope) == f"{verb}:{namespace}/{pattern}"


@given(st.text(max_size=30))
def test_any_text_is_a_scope_or_refused(text: str) -> None:
    """With a sentence; and what is taken is given back as it was."""
    try:
        scope = parse_scope(text)
    except ValueError as error:
        told = str(error)
    else:
        told = str(scope)
    assert told == text or "is none, expected infer:" in told


@pytest.mark.parametrize(
    "text",
    [
        "", "infer", "infer:", ":iris", "infer:/", "infer:a/", "infer:/a", "infer:a/b/c", "infer: a", "infer:a b",
        "Infer:a", "infer:[ab]", "infer:a\n", "admin:", "admin:a", "admin:*/*", "write:*", "infer:é", "infer:a:b",
        "*:*", "infer:" + "a" * 129,
    ],
)  # fmt: skip
def test_what_is_no_scope(text: str) -> None:
    """Nothing is guessed: a right that is misspelt is none."""
    with pytest.raises(ValueError, match="is none, expected"):
        parse_scope(text)


@given(VERBS, VERBS, NAMES, NAMES)
def test_what_covers_all_covers_each(given: Verb, verb: Verb, space: str, name: str) -> None:
    """Whatever it is called."""
    scope = parse_scope(f"{given}:*/*")
    assert scope.covers_all(verb) == scope.covers(verb, space, name)
    assert not parse_scope(f"{given}:*").covers_all(verb)
    assert not parse_scope(f"{given}:?*/*").covers_all(verb)
    assert parse_scope("admin:*").covers_all(verb)


def test_many_stars_are_no_work() -> None:
    """A pattern that would take an expression that goes back for ever."""
    assert not parse_scope("infer:" + "a*" * 60 + "b").covers(Verb.INFER, "default", "a" * 128)


@pytest.mark.parametrize(
    ("scope", "metadata", "infer", "control", "admin"),
    [
        ("metadata:*", True, False, False, False),
        ("infer:*", True, True, False, False),
        ("control:*", True, False, True, False),
        ("admin:*", True, True, True, True),
    ],
)
def test_what_a_verb_includes(scope: str, metadata: bool, infer: bool, control: bool, admin: bool) -> None:
    """Who may use something may see it; to see it is no right to use it."""
    found = [
        may(someone(scope), verb, "default", "x") for verb in (Verb.METADATA, Verb.INFER, Verb.CONTROL, Verb.ADMIN)
    ]
    assert found == [metadata, infer, control, admin]
    assert may(someone(scope), Verb.METADATA, "other", "x") == admin


def test_rights_add_up() -> None:
    """And without any there is none."""
    assert not may(someone(), Verb.METADATA, "default", "x")
    both = someone("infer:a", "infer:b")
    assert [may(both, Verb.INFER, "default", name) for name in "abc"] == [True, True, False]


@pytest.mark.parametrize(
    ("role", "held"),
    [(None, []), (Role.VIEW, [Role.VIEW]), (Role.EDIT, [Role.VIEW, Role.EDIT]), (Role.ADMIN, list(Role))],
)
def test_a_role_includes_those_before_it(role: Role | None, held: list[Role]) -> None:
    """View, edit, admin."""
    assert [each for each in Role if has_role(someone(role=role), each)] == held


def test_who_is_on_this_machine_may_everything() -> None:
    """Where nobody is asked."""
    assert may(LOCAL, Verb.ADMIN, "any", "thing")
    assert has_role(LOCAL, Role.ADMIN)
