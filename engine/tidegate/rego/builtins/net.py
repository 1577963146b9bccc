"""Addresses and networks. `10.1.2.3/8` is the network that the address is in."""

import re
from functools import lru_cache
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    collapse_addresses,
    ip_address,
    ip_network,
)
from typing import Final, TypeAlias

from tidegate.rego.builtins import builtin
from tidegate.rego.builtins.operands import NAMES, mistyped, no_string, string
from tidegate.rego.errors import BuiltinError, OperandError
from tidegate.rego.evaluation import Evaluation
from tidegate.rego.values import COLLECTIONS, RegoSet, Value, items, set_of

_Address: TypeAlias = IPv4Address | IPv6Address
_Network: TypeAlias = IPv4Network | IPv6Network

# Python would take `10.0.0.0/255.0.0.0` and `fe80::1%eth0` too.
_NETWORK: Final = re.compile(r"[0-9a-fA-F.:]+/[0-9]{1,3}").fullmatch
_ADDRESS: Final = re.compile(r"[0-9a-fA-F.:]+").fullmatch
_LONGEST: Final = 50  # an address of IPv6 that ends as one of IPv4, and a prefix


def _network(text: str) -> _Network | None:
    try:
        return _unmapped(ip_network(text, strict=False)) if _NETWORK(text) else None
    except ValueError:
        return None


def _address(text: str) -> _Address | None:
    try:
        return ip_address(text) if _ADDRESS(text) else None
    except ValueError:
        return None


def _unmapped(network: _Network) -> _Network:
    """`::ffff:10.0.0.0/104` is `10.0.0.0/8`."""
    if isinstance(network, IPv6Network) and network.prefixlen >= 96 and network.network_address.ipv4_mapped:
        return ip_network((int(network.network_address.ipv4_mapped), network.prefixlen - 96))
    return network


# The version of a network, and its first and last address as numbers, which are quick to compare.
_Bounds: TypeAlias = tuple[int, int, int]


@lru_cache(maxsize=4096)
def _bounds(text: str) -> _Bounds | None:
    """Of a network, or of an address alone."""
    network = _network(text)
    if network is None:
        address = _address(text)
        if address is None:
            return None
        network = _unmapped(ip_network(address))
    return network.version, int(network.network_address), int(network.broadcast_address)


def _either(name: str, text: str) -> _Bounds:
    bounds = _bounds(text) if len(text) <= _LONGEST else None
    if bounds is None:
        raise BuiltinError(f"{name}: invalid CIDR address: {text}")
    return bounds


def _strict(name: str, text: str) -> _Bounds:
    if "/" not in text:
        raise BuiltinError(f"{name}: invalid CIDR address: {text}")
    return _either(name, text)


def _contains(whole: _Bounds, part: _Bounds) -> bool:
    return whole[0] == part[0] and whole[1] <= part[1] and part[2] <= whole[2]


@builtin("net.cidr_contains", "cidr: string, cidr_or_ip: string -> result: boolean")
def cidr_contains(cidr: Value, cidr_or_ip: Value) -> bool:
    if type(cidr) is not str or type(cidr_or_ip) is not str:
        raise no_string("net.cidr_contains", cidr, cidr_or_ip)
    return _contains(_strict("net.cidr_contains", cidr), _either("net.cidr_contains", cidr_or_ip))


@builtin("net.cidr_intersects", "cidr1: string, cidr2: string -> result: boolean")
def cidr_intersects(cidr1: Value, cidr2: Value) -> bool:
    if type(cidr1) is not str or type(cidr2) is not str:
        raise no_string("net.cidr_intersects", cidr1, cidr2)
    first, second = _strict("net.cidr_intersects", cidr1), _strict("net.cidr_intersects", cidr2)
    return _contains(first, second) or _contains(second, first)


@builtin(
    "net.cidr_overlap",
    "cidr1: string, cidr2: string -> boolean",
    deprecated="it is called `net.cidr_contains` now",
)
def cidr_overlap(cidr1: Value, cidr2: Value) -> bool:
    return cidr_contains(cidr1, cidr2)


@builtin("net.cidr_is_valid", "cidr: string -> result: boolean")
def cidr_is_valid(cidr: Value) -> bool:
    return type(cidr) is str and _network(cidr) is not None


@builtin("net.cidr_expand", "cidr: string -> hosts: set[string]", evaluation=True)
def cidr_expand(evaluation: Evaluation, cidr: Value) -> RegoSet:
    """Every address of a network, the first and the last too."""
    text = string("net.cidr_expand", 1, cidr)
    version, first, last = _strict("net.cidr_expand", text)
    evaluation.spend(last - first + 1)
    kind = IPv4Address if version == 4 else IPv6Address
    return set_of(str(kind(number)) for number in range(first, last + 1))


@builtin("net.cidr_merge", "addrs: any<array[any<string>], set[string]> -> output: set[string]")
def cidr_merge(addresses: Value) -> RegoSet:
    """The fewest networks with the same addresses. IPv4 without prefix has that of its class; IPv6 must have one."""
    name = "net.cidr_merge"
    if type(addresses) not in (list, RegoSet):
        raise mistyped(name, 1, addresses, "set", "array")
    networks = [_merged_one(name, one) for one in (addresses if type(addresses) is list else addresses.values())]
    merged = [
        *collapse_addresses(network for network in networks if isinstance(network, IPv4Network)),
        *collapse_addresses(network for network in networks if isinstance(network, IPv6Network)),
    ]
    return set_of(map(str, merged))


def _merged_one(name: str, text: Value) -> _Network:
    if type(text) is not str:
        raise OperandError(f"{name}: operand 1 must be array of strings but got array containing {NAMES[type(text)]}")
    network, address = _network(text), _address(text)
    if network is not None:
        return network
    if isinstance(address, IPv6Address):
        raise BuiltinError(f"{name}: IPv6 invalid: needs prefix length")
    if address is None:
        raise BuiltinError(f"{name}: invalid CIDR address: {text}")
    first = address.packed[0]
    return IPv4Network((address, 8 if first < 128 else 16 if first < 192 else 24), strict=False)


_MANY: Final = (
    "any<string, array[any<string, array[any]>], object[string: any<string, array[any]>], set[any<string, array[any]>]>"
)


@builtin(
    "net.cidr_contains_matches",
    f"cidrs: {_MANY}, cidrs_or_ips: {_MANY} -> output: set[array<any, any>]",
    evaluation=True,
)
def cidr_contains_matches(evaluation: Evaluation, cidrs: Value, cidrs_or_ips: Value) -> RegoSet:
    """Where a network of the first operand contains one of the second: the two indices, keys, members or strings."""
    name = "net.cidr_contains_matches"
    parts = [(index, _either(name, text)) for index, text in _named(name, 2, cidrs_or_ips)]
    wholes = [(index, _strict(name, text)) for index, text in _named(name, 1, cidrs)]
    evaluation.spend(len(wholes) * len(parts))
    return set_of([index, other] for index, whole in wholes for other, part in parts if _contains(whole, part))


def _named(name: str, position: int, operand: Value) -> list[tuple[Value, str]]:
    """What each network is called in the result, and its text: itself, or the first of an array."""
    if type(operand) is str:
        return [(operand, operand)]
    if type(operand) not in COLLECTIONS:
        raise mistyped(name, position, operand, "string", "array", "object", "set")
    return [(index, _text(name, position, held)) for index, held in items(operand)]


def _text(name: str, position: int, held: Value) -> str:
    first = held[0] if type(held) is list and held else held
    if type(first) is not str:
        raise BuiltinError(f"{name}: operand {position}: element must be string or non-empty array")
    return first
