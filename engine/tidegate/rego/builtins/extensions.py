"""What the extensions of a certificate say, as Go's JSON shows it."""

from collections.abc import Callable, Iterable
from ipaddress import ip_network
from typing import Any, Final, TypeAlias
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.x509.oid import AuthorityInformationAccessOID

from tidegate.rego.builtins import der
from tidegate.rego.builtins.keys import base64_text
from tidegate.rego.values import Value

Document: TypeAlias = dict[str, Value]

# an extended key usage's place here is its number
EXTENDED_KEY_USAGES: Final = (
    "2.5.29.37.0",
    *(f"1.3.6.1.5.5.7.3.{number}" for number in range(1, 10)),
    "1.3.6.1.4.1.311.10.3.3",
    "2.16.840.1.113730.4.1",
    "1.3.6.1.4.1.311.2.1.22",
    "1.3.6.1.4.1.311.61.1.1",
)
_KEY_USAGES: Final = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
)
_POLICY_MAPPINGS: Final = "2.5.29.33"
# the extensions whose meaning Go takes in; another one that is critical is listed as unhandled
_HANDLED: Final = frozenset(f"2.5.29.{number}" for number in (14, 15, 17, 19, 30, 31, 32, 33, 35, 36, 37, 54)) | {
    "1.3.6.1.5.5.7.1.1"
}
NAMES_OF_SUBJECT: Final = ("DNSNames", "EmailAddresses", "IPAddresses", "URIs")
WITHOUT_EXTENSIONS: Final[Document] = {
    "KeyUsage": 0,
    "Extensions": None,
    "ExtraExtensions": None,
    "UnhandledCriticalExtensions": None,
    "ExtKeyUsage": None,
    "UnknownExtKeyUsage": None,
    "BasicConstraintsValid": False,
    "IsCA": False,
    "MaxPathLen": 0,
    "MaxPathLenZero": False,
    "SubjectKeyId": None,
    "AuthorityKeyId": None,
    "OCSPServer": None,
    "IssuingCertificateURL": None,
    **dict.fromkeys(NAMES_OF_SUBJECT),
    "PermittedDNSDomainsCritical": False,
    "PermittedDNSDomains": None,
    "ExcludedDNSDomains": None,
    "PermittedIPRanges": None,
    "ExcludedIPRanges": None,
    "PermittedEmailAddresses": None,
    "ExcludedEmailAddresses": None,
    "PermittedURIDomains": None,
    "ExcludedURIDomains": None,
    "CRLDistributionPoints": None,
    "PolicyIdentifiers": None,
    "Policies": None,
    "InhibitAnyPolicy": 0,
    "InhibitAnyPolicyZero": False,
    "InhibitPolicyMapping": 0,
    "InhibitPolicyMappingZero": False,
    "RequireExplicitPolicy": 0,
    "RequireExplicitPolicyZero": False,
    "PolicyMappings": None,
}


def extension_document(element: der.Element) -> Document:
    kind, *critical, value = element.children()
    return {
        "Id": der.identifier(kind.content),
        "Critical": bool(critical) and critical[0].content != b"\0",
        "Value": base64_text(value.content),
    }


def add_extensions(document: Document, listed: list[der.Element], extensions: x509.Extensions) -> None:
    """Adds them all: as they are written, and what those mean that Go knows."""
    document["Extensions"] = [extension_document(each) for each in listed] or None
    for extension in extensions:
        kind = extension.oid.dotted_string
        add = _MEANINGS.get(type(extension.value))
        if add is not None:
            add(document, extension.value)
        elif kind == _POLICY_MAPPINGS:
            _policy_mappings(document, extension.value.public_bytes())
        if isinstance(extension.value, x509.NameConstraints):
            document["PermittedDNSDomainsCritical"] = extension.critical
        elif kind not in _HANDLED and extension.critical:
            unhandled = document["UnhandledCriticalExtensions"] or []
            document["UnhandledCriticalExtensions"] = [*unhandled, _numbers(extension.oid)]


def _numbers(identifier: x509.ObjectIdentifier) -> list[int]:
    return [int(number) for number in identifier.dotted_string.split(".")]


def _key_usage(document: Document, usage: x509.KeyUsage) -> None:
    allowed = [getattr(usage, name) for name in _KEY_USAGES]
    if usage.key_agreement:
        allowed += [usage.encipher_only, usage.decipher_only]
    document["KeyUsage"] = sum(1 << bit for bit, is_allowed in enumerate(allowed) if is_allowed)


def _extended_key_usage(document: Document, usages: x509.ExtendedKeyUsage) -> None:
    known = [usage for usage in usages if usage.dotted_string in EXTENDED_KEY_USAGES]
    document["ExtKeyUsage"] = [EXTENDED_KEY_USAGES.index(usage.dotted_string) for usage in known] or None
    document["UnknownExtKeyUsage"] = [_numbers(usage) for usage in usages if usage not in known] or None


def _basic_constraints(document: Document, constraints: x509.BasicConstraints) -> None:
    longest = -1 if constraints.path_length is None else constraints.path_length
    document.update(BasicConstraintsValid=True, IsCA=constraints.ca, MaxPathLen=longest, MaxPathLenZero=longest == 0)


def _subject_key(document: Document, identifier: x509.SubjectKeyIdentifier) -> None:
    document["SubjectKeyId"] = base64_text(identifier.digest)


def _authority_key(document: Document, identifier: x509.AuthorityKeyIdentifier) -> None:
    document["AuthorityKeyId"] = base64_text(identifier.key_identifier) if identifier.key_identifier else None


def _authority_access(document: Document, access: x509.AuthorityInformationAccess) -> None:
    for field, method in (
        ("OCSPServer", AuthorityInformationAccessOID.OCSP),
        ("IssuingCertificateURL", AuthorityInformationAccessOID.CA_ISSUERS),
    ):
        places = (each.access_location for each in access if each.access_method == method)
        document[field] = _written(places, x509.UniformResourceIdentifier)


def _written(names: Iterable[x509.GeneralName], kind: type[x509.GeneralName]) -> list[str] | None:
    """The names of one kind as text; Go has null for no name."""
    return [str(name.value) for name in names if isinstance(name, kind)] or None


def add_subject_names(document: Document, names: x509.SubjectAlternativeName) -> None:
    document["DNSNames"] = _written(names, x509.DNSName)
    document["EmailAddresses"] = _written(names, x509.RFC822Name)
    document["IPAddresses"] = _written(names, x509.IPAddress)
    document["URIs"] = [_url(text) for text in _written(names, x509.UniformResourceIdentifier) or ()] or None


def uri_strings(certificate: x509.Certificate) -> list[str] | None:
    """The URIs among the subject's names; OPA adds them as text, beside Go's structures."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return None
    return _written(names, x509.UniformResourceIdentifier)


def _url(text: str) -> Document:
    parts = urlsplit(text)
    opaque = bool(parts.scheme) and not parts.netloc and not parts.path.startswith("/")
    user, _, host = parts.netloc.rpartition("@")
    return {
        "Scheme": parts.scheme,
        "Opaque": parts.path if opaque else "",
        "User": {} if user else None,
        "Host": host,
        "Path": "" if opaque else parts.path,
        "RawPath": "",
        "OmitHost": False,
        "ForceQuery": text.endswith("?"),
        "RawQuery": parts.query,
        "Fragment": parts.fragment,
        "RawFragment": "",
    }


def _name_constraints(document: Document, constraints: x509.NameConstraints) -> None:
    for prefix, names in (
        ("Permitted", constraints.permitted_subtrees or ()),
        ("Excluded", constraints.excluded_subtrees or ()),
    ):
        document[f"{prefix}DNSDomains"] = _written(names, x509.DNSName)
        document[f"{prefix}EmailAddresses"] = _written(names, x509.RFC822Name)
        document[f"{prefix}URIDomains"] = _written(names, x509.UniformResourceIdentifier)
        ranges = [ip_network(str(name.value)) for name in names if isinstance(name, x509.IPAddress)]
        shown = [{"IP": str(each.network_address), "Mask": base64_text(each.netmask.packed)} for each in ranges]
        document[f"{prefix}IPRanges"] = shown or None


def _distribution_points(document: Document, points: x509.CRLDistributionPoints) -> None:
    names = [name for point in points for name in point.full_name or ()]
    document["CRLDistributionPoints"] = _written(names, x509.UniformResourceIdentifier)


def _policies(document: Document, policies: x509.CertificatePolicies) -> None:
    identifiers = [policy.policy_identifier for policy in policies]
    document["PolicyIdentifiers"] = [_numbers(identifier) for identifier in identifiers] or None
    document["Policies"] = [identifier.dotted_string for identifier in identifiers] or None


def _policy_constraints(document: Document, constraints: x509.PolicyConstraints) -> None:
    _count(document, "RequireExplicitPolicy", constraints.require_explicit_policy)
    _count(document, "InhibitPolicyMapping", constraints.inhibit_policy_mapping)


def _inhibit_any_policy(document: Document, inhibit: x509.InhibitAnyPolicy) -> None:
    _count(document, "InhibitAnyPolicy", inhibit.skip_certs)


def _count(document: Document, field: str, count: int | None) -> None:
    """A number beside which a second field tells an explicit zero from none."""
    document[field] = count or 0
    document[f"{field}Zero"] = count == 0


def _policy_mappings(document: Document, octets: bytes) -> None:
    pairs = [[der.dotted(policy) for policy in pair.children()] for pair in der.sole(octets).children()]
    document["PolicyMappings"] = [
        {"IssuerDomainPolicy": issuer, "SubjectDomainPolicy": subject} for issuer, subject in pairs
    ] or None


_MEANINGS: Final[dict[type, Callable[[Document, Any], None]]] = {
    x509.KeyUsage: _key_usage,
    x509.ExtendedKeyUsage: _extended_key_usage,
    x509.BasicConstraints: _basic_constraints,
    x509.SubjectKeyIdentifier: _subject_key,
    x509.AuthorityKeyIdentifier: _authority_key,
    x509.AuthorityInformationAccess: _authority_access,
    x509.SubjectAlternativeName: add_subject_names,
    x509.NameConstraints: _name_constraints,
    x509.CRLDistributionPoints: _distribution_points,
    x509.CertificatePolicies: _policies,
    x509.PolicyConstraints: _policy_constraints,
    x509.InhibitAnyPolicy: _inhibit_any_policy,
}
