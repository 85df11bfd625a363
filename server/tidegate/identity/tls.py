"""The TLS context of a listener, and new certificates for it without a restart.

A certificate that has changed on disk is taken for the next handshake. What cannot be read then changes nothing, and
the log says so once. The authorities of client certificates are read at the start only, and are those of every
certificate that comes later.
"""

from __future__ import annotations

import logging
import ssl
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from tidegate.identity.settings import TlsSettings, Unusable

log = logging.getLogger(__name__)

LOOK_EVERY = 1.0
"""Seconds between two looks at the files."""

HTTP_1 = ("http/1.1",)
HTTP_2 = ("h2",)


def server_context(
    settings: TlsSettings, protocols: Sequence[str], clock: Callable[[], float] = time.monotonic
) -> ssl.SSLContext:
    """A context for a listener that speaks these protocols. A client may show a certificate, and needs not.

    Raises:
        Unusable: a file cannot be read, or is not what it is to be.
    """
    authorities = None if settings.client_ca is None else _authorities(settings.client_ca)
    context = _loaded(settings, protocols, authorities)
    context.sni_callback = _Renewal(settings, protocols, authorities, clock).renew
    return context


def contexts(tls: TlsSettings | None) -> tuple[ssl.SSLContext | None, ssl.SSLContext | None]:
    """The contexts of an HTTP and of a gRPC listener; None where nothing is encrypted.

    Raises:
        Unusable: as above.
    """
    return (None, None) if tls is None else (server_context(tls, HTTP_1), server_context(tls, HTTP_2))


class _Renewal:
    """Looks at the files when a client connects, whatever name it asks for."""

    def __init__(
        self, settings: TlsSettings, protocols: Sequence[str], authorities: str | None, clock: Callable[[], float]
    ) -> None:
        self._settings = settings
        self._protocols = protocols
        self._authorities = authorities
        self._clock = clock
        self._looked = clock()
        self._seen = _trace(settings.certificate, settings.key)
        self._newest: ssl.SSLContext | None = None

    def renew(self, connection: ssl.SSLObject, name: str | None, context: ssl.SSLContext) -> None:
        now = self._clock()
        if now - self._looked >= LOOK_EVERY:
            self._looked = now
            self._look()
        if self._newest is not None:
            connection.context = self._newest

    def _look(self) -> None:
        trace = _trace(self._settings.certificate, self._settings.key)
        if trace == self._seen:
            return
        self._seen = trace
        try:
            self._newest = _loaded(self._settings, self._protocols, self._authorities)
        except Unusable as error:
            log.error("%s; the one of before stays", error)


def _authorities(path: Path) -> str:
    """The certificates of a file, in PEM, once they were found to be some."""
    try:
        text = path.read_bytes().decode("ascii", "ignore")  # between them anything may stand
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_verify_locations(cadata=text)
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        raise Unusable(f"authorities {path} cannot be used: {reason(error)}") from error
    return text


def _loaded(settings: TlsSettings, protocols: Sequence[str], authorities: str | None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(list(protocols))
    try:
        context.load_cert_chain(settings.certificate, settings.key, password=_no_password)
    except (OSError, ValueError) as error:
        files = f"{settings.certificate} with key {settings.key}"
        raise Unusable(f"certificate {files} cannot be used: {reason(error)}") from error
    if authorities is not None:  # a connection that is given this context is held against the authorities of this one
        context.load_verify_locations(cadata=authorities)
        context.verify_mode = ssl.CERT_OPTIONAL
    return context


def _no_password() -> str:
    raise ValueError("the key has a passphrase")  # else OpenSSL would ask for it on the terminal


def reason(error: Exception) -> str:
    """What an error of OpenSSL or of the system says, without where it says it."""
    if isinstance(error, ssl.SSLError):
        return error.reason.lower().replace("_", " ") if error.reason else "it is not in PEM"
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def _trace(*paths: Path) -> tuple[tuple[int, int] | None, ...]:
    """What changes with the files' content."""
    found: list[tuple[int, int] | None] = []
    for path in paths:
        try:
            status = path.stat()
        except OSError:
            found.append(None)
        else:
            found.append((status.st_mtime_ns, status.st_ino))
    return tuple(found)
