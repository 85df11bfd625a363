"""An authority that signs certificates for tests: servers' for this machine, clients' for any names."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_DAY = datetime.timedelta(days=1)


class Authority:
    """Its certificate and those that it signs lie in ``folder`` as PEM: ``NAME.pem`` and ``NAME.key``."""

    def __init__(self, folder: Path, name: str = "authority") -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self._number = 1
        authority = self._builder(self._name, self._key).add_extension(x509.BasicConstraints(True, None), critical=True)
        self.path = self._write(name, authority.sign(self._key, hashes.SHA256()), self._key)

    def server(self, name: str = "server", *, expired: bool = False) -> Path:
        """A certificate for localhost and 127.0.0.1; its key lies beside it."""
        here = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        return self._signed(name, here, expired=expired)

    def client(self, name: str, *uris: str, dns: str = "", expired: bool = False) -> Path:
        """A certificate whose alternative names are these, or that has none; its subject is ``name``."""
        names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(uri) for uri in uris]
        return self._signed(name, names + ([x509.DNSName(dns)] if dns else []), expired=expired)

    def trust(self, client: Path | None = None) -> ssl.SSLContext:
        """A client's context that trusts this authority, and shows a certificate if it has one."""
        context = ssl.create_default_context(cafile=self.path)
        if client is not None:
            context.load_cert_chain(client, client.with_suffix(".key"))
        return context

    def _signed(self, name: str, names: list[x509.GeneralName], *, expired: bool) -> Path:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = self._builder(subject, key, expired=expired)
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return self._write(name, builder.sign(self._key, hashes.SHA256()), key)

    def _builder(
        self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, *, expired: bool = False
    ) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.UTC)
        self._number += 1
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(self._number)
            .not_valid_before(now - 2 * _DAY)
            .not_valid_after(now - _DAY if expired else now + _DAY)
        )

    def _write(self, name: str, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> Path:
        path = self._folder / f"{name}.pem"
        path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        plain = serialization.NoEncryption()
        form = serialization.PrivateFormat.PKCS8
        path.with_suffix(".key").write_bytes(key.private_bytes(serialization.Encoding.PEM, form, plain))
        return path
