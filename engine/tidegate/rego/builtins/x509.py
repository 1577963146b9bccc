"""crypto.x509.* and crypto.parse_private_keys: what certificates, requests and keys say.

The modules that read them are imported when one of these is called first: few policies do, and `cryptography` takes
70 ms to load.
"""

from collections.abc import Mapping
from typing import Any, Final

from tidegate.rego.builtins import builtin
from tidegate.rego.builtins.operands import object_, string
from tidegate.rego.builtins.text import utf8
from tidegate.rego.errors import BuiltinError
from tidegate.rego.evaluation import Evaluation
from tidegate.rego.values import RegoSet, Value, items

_CHARACTERS_A_UNIT: Final = 4  # of certificates: a usual one takes some hundred microseconds
_PRIVATE_KEY: Final = 5_000  # units: RSA keys are checked when they are read, and that takes a millisecond
_OBJECTS: Final = "array[object[string: any]]"
_VERIFIED: Final = f"array<boolean, {_OBJECTS}>"
# the place of a usage is its number in Go
_USAGES: Final = (
    "KeyUsageAny",
    "KeyUsageServerAuth",
    "KeyUsageClientAuth",
    "KeyUsageCodeSigning",
    "KeyUsageEmailProtection",
    "KeyUsageIPSECEndSystem",
    "KeyUsageIPSECTunnel",
    "KeyUsageIPSECUser",
    "KeyUsageTimeStamping",
    "KeyUsageOCSPSigning",
    "KeyUsageMicrosoftServerGatedCrypto",
    "KeyUsageNetscapeServerGatedCrypto",
    "KeyUsageMicrosoftCommercialCodeSigning",
    "KeyUsageMicrosoftKernelCodeSigning",
)


@builtin("crypto.x509.parse_certificates", f"certs: string -> {_OBJECTS}", evaluation=True)
def parse_certificates(evaluation: Evaluation, certificates: Value) -> Value:
    from tidegate.rego.builtins.certificates import parse_certificates

    text = string("crypto.x509.parse_certificates", 1, certificates)
    evaluation.spend(len(text) // _CHARACTERS_A_UNIT)
    found = parse_certificates(text)
    return [_with_uri_strings(each) for each in found]


def _with_uri_strings(certificate: Any) -> Value:
    from tidegate.rego.builtins.certificates import certificate_document
    from tidegate.rego.builtins.extensions import uri_strings

    return certificate_document(certificate) | {"URIStrings": uri_strings(certificate)}


@builtin("crypto.x509.parse_and_verify_certificates", f"certs: string -> {_VERIFIED}", evaluation=True, pure=False)
def parse_and_verify_certificates(evaluation: Evaluation, certificates: Value) -> Value:
    text = string("crypto.x509.parse_and_verify_certificates", 1, certificates)
    chain = _verified(evaluation, text, {})
    return [False, []] if chain is None else [True, [_with_uri_strings(each) for each in chain]]


@builtin(
    "crypto.x509.parse_and_verify_certificates_with_options",
    f"certs: string, options: object[string: any] -> {_VERIFIED}",
    evaluation=True,
    pure=False,
)
def parse_and_verify_certificates_with_options(evaluation: Evaluation, certificates: Value, options: Value) -> Value:
    from tidegate.rego.builtins.certificates import certificate_document

    name = "crypto.x509.parse_and_verify_certificates_with_options"
    text = string(name, 1, certificates)
    chain = _verified(evaluation, text, _options(object_(name, 2, options)))
    return [False, []] if chain is None else [True, [certificate_document(each) for each in chain]]


def _verified(evaluation: Evaluation, text: str, options: Mapping[str, Any]) -> list[Any] | None:
    from tidegate.rego.builtins.certificates import parse_certificates
    from tidegate.rego.builtins.chains import Options, verified

    evaluation.spend(len(text) // _CHARACTERS_A_UNIT)
    try:
        return verified(evaluation, parse_certificates(text), Options(**{"time_ns": evaluation.time_ns, **options}))
    except BuiltinError:
        return None


def _options(options: dict[str, Value]) -> dict[str, Any]:
    read: dict[str, Any] = {}
    for name, value in options.items():
        match name:
            case "DNSName":
                if type(value) is not str:
                    raise BuiltinError("'DNSName' should be a string")
                read["host"] = value.strip('"')
            case "CurrentTime":
                read["time_ns"] = _integer(name, value)
            case "MaxConstraintComparisons":
                _integer(name, value)  # the evaluation's budget bounds them
            case "KeyUsages":
                read["usages"] = _usages(value)
            case _:
                raise BuiltinError("invalid key option")
    return read


def _integer(name: str, value: Value) -> int:
    if type(value) is not int or not -(2**63) <= value < 2**63:
        raise BuiltinError(f"'{name}' should be a valid int64 number")
    return value


def _usages(value: Value) -> tuple[int, ...]:
    if type(value) not in (list, RegoSet):
        raise BuiltinError("'KeyUsages' should be an Array or Set")
    names = [name.strip('"') for _, name in items(value) if type(name) is str]
    unknown = [name for name in names if name not in _USAGES]
    if unknown:
        raise BuiltinError(f"invalid entries for 'KeyUsages' found: [{' '.join(unknown)}]")
    return tuple(map(_USAGES.index, names)) or (_USAGES.index("KeyUsageServerAuth"),)


@builtin("crypto.x509.parse_certificate_request", "csr: string -> object[string: any]", evaluation=True)
def parse_certificate_request(evaluation: Evaluation, request: Value) -> Value:
    from tidegate.rego.builtins import pem
    from tidegate.rego.builtins.certificates import request_document
    from tidegate.rego.builtins.keys import base64_octets

    text = string("crypto.x509.parse_certificate_request", 1, request)
    evaluation.spend(len(text) // _CHARACTERS_A_UNIT)
    octets = utf8(text)
    if not text.startswith("-----BEGIN CERTIFICATE REQUEST-----"):
        octets = base64_octets(text)
    block = pem.first(octets.decode("latin-1"))
    if block is not None and block.kind != "CERTIFICATE REQUEST":
        raise BuiltinError("invalid PEM-encoded certificate signing request")
    return request_document(octets if block is None else block.octets)


@builtin("crypto.x509.parse_keypair", "cert: string, pem: string -> object[string: any]", evaluation=True)
def parse_keypair(evaluation: Evaluation, certificate: Value, key: Value) -> Value:
    """A certificate chain and the private key of its first certificate, as Go's tls.Certificate."""
    from tidegate.rego.builtins.certificates import certificate_document, load_certificates
    from tidegate.rego.builtins.keys import base64_text, private_document, private_key

    name = "crypto.x509.parse_keypair"
    chain = _octets(string(name, 1, certificate), "CERTIFICATE")
    secrets = _octets(string(name, 2, key), "PRIVATE KEY")
    if not chain or not secrets:
        raise BuiltinError("tls: failed to find any PEM data in certificate or key input")
    evaluation.spend(_PRIVATE_KEY)
    secret = private_key(secrets[0])
    leaf = next(iter(load_certificates(chain[0])), None)
    if leaf is None or leaf.public_key() != secret.public_key():
        raise BuiltinError("tls: private key does not match public key")
    return {
        "Certificate": [base64_text(octets) for octets in chain],
        "PrivateKey": private_document(secret),
        "SupportedSignatureAlgorithms": None,
        "OCSPStaple": None,
        "SignedCertificateTimestamps": None,
        "Leaf": certificate_document(leaf),
    }


def _octets(text: str, kind: str) -> list[bytes]:
    """The PEM blocks of a kind in a text; what is neither PEM nor PEM in base64 is taken for one block's base64."""
    from tidegate.rego.builtins import pem
    from tidegate.rego.builtins.keys import base64_octets

    if not text.startswith("-----BEGIN "):
        octets = base64_octets(text)
        if not octets.startswith(b"-----BEGIN "):
            return [octets]
        text = octets.decode("latin-1")
    return [block.octets for block in pem.blocks(text) if block.kind == kind or block.kind.endswith(" " + kind)]


@builtin("crypto.x509.parse_rsa_private_key", "pem: string -> object[string: any]", evaluation=True)
def parse_rsa_private_key(evaluation: Evaluation, text: Value) -> Value:
    """The first private key of a PEM text as a JWK; null where there is none."""
    from tidegate.rego.builtins.jwk import document
    from tidegate.rego.builtins.keys import base64_octets, private_keys

    written = string("crypto.x509.parse_rsa_private_key", 1, text)
    if not written:
        raise BuiltinError("input PEM data was empty")
    if not written.startswith("-----BEGIN"):
        base64_octets(written)
    evaluation.spend(_PRIVATE_KEY)
    first = next(private_keys(written), None)
    return None if first is None else document(first)


@builtin("crypto.parse_private_keys", f"keys: string -> {_OBJECTS}", evaluation=True)
def parse_private_keys(evaluation: Evaluation, text: Value) -> Value:
    from tidegate.rego.builtins.keys import private_document, private_keys

    written = string("crypto.parse_private_keys", 1, text)
    if not written:
        return None
    found = []
    for each in private_keys(written):
        evaluation.spend(_PRIVATE_KEY)
        found.append(private_document(each))
    return found
