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
from typing import Any

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

    def unsigned(self, header: dict[str, object], signature: bytes = b"", **changed: Any) -> str:
        """A token with any header and any signature."""
        parts = (json.dumps(header).encode(), json.dumps(self.claims(**changed)).encode(), signature)
        return ".".join(encoded(part) for part in parts)

    def confused(self, secret: bytes, **changed: Any) -> str:
        """A token signed by HMAC with what everybody knows: the classic confusion of a public key and a secret."""
        signed = self.unsigned({"alg": "HS256", "kid": "rsa"}, **changed).rpartition(".")[0]
        return f"{signed}.{encoded(hmac.digest(secret, signed.encode(), 'sha256'))}"


def encoded(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def forged(issuer: Issuer) -> dict[str, str]:
    """Tokens that are not good when the issuer's good ones are, by what is wrong with them."""
    now = int(issuer.now)
    public = rsa_key().as_pem(private=False)
    head, _, signature = issuer.token().split(".")
    return {
        "another's key": issuer.token(key=ec_key(1)),
        "another's key of RSA": issuer.token(header={"alg": "RS256", "kid": "rsa"}, key=rsa_key(1)),
        "changed claims": ".".join((head, encoded(json.dumps(issuer.claims(sub="eve")).encode()), signature)),
        "changed signature": _bit_flipped(issuer.token()),
        "no signature": issuer.token().rpartition(".")[0] + ".",
        "alg none": issuer.unsigned({"alg": "none"}),
        "alg None": issuer.unsigned({"alg": "nOnE", "kid": "ec"}),
        "alg none with a signature": issuer.unsigned({"alg": "none"}, b"x"),
        "alg missing": issuer.unsigned({"kid": "ec"}),
        "alg of another type": issuer.unsigned({"alg": ["ES256"]}),
        "HS256 with the public key": issuer.confused(public),
        "HS256 with the public key, stripped": issuer.confused(public.strip()),
        "HS256 with the key set": issuer.confused(issuer.key_set()),
        "HS256 with nothing": issuer.confused(b""),
        "the other key's id": issuer.token(header={"alg": "ES256", "kid": "rsa"}),
        "an unknown key id": issuer.token(header={"kid": "other"}),
        "a path as key id": issuer.token(header={"kid": "../../../../dev/null"}),
        "a statement as key id": issuer.token(header={"kid": "x' UNION SELECT 'secret'--"}),
        "a key id of another type": issuer.unsigned({"alg": "ES256", "kid": {"$ne": 1}}),
        "its own key": issuer.token(header={"kid": "own", "jwk": ec_key(1).as_dict(private=False)}, key=ec_key(1)),
        "its own key under our id": issuer.token(header={"jwk": ec_key(1).as_dict(private=False)}, key=ec_key(1)),
        "critical extensions": issuer.unsigned({"alg": "ES256", "kid": "ec", "crit": ["b64"], "b64": False}),
        "another type": issuer.token(header={"typ": "logout+jwt"}),
        "expired": issuer.token(exp=now - 31),
        "no end": issuer.token(exp=None),
        "an end that is a text": issuer.token(exp="9999999999"),
        "an end that is no number": issuer.token(exp=float("nan")),
        "an end that is infinite": issuer.token(exp=float("inf")),
        "an end that is true": issuer.token(exp=True),
        "not yet": issuer.token(nbf=now + 31),
        "issued later": issuer.token(iat=now + 31),
        "another audience": issuer.token(aud="other"),
        "no audience": issuer.token(aud=None),
        "an audience that contains ours": issuer.token(aud="tidegate.example"),
        "another issuer": issuer.token(iss="https://issuer.example.evil.example"),
        "an issuer with a slash": issuer.token(iss="https://issuer.example/"),
        "a list of issuers": issuer.token(iss=["https://issuer.example"]),
        "no issuer": issuer.token(iss=None),
        "no name": issuer.token(sub=None),
        "an empty name": issuer.token(sub=""),
        "a name with a line's end": issuer.token(sub="ann\nroot"),
        "a name of another type": issuer.token(sub=["ann"]),
        "truncated": issuer.token()[:-10],
        "one part": issuer.token().split(".")[0],
        "four parts": issuer.token() + ".x",
        "an encrypted token's five": issuer.token() + ".x.y",
        "nothing but dots": "..",
        "no base64": "!.!.!",
        "no JSON": ".".join(encoded(b"{") for _ in range(3)),
        "deep JSON": f"{issuer.token().split('.')[0]}.{encoded(b'[' * 5000)}.x",
        "a list": ".".join(encoded(b"[]") for _ in range(3)),
        "words": "hello there",
    }


def _bit_flipped(token: str) -> str:
    head, payload, signature = token.split(".")
    return f"{head}.{payload}.{'B' if signature[0] == 'A' else 'A'}{signature[1:]}"
