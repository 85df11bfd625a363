"""An authority of the server's own, and the certificate by which clients know it, kept in the state directory.

Clients that are given the authority's certificate (a kubeconfig holds it) need no other trust. The server's own
certificate is made anew at a start where it is about to end, or does not have all names any more.
"""

from __future__ import annotations

import ipaddress
import os
import ssl
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

LOCAL_NAMES = ("localhost", "127.0.0.1", "::1")
AUTHORITY_LIFE = timedelta(days=3650)
"""Its clients keep it; nobody is told when it changes."""
SERVER_LIFE = timedelta(days=397)
"""The longest that browsers take."""
RENEWED = timedelta(days=60)
"""What must be left of the server's certificate at a start."""
SKEW = timedelta(minutes=5)
"""A client's clock may be behind by this."""
AUTHORITY, AUTHORITY_KEY = "authority.pem", "authority.key"
SERVER, SERVER_KEY = "server.pem", "server.key"


class Pair(msgspec.Struct, frozen=True):
    """A certificate and its key, in PEM."""

    certificate: bytes
    key: bytes


class ServerCertificate(msgspec.Struct, frozen=True):
    """What a TLS server needs, and ``authority``, what its clients need, in PEM."""

    certificate: Path
    key: Path
    authority: bytes

    def context(self) -> ssl.SSLContext:
        """A server's context, TLS 1.2 or newer."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(self.certificate, self.key)
        return context


def new_authority(now: datetime) -> Pair:
    """A new authority, of a new key on P-256."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tidegate authority")])
    certificate = (
        _builder(now, AUTHORITY_LIFE, name, name, key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(authority=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return _pair(certificate, key)


def new_server(authority: Pair, names: Sequence[str], now: datetime) -> Pair:
    """A certificate for these DNS names and IP addresses, signed by an authority."""
    signer = serialization.load_pem_private_key(authority.key, None)
    issuer = x509.load_pem_x509_certificate(authority.certificate)
    if not isinstance(signer, ec.EllipticCurvePrivateKey):
        raise ValueError(f"the authority's key is a {type(signer).__name__}, expected one on an elliptic curve")
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tidegate")])
    certificate = (
        _builder(now, SERVER_LIFE, subject, issuer.subject, key.public_key())
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(authority=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName([_general(name) for name in names]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
        .sign(signer, hashes.SHA256())
    )
    return _pair(certificate, key)


def names_of(certificate: bytes) -> set[str]:
    """The DNS names and IP addresses of a certificate in PEM."""
    extensions = x509.load_pem_x509_certificate(certificate).extensions
    names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return {*names.get_values_for_type(x509.DNSName), *map(str, names.get_values_for_type(x509.IPAddress))}


def is_good(certificate: bytes, names: Sequence[str], now: datetime) -> bool:
    """Whether a server's certificate has all names, and for long enough."""
    left = x509.load_pem_x509_certificate(certificate).not_valid_after_utc - now
    return left > RENEWED and {_normal(name) for name in names} <= names_of(certificate)


def server_certificate(directory: Path, names: Sequence[str], now: datetime | None = None) -> ServerCertificate:
    """The certificate in a directory, made or renewed where need be. Only this user can read the keys.

    Raises:
        OSError: the directory cannot be written.
        ValueError: what lies there is no certificate of ours, or a name is none.
    """
    now = now or datetime.now(UTC)
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    authority = _kept(directory, AUTHORITY, AUTHORITY_KEY)
    if authority is None:
        authority = new_authority(now)
        _keep(directory, AUTHORITY, AUTHORITY_KEY, authority)
    server = _kept(directory, SERVER, SERVER_KEY)
    if server is None or not is_good(server.certificate, names, now) or not _signed(server, authority):
        _keep(directory, SERVER, SERVER_KEY, new_server(authority, names, now))
    return ServerCertificate(directory / SERVER, directory / SERVER_KEY, authority.certificate)


def _builder(
    now: datetime, life: timedelta, subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - SKEW)
        .not_valid_after(now + life)
    )


def _usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority,
        key_cert_sign=authority,
        crl_sign=authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _normal(name: str) -> str:
    try:
        return str(ipaddress.ip_address(name))
    except ValueError:
        return name


def _signed(server: Pair, authority: Pair) -> bool:
    issuer = x509.load_pem_x509_certificate(authority.certificate)
    try:
        x509.load_pem_x509_certificate(server.certificate).verify_directly_issued_by(issuer)
    except Exception:  # of several kinds; each says that it is not
        return False
    return True


def _pair(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> Pair:
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return Pair(certificate.public_bytes(serialization.Encoding.PEM), private)


def _kept(directory: Path, certificate: str, key: str) -> Pair | None:
    try:
        return Pair((directory / certificate).read_bytes(), (directory / key).read_bytes())
    except FileNotFoundError:
        return None


def _keep(directory: Path, certificate: str, key: str, pair: Pair) -> None:
    _write(directory / key, pair.key)  # first: a certificate without its key is made anew
    _write(directory / certificate, pair.certificate)


def _write(path: Path, data: bytes) -> None:
    new = path.with_name(f"{path.name}.new")
    new.unlink(missing_ok=True)
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
