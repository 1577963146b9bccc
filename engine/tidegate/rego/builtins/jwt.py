"""io.jwt.*: JSON Web Tokens in the compact form (RFC 7515, 7519): read, verified, signed.

A token's own header never decides whether it is to be trusted: a key verifies only what its kind can, so that neither
`none` nor a public key taken for a shared secret passes. `cryptography` is imported with the first token.
"""

from collections.abc import Callable
from typing import Any, Final

from msgspec import Struct, structs

from tidegate.rego.builtins import builtin
from tidegate.rego.builtins.json import marshalled
from tidegate.rego.builtins.operands import object_, string
from tidegate.rego.builtins.text import from_utf8, utf8
from tidegate.rego.errors import BuiltinError
from tidegate.rego.evaluation import Evaluation
from tidegate.rego.values import NUMBERS, Value, compare, from_json

_VERIFYING = 300  # units of the budget: some hundred microseconds
_SIGNING = 20_000  # milliseconds: a private key is checked before it is used
_CHARACTERS_A_UNIT = 4  # of the keys given; a public key takes some ten microseconds
_UNVERIFIED: Final[list[Value]] = [False, {}, {}]
_CONSTRAINTS: Final = ("cert", "secret", "alg", "iss", "aud", "time")


class Token(Struct, frozen=True):
    """A token as it is written."""

    header: str
    payload: str
    signature: str

    @property
    def signed(self) -> bytes:
        return utf8(f"{self.header}.{self.payload}")


class Header(Struct, frozen=True):
    document: dict[str, Value]
    algorithm: str
    identifier: str
    content: str


class Constraints(Struct, frozen=True):
    keys: list[Any] | None
    secret: str
    algorithm: str
    issuer: str
    audience: str
    time_ns: float


def _token(name: str, written: Value) -> Token:
    parts = string(name, 1, written).split(".")
    if len(parts) == 1:
        raise BuiltinError("encoded JWT had no period separators")
    if len(parts) != 3:
        raise BuiltinError(f"encoded JWT must have 3 sections, found {len(parts)}")
    return Token(*parts)


def _octets(part: str, text: str) -> bytes:
    from tidegate.rego.builtins.jwk import base64url_octets

    try:
        return base64url_octets(text)
    except ValueError as error:
        raise BuiltinError(f"JWT {part} had invalid encoding: {error}") from None


def _text(part: str, text: str) -> str:
    return from_utf8(_octets(part, text))


def _object(text: str) -> dict[str, Value]:
    try:
        document = from_json(text)
    except (ValueError, RecursionError) as error:
        raise BuiltinError(f"invalid JSON: {error}") from None
    if type(document) is not dict:
        raise BuiltinError("decoded JSON type was not an Object")
    return document


def _header_document(token: Token) -> dict[str, Value]:
    text = _text("header", token.header)
    try:
        document = _object(text)
    except BuiltinError as error:
        raise BuiltinError(f"bad JWT header: {error.message}") from None
    if "enc" in document:
        raise BuiltinError("JWT is a JWE object, which is not supported")
    return document


def _header(token: Token) -> Header:
    document = _header_document(token)
    for field in ("alg", "kid", "typ", "cty"):
        if type(document.get(field, "")) is not str:
            raise BuiltinError(f"{field}: must be a string")
    critical = document.get("crit", [""])
    if type(critical) is not list or not critical or not all(type(name) is str for name in critical):
        raise BuiltinError("crit: must be a nonempty list of strings")
    return Header(document, document.get("alg", ""), document.get("kid", ""), document.get("cty", ""))


def _understands(header: Header) -> bool:
    """RFC 7515, 4.1.1 and 4.1.11: an algorithm is named, and no parameter that must be understood is unknown."""
    known = {"alg", "kid", "typ", "cty", "crit"}
    critical = {name for name in header.document.get("crit", ()) if name in header.document}
    return bool(header.algorithm) and critical <= known


# reading


@builtin("io.jwt.decode", "jwt: string -> array<object[any: any], object[any: any], string>")
def decode(written: Value) -> Value:
    """Header, payload and signature in hex; nothing is verified. A token within it is read instead."""
    while True:
        token = _token("io.jwt.decode", written)
        header = _header_document(token)
        text = _text("payload", token.payload)
        if header.get("cty") != "JWT":
            return [header, _object(text), _octets("signature", token.signature).hex()]
        written = text.strip("\"'")


# verifying


def _verifies(evaluation: Evaluation, algorithm: str, key: Any, signed: bytes, signature: bytes) -> bool:
    from tidegate.rego.builtins.signatures import verifies

    evaluation.spend(_VERIFYING)
    return verifies(algorithm, key, signed, signature)


def _verified_by_any(
    evaluation: Evaluation, algorithm: str, keys: list[Any], header: Header, token: Token, signature: bytes
) -> bool:
    """The key that the header names alone, where there is one; else any that is for the header's algorithm."""
    named = [key for key in keys if header.identifier and key.identifier == header.identifier][:1]
    tried = named or [key for key in keys if key.algorithm in ("", header.algorithm)]
    return any(_verifies(evaluation, algorithm, key.key, token.signed, signature) for key in tried)


def _trusted(evaluation: Evaluation, certificate: str) -> list[Any]:
    from tidegate.rego.builtins.jwk import ALGORITHMS, verification_keys

    evaluation.spend(len(certificate) // _CHARACTERS_A_UNIT)
    return [key for key in verification_keys(certificate) if not key.algorithm or key.algorithm in ALGORITHMS]


def _verifier(algorithm: str) -> Callable[[Evaluation, Value, Value], bool]:
    name = f"io.jwt.verify_{algorithm.lower()}"

    @builtin(name, "jwt: string, certificate: string -> boolean", evaluation=True)
    def verify(evaluation: Evaluation, written: Value, certificate: Value) -> bool:
        token = _token(name, written)
        # a private key is none that verifies here, and the only one tried all the same where the header names it
        found = _trusted(evaluation, string(name, 2, certificate))
        keys = [structs.replace(key, key=b"") if key.is_private else key for key in found]
        signature = _octets("signature", token.signature)
        return _verified_by_any(evaluation, algorithm, keys, _header(token), token, signature)

    return verify


def _secret_verifier(algorithm: str) -> Callable[[Evaluation, Value, Value], bool]:
    name = f"io.jwt.verify_{algorithm.lower()}"

    @builtin(name, "jwt: string, secret: string -> boolean", evaluation=True)
    def verify(evaluation: Evaluation, written: Value, secret: Value) -> bool:
        token = _token(name, written)
        key = utf8(string(name, 2, secret))
        return _verifies(evaluation, algorithm, key, token.signed, _octets("signature", token.signature))

    return verify


verify_rs256, verify_rs384, verify_rs512 = map(_verifier, ("RS256", "RS384", "RS512"))
verify_ps256, verify_ps384, verify_ps512 = map(_verifier, ("PS256", "PS384", "PS512"))
verify_es256, verify_es384, verify_es512 = map(_verifier, ("ES256", "ES384", "ES512"))
verify_eddsa = _verifier("EdDSA")
verify_hs256, verify_hs384, verify_hs512 = map(_secret_verifier, ("HS256", "HS384", "HS512"))


@builtin(
    "io.jwt.decode_verify",
    "jwt: string, constraints: object[string: any] -> array<boolean, object[any: any], object[any: any]>",
    evaluation=True,
    pure=False,
)
def decode_verify(evaluation: Evaluation, written: Value, constraints: Value) -> Value:
    """Whether the token is trusted and meets every constraint, and then its header and payload."""
    wanted = _constraints(evaluation, object_("io.jwt.decode_verify", 2, constraints))
    while True:
        token = _token("io.jwt.decode_verify", written)
        header = _header(token)
        if not _understands(header) or wanted.algorithm not in ("", header.algorithm):
            return _UNVERIFIED
        signature = _octets("signature", token.signature)
        if not _is_signed(evaluation, wanted, header, token, signature):
            return _UNVERIFIED
        text = _text("payload", token.payload)
        if header.content.upper() != "JWT":
            break
        written = text
    payload = _object(text)
    return [True, header.document, payload] if _meets(payload, wanted) else _UNVERIFIED


def _constraints(evaluation: Evaluation, given: dict[str, Value]) -> Constraints:
    for name, value in given.items():
        if name not in _CONSTRAINTS:
            raise BuiltinError(f"unknown token validation constraint: {name}")
        if name != "time" and type(value) is not str:
            raise BuiltinError(f"{name} constraint: must be a string")
    time_ns = given.get("time", evaluation.time_ns)
    if type(time_ns) not in NUMBERS:
        raise BuiltinError("token time constraint: must be a number")
    if time_ns < 0:
        raise BuiltinError("token time constraint: must not be negative")
    keys = _trusted(evaluation, given["cert"]) if "cert" in given else None
    secret, algorithm, issuer, audience = (given.get(name, "") for name in ("secret", "alg", "iss", "aud"))
    if keys is not None and secret:
        raise BuiltinError("duplicate key constraints")
    if keys is None and not secret:
        raise BuiltinError("no key constraint")
    try:
        return Constraints(keys, secret, algorithm, issuer, audience, float(time_ns))
    except OverflowError:
        raise BuiltinError("token time constraint: must fit a float64") from None


def _is_signed(evaluation: Evaluation, wanted: Constraints, header: Header, token: Token, signature: bytes) -> bool:
    if wanted.keys is None:
        return _verifies(evaluation, header.algorithm, utf8(wanted.secret), token.signed, signature)
    return _verified_by_any(evaluation, header.algorithm, wanted.keys, header, token, signature)


def _meets(payload: dict[str, Value], wanted: Constraints) -> bool:
    """RFC 7519, 4.1: the registered claims. An audience that nobody asked for is not ours."""
    if wanted.issuer and payload.get("iss") != wanted.issuer:
        return False
    if "aud" in payload or wanted.audience:
        audience = payload.get("aud")
        if wanted.audience not in (audience if type(audience) is list else [audience]):
            return False
    now = wanted.time_ns / 1_000_000_000
    if "exp" in payload and compare(now, _moment(payload, "exp")) >= 0:
        return False
    return "nbf" not in payload or compare(now, _moment(payload, "nbf")) >= 0


def _moment(payload: dict[str, Value], claim: str) -> Value:
    if type(payload[claim]) not in NUMBERS:
        raise BuiltinError(f"{claim} value must be a number")
    return payload[claim]


# signing


@builtin(
    "io.jwt.encode_sign",
    "headers: object[string: any], payload: object[string: any], key: object[string: any] -> string",
    evaluation=True,
    pure=False,
)
def encode_sign(evaluation: Evaluation, headers: Value, payload: Value, key: Value) -> str:
    name = "io.jwt.encode_sign"
    parts = [object_(name, place, part) for place, part in enumerate((headers, payload, key), 1)]
    evaluation.spend(sum(map(evaluation.weigh, parts)))
    return _signed(evaluation, *map(marshalled, parts))


@builtin(
    "io.jwt.encode_sign_raw", "headers: string, payload: string, key: string -> string", evaluation=True, pure=False
)
def encode_sign_raw(evaluation: Evaluation, headers: Value, payload: Value, key: Value) -> str:
    name = "io.jwt.encode_sign_raw"
    return _signed(evaluation, *(string(name, place, part) for place, part in enumerate((headers, payload, key), 1)))


def _signed(evaluation: Evaluation, headers: str, payload: str, key: str) -> str:
    from tidegate.rego.builtins.jwk import ALGORITHMS, base64url, signing_key
    from tidegate.rego.builtins.signatures import signature

    evaluation.spend(_SIGNING + (len(headers) + len(payload)) // 8)
    private = signing_key(key)
    try:
        header = _object(headers)
    except BuiltinError as error:
        raise BuiltinError(f"missing or invalid 'alg' header: {error.message}") from None
    algorithm = header.get("alg")
    if type(algorithm) is not str:
        raise BuiltinError("missing or invalid 'alg' header: no string `alg`")
    if algorithm not in ALGORITHMS:
        raise BuiltinError(f"unknown JWS algorithm: {algorithm}")
    if header.get("typ", "JWT") == "JWT" and not _is_json(payload):
        raise BuiltinError("type is JWT but payload is not JSON")
    signed = f"{base64url(utf8(headers))}.{base64url(utf8(payload))}"
    return f"{signed}.{base64url(signature(algorithm, private, signed.encode()))}"


def _is_json(text: str) -> bool:
    try:
        from_json(text)
    except (ValueError, RecursionError):
        return False
    return True
