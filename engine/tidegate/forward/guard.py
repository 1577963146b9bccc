"""The one guard against server-side request forgery: which resolved addresses may be dialled.

It judges addresses, not names: resolvers read `2130706433`, `0x7f.1` and `①②⑦.⓪.⓪.①` as 127.0.0.1, so whoever
dials resolves once, asks here about every address, and connects to the very address that passed.

The lists are the IANA special-purpose registries, the metadata services of the clouds, and whatever IPv6 space is not
given out yet; `ipaddress.is_private` and `is_global` miss several of them. An IPv6 address that carries IPv4
addresses is judged by these too. `private` opens what an operator's own model servers live on (loopback, RFC 1918,
carrier-grade NAT, unique-local), and nothing else.
"""

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final

LOOPBACK: Final = "loopback"
PRIVATE: Final = "private network"
SHARED: Final = "carrier-grade NAT"
OPENABLE: Final = frozenset((LOOPBACK, PRIVATE, SHARED))  # `private` allows these

METADATA: Final = "cloud metadata"
UNSPECIFIED: Final = "unspecified"
LINK_LOCAL: Final = "link-local"
MULTICAST: Final = "multicast"
BROADCAST: Final = "broadcast"
DOCUMENTATION: Final = "documentation"
BENCHMARK: Final = "benchmark"
PROTOCOL: Final = "protocol assignment"
RESERVED: Final = "reserved"

# The first network that holds an address speaks for it, so the narrow ones stand before the wide ones. None: nothing
# is against it, except perhaps the IPv4 addresses that it carries.
V4: Final = tuple(
    (IPv4Network(network), reason)
    for network, reason in (
        ("100.100.100.200/32", METADATA),  # Alibaba
        ("168.63.129.16/32", METADATA),  # Azure's wire server, a public address
        ("169.254.169.254/32", METADATA),  # nearly everybody
        ("169.254.170.2/32", METADATA),  # AWS: credentials of ECS tasks
        ("169.254.170.23/32", METADATA),  # AWS: credentials of EKS pods
        ("192.0.0.192/32", METADATA),  # Oracle
        ("0.0.0.0/32", UNSPECIFIED),
        ("0.0.0.0/8", RESERVED),  # "this network"
        ("10.0.0.0/8", PRIVATE),
        ("100.64.0.0/10", SHARED),
        ("127.0.0.0/8", LOOPBACK),
        ("169.254.0.0/16", LINK_LOCAL),
        ("172.16.0.0/12", PRIVATE),
        ("192.0.0.0/24", PROTOCOL),
        ("192.0.2.0/24", DOCUMENTATION),
        ("192.31.196.0/24", PROTOCOL),  # AS112
        ("192.52.193.0/24", PROTOCOL),  # AMT
        ("192.88.99.0/24", PROTOCOL),  # 6to4 relays, withdrawn
        ("192.168.0.0/16", PRIVATE),
        ("192.175.48.0/24", PROTOCOL),  # AS112
        ("198.18.0.0/15", BENCHMARK),
        ("198.51.100.0/24", DOCUMENTATION),
        ("203.0.113.0/24", DOCUMENTATION),
        ("224.0.0.0/4", MULTICAST),
        ("255.255.255.255/32", BROADCAST),
        ("240.0.0.0/4", RESERVED),
    )
)
V6: Final = tuple(
    (IPv6Network(network), reason)
    for network, reason in (
        ("fd00:ec2::/32", METADATA),  # AWS: metadata ::254, pod credentials ::23
        ("fd20:ce::254/128", METADATA),  # Google
        ("fd00:c1::a9fe:a9fe/128", METADATA),  # Oracle
        ("fd00:42::42/128", METADATA),  # Scaleway
        ("fd00:100::100:200/128", METADATA),  # Alibaba
        ("fd00:a9fe:a9fe::1/128", METADATA),  # Linode
        ("::/128", UNSPECIFIED),
        ("::1/128", LOOPBACK),
        ("64:ff9b:1::/48", PROTOCOL),  # NAT64 of local use: each network hides the IPv4 address in a place of its own
        ("64:ff9b::/96", None),  # NAT64
        ("::ffff:0:0/96", None),  # IPv4-mapped
        ("::ffff:0:0:0/96", None),  # IPv4-translated
        ("::/96", None),  # IPv4-compatible
        ("2001::/32", None),  # Teredo
        ("2001:2::/48", BENCHMARK),
        ("2001::/23", PROTOCOL),
        ("2001:db8::/32", DOCUMENTATION),
        ("2620:4f:8000::/48", PROTOCOL),  # AS112
        ("3fff::/20", DOCUMENTATION),
        ("2000::/3", None),  # all that is given out as global unicast
        ("fc00::/7", PRIVATE),
        ("fe80::/10", LINK_LOCAL),
        ("ff00::/8", MULTICAST),
        ("::/0", RESERVED),
    )
)
CARRIED_LAST: Final = tuple(map(IPv6Network, ("64:ff9b::/96", "::ffff:0:0/96", "::ffff:0:0:0/96", "::/96")))
TEREDO: Final = IPv6Network("2001::/32")
SIX_TO_FOUR: Final = IPv6Network("2002::/16")
LOCALHOST: Final = IPv6Address("::1")  # in ::/96, and carries nothing
ISATAP: Final = (bytes.fromhex("00005efe"), bytes.fromhex("02005efe"))  # RFC 5214: before the IPv4 address


def refusal(address: str, private: bool) -> str | None:
    """None if this IP address, as getaddrinfo gives it, may be dialled; else why not. `private` opens private ones."""
    try:
        parsed = ip_address(address.partition("%")[0])  # without the scope id
    except ValueError:
        return "not an IP address"
    for reason in _reasons(parsed):
        if not (private and reason in OPENABLE):
            return reason
    return None


def _reasons(address: IPv4Address | IPv6Address) -> Iterator[str]:
    """What is against this address: by itself, and by the addresses that it carries."""
    rows = V4 if isinstance(address, IPv4Address) else V6
    reason = next((reason for network, reason in rows if address in network), None)
    if reason is not None:
        yield reason
    if isinstance(address, IPv6Address) and address != LOCALHOST:
        for inner in _carried(address):
            yield from _reasons(inner)


def _carried(address: IPv6Address) -> Iterator[IPv4Address]:
    """The IPv4 addresses that a relay, a translator or this host itself would read out of an IPv6 address."""
    octets = address.packed
    if any(address in network for network in CARRIED_LAST):
        yield IPv4Address(octets[12:])
    elif address in SIX_TO_FOUR:
        yield IPv4Address(octets[2:6])
    elif address in TEREDO:
        yield IPv4Address(octets[4:8])  # the server
        yield IPv4Address(bytes(octet ^ 0xFF for octet in octets[12:]))  # the client
    if octets[8:12] in ISATAP:
        yield IPv4Address(octets[12:])
