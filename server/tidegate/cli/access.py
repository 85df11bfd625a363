"""The options of ``tidegate serve`` about who callers are and how their connections are encrypted."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import Group, Parameter
from cyclopts.validators import Number

from tidegate.cli.failure import Exit, Failure
from tidegate.cli.group import Given, Seconds
from tidegate.gateway.address import is_loopback
from tidegate.identity.quota import UNLIMITED, Quota
from tidegate.identity.settings import IdentitySettings, TlsSettings, TokenSettings, Way
from tidegate.outgoing.settings import OutgoingSettings
from tidegate.protocol.errors import shown

OFF = "off"
TOKENS = TokenSettings(issuer="-", audience="-", keys="-")

Count = Annotated[int, Parameter(validator=Number(gte=0))]
Words = Annotated[tuple[str, ...], Parameter(negative=(), show_default=False)]


@Parameter(name="*", group=Group("Who callers are", sort_key=9))
@dataclass(frozen=True)
class Identities(Given):
    auth: str = ""
    """How callers show who they are: keys, jwt, mtls, several with commas between them; or off, so that nobody is
    asked. It must be said where the server listens on more than a loopback address."""
    api_keys: str = ""
    """The file that `tidegate keys` writes; "" is api-keys.json in the state directory, and without one in tidegate of
    $XDG_STATE_HOME, else ~/.local/state."""
    jwt_issuer: str = ""
    """Who issues JSON Web Tokens, as they say in `iss`."""
    jwt_audience: str = ""
    """Us, as they say in `aud`."""
    jwt_keys: str = ""
    """The issuer's JSON Web Key Set, a file or a URL over https."""
    jwt_algorithms: Words = ()
    """What tokens may be signed with; without it any signature by a private key. Once per algorithm."""
    jwt_leeway: Seconds = TOKENS.leeway
    """Seconds that the issuer's clock and ours may differ."""
    jwt_name_claim: str = TOKENS.name_claim
    """The claim that names the caller."""
    jwt_tenant_claim: str = TOKENS.tenant_claim
    """The claim that names his tenant; without it he is his own."""
    jwt_scope_claim: str = TOKENS.scope_claim
    """The claim with his rights, such as `infer:*`."""
    jwt_role_claim: str = TOKENS.role_claim
    """The claim with his role at the admin port; "" for no roles by tokens."""
    jwt_one_time: Annotated[bool, Parameter(negative=())] = False
    """Take each token for one request only, by its `jti`."""
    caller_rate: Annotated[float, Parameter(validator=Number(gte=0, lte=1e9))] = UNLIMITED.rate
    """Inferences per second of each identity whose key has no bounds of its own; 0 for no bound."""
    caller_burst: Count = UNLIMITED.burst
    """Of them, how many may come at once after a pause; 0 for as many as a second brings."""
    caller_concurrency: Count = UNLIMITED.concurrent
    """Inferences of each identity at a time; 0 for no bound."""
    outgoing: Words = ()
    """https://HOST that requests may go to which a manifest or an issuer names: webhooks, keys. Once per host."""
    outgoing_network: Words = ()
    """A network that such a host may lie in although it is private: 10.0.0.0/8. Once per network."""


@Parameter(name="*", group=Group("Encryption", sort_key=10))
@dataclass(frozen=True)
class Encryption(Given):
    tls_cert: str = ""
    """The certificate of the data ports, in PEM with those between it and its authority; it is read again when it
    changes."""
    tls_key: str = ""
    """Its private key, in PEM."""
    tls_client_ca: str = ""
    """Authorities of client certificates, in PEM."""


def identity_of(options: Identities, encryption: Encryption, host: str, state_directory: str = "") -> IdentitySettings:
    """How callers show who they are, on a server that listens there and keeps its state there.

    Raises:
        Failure: it must be said and is not, or what a way needs is missing.
        ValueError: a value is one that its kind alone does not forbid.
    """
    ways = ways_of(options.auth, host)
    if Way.MTLS in ways and not encryption.tls_client_ca:
        hint = "it names the authorities of client certificates"
        raise Failure("--auth mtls needs --tls-client-ca", hint, Exit.USAGE)
    check_used(options.given, ways)
    return IdentitySettings(
        ways=ways,
        api_keys=api_keys_file(options.api_keys, state_directory) if ways & {Way.KEYS, Way.MTLS} else None,
        tokens=tokens_of(options) if Way.JWT in ways else None,
        quota=Quota(rate=options.caller_rate, burst=options.caller_burst, concurrent=options.caller_concurrency),
        outgoing=OutgoingSettings(origins=options.outgoing, networks=options.outgoing_network),
    )


def check_used(given: frozenset[str], ways: frozenset[Way]) -> None:
    """Whether what was said of a way is of use.

    Raises:
        Failure: callers are not asked in that way.
    """
    for field in sorted(given):
        users = (Way.JWT,) if field.startswith("jwt_") else (Way.KEYS, Way.MTLS) if field == "api_keys" else ()
        if users and not ways.intersection(users):
            told = f"--{field.replace('_', '-')} is of no use without --auth {' or '.join(users)}"
            raise Failure(told, "callers are asked in no way that would need it", Exit.USAGE)


def ways_of(auth: str, host: str) -> frozenset[Way]:
    """The ways that ``--auth`` names; none on a loopback address where it says nothing.

    Raises:
        Failure: it says nothing, and others reach the server; or it names something else.
    """
    if not auth and not is_loopback(host):
        raise Failure(
            f"the server would listen on {shown(host)}, where others reach it, and ask nobody who he is",
            "--auth keys, jwt or mtls asks; --auth off says that it is meant so",
            Exit.USAGE,
        )
    words = [word for word in auth.split(",") if word]
    unknown = [word for word in words if word != OFF and word not in list(Way)]
    if unknown or (OFF in words and len(words) > 1):
        problem = f"--auth is '{shown(auth)}', expected off, or keys, jwt and mtls with commas between them"
        raise Failure(problem, "`tidegate serve --help` shows what it takes", Exit.USAGE)
    return frozenset(Way(word) for word in words if word != OFF)


def tokens_of(options: Identities) -> TokenSettings:
    """Which tokens are good.

    Raises:
        Failure: issuer, audience or keys are missing.
        ValueError: a value is none.
    """
    needed = {name: getattr(options, f"jwt_{name}") for name in ("issuer", "audience", "keys")}
    missing = [f"--jwt-{name}" for name, value in needed.items() if not value]
    if missing:
        hint = "a token is good by who issued it, for whom, and by which keys"
        raise Failure(f"--auth jwt needs {' and '.join(missing)}", hint, Exit.USAGE)
    return TokenSettings(
        **needed,
        algorithms=options.jwt_algorithms or TOKENS.algorithms,
        leeway=options.jwt_leeway,
        name_claim=options.jwt_name_claim,
        tenant_claim=options.jwt_tenant_claim,
        scope_claim=options.jwt_scope_claim,
        role_claim=options.jwt_role_claim,
        one_time=options.jwt_one_time,
    )


def tls_of(options: Encryption) -> TlsSettings | None:
    """How the data ports are encrypted, None if they are not.

    Raises:
        Failure: a file is missing among those that belong together.
    """
    if not (options.tls_cert or options.tls_key or options.tls_client_ca):
        return None
    if not (options.tls_cert and options.tls_key):
        hint = "a certificate and its key belong together, and --tls-client-ca to both"
        raise Failure("--tls-cert and --tls-key are given without each other", hint, Exit.USAGE)
    authorities = Path(options.tls_client_ca) if options.tls_client_ca else None
    return TlsSettings(certificate=Path(options.tls_cert), key=Path(options.tls_key), client_ca=authorities)


def api_keys_file(named: str, state_directory: str = "") -> Path:
    """Where API keys are: what was named, else with the server's state, else where the user's is (XDG Base Directory
    Specification)."""
    if named:
        return Path(named)
    if state_directory:
        return Path(state_directory) / "api-keys.json"
    home = Path(os.environ.get("XDG_STATE_HOME", ""))
    return (home if home.is_absolute() else Path.home() / ".local/state") / "tidegate" / "api-keys.json"


IDENTITIES = Identities()
ENCRYPTION = Encryption()
