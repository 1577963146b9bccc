"""The signatures of RFC 7518, section 3, and RFC 8037: made, and verified with a key of their own kind."""

import hmac
from typing import Final

from cryptography.exceptions import InternalError, InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, PSS, PKCS1v15
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from tidegate.rego.builtins.keys import PrivateKey, PublicKey
from tidegate.rego.errors import BuiltinError

_DIGESTS: Final[dict[str, hashes.SHA256 | hashes.SHA384 | hashes.SHA512]] = {
    "256": hashes.SHA256(),
    "384": hashes.SHA384(),
    "512": hashes.SHA512(),
}


def verifies(algorithm: str, key: PublicKey | bytes, signed: bytes, signature: bytes) -> bool:
    """Whether the signature is right; never with a key of another kind, nor for an unknown algorithm."""
    kind, digest = algorithm[:2], _DIGESTS.get(algorithm[2:])
    try:
        match key:
            case bytes() if kind == "HS" and digest is not None:
                return hmac.compare_digest(hmac.digest(key, signed, digest.name), signature)
            case rsa.RSAPublicKey() if kind == "RS" and digest is not None:
                key.verify(signature, signed, PKCS1v15(), digest)
            case rsa.RSAPublicKey() if kind == "PS" and digest is not None:
                key.verify(signature, signed, PSS(MGF1(digest), PSS.AUTO), digest)
            case ec.EllipticCurvePublicKey() if kind == "ES" and digest is not None:
                middle = len(signature) // 2
                r, s = int.from_bytes(signature[:middle]), int.from_bytes(signature[middle:])
                key.verify(encode_dss_signature(r, s), signed, ec.ECDSA(digest))
            case ed25519.Ed25519PublicKey() if algorithm == "EdDSA":
                key.verify(signature, signed)
            case _:
                return False
    except (InvalidSignature, ValueError, UnsupportedAlgorithm):
        return False
    return True


def signature(algorithm: str, key: PrivateKey | bytes, signed: bytes) -> bytes:
    kind, digest = algorithm[:2], _DIGESTS.get(algorithm[2:])
    try:
        match key:
            case bytes() if kind == "HS" and digest is not None:
                return hmac.digest(key, signed, digest.name)
            case rsa.RSAPrivateKey() if kind == "RS" and digest is not None:
                return key.sign(signed, PKCS1v15(), digest)
            case rsa.RSAPrivateKey() if kind == "PS" and digest is not None:
                return key.sign(signed, PSS(MGF1(digest), PSS.DIGEST_LENGTH), digest)
            case ec.EllipticCurvePrivateKey() if kind == "ES" and digest is not None:
                size = (key.curve.key_size + 7) // 8
                r, s = decode_dss_signature(key.sign(signed, ec.ECDSA(digest)))
                return r.to_bytes(size) + s.to_bytes(size)
            case ed25519.Ed25519PrivateKey() if algorithm == "EdDSA":
                return key.sign(signed)
    except (ValueError, UnsupportedAlgorithm, InternalError) as error:
        raise BuiltinError(f"failed to sign: {error}") from None
    raise BuiltinError(f"the key is of no kind that signs with {algorithm}")
