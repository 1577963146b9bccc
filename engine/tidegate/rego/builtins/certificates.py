"""X.509 certificates and certificate requests, shown as Go's JSON shows its structures: policies read that.

The bytes and the order come from the DER itself; what extensions mean is read by `cryptography`.
"""

import warnings
from threading import Lock
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.utils import CryptographyDeprecationWarning

from tidegate.rego.builtins import der, pem
from tidegate.rego.builtins.extensions import (
    NAMES_OF_SUBJECT,
    WITHOUT_EXTENSIONS,
    Document,
    add_extensions,
    add_subject_names,
    extension_document,
)
from tidegate.rego.builtins.keys import base64_octets, base64_text, public_document, public_key
from tidegate.rego.errors import BuiltinError
from tidegate.rego.values import Value

_NAME_FIELDS: Final = {
    "2.5.4.6": "Country",
    "2.5.4.10": "Organization",
    "2.5.4.11": "OrganizationalUnit",
    "2.5.4.7": "Locality",
    "2.5.4.8": "Province",
    "2.5.4.9": "StreetAddress",
    "2.5.4.17": "PostalCode",
}
_SINGLE_NAME_FIELDS: Final = {"2.5.4.3": "CommonName", "2.5.4.5": "SerialNumber"}
_SIGNATURES: Final = {
    "1.2.840.113549.1.1.2": 1,
    "1.2.840.113549.1.1.4": 2,
    "1.2.840.113549.1.1.5": 3,
    "1.3.14.3.2.29": 3,
    "1.2.840.113549.1.1.11": 4,
    "1.2.840.113549.1.1.12": 5,
    "1.2.840.113549.1.1.13": 6,
    "1.2.840.10040.4.3": 7,
    "2.16.840.1.101.3.4.3.2": 8,
    "1.2.840.10045.4.1": 9,
    "1.2.840.10045.4.3.2": 10,
    "1.2.840.10045.4.3.3": 11,
    "1.2.840.10045.4.3.4": 12,
    "1.3.101.112": 16,
}
_PSS: Final = "1.2.840.113549.1.1.10"
_PSS_SIGNATURES: Final = {"sha256": 13, "sha384": 14, "sha512": 15}
_KEYS: Final = {"1.2.840.113549.1.1.1": 1, "1.2.840.10040.4.1": 2, "1.2.840.10045.2.1": 3, "1.3.101.112": 4}
_READABLE_KEYS: Final = (1, 3, 4)
_EXTENSION_REQUEST: Final = "1.2.840.113549.1.9.14"
_WARNINGS: Final = Lock()  # what is a warning is one for all threads


def parse_certificates(text: str) -> list[x509.Certificate]:
    """The certificates in a PEM text, in the base64 form of one, or in base64 of DER."""
    if not text.startswith("-----BEGIN"):
        octets = base64_octets(text)
        if not octets.startswith(b"-----BEGIN"):
            return load_certificates(octets)
        text = octets.decode(errors="replace")
    found = list(pem.blocks(text))
    for block in found:
        if block.kind != "CERTIFICATE":
            raise BuiltinError(f"PEM block type is '{block.kind}', expected CERTIFICATE")
    return load_certificates(b"".join(block.octets for block in found))


def load_certificates(octets: bytes) -> list[x509.Certificate]:
    """The certificates whose DER stands one behind the other."""
    try:
        return [load_certificate(element.raw) for element in der.elements(octets)]
    except ValueError as error:
        raise BuiltinError(f"x509: malformed certificate: {error}") from None


def load_certificate(octets: bytes) -> x509.Certificate:
    """One certificate; a ValueError where it is none."""
    # a serial number that is zero, as old certificates have it, is fine for Go and a warning here
    with _WARNINGS, warnings.catch_warnings():
        warnings.simplefilter("ignore", CryptographyDeprecationWarning)
        try:
            return x509.load_der_x509_certificate(octets)
        except TypeError as error:
            raise ValueError(str(error)) from None


def certificate_document(certificate: x509.Certificate) -> Document:
    octets = certificate.public_bytes(Encoding.DER)
    try:
        return _certificate(certificate, octets)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise BuiltinError(f"x509: malformed certificate: {error}") from None


def request_document(octets: bytes) -> Document:
    """A certificate request in DER."""
    try:
        return _request(x509.load_der_x509_csr(octets), octets)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise BuiltinError(f"asn1: structure error: {error}") from None


def _certificate(certificate: x509.Certificate, octets: bytes) -> Document:
    contents = der.sole(octets).children()[0]
    # version, serial number, signature algorithm, issuer, validity, subject, key, ... extensions
    fields = contents.children()
    if fields[0].tag != 0xA0:
        fields.insert(0, contents)  # version 1 is not written
    listed = next((field.children()[0].children() for field in fields if field.tag == 0xA3), [])
    document = {
        "Raw": base64_text(octets),
        "RawTBSCertificate": base64_text(contents.raw),
        "RawIssuer": base64_text(fields[3].raw),
        "Version": certificate.version.value + 1,
        "SerialNumber": int.from_bytes(fields[1].content, signed=True),
        "Issuer": _name(fields[3]),
        "NotBefore": certificate.not_valid_before_utc.isoformat().replace("+00:00", "Z"),
        "NotAfter": certificate.not_valid_after_utc.isoformat().replace("+00:00", "Z"),
        **_signed(certificate, fields[5], fields[6]),
        **WITHOUT_EXTENSIONS,
    }
    add_extensions(document, listed, certificate.extensions)
    return document


def _request(request: x509.CertificateSigningRequest, octets: bytes) -> Document:
    contents = der.sole(octets).children()[0]
    version, subject, key, *tagged = contents.children()
    attributes = [attribute.children() for field in tagged if field.tag == 0xA0 for attribute in field.children()]
    document = {
        "Raw": base64_text(octets),
        "RawTBSCertificateRequest": base64_text(contents.raw),
        "Version": int.from_bytes(version.content),
        **_signed(request, subject, key),
        "Attributes": [shown for attribute in attributes if (shown := _attribute(*attribute))] or None,
        "Extensions": None,
        "ExtraExtensions": None,
        **dict.fromkeys(NAMES_OF_SUBJECT),
    }
    for kind, values in attributes:
        if der.dotted(kind) == _EXTENSION_REQUEST:
            document["Extensions"] = [extension_document(each) for each in values.children()[0].children()]
    for extension in request.extensions:
        if isinstance(extension.value, x509.SubjectAlternativeName):
            add_subject_names(document, extension.value)
    return document


def _signed(
    signed: x509.Certificate | x509.CertificateSigningRequest, subject: der.Element, key: der.Element
) -> Document:
    """What certificates and requests have in common: a subject, its key and a signature."""
    algorithm = signed.signature_algorithm_oid.dotted_string
    number = _SIGNATURES.get(algorithm, 0)
    if algorithm == _PSS and signed.signature_hash_algorithm is not None:
        number = _PSS_SIGNATURES.get(signed.signature_hash_algorithm.name, 0)
    kind = _KEYS.get(der.dotted(key.children()[0].children()[0]), 0)
    return {
        "RawSubjectPublicKeyInfo": base64_text(key.raw),
        "RawSubject": base64_text(subject.raw),
        "Signature": base64_text(signed.signature),
        "SignatureAlgorithm": number,
        "PublicKeyAlgorithm": kind,
        "PublicKey": public_document(public_key(key.raw)) if kind in _READABLE_KEYS else None,
        "Subject": _name(subject),
    }


def _name(element: der.Element) -> Document:
    document: Document = {
        **dict.fromkeys(_NAME_FIELDS.values()),
        **dict.fromkeys(_SINGLE_NAME_FIELDS.values(), ""),
        "Names": None,
        "ExtraNames": None,
    }
    for part in element.children():
        for attribute in part.children():
            kind, value = attribute.children()
            written = der.text(value)
            document["Names"] = document["Names"] or []
            document["Names"].append({"Type": der.identifier(kind.content), "Value": written})
            _fill_name(document, der.dotted(kind), written)
    return document


def _fill_name(document: Document, kind: str, written: str) -> None:
    if kind in _SINGLE_NAME_FIELDS:
        document[_SINGLE_NAME_FIELDS[kind]] = written
    elif kind in _NAME_FIELDS:
        field = _NAME_FIELDS[kind]
        document[field] = [*(document[field] or ()), written]


def _attribute(kind: der.Element, values: der.Element) -> Document | None:
    """An attribute of a request; Go shows only those that are sets of sequences of kind and value."""
    if any(value.tag != der.SEQUENCE or not value.children() for value in values.children()):
        return None
    shown = [[_kind_and_value(each) for each in value.children()] for value in values.children()]
    return {"Type": der.identifier(kind.content), "Value": shown}


def _kind_and_value(element: der.Element) -> Document:
    kind, value = element.children()[:2]
    plain: Value = base64_text(value.content)
    if value.tag == der.BOOLEAN:
        plain = value.content != b"\0"
    elif value.tag == der.INTEGER:
        plain = int.from_bytes(value.content, signed=True)
    elif value.tag != der.OCTET_STRING:
        plain = der.text(value)
    return {"Type": der.identifier(kind.content), "Value": plain}
