"""crypto.x509.*: certificates made here, read and verified; the shape is that of Go's structures."""

import base64
import ipaddress
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID, NameOID

from tests.rego.builtins.calls import call, problem
from tidegate.rego.errors import BudgetExhausted
from tidegate.rego.evaluation import Evaluation
from tidegate.rego.values import set_of

KEYS = [ec.generate_private_key(ec.SECP256R1()) for _ in range(3)]
ROOT_KEY, BETWEEN_KEY, LEAF_KEY = KEYS
Extensions = Iterable[tuple[x509.ExtensionType, bool]]
CA = [(x509.BasicConstraints(True, None), True)]
SERVER = [(x509.SubjectAlternativeName([x509.DNSName("api.example.com")]), False)]
NOON = datetime(2025, 6, 1, 12, tzinfo=UTC)
NOON_NS = int(NOON.timestamp()) * 10**9


def named(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def issued(
    subject: str,
    issuer: str,
    key: Any,
    issuer_key: Any,
    extensions: Extensions = (),
    years: tuple[int, int] = (2025, 2026),
) -> x509.Certificate:
    builder = (
        x509.CertificateBuilder(named(issuer), named(subject), key.public_key(), 7)
        .not_valid_before(datetime(years[0], 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(years[1], 1, 1, tzinfo=UTC))
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    return builder.sign(issuer_key, None if isinstance(issuer_key, ed25519.Ed25519PrivateKey) else hashes.SHA256())


def pem(*certificates: x509.Certificate) -> str:
    return b"".join(each.public_bytes(Encoding.PEM) for each in certificates).decode()


ROOT = issued("root", "root", ROOT_KEY, ROOT_KEY, CA)
BETWEEN = issued("between", "root", BETWEEN_KEY, ROOT_KEY, CA)
LEAF = issued("leaf", "between", LEAF_KEY, BETWEEN_KEY, SERVER)


# what certificates say


def test_a_certificate_is_shown_with_all_that_go_shows() -> None:
    extensions = [
        (x509.BasicConstraints(True, 0), True),
        (x509.KeyUsage(True, False, False, False, False, True, True, False, False), True),
        (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, x509.ObjectIdentifier("1.2.3")]), False),
        (
            x509.SubjectAlternativeName(
                [
                    x509.DNSName("a.example"),
                    x509.RFC822Name("a@b.example"),
                    x509.IPAddress(ipaddress.ip_address("10.0.0.1")),
                    x509.UniformResourceIdentifier("spiffe://a.example/b?c#d"),
                ]
            ),
            False,
        ),
        (x509.SubjectKeyIdentifier(b"\1\2"), False),
        (
            x509.AuthorityInformationAccess(
                [
                    x509.AccessDescription(
                        AuthorityInformationAccessOID.OCSP, x509.UniformResourceIdentifier("http://o.example")
                    )
                ]
            ),
            False,
        ),
        (
            x509.NameConstraints(
                [x509.DNSName(".example"), x509.IPAddress(ipaddress.ip_network("10.0.0.0/8"))], [x509.DNSName("x")]
            ),
            True,
        ),
        (x509.CertificatePolicies([x509.PolicyInformation(x509.ObjectIdentifier("2.5.29.32.0"), None)]), False),
        (x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\5\0"), True),
    ]
    certificate = issued("a", "b", LEAF_KEY, ROOT_KEY, extensions)
    (shown,) = call("crypto.x509.parse_certificates", pem(certificate))
    point = LEAF_KEY.public_key().public_numbers()
    name = {
        **dict.fromkeys(
            ("Country", "Organization", "OrganizationalUnit", "Locality", "Province", "StreetAddress", "PostalCode")
        ),
        "SerialNumber": "",
        "ExtraNames": None,
    }
    assert pick(shown, "Version SerialNumber SignatureAlgorithm PublicKeyAlgorithm PublicKey NotBefore NotAfter") == {
        "Version": 3,
        "SerialNumber": 7,
        "SignatureAlgorithm": 10,
        "PublicKeyAlgorithm": 3,
        "PublicKey": {"Curve": {}, "X": point.x, "Y": point.y},
        "NotBefore": "2025-01-01T00:00:00Z",
        "NotAfter": "2026-01-01T00:00:00Z",
    }
    assert shown["Subject"] == name | {"CommonName": "a", "Names": [{"Type": [2, 5, 4, 3], "Value": "a"}]}
    assert shown["Issuer"]["CommonName"] == "b"
    assert pick(shown, "BasicConstraintsValid IsCA MaxPathLen MaxPathLenZero KeyUsage") == {
        "BasicConstraintsValid": True,
        "IsCA": True,
        "MaxPathLen": 0,
        "MaxPathLenZero": True,
        "KeyUsage": 1 | 32 | 64,
    }
    assert pick(shown, "ExtKeyUsage UnknownExtKeyUsage SubjectKeyId AuthorityKeyId OCSPServer") == {
        "ExtKeyUsage": [1],
        "UnknownExtKeyUsage": [[1, 2, 3]],
        "SubjectKeyId": "AQI=",
        "AuthorityKeyId": None,
        "OCSPServer": ["http://o.example"],
    }
    assert pick(shown, "DNSNames EmailAddresses IPAddresses URIStrings") == {
        "DNSNames": ["a.example"],
        "EmailAddresses": ["a@b.example"],
        "IPAddresses": ["10.0.0.1"],
        "URIStrings": ["spiffe://a.example/b?c#d"],
    }
    assert pick(shown["URIs"][0], "Scheme Host Path RawQuery Fragment Opaque User") == {
        "Scheme": "spiffe",
        "Host": "a.example",
        "Path": "/b",
        "RawQuery": "c",
        "Fragment": "d",
        "Opaque": "",
        "User": None,
    }
    assert pick(shown, "PermittedDNSDomainsCritical PermittedDNSDomains ExcludedDNSDomains PermittedIPRanges") == {
        "PermittedDNSDomainsCritical": True,
        "PermittedDNSDomains": [".example"],
        "ExcludedDNSDomains": ["x"],
        "PermittedIPRanges": [{"IP": "10.0.0.0", "Mask": "/wAAAA=="}],
    }
    assert pick(shown, "PolicyIdentifiers Policies UnhandledCriticalExtensions") == {
        "PolicyIdentifiers": [[2, 5, 29, 32, 0]],
        "Policies": ["2.5.29.32.0"],
        "UnhandledCriticalExtensions": [[1, 2, 3, 4]],
    }
    assert shown["Extensions"][-1] == {"Id": [1, 2, 3, 4], "Critical": True, "Value": "BQA="}
    assert base64.b64decode(shown["Raw"]) == certificate.public_bytes(Encoding.DER)
    assert base64.b64decode(shown["RawTBSCertificate"]) == certificate.tbs_certificate_bytes
    assert base64.b64decode(shown["RawSubject"]) == certificate.subject.public_bytes()
    assert base64.b64decode(shown["Signature"]) == certificate.signature


def pick(shown: dict[str, Any], fields: str) -> dict[str, Any]:
    return {field: shown[field] for field in fields.split()}


FORMS = [
    ("PEM", pem(ROOT, LEAF)),
    ("PEM, in base64", base64.b64encode(pem(ROOT, LEAF).encode()).decode()),
    ("DER, in base64", base64.b64encode(b"".join(each.public_bytes(Encoding.DER) for each in (ROOT, LEAF))).decode()),
]


@pytest.mark.parametrize(("note", "text"), FORMS)
def test_the_forms_of_certificates(note: str, text: str) -> None:
    found = call("crypto.x509.parse_certificates", text)
    assert [each["Subject"]["CommonName"] for each in found] == ["root", "leaf"], note


def test_a_serial_number_of_zero_is_no_problem() -> None:
    octets = LEAF.public_bytes(Encoding.DER)
    old = octets.replace(b"\xa0\x03\x02\x01\x02\x02\x01\x07", b"\xa0\x03\x02\x01\x02\x02\x01\x00")
    (shown,) = call("crypto.x509.parse_certificates", base64.b64encode(old).decode())
    assert shown["SerialNumber"] == 0


KINDS = [
    (rsa.generate_private_key(65537, 2048), 1, ["E", "N"]),
    (ed25519.Ed25519PrivateKey.generate(), 4, None),
]


@pytest.mark.parametrize(("key", "algorithm", "fields"), KINDS)
def test_other_kinds_of_keys(key: Any, algorithm: int, fields: list[str] | None) -> None:
    (shown,) = call("crypto.x509.parse_certificates", pem(issued("a", "a", key, key)))
    assert shown["PublicKeyAlgorithm"] == algorithm
    assert (sorted(shown["PublicKey"]) if fields else None) == fields
    if fields is None:
        assert base64.b64decode(shown["PublicKey"]) == key.public_key().public_bytes_raw()


MALFORMED = [
    ("crypto.x509.parse_certificates", ["?"], "illegal base64 data"),
    ("crypto.x509.parse_certificates", ["MAU="], "x509: malformed certificate: asn1: syntax error: data truncated"),
    ("crypto.x509.parse_certificates", ["MAA="], None),
    (
        "crypto.x509.parse_certificates",
        ["-----BEGIN X-----\nAAAA\n-----END X-----\n"],
        "PEM block type is 'X', expected CERTIFICATE",
    ),
    (
        "crypto.x509.parse_certificate_request",
        [base64.b64encode(pem(LEAF).encode()).decode()],
        "invalid PEM-encoded certificate signing request",
    ),
    ("crypto.x509.parse_rsa_private_key", [""], "input PEM data was empty"),
    ("crypto.x509.parse_keypair", ["AAAA", "AAAA"], None),
]


@pytest.mark.parametrize(("name", "operands", "expected"), MALFORMED)
def test_malformed_operands(name: str, operands: list[str], expected: str | None) -> None:
    said = problem(name, *operands)
    assert said == f"eval_builtin_error: {expected}" if expected else said.startswith("eval_builtin_error: x509: ")


def test_a_request() -> None:
    builder = x509.CertificateSigningRequestBuilder(named("a")).add_extension(*SERVER[0])
    request = builder.add_attribute(x509.oid.AttributeOID.CHALLENGE_PASSWORD, b"x").sign(LEAF_KEY, hashes.SHA256())
    shown = call("crypto.x509.parse_certificate_request", request.public_bytes(Encoding.PEM).decode())
    assert shown["Subject"]["CommonName"] == "a"
    assert pick(shown, "Version DNSNames IPAddresses") == {
        "Version": 0,
        "DNSNames": ["api.example.com"],
        "IPAddresses": None,
    }
    assert [each["Id"] for each in shown["Extensions"]] == [[2, 5, 29, 17]]
    assert [each["Type"] for each in shown["Attributes"]] == [[1, 2, 840, 113549, 1, 9, 14]]
    assert base64.b64decode(shown["Raw"]) == request.public_bytes(Encoding.DER)


# keys


def private_pem(key: Any, form: PrivateFormat = PrivateFormat.PKCS8) -> str:
    return str(key.private_bytes(Encoding.PEM, form, NoEncryption()).decode())


def test_a_pair_of_certificate_and_key() -> None:
    pair = call("crypto.x509.parse_keypair", pem(LEAF, BETWEEN), private_pem(LEAF_KEY))
    assert pair["Certificate"] == [
        base64.b64encode(each.public_bytes(Encoding.DER)).decode() for each in (LEAF, BETWEEN)
    ]
    assert pair["Leaf"]["Subject"]["CommonName"] == "leaf"
    assert pair["PrivateKey"]["D"] == LEAF_KEY.private_numbers().private_value
    said = problem("crypto.x509.parse_keypair", pem(LEAF), private_pem(ROOT_KEY))
    assert said == "eval_builtin_error: tls: private key does not match public key"


def test_private_keys_of_every_form() -> None:
    rsa_key, edwards_key = KINDS[0][0], KINDS[1][0]
    text = "".join(
        (
            private_pem(rsa_key, PrivateFormat.TraditionalOpenSSL),
            private_pem(LEAF_KEY, PrivateFormat.TraditionalOpenSSL),
            private_pem(edwards_key),
            "-----BEGIN SOMETHING ELSE-----\nAAAA\n-----END SOMETHING ELSE-----\n",
        )
    )
    found = call("crypto.parse_private_keys", text)
    assert [type(each) for each in found] == [dict, dict, str]
    assert found[0]["Primes"] == [rsa_key.private_numbers().p, rsa_key.private_numbers().q]
    assert found == call("crypto.parse_private_keys", base64.b64encode(text.encode()).decode())
    assert call("crypto.parse_private_keys", "no key") == []
    assert call("crypto.parse_private_keys", "") is None


def test_the_first_key_as_a_jwk() -> None:
    key = call("crypto.x509.parse_rsa_private_key", private_pem(KINDS[0][0]))
    assert key["kty"] == "RSA"
    assert sorted(key) == ["d", "dp", "dq", "e", "kty", "n", "p", "q", "qi"]
    signed = call("io.jwt.encode_sign", {"alg": "RS256"}, {}, key)
    assert call("io.jwt.verify_rs256", signed, pem(issued("a", "a", KINDS[0][0], KINDS[0][0])).rstrip("\n"))
    assert call("crypto.x509.parse_rsa_private_key", private_pem(LEAF_KEY))["crv"] == "P-256"


# chains


def verified(
    *chain: x509.Certificate, options: dict[str, Any] | None = None, time_ns: int = NOON_NS
) -> list[str] | None:
    name, evaluation = "crypto.x509.parse_and_verify_certificates", Evaluation(time_ns=time_ns)
    if options is None:
        is_valid, found = call(name, pem(*chain), evaluation=evaluation)
    else:
        is_valid, found = call(f"{name}_with_options", pem(*chain), options, evaluation=evaluation)
    assert is_valid is bool(found)
    return [each["Subject"]["CommonName"] for each in found] if is_valid else None


def test_a_chain_is_given_from_the_leaf_to_the_root() -> None:
    assert verified(ROOT, BETWEEN, LEAF) == ["leaf", "between", "root"]
    assert verified(ROOT, BETWEEN) == ["between", "root"]
    assert verified(ROOT, ROOT) == ["root"]
    stranger = issued("stranger", "stranger", LEAF_KEY, LEAF_KEY, CA)
    assert verified(ROOT, stranger, BETWEEN, LEAF) == ["leaf", "between", "root"]


def between(*extensions: tuple[x509.ExtensionType, bool], **more: Any) -> x509.Certificate:
    return issued("between", "root", BETWEEN_KEY, ROOT_KEY, extensions, **more)


def leaf(*extensions: tuple[x509.ExtensionType, bool], **more: Any) -> x509.Certificate:
    return issued("leaf", "between", LEAF_KEY, BETWEEN_KEY, extensions, **more)


def only_for(*usages: x509.ObjectIdentifier) -> tuple[x509.ExtensionType, bool]:
    return (x509.ExtendedKeyUsage(usages), False)


def constrained(*, to: str | None = None, excluding: str | None = None) -> tuple[x509.ExtensionType, bool]:
    names = [[x509.DNSName(name)] if name else None for name in (to, excluding)]
    return (x509.NameConstraints(*names), True)


NO_SIGNING = x509.KeyUsage(True, False, False, False, False, False, False, False, False)
BROKEN = [
    ("one certificate alone", (ROOT,)),
    ("the link is missing", (ROOT, LEAF)),
    ("signed by another key", (ROOT, between(*CA), issued("leaf", "between", LEAF_KEY, ROOT_KEY))),
    ("another root of that name", (issued("root", "root", LEAF_KEY, LEAF_KEY, CA), BETWEEN, LEAF)),
    ("the link is no authority", (ROOT, between((x509.BasicConstraints(False, None), True)), LEAF)),
    ("the link does not say that it is one", (ROOT, between(), LEAF)),
    ("the link may not sign certificates", (ROOT, between(*CA, (NO_SIGNING, True)), LEAF)),
    ("the leaf has expired", (ROOT, BETWEEN, leaf(*SERVER, years=(2023, 2024)))),
    ("the link is not valid yet", (ROOT, between(*CA, years=(2026, 2027)), LEAF)),
    ("the root has expired", (issued("root", "root", ROOT_KEY, ROOT_KEY, CA, (2023, 2024)), BETWEEN, LEAF)),
    (
        "the path is too long",
        (issued("root", "root", ROOT_KEY, ROOT_KEY, [(x509.BasicConstraints(True, 0), True)]), BETWEEN, LEAF),
    ),
    ("the leaf is for something else", (ROOT, BETWEEN, leaf(only_for(ExtendedKeyUsageOID.CLIENT_AUTH)))),
    ("the link is for something else", (ROOT, between(*CA, only_for(ExtendedKeyUsageOID.CODE_SIGNING)), LEAF)),
    (
        "a critical extension that nobody knows",
        (ROOT, BETWEEN, leaf((x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3"), b"\5\0"), True))),
    ),
    ("the name is not permitted", (ROOT, between(*CA, constrained(to="other.com")), LEAF)),
    ("the name is excluded", (ROOT, between(*CA, constrained(excluding="example.com")), LEAF)),
]


@pytest.mark.parametrize(("note", "chain"), BROKEN, ids=[row[0] for row in BROKEN])
def test_broken_chains(note: str, chain: tuple[x509.Certificate, ...]) -> None:
    assert verified(*chain) is None


WITHIN = [
    ("a permitted name", (ROOT, between(*CA, constrained(to="example.com")), LEAF)),
    ("a name beside the excluded one", (ROOT, between(*CA, constrained(excluding="ample.com")), LEAF)),
    ("a path just long enough", (ROOT, between((x509.BasicConstraints(True, 0), True)), LEAF)),
    ("any usage", (ROOT, BETWEEN, leaf(only_for(ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE)))),
]


@pytest.mark.parametrize(("note", "chain"), WITHIN, ids=[row[0] for row in WITHIN])
def test_chains_within_their_limits(note: str, chain: tuple[x509.Certificate, ...]) -> None:
    assert verified(*chain) == ["leaf", "between", "root"]


CLIENT = leaf(only_for(ExtendedKeyUsageOID.CLIENT_AUTH))
WILD = leaf((x509.SubjectAlternativeName([x509.DNSName("*.example.com")]), False))
OPTIONS = [
    ({}, LEAF, True),
    ({"DNSName": "api.example.com"}, LEAF, True),
    ({"DNSName": "API.example.com."}, LEAF, True),
    ({"DNSName": "example.com"}, LEAF, False),
    ({"DNSName": "a.example.com"}, WILD, True),
    ({"DNSName": "a.b.example.com"}, WILD, False),
    ({"DNSName": "10.0.0.1"}, WILD, False),
    ({"CurrentTime": int(datetime(2024, 1, 1, tzinfo=UTC).timestamp()) * 10**9}, LEAF, False),
    ({"CurrentTime": NOON_NS}, LEAF, True),
    ({"KeyUsages": ["KeyUsageClientAuth"]}, CLIENT, True),
    ({"KeyUsages": set_of(["KeyUsageClientAuth", "KeyUsageCodeSigning"])}, CLIENT, True),
    ({"KeyUsages": ["KeyUsageCodeSigning"]}, CLIENT, False),
    ({"KeyUsages": ["KeyUsageAny"]}, CLIENT, True),
    ({"KeyUsages": []}, CLIENT, False),
    ({"MaxConstraintComparisons": 5}, LEAF, True),
]


@pytest.mark.parametrize(("options", "end", "expected"), OPTIONS)
def test_options(options: dict[str, Any], end: x509.Certificate, expected: bool) -> None:
    assert (verified(ROOT, BETWEEN, end, options=options) is not None) is expected


WRONG_OPTIONS = [
    ({"DNSName": 1}, "'DNSName' should be a string"),
    ({"CurrentTime": 1.5}, "'CurrentTime' should be a valid int64 number"),
    ({"KeyUsages": "x"}, "'KeyUsages' should be an Array or Set"),
    ({"KeyUsages": ["x", "y"]}, "invalid entries for 'KeyUsages' found: [x y]"),
    ({"Roots": []}, "invalid key option"),
]


@pytest.mark.parametrize(("options", "expected"), WRONG_OPTIONS)
def test_wrong_options(options: dict[str, Any], expected: str) -> None:
    name = "crypto.x509.parse_and_verify_certificates_with_options"
    assert problem(name, pem(ROOT, LEAF), options) == f"eval_builtin_error: {expected}"


def test_what_cannot_be_read_is_not_valid() -> None:
    assert call("crypto.x509.parse_and_verify_certificates", "no certificates") == [False, []]


def test_a_search_through_many_ways_ends() -> None:
    """Authorities that all vouch for one another under one name."""
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(6)]
    mesh = [issued("x", "x", one, other, CA) for one in keys for other in keys if one is not other]
    end = issued("leaf", "x", LEAF_KEY, keys[0])
    assert verified(ROOT, *mesh, end) is None
    with pytest.raises(BudgetExhausted):
        call(
            "crypto.x509.parse_and_verify_certificates",
            pem(ROOT, *mesh, end),
            evaluation=Evaluation(time_ns=NOON_NS, budget=3_000),
        )
