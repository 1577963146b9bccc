"""JSON Web Keys (RFC 7517, 7518, 8037): a set of them, or a PEM certificate or public key, as keys that verify."""

import base64
import binascii
import json
from collections.abc import Callable
from functools import lru_cache
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from msgspec import Struct

from tidegate.rego.builtins import pem
from tidegate.rego.builtins.certificates import load_certificate
from tidegate.rego.builtins.keys import PrivateKey, PublicKey, check_rsa, public_key
from tidegate.rego.errors import BuiltinError
from tidegate.rego.values import Value

ALGORITHMS: Final = {f"{kind}{size}" for kind in ("RS", "PS", "ES", "HS") for size in (256, 384, 512)} | {"EdDSA"}
_CURVES: Final[dict[str, ec.EllipticCurve]] = {
    "P-256": ec.SECP256R1(),
    "P-384": ec.SECP384R1(),
    "P-521": ec.SECP521R1(),
}
_CURVE_NAMES: Final = {curve.name: name for name, curve in _CURVES.items()}
_PRIVATE_FIELDS: Final = ("d", "p", "q", "dp", "dq", "qi")
_MALFORMED: Final = (ValueError, TypeError, KeyError, AttributeError, RecursionError, UnsupportedAlgorithm)
_KEPT: Final = 64  # texts of keys: the same few issuers sign most of the tokens
_LARGEST_MODULUS: Final = 1024  # bytes: RSA with 8192 bits, as in Go's TLS


class Key(Struct, frozen=True):
    """A key that verifies, and what its JWK says it is for."""

    key: PublicKey | bytes
    algorithm: str = ""
    identifier: str = ""
    is_private: bool = False  # it was given with its private part, which is left alone: to check that takes long


def base64url(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


def base64url_octets(text: str) -> bytes:
    """What URL-safe base64 stands for, with its padding or without."""
    text = text.rstrip("=")
    try:
        if "+" not in text and "/" not in text:
            return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        pass
    raise ValueError("illegal base64 data")


@lru_cache(maxsize=_KEPT)
def verification_keys(text: str) -> tuple[Key, ...]:
    """The public key of a PEM block, else the keys of a JWK or a set of them; those asked for last are kept."""
    block = pem.first(text)
    if block is None:
        return key_set(text)
    if block.rest:
        raise BuiltinError("extra data after a PEM certificate block")
    if block.kind == "PUBLIC KEY":
        return (Key(public_key(block.octets)),)
    if block.kind != "CERTIFICATE":
        raise BuiltinError("failed to extract a Key from the PEM certificate")
    try:
        found = load_certificate(block.octets).public_key()
    except (ValueError, UnsupportedAlgorithm) as error:
        raise BuiltinError(f"failed to parse a PEM certificate: {error}") from None
    return (Key(found),) if isinstance(found, PublicKey) else ()


def key_set(text: str) -> tuple[Key, ...]:
    try:
        return tuple(_key(document) for document in _documents(text))
    except _MALFORMED as error:
        raise BuiltinError(f"failed to parse a JWK key (set): {error}") from None


def signing_key(text: str) -> PrivateKey | bytes:
    """The first key of a set, or the only one."""
    try:
        documents = _documents(text)
        if not documents:
            raise BuiltinError("no keys found in JWK set")
        document = documents[0]
        if document["kty"] == "oct":
            return base64url_octets(document["k"])
        return _PRIVATE[document["kty"]](document)
    except _MALFORMED as error:
        raise BuiltinError(f"failed to parse a JWK key (set): {error}") from None


def _documents(text: str) -> list[dict[str, str]]:
    document = json.loads(text)
    found: list[dict[str, str]] = document.get("keys", [document])
    return found


def _key(document: dict[str, str]) -> Key:
    kind = document["kty"]
    if kind != "oct" and kind not in _PUBLIC:
        raise ValueError(f"unknown kind of key `{kind}`")
    key = base64url_octets(document["k"]) if kind == "oct" else _PUBLIC[kind](document)
    algorithm, identifier = document.get("alg", ""), document.get("kid", "")
    if type(algorithm) is not str or type(identifier) is not str:
        raise ValueError("`alg` and `kid` are strings")
    return Key(key, algorithm, identifier, "d" in document)


def _number(document: dict[str, str], field: str) -> int:
    octets = base64url_octets(document[field])
    if not 0 < len(octets) <= _LARGEST_MODULUS:
        raise ValueError(f"`{field}` has an impossible length")
    return int.from_bytes(octets)


def _rsa_numbers(document: dict[str, str]) -> rsa.RSAPublicNumbers:
    return rsa.RSAPublicNumbers(_number(document, "e"), _number(document, "n"))


def _private_rsa(document: dict[str, str]) -> PrivateKey:
    # without its primes a key could be used only after a search for them
    d, p, q, dp, dq, qi = (_number(document, field) for field in _PRIVATE_FIELDS)
    numbers = rsa.RSAPrivateNumbers(p, q, d, dp, dq, qi, _rsa_numbers(document))
    check_rsa(numbers)
    return numbers.private_key(unsafe_skip_rsa_key_validation=True)


def _point(document: dict[str, str]) -> ec.EllipticCurvePublicNumbers:
    return ec.EllipticCurvePublicNumbers(_number(document, "x"), _number(document, "y"), _CURVES[document["crv"]])


def _private_elliptic(document: dict[str, str]) -> PrivateKey:
    return ec.EllipticCurvePrivateNumbers(_number(document, "d"), _point(document)).private_key()


def _edwards_octets(document: dict[str, str], field: str) -> bytes:
    if document["crv"] != "Ed25519":
        raise ValueError(f"unknown curve `{document['crv']}`")
    return base64url_octets(document[field])


_PUBLIC: Final[dict[str, Callable[[dict[str, str]], PublicKey]]] = {
    "RSA": lambda document: _rsa_numbers(document).public_key(),
    "EC": lambda document: _point(document).public_key(),
    "OKP": lambda document: ed25519.Ed25519PublicKey.from_public_bytes(_edwards_octets(document, "x")),
}
_PRIVATE: Final[dict[str, Callable[[dict[str, str]], PrivateKey]]] = {
    "RSA": _private_rsa,
    "EC": _private_elliptic,
    "OKP": lambda document: ed25519.Ed25519PrivateKey.from_private_bytes(_edwards_octets(document, "d")),
}


def document(key: PrivateKey) -> Value:
    """The JWK of a private key."""
    if isinstance(key, rsa.RSAPrivateKey):
        numbers = key.private_numbers()
        fields = {
            "n": numbers.public_numbers.n,
            "e": numbers.public_numbers.e,
            "d": numbers.d,
            "p": numbers.p,
            "q": numbers.q,
            "dp": numbers.dmp1,
            "dq": numbers.dmq1,
            "qi": numbers.iqmp,
        }
        return {"kty": "RSA"} | {name: _octets(number, 0) for name, number in fields.items()}
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return _elliptic_document(key)
    public = base64url(key.public_key().public_bytes_raw())
    return {"kty": "OKP", "crv": "Ed25519", "x": public, "d": base64url(key.private_bytes_raw())}


def _elliptic_document(key: ec.EllipticCurvePrivateKey) -> Value:
    if key.curve.name not in _CURVE_NAMES:
        raise BuiltinError(f"a JWK has no name for the curve {key.curve.name}")
    size = (key.curve.key_size + 7) // 8
    private = key.private_numbers()
    point = private.public_numbers
    fields = {"x": point.x, "y": point.y, "d": private.private_value}
    written = {name: _octets(number, size) for name, number in fields.items()}
    return {"kty": "EC", "crv": _CURVE_NAMES[key.curve.name]} | written


def _octets(number: int, size: int) -> str:
    return base64url(number.to_bytes(size or (number.bit_length() + 7) // 8))
