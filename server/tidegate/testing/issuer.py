"""An issuer of JSON Web Tokens, honest or not: it signs whatever header and claims a test asks for. ::

issuer = Issuer("https://issuer.example", "tidegate")
issuer.token(sub="ann", scope="infer:*")
issuer.token(header={"alg": "none"})
"""

from __future__ import annotations

import hmac
import json
import time
from base64 import urlsafe_b64encode
from functools import cache

from joserfc import jws
from joserfc.jwk import ECKey, RSAKey


@cache
def rsa_key(number: int = 0) -> RSAKey:
    """A key of RSA; each number has its own, which takes a tenth of a second to make."""
    return RSAKey.generate_key(2048, auto_kid=False)


@cache
def ec_key(number: int = 0) -> ECKey:
    """A key of the curve P-256; each number has its own."""
    return ECKey.generate_key("P-256", auto_kid=False)


class Issuer:
    """Two keys, ``rsa`` and ``ec``. ``now`` is when its tokens are issued, in seconds since 1970."""

    def __init__(self, name: str, audience: str, now: float | None = None) -> None:
        self.name = name
        self.audience = audience
        self.now = time.time() if now is None else now

    def key_set(self) -> bytes:
        """Its public keys, as a JSON Web Key Set."""
        keys = [
            {**rsa_key().as_dict(private=False), "kid": "rsa", "use": "sig"},
            {**ec_key().as_dict(private=False), "kid": "ec", "use": "sig"},
        ]
        return json.dumps({"keys": keys}).encode()

    def claims(self, **changed: object) -> dict[str, object]:
        """The claims of a good token; one that is changed to None is left out."""
        claims: dict[str, object] = {
            "iss": self.name,
            "aud": self.audience,
            "sub": "ann",
            "scope": "infer:*",
            "iat": int(self.now),
            "exp": int(self.now) + 600,
        }
        return {name: value for name, value in {**claims, **changed}.items() if value is not None}

    def token(
        self, *, header: dict[str, object] | None = None, key: RSAKey | ECKey | None = None, **changed: object
    ) -> str:
        """A signed token; ``key`` signs instead of the issuer's own of that algorithm."""
        whole: dict[str, object] = {"alg": "ES256", "kid": "ec", **(header or {})}
        algorithm = str(whole["alg"])
        signer = key or (ec_key() if algorithm.startswith("ES") else rsa_key())
        payload = json.dumps(self.claims(**changed))
        registry = jws.JWSRegistry(algorithms=[algorithm], strict_check_header=False)
        return jws.serialize_compact(whole, payload, signer, [algorithm], registry)

    def unsigned(self, header: dict[str, object], signature: bytes = b"", **changed: object) -> str:
        """A token with any header and any signature."""
        parts = (json.dumps(header).encode(), json.dumps(self.claims(**changed)).encode(), signature)
        return ".".join(encoded(part) for part in parts)

    def confused(self, secret: bytes, **changed: object) -> str:
        """A token signed by HMAC with what everybody knows: the classic confusion of a public key and a secret."""
        signed = self.unsigned({"alg": "HS256", "kid": "rsa"}, **changed).rpartition(".")[0]
        return f"{signed}.{encoded(hmac.digest(secret, signed.encode(), 'sha256'))}"


def encoded(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()
