"""The admin port: the resource API behind an HTTP listener, open on loopback, behind TLS and tokens elsewhere."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from ssl import SSLContext

import msgspec
from starlette.types import Message, Receive, Scope, Send

from tidegate.app.certificates import LOCAL_NAMES, ServerCertificate, server_certificate
from tidegate.control.api.application import ResourceApi
from tidegate.control.api.audit import AuditLog, AuditSettings
from tidegate.control.api.door import Door, LocalDoor, TokenDoor
from tidegate.control.api.logs import LogSource
from tidegate.control.api.own import ChannelTrial
from tidegate.control.api.settings import ApiSettings
from tidegate.control.api.writing import Writer
from tidegate.control.store.settings import StoreSettings
from tidegate.gateway.address import is_loopback
from tidegate.gateway.http.infer_route import refusal
from tidegate.gateway.http.listener import HttpListener
from tidegate.gateway.http.settings import HttpSettings
from tidegate.gateway.http.status import uncounted
from tidegate.identity.authenticator import Authenticator
from tidegate.identity.settings import Unusable
from tidegate.protocol.errors import shown
from tidegate.protocol.limits import DEFAULT_LIMITS
from tidegate.resources.store import Store

CERTIFICATES = "tls"
"""Folder of the state directory with the authority and the server's certificate."""


class AdminSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What an operator can set on the admin port."""

    http: HttpSettings = HttpSettings(port=8082, max_connections=1100)
    """Where it listens. Fewer connections than on the data ports: each watch has one, and a body may have megabytes."""
    names: tuple[str, ...] = ()
    """DNS names and IP addresses by which clients reach it, beside those of this machine: its certificate has them."""
    api: ApiSettings = ApiSettings()
    audit: AuditSettings = AuditSettings()
    """How much of the audit log is kept."""


class AdminServer(HttpListener):
    """Serves a resource API. ``certificate`` is what it shows over TLS; None over plain HTTP."""

    def __init__(
        self, api: ResourceApi, audit: AuditLog | None, settings: AdminSettings, certificate: ServerCertificate | None
    ) -> None:
        self.certificate = certificate
        self._api = api
        self._audit = audit
        tls: SSLContext | None = certificate.context() if certificate else None
        super().__init__(AdminApplication(api), settings.http, DEFAULT_LIMITS, uncounted, tls)

    @property
    def scheme(self) -> str:
        return "https" if self.certificate else "http"

    async def writer(self) -> Writer:
        """Who writes into the store as its callers do, for those in this process who do so before there are any."""
        await self._api.prepare()
        return self._api.writer

    async def start(self) -> None:
        await self._api.prepare()
        await super().start()

    async def stop(self, grace: float) -> None:
        self._api.close()  # watches would outlive any grace
        await super().stop(grace)
        if self._audit is not None:
            self._audit.close()


class AdminApplication:
    """The API, with an answer also for a request that its connection has given up on."""

    def __init__(self, api: ResourceApi) -> None:
        self._api = api

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun = False

        async def sender(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._api(scope, receive, sender)
        except asyncio.CancelledError as cancelled:
            error = refusal(scope, cancelled)
            if not begun:
                await self._api.refused(error)(scope, receive, send)


def admin_server(
    store: Store,
    settings: AdminSettings,
    state: Path | None,
    *,
    version: str,
    authenticator: Authenticator | None = None,
    logs: LogSource | None = None,
    trial: ChannelTrial | None = None,
    bounds: StoreSettings | None = None,
) -> AdminServer:
    """An admin port over a store, whose files lie in the directory ``state``; without one nothing is audited.
    ``bounds`` are the store's.

    With an ``authenticator`` everybody shows a token, over TLS: kubectl keeps tokens back otherwise. Only where
    there is no place to keep a certificate, and nobody but this machine's users, they are shown over plain HTTP.

    Raises:
        Unusable: it would be open to others than this machine's users without tokens, or has no place for its
            certificate.
        OSError: the state directory cannot be written.
    """
    host = settings.http.host
    door: Door
    certificate = None
    if authenticator is not None:
        door = TokenDoor(authenticator)
        if state is not None:
            certificate = server_certificate(state / CERTIFICATES, _names(settings))
        elif not is_loopback(host):
            raise Unusable(
                f"the admin port would listen on {shown(host)} without TLS: its certificate is kept with the state; "
                f"expected --state-directory, or a loopback address for --admin-host"
            )
    elif is_loopback(host):
        door = LocalDoor()
    else:
        raise Unusable(
            f"the admin port would listen on {shown(host)} and ask nobody who he is; expected --auth, or a loopback "
            f"address for --admin-host"
        )
    audit = AuditLog(state, settings.audit) if state else None
    api = ResourceApi(
        store, settings.api, door=door, audit=audit, logs=logs, trial=trial, bounds=bounds, version=version
    )
    return AdminServer(api, audit, settings, certificate)


def _names(settings: AdminSettings) -> list[str]:
    """The names for the certificate, each once. An address that stands for all of them is none."""
    host = settings.http.host
    own = [] if host in ("0.0.0.0", "::", "") else [host]
    return list(dict.fromkeys((*LOCAL_NAMES, socket.gethostname(), *own, *settings.names)))
