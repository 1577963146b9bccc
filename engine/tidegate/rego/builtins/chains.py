"""Whether a certificate leads to a root, by the rules of Go's x509.Certificate.Verify (RFC 5280, section 6).

The first certificate given is the root, the last one the leaf, those between may be used on the way. Every signature
that is checked is paid for, so that certificates made to have many ways do not take unbounded time.
"""

import ipaddress
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from msgspec import Struct

from tidegate.rego.builtins.certificates import certificate_document
from tidegate.rego.builtins.extensions import NAMES_OF_SUBJECT, Document
from tidegate.rego.builtins.keys import base64_octets
from tidegate.rego.evaluation import Evaluation

SIGNATURE_CHECK = 300  # units of the budget: some hundred microseconds
ANY_USAGE, SERVER_AUTHENTICATION = 0, 1
_SIGNATURE_CHECKS = 100  # as in Go
_SIGNS_CERTIFICATES = 32  # bit of KeyUsage
_BROKEN_DIGESTS = ("md5", "sha1")
_HOST_NAME = re.compile(r"(\*\.)?[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")

Matcher = Callable[[str, str], bool]


class Options(Struct, frozen=True, kw_only=True):
    time_ns: int
    host: str = ""
    usages: tuple[int, ...] = (SERVER_AUTHENTICATION,)


class Link(Struct, frozen=True):
    """A certificate, and what Go shows of it."""

    certificate: x509.Certificate
    shown: Document


def verified(
    evaluation: Evaluation, certificates: list[x509.Certificate], options: Options
) -> list[x509.Certificate] | None:
    """The chain from the leaf to the root; None where there is none."""
    if len(certificates) < 2:
        return None
    root, *between, leaf = [Link(each, certificate_document(each)) for each in certificates]
    if not _is_valid(leaf, [], options) or (options.host and not _has_host(leaf, options.host)):
        return None
    if leaf.shown["Raw"] == root.shown["Raw"]:
        return [leaf.certificate] if _may_be_used([leaf], options.usages) else None
    search = _Search(evaluation, root, between, options)
    chain = next((chain for chain in search.chains([leaf]) if _may_be_used(chain, options.usages)), None)
    return [link.certificate for link in chain] if chain is not None else None


class _Search:
    def __init__(self, evaluation: Evaluation, root: Link, between: list[Link], options: Options) -> None:
        self.evaluation = evaluation
        self.candidates = [root, *between]
        self.root = root
        self.options = options
        self.checks = 0

    def chains(self, chain: list[Link]) -> Iterator[list[Link]]:
        child = chain[-1]
        for parent in self.candidates:
            if parent.shown["RawSubject"] != child.shown["RawIssuer"] or _is_in(parent, chain):
                continue
            is_root = parent is self.root
            if not self._has_signed(parent, child) or not _is_valid(parent, chain, self.options, is_root):
                continue
            if is_root:
                yield [*chain, parent]
            else:
                yield from self.chains([*chain, parent])

    def _has_signed(self, parent: Link, child: Link) -> bool:
        self.checks += 1
        if self.checks > _SIGNATURE_CHECKS:
            return False
        self.evaluation.spend(SIGNATURE_CHECK)
        usage = parent.shown["KeyUsage"]
        if parent.shown["Version"] == 3 and not (parent.shown["BasicConstraintsValid"] and parent.shown["IsCA"]):
            return False
        if usage and not usage & _SIGNS_CERTIFICATES:
            return False
        try:
            digest = child.certificate.signature_hash_algorithm
            if digest is not None and digest.name in _BROKEN_DIGESTS:
                return False
            child.certificate.verify_directly_issued_by(parent.certificate)
        except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
            return False
        return True


def _is_in(link: Link, chain: list[Link]) -> bool:
    """Whether the chain has this subject with this key already, in whatever certificate."""
    same = ("RawSubject", "RawSubjectPublicKeyInfo", *NAMES_OF_SUBJECT)
    return any(all(link.shown[field] == each.shown[field] for field in same) for each in chain)


def _is_valid(link: Link, chain: list[Link], options: Options, is_root: bool = False) -> bool:
    """Whether a certificate can stand at this place: the end of the chain, towards the root."""
    shown, certificate = link.shown, link.certificate
    moment = datetime.fromtimestamp(options.time_ns // 1_000_000_000, UTC)
    if shown["UnhandledCriticalExtensions"]:
        return False
    if not certificate.not_valid_before_utc <= moment <= certificate.not_valid_after_utc:
        return False
    if not chain:
        return True
    if not is_root and not (shown["BasicConstraintsValid"] and shown["IsCA"]):
        return False
    if shown["BasicConstraintsValid"] and 0 <= shown["MaxPathLen"] < len(chain) - 1:
        return False
    return all(_allows_names(shown, below.shown) for below in chain)


def _may_be_used(chain: list[Link], wanted: tuple[int, ...]) -> bool:
    """Whether one wanted usage is allowed by every certificate of the chain that restricts them."""
    if ANY_USAGE in wanted:
        return True
    left = set(wanted)
    for link in reversed(chain):
        allowed = link.shown["ExtKeyUsage"] or ()
        if (allowed or link.shown["UnknownExtKeyUsage"]) and ANY_USAGE not in allowed:
            left.intersection_update(allowed)
    return bool(left)


def _has_host(leaf: Link, host: str) -> bool:
    try:
        address = ipaddress.ip_address(host.removeprefix("[").removesuffix("]"))
    except ValueError:
        return any(_is_host(host, pattern) for pattern in leaf.shown["DNSNames"] or ())
    return str(address) in (leaf.shown["IPAddresses"] or ())


def _is_host(host: str, pattern: str) -> bool:
    """A wildcard stands for the first label, whole; RFC 6125, section 6.4.3."""
    host, pattern = host.lower().removesuffix("."), pattern.lower()
    if not _HOST_NAME.fullmatch(host) or not _HOST_NAME.fullmatch(pattern):
        return False
    if pattern.startswith("*."):
        label, _, host = host.partition(".")
        return bool(label) and host == pattern[2:]
    return host == pattern


# name constraints, RFC 5280, section 4.2.1.10


def _in_domain(name: str, constraint: str) -> bool:
    """A constraint takes in its subdomains; with a dot before it, only those."""
    name, constraint = name.lower(), constraint.lower()
    return not constraint or name.endswith("." + constraint.removeprefix(".")) or name == constraint


def _in_mailboxes(mailbox: str, constraint: str) -> bool:
    local, _, domain = mailbox.rpartition("@")
    wanted, _, its_domain = constraint.rpartition("@")
    return domain.lower() == its_domain.lower() and local == wanted if wanted else _in_domain(domain, constraint)


def _in_range(address: str, constraint: str) -> bool:
    return ipaddress.ip_address(address) in ipaddress.ip_network(constraint)


_MATCHERS: dict[str, tuple[str, Matcher]] = {
    "DNSNames": ("DNSDomains", _in_domain),
    "EmailAddresses": ("EmailAddresses", _in_mailboxes),
    "IPAddresses": ("IPRanges", _in_range),
    "URIs": ("URIDomains", _in_domain),
}


def _allows_names(issuer: Document, subject: Document) -> bool:
    for names, (kind, matches) in _MATCHERS.items():
        permitted, excluded = _constraints(issuer, f"Permitted{kind}"), _constraints(issuer, f"Excluded{kind}")
        for name in subject[names] or ():
            written = name["Host"].partition(":")[0] if type(name) is dict else name
            if any(matches(written, constraint) for constraint in excluded):
                return False
            if permitted and not any(matches(written, constraint) for constraint in permitted):
                return False
    return True


def _constraints(issuer: Document, field: str) -> list[str]:
    found = issuer[field] or []
    if not field.endswith("IPRanges"):
        return found
    return [f"{each['IP']}/{int.from_bytes(base64_octets(each['Mask'])).bit_count()}" for each in found]
