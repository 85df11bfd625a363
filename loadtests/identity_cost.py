"""What it costs to know who asks: microseconds for one request, by what it shows, and for a caller's table of routes.

The fastest of several runs counts.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
import timeit
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from tidegate.gateway.access import Access, part_of
from tidegate.gateway.addressee import read_asked
from tidegate.gateway.routes import RouteTable
from tidegate.identity.authenticator import Authenticator
from tidegate.identity.credentials import read_credentials
from tidegate.identity.identity import Identity
from tidegate.identity.key import Key, hash_of, secret_of
from tidegate.identity.key_file import changing
from tidegate.identity.key_ring import ApiKeys, KeyRing
from tidegate.identity.key_set import KeyFile, KeySet
from tidegate.identity.scope import Verb
from tidegate.identity.settings import TokenSettings
from tidegate.identity.tokens import Tokens
from tidegate.testing.backends import identity_route, identity_service
from tidegate.testing.issuer import Issuer

KEYS = 1000
ISSUER = Issuer("https://issuer.example", "tidegate")
SCOPES = ("infer:m*", "infer:team/*")


def microseconds(act: Callable[[], object], times: int) -> float:
    return min(timeit.repeat(act, number=times, repeat=5)) / times * 1e6


def finished(coroutine: Coroutine[Any, Any, Identity]) -> Identity:
    """The result of one that waits for nothing."""
    try:
        coroutine.send(None)
    except StopIteration as stopped:
        found: Identity = stopped.value
        return found
    raise AssertionError("it waits")


def headers(token: str) -> list[tuple[bytes, bytes]]:
    return [(b"host", b"x"), (b"content-type", b"application/json"), (b"authorization", b"Bearer " + token.encode())]


def measure(folder: Path, times: int) -> None:
    secrets = [secret_of(f"{number:012x}", number.to_bytes(32, "big")) for number in range(KEYS)]
    with changing(folder / "keys.json") as keys:
        keys += [
            Key(id=f"{number:012x}", name=f"n{number}", hash=hash_of(secret), scopes=SCOPES)
            for number, secret in enumerate(secrets)
        ]
    (folder / "jwks.json").write_bytes(ISSUER.key_set())
    settings = TokenSettings(issuer=ISSUER.name, audience=ISSUER.audience, keys=str(folder / "jwks.json"))
    key_set = KeySet(KeyFile(folder / "jwks.json"), settings, time.monotonic)
    asyncio.run(key_set.load())

    def access() -> Access:
        return Access(Authenticator(Tokens(settings, key_set), ApiKeys(KeyRing(folder / "keys.json"))))

    door = access()

    def identify(token: str, at: Access = door) -> Identity:
        return finished(at.identify(read_credentials(headers(token))))

    for name, token in (
        ("an API key, one of 1,000", secrets[7]),
        ("a token that was seen before", ISSUER.token()),
    ):
        print(f"{name:40} {microseconds(lambda token=token: identify(token), times):8.1f}")  # type: ignore[misc]
    for algorithm, kid in (("ES256", "ec"), ("RS256", "rsa")):
        tokens = [ISSUER.token(header={"alg": algorithm, "kid": kid}, number=number) for number in range(200)]
        began = time.perf_counter()
        for token in tokens:
            identify(token)
        print(f"{'a new token of ' + algorithm:40} {(time.perf_counter() - began) / len(tokens) * 1e6:8.1f}")
    somebody = identify(secrets[7])
    asked = read_asked(headers(secrets[7]), None, "", 0.5, somebody)
    table = RouteTable.of(identity_route("m"))
    plain = microseconds(lambda: table.resolve("m", ""), times)
    own = microseconds(lambda: door.table(table, somebody, Verb.INFER).resolve("m", "", asked), times)
    print(f"{'a route: in the whole table':40} {plain:8.1f}\n{'a route: in his own':40} {own:8.1f}")
    large = RouteTable.of(
        *(identity_route(f"m{number}") for number in range(500)),
        services=[identity_service(f"s{number}", {1: 100}, namespace="team") for number in range(500)],
    )
    made = microseconds(lambda: part_of(large, somebody, Verb.INFER), 20)
    print(f"{'his own, of 500 models, 500 services':40} {made:8.1f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=20_000, help="calls of one run")
    with tempfile.TemporaryDirectory() as folder:
        measure(Path(folder), parser.parse_args().times)


if __name__ == "__main__":
    main()
