"""Callers whose tokens are their names, each with the rights that a test gives him. ::

with served(identity_route("m"), access=Guests(ann="infer:m", bob="").access()) as server:
    httpx.get(f"{server.url}/v2/models", headers={"authorization": "Bearer ann"})
"""

from __future__ import annotations

from msgspec import structs

from tidegate.gateway.access import Access
from tidegate.identity.authenticator import Authenticator
from tidegate.identity.credentials import Credentials
from tidegate.identity.identity import Identity, Proof
from tidegate.identity.quota import UNLIMITED, Quota
from tidegate.identity.scope import parse_scopes


class Guests:
    """Recognises those that it is told of, by their tokens; ``scopes`` are those of each, with spaces between them."""

    def __init__(self, **scopes: str) -> None:
        self.known = {
            name: Identity(name, Proof.KEY, parse_scopes(texts.split()), tenant=name) for name, texts in scopes.items()
        }

    async def recognise(self, credentials: Credentials) -> Identity | None:
        return self.known.get(credentials.token)

    def change(self, name: str, *, proxy: bool = False, quota: Quota | None = None) -> None:
        """Let somebody speak for others, or give him other bounds."""
        before = self.known[name]
        self.known[name] = structs.replace(before, proxy=proxy or before.proxy, quota=quota or before.quota)

    def access(self, quota: Quota = UNLIMITED) -> Access:
        """A data plane's door that knows these."""
        return Access(Authenticator(self), quota)
