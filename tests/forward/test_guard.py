"""The SSRF guard against a table of its own: the most specific network decides here, not the first of a list."""

import socket
from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tidegate.forward.guard import refusal

OPENABLE = ("loopback", "private network", "carrier-grade NAT")
SPECIAL = {
    "0.0.0.0/32": "unspecified",
    "0.0.0.0/8": "reserved",
    "10.0.0.0/8": "private network",
    "100.64.0.0/10": "carrier-grade NAT",
    "100.100.100.200/32": "cloud metadata",
    "127.0.0.0/8": "loopback",
    "168.63.129.16/32": "cloud metadata",
    "169.254.0.0/16": "link-local",
    "169.254.169.254/32": "cloud metadata",
    "169.254.170.2/32": "cloud metadata",
    "169.254.170.23/32": "cloud metadata",
    "172.16.0.0/12": "private network",
    "192.0.0.0/24": "protocol assignment",
    "192.0.0.192/32": "cloud metadata",
    "192.0.2.0/24": "documentation",
    "192.31.196.0/24": "protocol assignment",
    "192.52.193.0/24": "protocol assignment",
    "192.88.99.0/24": "protocol assignment",
    "192.168.0.0/16": "private network",
    "192.175.48.0/24": "protocol assignment",
    "198.18.0.0/15": "benchmark",
    "198.51.100.0/24": "documentation",
    "203.0.113.0/24": "documentation",
    "224.0.0.0/4": "multicast",
    "240.0.0.0/4": "reserved",
    "255.255.255.255/32": "broadcast",
    "::/0": "reserved",
    "::/128": "unspecified",
    "::1/128": "loopback",
    "64:ff9b:1::/48": "protocol assignment",
    "100::/64": "reserved",  # discard-only
    "2000::/3": None,
    "2001::/23": "protocol assignment",
    "2001:2::/48": "benchmark",
    "2001:db8::/32": "documentation",
    "2620:4f:8000::/48": "protocol assignment",
    "3fff::/20": "documentation",
    "5f00::/16": "reserved",  # segment routing
    "fc00::/7": "private network",
    "fd00:42::42/128": "cloud metadata",
    "fd00:100::100:200/128": "cloud metadata",
    "fd00:a9fe:a9fe::1/128": "cloud metadata",
    "fd00:c1::a9fe:a9fe/128": "cloud metadata",
    "fd00:ec2::/32": "cloud metadata",
    "fd20:ce::254/128": "cloud metadata",
    "fe80::/10": "link-local",
    "fec0::/10": "reserved",  # site-local, withdrawn
    "ff00::/8": "multicast",
}
NETWORKS = {ip_network(text): reason for text, reason in SPECIAL.items()}
CARRIERS = [ip_network(text) for text in ("::/96", "::ffff:0:0/96", "::ffff:0:0:0/96", "64:ff9b::/96", "2001::/32")]
CARRIERS.append(ip_network("2002::/16"))


def expected(address: IPv4Address | IPv6Address, private: bool) -> str | None:
    """The verdict on an address that carries no other: the longest prefix decides."""
    around = [network for network in NETWORKS if network.version == address.version and address in network]
    reason = NETWORKS[max(around, key=lambda network: network.prefixlen)] if around else None
    return None if private and reason in OPENABLE else reason


def carries(address: IPv6Address) -> bool:
    return address != IPv6Address("::1") and any(address in network for network in CARRIERS)


VECTORS = [
    ("8.8.8.8", None, None, "a public address"),
    ("2606:4700:4700::1111", None, None, "a public address of version 6"),
    ("127.0.0.1", "loopback", None, "this host"),
    ("::1", "loopback", None, "this host"),
    ("10.1.2.3", "private network", None, "RFC 1918"),
    ("fd12:3456::1", "private network", None, "unique-local"),
    ("100.64.0.1", "carrier-grade NAT", None, "RFC 6598"),
    ("100.100.100.200", "cloud metadata", "cloud metadata", "Alibaba, inside the carrier-grade NAT range"),
    ("169.254.169.254", "cloud metadata", "cloud metadata", "link-local is never opened"),
    ("169.254.1.1", "link-local", "link-local", "its neighbours neither"),
    ("fd00:ec2::254", "cloud metadata", "cloud metadata", "AWS, inside unique-local"),
    ("fd00:ec2::23", "cloud metadata", "cloud metadata", "AWS pod credentials"),
    ("168.63.129.16", "cloud metadata", "cloud metadata", "Azure, a public address"),
    ("192.0.0.192", "cloud metadata", "cloud metadata", "Oracle; `is_global` says yes"),
    ("224.0.0.1", "multicast", "multicast", "`is_global` says yes"),
    ("0.0.0.0", "unspecified", "unspecified", "Linux connects it to itself"),
    ("::", "unspecified", "unspecified", "and this"),
    ("255.255.255.255", "broadcast", "broadcast", "everybody on the link"),
    ("fe80::1%eth0", "link-local", "link-local", "with a scope id"),
    ("fe80::1%1", "link-local", "link-local", "with a numbered scope"),
    ("::1%lo", "loopback", None, "this host, with a scope id"),
    ("fd12:3456::1%eth0", "private network", None, "unique-local, with a scope id"),
    ("::ffff:127.0.0.1", "loopback", None, "mapped; `is_loopback` says no"),
    ("::ffff:7f00:1", "loopback", None, "mapped, in hexadecimal"),
    ("::ffff:169.254.169.254", "cloud metadata", "cloud metadata", "mapped metadata"),
    ("::7f00:1", "loopback", None, "IPv4-compatible; `is_global` says yes"),
    ("2002:7f00:1::", "loopback", None, "6to4; `is_global` says yes"),
    ("2002:a9fe:a9fe::1", "cloud metadata", "cloud metadata", "6to4 metadata"),
    ("64:ff9b::a9fe:a9fe", "cloud metadata", "cloud metadata", "NAT64; `is_global` says yes"),
    ("64:ff9b::8.8.8.8", None, None, "what a DNS64 resolver makes of a public address"),
    ("64:ff9b:1:a9fe:00a9:fe00::", "protocol assignment", "protocol assignment", "NAT64 of local use, RFC 6052 /48"),
    ("64:ff9b:1::a9fe:a9fe", "protocol assignment", "protocol assignment", "NAT64 of local use, /96"),
    ("2001:0:7f00:1::f7f7:f7f7", "loopback", None, "Teredo, by its server"),
    ("2001:0:808:808::80ff:fffe", "loopback", None, "Teredo, by its client"),
    ("2001:0:808:808::f7f7:f7f7", None, None, "Teredo between public addresses"),
    ("2001:0:7f00:1::5601:5601", "loopback", "cloud metadata", "an opened server, a client that never is"),
    ("2606:4700::5efe:7f00:1", "loopback", None, "ISATAP"),
    ("2606:4700::200:5efe:a9fe:a9fe", "cloud metadata", "cloud metadata", "ISATAP with the universal bit"),
    ("fd12:3456::5efe:a9fe:a9fe", "private network", "cloud metadata", "ISATAP in a network that may be opened"),
    ("fe80::5efe:808:808", "link-local", "link-local", "ISATAP's own prefix counts too"),
    ("4000::5efe:808:808", "reserved", "reserved", "and when nobody has it"),
    ("2130706433", "not an IP address", "not an IP address", "names are for the resolver"),
    ("0177.0.0.1", "not an IP address", "not an IP address", "octal"),
    ("localhost", "not an IP address", "not an IP address", "a name"),
    ("", "not an IP address", "not an IP address", "nothing"),
    ("%eth0", "not an IP address", "not an IP address", "a scope of nothing"),
    ("127.0.0.1\x00.example", "not an IP address", "not an IP address", "a NUL"),
]


@pytest.mark.parametrize(("address", "closed", "opened", "note"), VECTORS, ids=[f"{v[0]}-{v[3]}" for v in VECTORS])
def test_known_addresses(address: str, closed: str | None, opened: str | None, note: str) -> None:
    assert refusal(address, private=False) == closed
    assert refusal(address, private=True) == opened


@pytest.mark.parametrize("name", ["2130706433", "0x7f.1", "127.1", "0177.0.0.1", "①②⑦.⓪.⓪.①"])
def test_what_a_resolver_makes_of_odd_names_is_refused(name: str) -> None:
    for *_, address in socket.getaddrinfo(name, 443, flags=socket.AI_NUMERICHOST):
        assert refusal(str(address[0]), private=False) == "loopback"


@pytest.mark.parametrize("private", [False, True])
@pytest.mark.parametrize("network", NETWORKS, ids=str)
def test_the_edges_of_each_network(network: IPv4Network | IPv6Network, private: bool) -> None:
    top = 2**network.max_prefixlen - 1
    first, last = int(network.network_address), int(network.broadcast_address)
    for number in (first, last, max(first - 1, 0), min(last + 1, top)):
        address = IPv4Address(number) if network.version == 4 else IPv6Address(number)
        if isinstance(address, IPv4Address) or not carries(address):
            assert refusal(str(address), private) == expected(address, private)


@given(st.ip_addresses(), st.booleans())
def test_any_address(address: IPv4Address | IPv6Address, private: bool) -> None:
    if isinstance(address, IPv4Address) or not (carries(address) or b"\x5e\xfe" in address.packed):
        assert refusal(str(address), private) == expected(address, private)


def inside(prefix: str, shift: int = 0, mask: int = 0) -> Callable[[IPv4Address], IPv6Address]:
    """Wraps an address: put into a prefix, so many bits from the right, its bits perhaps turned over."""
    return lambda address: IPv6Address(int(IPv6Address(prefix)) | (int(address) ^ mask) << shift)


def local_use(address: IPv4Address) -> IPv6Address:
    """RFC 6052, a /48 prefix: sixteen bits, eight of zero, sixteen bits."""
    high, low = divmod(int(address), 2**16)
    return IPv6Address(int(IPv6Address("64:ff9b:1::")) | high << 64 | low << 40)


WRAPPERS = {
    "mapped": inside("::ffff:0:0"),
    "compatible": inside("::"),
    "translated": inside("::ffff:0:0:0"),
    "nat64": inside("64:ff9b::"),
    "nat64 of local use": inside("64:ff9b:1::"),
    "nat64 of local use, /48": local_use,
    "6to4": inside("2002::", shift=80),
    "6to4 with a host": inside("2002::1:0:0:1", shift=80),
    "teredo server": inside("2001:0:0:0:0:0:f7f7:f7f7", shift=64),
    "teredo client": inside("2001:0:808:808::", mask=2**32 - 1),
    "isatap": inside("2606:4700::5efe:0:0"),
    "isatap, universal": inside("2606:4700::200:5efe:0:0"),
    "isatap, 6to4": inside("2002:808:808::5efe:0:0"),
}
REFUSED = [network for network, reason in NETWORKS.items() if network.version == 4 and reason is not None]
ADDRESSES = st.sampled_from(REFUSED).flatmap(
    lambda network: st.integers(int(network.network_address), int(network.broadcast_address)).map(IPv4Address)
)


@settings(max_examples=200)
@given(ADDRESSES, st.booleans())
@example(IPv4Address("169.254.169.254"), True)
@example(IPv4Address("127.0.0.1"), False)
def test_a_refused_address_stays_refused_however_it_is_wrapped(address: IPv4Address, private: bool) -> None:
    if refusal(str(address), private) is not None:
        for name, wrap in WRAPPERS.items():
            if (wrapped := wrap(address)) != ip_address("::1"):
                assert refusal(str(wrapped), private) is not None, name


@pytest.mark.parametrize("name", [name for name in WRAPPERS if "local" not in name])
def test_a_public_address_may_be_wrapped(name: str) -> None:
    assert refusal(str(WRAPPERS[name](IPv4Address("8.8.4.4"))), private=False) is None
