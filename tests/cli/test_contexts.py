"""Which server is meant: precedence, and what is shown to whom. Pure."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.cli.contexts import (
    DEFAULTS,
    LOGIN,
    NAMES,
    Context,
    Contexts,
    Setting,
    UnknownContext,
    changed,
    settle,
    used,
    values_of,
    variable,
    without,
)

HOME = "https://home:1"
WORD = st.text("abcdefg", min_size=1, max_size=4)
FILE = Contexts(
    current_context="home",
    contexts={
        "home": Context(server=HOME, namespace="mine", token="secret", certificate_authority="ca.pem"),
        "away": Context(server="https://away:1", token_file="token"),
    },
)


@given(st.sets(st.sampled_from(["flag", "environment", "file"])), st.sampled_from(NAMES))
def test_a_flag_goes_before_the_environment_before_the_file_before_the_default(places: set[str], name: str) -> None:
    """For every setting, whichever of the four there are."""
    flags = {name: "from-flag"} if "flag" in places else {}
    environment = {variable(name): "from-environment"} if "environment" in places else {}
    field = name.replace("-", "_")
    file = Contexts(
        current_context="c", contexts={"c": Context(**{field: "from-file"})} if "file" in places else {"c": Context()}
    )
    found = settle(flags, environment, file, "FILE").settings[name]
    if "flag" in places:
        assert found == Setting("from-flag", f"--{name}")
    elif "environment" in places:
        assert found == Setting("from-environment", variable(name))
    elif "file" in places:
        assert found == Setting("from-file", "context c of FILE")
    else:
        assert found == Setting(DEFAULTS.get(name, ""), "default")


@given(server=WORD, place=st.sampled_from(["flag", "environment"]), own=WORD)
def test_what_lets_in_at_one_server_is_shown_to_no_other(server: str, place: str, own: str) -> None:
    """A token of the file does not go where a flag or a variable leads."""
    flags = {"server": server} if place == "flag" else {}
    environment = {variable("server"): server} if place == "environment" else {}
    file = Contexts(
        current_context="c", contexts={"c": Context(server=own, **{name.replace("-", "_"): "x" for name in LOGIN})}
    )
    found = settle(flags, environment, file)
    assert all((found[name] == "x") is (server == own) for name in LOGIN)
    assert found["server"] == server


def test_the_same_server_with_another_slash_is_the_same() -> None:
    """So that its token is not lost by a slip."""
    assert settle({"server": "HTTPS://home:1/"}, {}, FILE)["token"] == "secret"


def test_a_context_is_chosen_by_flag_environment_and_file() -> None:
    """In that order."""
    assert settle({}, {}, FILE).context == "home"
    assert settle({}, {"TIDEGATE_CONTEXT": "away"}, FILE).context == "away"
    assert settle({"context": "home"}, {"TIDEGATE_CONTEXT": "away"}, FILE).context == "home"
    with pytest.raises(UnknownContext, match="no context 'nowhere'; there are home, away"):
        settle({"context": "nowhere"}, {}, FILE)


def test_a_file_with_the_token_stands_in_for_it() -> None:
    """Unless a token is nearer."""
    found = settle({"context": "away"}, {}, FILE)
    assert (found["token"], found["token-file"]) == ("", "token")
    near = settle({"context": "away"}, {"TIDEGATE_TOKEN": "t"}, FILE)
    assert (near["token"], "token-file" in near.settings) == ("t", False)


@pytest.mark.parametrize(("first", "second"), [*product(["token", "token-file"], repeat=2)])
def test_a_token_and_its_file_take_each_other_s_place(first: str, second: str) -> None:
    """There is one way in, the one that was said last."""
    contexts = changed(changed(Contexts(), "c", {first: "a"}), "c", {second: "b"})
    assert values_of(contexts.contexts["c"]) == {second: "b"}


def test_a_context_is_changed_in_what_is_said() -> None:
    """What is not said stays; nothing takes a value away."""
    contexts = changed(FILE, "home", {"namespace": "other", "token": ""})
    assert values_of(contexts.contexts["home"]) == {
        "server": HOME,
        "namespace": "other",
        "certificate-authority": "ca.pem",
    }
    assert contexts.contexts["away"] == FILE.contexts["away"]


def test_the_current_one_is_one_of_them() -> None:
    """It goes with its context."""
    assert used(FILE, "away").current_context == "away"
    assert without(FILE, "home") == Contexts(contexts={"away": FILE.contexts["away"]})
    assert without(FILE, "away").current_context == "home"
    for change in (used, without):
        with pytest.raises(UnknownContext):
            change(FILE, "nowhere")
