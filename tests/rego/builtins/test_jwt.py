"""io.jwt.*: what is signed is verified, and nothing else: algorithms, keys, constraints, malformed tokens."""

import base64
import hmac
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from tests.rego.builtins.calls import call, problem
from tidegate.rego.builtins.jwk import base64url, document
from tidegate.rego.errors import BudgetExhausted
from tidegate.rego.evaluation import Evaluation

CLAIMS = {"iss": "anna", "sub": "x"}
RSA = rsa.generate_private_key(65537, 2048)
CURVES = {"ES256": ec.SECP256R1(), "ES384": ec.SECP384R1(), "ES512": ec.SECP521R1()}
ELLIPTIC = {name: ec.generate_private_key(curve) for name, curve in CURVES.items()}
EDWARDS = ed25519.Ed25519PrivateKey.generate()
SECRET = {"kty": "oct", "k": base64url(b"secret")}
ALGORITHMS = [f"{kind}{size}" for kind in ("RS", "PS", "ES", "HS") for size in (256, 384, 512)] + ["EdDSA"]


def private(algorithm: str) -> Any:
    return {"RS": RSA, "PS": RSA, "ES": ELLIPTIC.get(algorithm), "Ed": EDWARDS}[algorithm[:2]]


def signing_key(algorithm: str) -> dict[str, Any]:
    return SECRET if algorithm.startswith("HS") else document(private(algorithm))


def public_pem(key: Any) -> str:
    return str(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode().rstrip("\n"))


def public_jwk(algorithm: str, **more: str) -> dict[str, Any]:
    hidden = ("d", "p", "q", "dp", "dq", "qi")
    return {name: value for name, value in signing_key(algorithm).items() if name not in hidden} | more


def certificate(key: Any) -> str:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a")])
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(datetime(2020, 1, 1, tzinfo=UTC)).not_valid_after(
        datetime(2021, 1, 1, tzinfo=UTC)
    )
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM).decode().rstrip("\n")


def signed(algorithm: str, claims: dict[str, Any] = CLAIMS, **header: Any) -> str:
    return str(call("io.jwt.encode_sign", {"alg": algorithm} | header, claims, signing_key(algorithm)))


def handmade(header: Any, payload: Any, secret: bytes = b"secret", algorithm: str = "sha256") -> str:
    """A token signed without the code under test."""
    texts = (part if isinstance(part, str) else json.dumps(part) for part in (header, payload))
    parts = ".".join(base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode() for text in texts)
    return f"{parts}.{base64url(hmac.digest(secret, parts.encode(), algorithm))}"


def verify(algorithm: str, token: str, key: str) -> bool:
    return bool(call(f"io.jwt.verify_{algorithm.lower()}", token, key))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_what_is_signed_verifies_and_a_changed_token_does_not(algorithm: str) -> None:
    token = signed(algorithm)
    key = "secret" if algorithm.startswith("HS") else public_pem(private(algorithm))
    assert verify(algorithm, token, key) is True
    head, _, signature = token.split(".")
    other = base64url(json.dumps({"iss": "mallory"}).encode())
    assert verify(algorithm, f"{head}.{other}.{signature}", key) is False
    name = "secret" if algorithm.startswith("HS") else "cert"
    verified = call("io.jwt.decode_verify", token, {name: key})
    assert verified == [True, {"alg": algorithm}, CLAIMS]


@pytest.mark.parametrize("algorithm", [name for name in ALGORITHMS if not name.startswith("HS")])
def test_keys_may_be_certificates_and_sets_of_jwk(algorithm: str) -> None:
    token = signed(algorithm)
    strangers = [public_jwk(name) for name in ("RS256", "ES256", "EdDSA") if name[:2] != algorithm[:2]]
    keys = json.dumps({"keys": [*strangers, public_jwk(algorithm, alg=algorithm)]})
    assert verify(algorithm, token, keys) is True
    assert verify(algorithm, token, json.dumps(public_jwk(algorithm))) is True
    if algorithm != "EdDSA":
        assert verify(algorithm, token, certificate(private(algorithm))) is True


def test_the_signature_of_another_implementation_verifies() -> None:
    token = handmade({"alg": "HS256"}, CLAIMS)
    assert verify("HS256", token, "secret") is True
    assert verify("HS256", token, "other") is False
    assert verify("HS512", handmade({"alg": "HS512"}, CLAIMS, algorithm="sha512"), "secret") is True


def test_a_public_key_is_never_a_shared_secret() -> None:
    pem = public_pem(RSA)
    forged = handmade({"alg": "HS256"}, {"admin": True}, secret=pem.encode())
    assert call("io.jwt.decode_verify", forged, {"cert": pem}) == [False, {}, {}]
    assert verify("RS256", forged, pem) is False


@pytest.mark.parametrize("algorithm", ["none", "None", "", "HS128", "RS256"])
def test_an_unsigned_token_is_never_verified(algorithm: str) -> None:
    bare = ".".join(base64url(json.dumps(part).encode()) for part in ({"alg": algorithm}, CLAIMS)) + "."
    assert call("io.jwt.decode_verify", bare, {"secret": "secret"}) == [False, {}, {}]
    assert call("io.jwt.decode_verify", bare, {"cert": public_pem(RSA)}) == [False, {}, {}]


def test_the_key_that_the_header_names_is_the_only_one_tried() -> None:
    token = signed("ES256", kid="b")
    wrong = public_jwk("RS256", kid="b")
    right = public_jwk("ES256", kid="a")
    assert verify("ES256", token, json.dumps({"keys": [right, wrong]})) is False
    assert verify("ES256", token, json.dumps({"keys": [right]})) is True, "no key has the name: all are tried"


def test_a_key_for_another_algorithm_is_not_tried() -> None:
    token = signed("RS256")
    assert verify("RS256", token, json.dumps(public_jwk("RS256", alg="RS512"))) is False
    assert verify("RS256", token, json.dumps(public_jwk("RS256", alg="RSA-OAEP"))) is False


def test_a_private_key_is_trusted_by_its_public_part_and_only_where_a_token_is_decoded() -> None:
    token, key = signed("ES256"), json.dumps(signing_key("ES256"))
    assert verify("ES256", token, key) is False
    assert call("io.jwt.decode_verify", token, {"cert": key})[0] is True
    assert call("io.jwt.decode_verify", signed("ES384"), {"cert": key})[0] is False


@pytest.mark.parametrize("field", ["n", "d", "p", "dp", "dq", "qi"])
def test_the_numbers_of_a_private_key_must_belong_together(field: str) -> None:
    key = signing_key("RS256")
    octets = base64.urlsafe_b64decode(key[field] + "==")
    wrong = key | {field: base64url((int.from_bytes(octets) + 2).to_bytes(len(octets) + 1))}
    said = problem("io.jwt.encode_sign", {"alg": "RS256"}, {}, wrong)
    assert said.startswith("eval_builtin_error: failed to parse a JWK key (set): the ")


def test_keys_and_signatures_are_paid_for() -> None:
    keys = json.dumps({"keys": [public_jwk("RS256")] * 100})
    with pytest.raises(BudgetExhausted):
        call("io.jwt.verify_rs256", signed("ES256"), keys, evaluation=Evaluation(budget=10_000))
    with pytest.raises(BudgetExhausted):
        call("io.jwt.encode_sign", {"alg": "HS256"}, {}, SECRET, evaluation=Evaluation(budget=10_000))


NOW = 1_700_000_000
CONSTRAINTS = [
    ("nothing asked", {}, {}, True),
    ("the issuer", {"iss": "anna"}, {"iss": "anna"}, True),
    ("another issuer", {"iss": "bert"}, {"iss": "anna"}, False),
    ("no issuer", {}, {"iss": "anna"}, False),
    ("an issuer of another type", {"iss": 1}, {"iss": "anna"}, False),
    ("the audience", {"aud": "a"}, {"aud": "a"}, True),
    ("one of the audiences", {"aud": ["b", "a"]}, {"aud": "a"}, True),
    ("another audience", {"aud": ["b"]}, {"aud": "a"}, False),
    ("no audience", {}, {"aud": "a"}, False),
    ("an audience nobody asked for", {"aud": "a"}, {}, False),
    ("the algorithm", {}, {"alg": "HS256"}, True),
    ("another algorithm", {}, {"alg": "HS384"}, False),
    ("expires later", {"exp": NOW + 1}, {}, True),
    ("expires now", {"exp": NOW}, {}, False),
    ("expires in half a second", {"exp": NOW + 0.5}, {}, True),
    ("valid from now", {"nbf": NOW}, {}, True),
    ("valid later", {"nbf": NOW + 1}, {}, False),
    ("another time", {"exp": NOW}, {"time": (NOW - 1) * 10**9}, True),
    ("another time, too late", {"exp": NOW}, {"time": (NOW + 1) * 10**9}, False),
]


@pytest.mark.parametrize(
    ("note", "claims", "constraints", "expected"), CONSTRAINTS, ids=[row[0] for row in CONSTRAINTS]
)
def test_constraints(note: str, claims: dict[str, Any], constraints: dict[str, Any], expected: bool) -> None:
    evaluation = Evaluation(time_ns=NOW * 10**9)
    token = handmade({"alg": "HS256"}, claims)
    verified = call("io.jwt.decode_verify", token, {"secret": "secret"} | constraints, evaluation=evaluation)
    assert verified == ([True, {"alg": "HS256"}, claims] if expected else [False, {}, {}])


CRITICAL = [
    ({"crit": ["b64"], "b64": False}, False),
    ({"crit": ["b64"]}, True),
    ({"crit": ["kid"], "kid": "a"}, True),
]


@pytest.mark.parametrize(("header", "expected"), CRITICAL)
def test_a_critical_parameter_must_be_known(header: dict[str, Any], expected: bool) -> None:
    token = handmade({"alg": "HS256"} | header, CLAIMS)
    assert call("io.jwt.decode_verify", token, {"secret": "secret"})[0] is expected


def test_tokens_within_tokens_are_verified_at_every_depth() -> None:
    inner = handmade({"alg": "HS256"}, CLAIMS)
    outer = handmade({"alg": "HS256", "cty": "JWT"}, inner)
    assert call("io.jwt.decode", outer)[1] == CLAIMS
    assert call("io.jwt.decode_verify", outer, {"secret": "secret"})[2] == CLAIMS
    forged = handmade({"alg": "HS256", "cty": "JWT"}, handmade({"alg": "HS256"}, CLAIMS, secret=b"other"))
    assert call("io.jwt.decode_verify", forged, {"secret": "secret"}) == [False, {}, {}]


def test_the_last_of_two_equal_names_counts() -> None:
    assert call("io.jwt.decode", handmade({"alg": "HS256"}, '{"a": 1, "a": 2}'))[1] == {"a": 2}


GOOD = handmade({"alg": "HS256"}, CLAIMS)
MALFORMED = [
    ("io.jwt.decode", ["abc"], "encoded JWT had no period separators"),
    ("io.jwt.decode", ["a.b"], "encoded JWT must have 3 sections, found 2"),
    ("io.jwt.decode", ["a/b.c.d"], "JWT header had invalid encoding: illegal base64 data"),
    ("io.jwt.decode", [handmade("[]", CLAIMS)], "bad JWT header: decoded JSON type was not an Object"),
    ("io.jwt.decode", [handmade({"enc": "x"}, CLAIMS)], "JWT is a JWE object, which is not supported"),
    ("io.jwt.decode", [handmade({}, "[1]")], "decoded JSON type was not an Object"),
    ("io.jwt.verify_rs256", [GOOD, "x"], "failed to parse a JWK key (set): Expecting value: line 1 column 1 (char 0)"),
    ("io.jwt.verify_rs256", [GOOD, public_pem(RSA) + "\n\n"], "extra data after a PEM certificate block"),
    ("io.jwt.verify_rs256", [handmade({"alg": 1}, {}), public_pem(RSA)], "alg: must be a string"),
    ("io.jwt.decode_verify", [GOOD, {}], "no key constraint"),
    ("io.jwt.decode_verify", [GOOD, {"secret": "a", "cert": public_pem(RSA)}], "duplicate key constraints"),
    ("io.jwt.decode_verify", [GOOD, {"secret": "a", "b": 1}], "unknown token validation constraint: b"),
    ("io.jwt.decode_verify", [GOOD, {"secret": 1}], "secret constraint: must be a string"),
    ("io.jwt.decode_verify", [GOOD, {"secret": "a", "time": -1}], "token time constraint: must not be negative"),
    (
        "io.jwt.decode_verify",
        [GOOD, {"secret": "a", "time": 10**400}],
        "token time constraint: must fit a float64",
    ),
    (
        "io.jwt.decode_verify",
        [handmade({"alg": "HS256"}, {"exp": "soon"}), {"secret": "secret"}],
        "exp value must be a number",
    ),
    ("io.jwt.encode_sign", [{"alg": "none"}, {}, SECRET], "unknown JWS algorithm: none"),
    ("io.jwt.encode_sign", [{}, {}, SECRET], "missing or invalid 'alg' header: no string `alg`"),
    ("io.jwt.encode_sign", [{"alg": "RS256"}, {}, SECRET], "the key is of no kind that signs with RS256"),
    ("io.jwt.encode_sign", [{"alg": "HS256"}, {}, {"keys": []}], "no keys found in JWK set"),
    (
        "io.jwt.encode_sign_raw",
        ['{"alg":"HS256"}', "no JSON", json.dumps(SECRET)],
        "type is JWT but payload is not JSON",
    ),
]


@pytest.mark.parametrize(("name", "operands", "expected"), MALFORMED)
def test_malformed_operands(name: str, operands: list[Any], expected: str) -> None:
    assert problem(name, *operands) == f"eval_builtin_error: {expected}"


def test_the_raw_form_keeps_every_byte() -> None:
    header = '{"typ":"text/plain",\n "alg":"HS256"}'
    token = call("io.jwt.encode_sign_raw", header, "no JSON", json.dumps(SECRET))
    assert base64.urlsafe_b64decode(token.split(".")[0] + "==").decode() == header
    assert verify("HS256", token, "secret") is True


def test_json_is_written_as_go_writes_it() -> None:
    token = call("io.jwt.encode_sign", {"alg": "HS256"}, {"b": "<&>", "a": 1}, SECRET)
    assert base64.urlsafe_b64decode(token.split(".")[1] + "==") == rb'{"a":1,"b":"\u003c\u0026\u003e"}'
