"""An identity provider of our own: keys, their set, and tokens good or bad in one way each."""

from __future__ import annotations

import json
import time
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

ISSUER = "https://id.example"
AUDIENCE = "affectstream"


class Provider:
    """Signs with one key of each kind."""

    def __init__(self) -> None:
        self.keys: dict[str, Any] = {
            "RS256": rsa.generate_private_key(public_exponent=65_537, key_size=2_048),
            "ES256": ec.generate_private_key(ec.SECP256R1()),
            "EdDSA": ed25519.Ed25519PrivateKey.generate(),
        }

    def jwk(self, algorithm: str, key_id: str = "") -> dict[str, Any]:
        """The public half."""
        kind: Any = {"RS256": RSAAlgorithm, "ES256": ECAlgorithm, "EdDSA": OKPAlgorithm}[algorithm]
        public: dict[str, Any] = kind.to_jwk(self.keys[algorithm].public_key(), as_dict=True)
        return public | {"kid": key_id or algorithm, "use": "sig", "alg": algorithm}

    def key_set(self, *more: dict[str, Any]) -> str:
        """All of them, as the provider publishes them."""
        return json.dumps({"keys": [*(self.jwk(algorithm) for algorithm in self.keys), *more]})

    def token(
        self, algorithm: str = "ES256", *, key_id: str | None = "", key: Any = None, **claims: Any
    ) -> str:
        """A good one, but for what is given; a claim of None is left out."""
        said = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "exp": int(time.time()) + 300,
            "sub": "agent-1",
            "tenant": "acme",
        } | claims
        return jwt.encode(
            {name: value for name, value in said.items() if value is not None},
            self.keys[algorithm] if key is None else key,
            algorithm=algorithm,
            headers=None if key_id is None else {"kid": key_id or algorithm},
        )
