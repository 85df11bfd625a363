"""The route table: from a name and a version to a backend."""

from __future__ import annotations

import pytest

from tidegate.gateway.routes import Route, RouteTable
from tidegate.protocol.errors import ModelNotFound, VersionNotFound
from tidegate.testing.backends import IdentityBackend, identity_metadata


def route(model: str, version: str) -> Route:
    return Route(model, version, IdentityBackend(identity_metadata(model)))


def test_the_last_version_named_is_the_default() -> None:
    """A request that names no version is answered by the one that was put last."""
    table = RouteTable.of(route("m", "1"), route("m", "2"))
    assert table.resolve("m").version == "2"


def test_a_named_version_is_taken() -> None:
    """A request that names a version is answered by that one."""
    table = RouteTable.of(route("m", "1"), route("m", "2"))
    assert table.resolve("m", "1").version == "1"


def test_an_unknown_model_is_named() -> None:
    """A name that is not served is said, whatever version was asked for."""
    with pytest.raises(ModelNotFound, match=r"^model 'n' is not found$"):
        RouteTable.of(route("m", "1")).resolve("n", "1")


def test_an_unknown_version_is_named_with_those_there_are() -> None:
    """A version that is not served is said, and which ones are."""
    table = RouteTable.of(route("m", "1"), route("m", "2"))
    with pytest.raises(VersionNotFound, match=r"^model 'm' has no version '3'; it has 1, 2$"):
        table.resolve("m", "3")


def test_an_empty_table_serves_nothing() -> None:
    """A table without routes refuses every name."""
    with pytest.raises(ModelNotFound, match=r"^model '' is not found$"):
        RouteTable().resolve("")


def test_models_do_not_share_versions() -> None:
    """Two models with a version of the same name keep their own backends."""
    one, other = route("a", "1"), route("b", "1")
    table = RouteTable.of(one, other)
    assert table.resolve("a").backend is one.backend
    assert table.resolve("b", "1").backend is other.backend
