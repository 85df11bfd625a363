"""What a client shows a server to be let in, and whom it believes to be that server."""

from __future__ import annotations

import ssl

import msgspec

from tidegate.client.settings import DEFAULT_SETTINGS, ClientSettings
from tidegate.protocol.errors import InvalidRequest


class Login(msgspec.Struct, frozen=True, kw_only=True):
    """Each may be left out. Files are in PEM."""

    token: str = ""
    """Sent as ``Authorization: Bearer``: to whomever the connection leads, so with TLS unless it is this machine."""
    certificate_authority: str = ""
    """A file with those who may vouch for the server; without it, those of certifi."""
    client_certificate: str = ""
    """A file with the certificate that the client shows; it may hold the key, too."""
    client_key: str = ""
    """A file with the key of that certificate."""

    def __repr__(self) -> str:
        return f"<Login {', '.join(n for n in self.__struct_fields__ if getattr(self, n)) or 'none'}>"


def with_login(login: Login, settings: ClientSettings = DEFAULT_SETTINGS) -> ClientSettings:
    """The settings of a client that uses it.

    Raises:
        InvalidRequest: a file cannot be read, or does not hold what it should.
    """
    headers = dict(settings.headers)
    if login.token:
        if not (login.token.isascii() and login.token.isprintable() and " " not in login.token):
            raise InvalidRequest("the token is not one word of printable ASCII, as headers hold it")
        headers["authorization"] = f"Bearer {login.token}"
    return msgspec.structs.replace(settings, headers=headers, ssl_context=_context(login) or settings.ssl_context)


def _context(login: Login) -> ssl.SSLContext | None:
    authority, certificate = login.certificate_authority, login.client_certificate
    if not authority and not certificate:
        return None
    if authority:
        try:
            context = ssl.create_default_context(cafile=authority)
        except (OSError, ssl.SSLError) as error:
            raise InvalidRequest(f"certificate authority '{authority}' cannot be read: {_why(error)}") from error
    else:
        import httpx

        context = httpx.create_ssl_context()
    if certificate:
        try:
            context.load_cert_chain(certificate, login.client_key or None)
        except (OSError, ssl.SSLError) as error:
            raise InvalidRequest(f"client certificate '{certificate}' cannot be used: {_why(error)}") from error
    return context


def _why(error: OSError) -> str:
    return error.strerror or str(error)
