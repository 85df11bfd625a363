"""Who is let in, to what, and how much of it: for a data plane whose callers are asked who they are.

Everybody has a route table of his own, in which nothing is but what he may use. So the rest is for him as if it were
not there, however he asks for it: by name, host, path, version or tag, in lists and in statistics. And what is
authorised is what is served, because it was found in no other table.
"""

from __future__ import annotations

import asyncio

from tidegate.gateway.routes import RouteTable
from tidegate.gateway.services import Services
from tidegate.identity.authenticator import Authenticator
from tidegate.identity.credentials import Credentials
from tidegate.identity.identity import Identity, may
from tidegate.identity.quota import UNLIMITED, Bucket, Quota, Quotas
from tidegate.identity.scope import DEFAULT_NAMESPACE, Scope, Verb

MOST_TABLES = 256
"""Tables that are kept. Those with the same scopes have the same, so that a few serve many callers."""


class Access:
    """``quota`` is that of each identity that has no bounds of its own."""

    def __init__(self, authenticator: Authenticator, quota: Quota = UNLIMITED) -> None:
        self._authenticator = authenticator
        self._quota = quota
        self._quotas = Quotas()
        self._whole = RouteTable()
        self._tables: dict[tuple[Verb, tuple[Scope, ...]], RouteTable] = {}

    def __repr__(self) -> str:
        return f"<Access {len(self._tables)} tables, {len(self._quotas)} buckets>"

    async def identify(self, credentials: Credentials) -> Identity:
        """Who shows these credentials.

        Raises:
            Unauthenticated: nobody who is known.
        """
        return await self._authenticator.identify(credentials)

    def table(self, whole: RouteTable, identity: Identity, verb: Verb) -> RouteTable:
        """The part of a table that somebody may do this with."""
        if whole is not self._whole:
            self._whole = whole
            self._tables.clear()
        key = (verb, identity.scopes)
        found = self._tables.get(key)
        if found is None:
            if len(self._tables) >= MOST_TABLES:
                self._tables.clear()
            found = self._tables[key] = part_of(whole, identity, verb)
        return found

    def begin(self, identity: Identity) -> Bucket | None:
        """Count an inference against somebody's quota; what this returns is to be given to ``end``.

        Raises:
            QuotaExceeded: there is none left.
        """
        quota = self._quota if identity.quota == UNLIMITED else identity.quota
        if quota == UNLIMITED:
            return None
        return self._quotas.begin(identity.key, quota, asyncio.get_running_loop().time())

    def end(self, bucket: Bucket | None) -> None:
        """The inference has had its answer."""
        if bucket is not None:
            self._quotas.end(bucket)


def part_of(whole: RouteTable, identity: Identity, verb: Verb) -> RouteTable:
    """The models and services of a table that somebody may do this with."""
    if any(scope.covers_all(verb) for scope in identity.scopes):
        return whole

    def allowed(model: str) -> bool:
        return may(identity, verb, DEFAULT_NAMESPACE, model)

    services = (each for each in whole.services if may(identity, verb, each.name.namespace, each.name.name))
    return RouteTable(
        models={model: versions for model, versions in whole.models.items() if allowed(model)},
        default=whole.default,
        unavailable={model: reason for model, reason in whole.unavailable.items() if allowed(model)},
        services=Services.of(services),
    )


def tenant_of(identity: Identity, told: str) -> str:
    """The tenant that a request counts for: the identity's, whatever the request says, unless it speaks for others."""
    return told if identity.proxy else identity.tenant
