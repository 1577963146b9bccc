"""Keys: read from DER and PEM, and shown as Go's JSON shows its key structures."""

import base64
import binascii
from collections.abc import Iterator
from typing import TypeAlias

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import load_der_private_key, load_der_public_key

from tidegate.rego.builtins import pem
from tidegate.rego.errors import BuiltinError
from tidegate.rego.values import Value

PublicKey: TypeAlias = rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey
PrivateKey: TypeAlias = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey

PRIVATE_KEYS = ("RSA PRIVATE KEY", "PRIVATE KEY", "EC PRIVATE KEY")  # the PEM blocks that hold one
_LARGEST_KEY = 10_000  # bytes of DER; RSA with 16384 bits, the most that OpenSSL computes with, has 9,300


def base64_text(octets: bytes) -> str:
    return base64.b64encode(octets).decode()


def base64_octets(text: str) -> bytes:
    """What standard base64 stands for; line ends within it do not count."""
    try:
        return base64.b64decode(text.replace("\n", "").replace("\r", ""), validate=True)
    except (binascii.Error, ValueError):
        raise BuiltinError("illegal base64 data") from None


def public_key(octets: bytes) -> PublicKey:
    """The key in a SubjectPublicKeyInfo."""
    try:
        found = load_der_public_key(octets)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise BuiltinError(f"x509: {error}") from None
    if not isinstance(found, PublicKey):
        raise BuiltinError("x509: unsupported kind of public key")
    return found


def private_key(octets: bytes) -> PrivateKey:
    """The key in a PKCS #1, PKCS #8 or SEC 1 structure."""
    if len(octets) > _LARGEST_KEY:
        raise BuiltinError("x509: the private key is too large")
    try:
        found = load_der_private_key(octets, None, unsafe_skip_rsa_key_validation=True)
        if isinstance(found, rsa.RSAPrivateKey):
            check_rsa(found.private_numbers())
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise BuiltinError(f"x509: failed to parse private key: {error}") from None
    if not isinstance(found, PrivateKey):
        raise BuiltinError("x509: unsupported kind of private key")
    return found


def check_rsa(key: rsa.RSAPrivateNumbers) -> None:
    """Raises a ValueError where the numbers do not belong together.

    These are the checks of Go. OpenSSL tests the primes as well, for half a second where they have 2048 bits.
    """
    p, q, e = key.p, key.q, key.public_numbers.e
    belong = p * q == key.public_numbers.n and min(p, q) > 2 and p & q & e & 1 and e > 2
    if not belong or (key.d * e - 1) % (p - 1) or (key.d * e - 1) % (q - 1):
        raise ValueError("the numbers of the RSA key do not belong together")
    if key.dmp1 != key.d % (p - 1) or key.dmq1 != key.d % (q - 1) or key.iqmp * q % p != 1:
        raise ValueError("the precomputed numbers of the RSA key are wrong")


def private_keys(text: str) -> Iterator[PrivateKey]:
    """Every private key in a PEM text, which may be base64 encoded as a whole."""
    try:
        text = base64_octets(text).decode(errors="replace")
    except BuiltinError:
        pass  # not encoded
    return (private_key(block.octets) for block in pem.blocks(text) if block.kind in PRIVATE_KEYS)


def public_document(found: PublicKey) -> Value:
    if isinstance(found, rsa.RSAPublicKey):
        numbers = found.public_numbers()
        return {"N": numbers.n, "E": numbers.e}
    if isinstance(found, ec.EllipticCurvePublicKey):
        point = found.public_numbers()
        return {"Curve": {}, "X": point.x, "Y": point.y}  # Go's curves have no public fields
    return base64_text(found.public_bytes_raw())


def private_document(found: PrivateKey) -> Value:
    if isinstance(found, rsa.RSAPrivateKey):
        numbers = found.private_numbers()
        computed = {"Dp": numbers.dmp1, "Dq": numbers.dmq1, "Qinv": numbers.iqmp, "CRTValues": []}
        shown = {"D": numbers.d, "Primes": [numbers.p, numbers.q], "Precomputed": computed}
        return public_document(found.public_key()) | shown
    if isinstance(found, ec.EllipticCurvePrivateKey):
        return public_document(found.public_key()) | {"D": found.private_numbers().private_value}
    return base64_text(found.private_bytes_raw() + found.public_key().public_bytes_raw())
