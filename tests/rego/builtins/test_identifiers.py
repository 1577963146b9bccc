"""Units, versions, UUIDs and addresses."""

from typing import Any

import pytest

from tests.rego.builtins.calls import call, problem
from tidegate.rego.errors import BudgetExhausted
from tidegate.rego.evaluation import Evaluation
from tidegate.rego.values import UNDEFINED, equal, set_of

RESULTS = [
    ("thousandths", "units.parse", ("500m",), 0.5),
    ("millions", "units.parse", ("500M",), 500_000_000),
    ("binary units", "units.parse", ("1.5Gi",), 1_610_612_736),
    ("no unit", "units.parse", ("-12.5",), -12.5),
    ("an exponent and a unit", "units.parse", ("1e3K",), 1_000_000),
    ("exa is no exponent", "units.parse", ("2E",), 2 * 10**18),
    ("bytes", "units.parse_bytes", ("10KB",), 10_000),
    ("binary bytes", "units.parse_bytes", ("10kib",), 10_240),
    ("no part of a byte", "units.parse_bytes", ("1.0005KB",), 1000),
    ("in quotes", "units.parse_bytes", ('"2Mi"',), 2_097_152),
    ("equal versions", "semver.compare", ("1.2.3", "1.2.3+build"), 0),
    ("numbers, not text", "semver.compare", ("1.10.0", "1.9.9"), 1),
    ("a pre-release is below", "semver.compare", ("1.0.0-rc.1", "1.0.0"), -1),
    ("pre-releases by number", "semver.compare", ("1.0.0-rc.10", "1.0.0-rc.9"), 1),
    ("a number is below a word", "semver.compare", ("1.0.0-1", "1.0.0-a"), -1),
    ("a longer pre-release is above", "semver.compare", ("1.0.0-a.1", "1.0.0-a"), 1),
    ("a version", "semver.is_valid", ("1.0.0-rc.1+b5",), True),
    ("no version", "semver.is_valid", ("1.0",), False),
    ("a number is no version", "semver.is_valid", (1,), False),
    ("a random UUID", "uuid.parse", ("00000000-0000-4000-8000-000000000000",), {"version": 4, "variant": "RFC4122"}),
    (
        "a UUID without hyphens",
        "uuid.parse",
        ("{00000000-0000-4000-c000-000000000000}",),
        {"version": 4, "variant": "Microsoft"},
    ),
    (
        "a UUID of time and place",
        "uuid.parse",
        ("urn:uuid:6ba7b810-9dad-11d1-80b4-00c04fd430c8",),
        {
            "version": 1,
            "variant": "RFC4122",
            "time": 886_630_433_151_182_400,
            "nodeid": "00-c0-4f-d4-30-c8",
            "macvariables": "global:unicast",
            "clocksequence": 180,
        },
    ),
    ("no UUID", "uuid.parse", ("x",), UNDEFINED),
    ("an address in a network", "net.cidr_contains", ("10.0.0.0/8", "10.1.2.3"), True),
    ("a network in a network", "net.cidr_contains", ("10.0.0.0/8", "10.1.0.0/16"), True),
    ("a larger network is not in a smaller", "net.cidr_contains", ("10.1.0.0/16", "10.0.0.0/8"), False),
    ("an address outside", "net.cidr_contains", ("10.0.0.0/8", "11.0.0.0"), False),
    ("families do not mix", "net.cidr_contains", ("::/0", "10.0.0.1"), False),
    ("IPv6", "net.cidr_contains", ("2001:db8::/32", "2001:db8::1"), True),
    ("IPv4 inside IPv6", "net.cidr_contains", ("10.0.0.0/8", "::ffff:10.0.0.1"), True),
    ("the old name", "net.cidr_overlap", ("10.0.0.0/8", "10.0.0.1"), True),
    ("networks that meet", "net.cidr_intersects", ("10.1.0.0/16", "10.0.0.0/8"), True),
    ("networks that do not meet", "net.cidr_intersects", ("10.1.0.0/16", "10.2.0.0/16"), False),
    ("a network", "net.cidr_is_valid", ("10.0.0.1/8",), True),
    ("an address is no network", "net.cidr_is_valid", ("10.0.0.1",), False),
    ("a mask is no prefix", "net.cidr_is_valid", ("10.0.0.0/255.0.0.0",), False),
    ("a number is no network", "net.cidr_is_valid", (1,), False),
    ("expanded", "net.cidr_expand", ("10.0.0.1/31",), set_of(["10.0.0.0", "10.0.0.1"])),
    (
        "merged",
        "net.cidr_merge",
        (["10.0.0.0/25", "10.0.0.128/25", "fe80::/64"],),
        set_of(["10.0.0.0/24", "fe80::/64"]),
    ),
    (
        "an address has the network of its class",
        "net.cidr_merge",
        (["10.1.2.3", "192.0.2.1"],),
        set_of(["10.0.0.0/8", "192.0.2.0/24"]),
    ),
    ("pairs of strings", "net.cidr_contains_matches", ("10.0.0.0/8", "10.1.1.1"), set_of([["10.0.0.0/8", "10.1.1.1"]])),
    (
        "pairs of indices and keys",
        "net.cidr_contains_matches",
        (["1.0.0.0/8", "10.0.0.0/8"], {"k": ["10.0.0.1", "x"]}),
        set_of([[1, "k"]]),
    ),
]


@pytest.mark.parametrize(("note", "name", "operands", "expected"), RESULTS, ids=[row[0] for row in RESULTS])
def test_results(note: str, name: str, operands: tuple[Any, ...], expected: Any) -> None:
    result = call(name, *operands)
    assert result is expected if expected is UNDEFINED else equal(result, expected)


PROBLEMS = [
    ("units.parse", ("",), "builtin", "no amount provided"),
    ("units.parse", ("1 K",), "builtin", "spaces not allowed in resource strings"),
    ("units.parse", ("1.2.3K",), "builtin", "could not parse amount to a number"),
    ("units.parse", ("1X",), "builtin", "unit X not recognized"),
    ("units.parse_bytes", ("GB",), "builtin", "no byte amount provided"),
    ("units.parse_bytes", ("1.2.3",), "builtin", "could not parse byte amount to a number"),
    ("units.parse_bytes", (1,), "type", "operand 1 must be string but got number"),
    ("semver.compare", ("1.0", "1.0.0"), "builtin", "operand 1: string '1.0' is not a valid SemVer"),
    ("uuid.parse", (1,), "type", "operand 1 must be string but got number"),
    ("net.cidr_contains", ("10.0.0.1", "10.0.0.1"), "builtin", "invalid CIDR address: 10.0.0.1"),
    ("net.cidr_contains", ("10.0.0.0/8", "example.com"), "builtin", "invalid CIDR address: example.com"),
    ("net.cidr_intersects", ("10.0.0.0/33", "10.0.0.0/8"), "builtin", "invalid CIDR address: 10.0.0.0/33"),
    ("net.cidr_merge", (["fe80::1"],), "builtin", "IPv6 invalid: needs prefix length"),
    ("net.cidr_merge", ([1],), "type", "operand 1 must be array of strings but got array containing number"),
    (
        "net.cidr_contains_matches",
        ("10.0.0.0/8", [[]]),
        "builtin",
        "operand 2: element must be string or non-empty array",
    ),
    (
        "net.cidr_contains_matches",
        (1, "10.0.0.1"),
        "type",
        "operand 1 must be one of {string, array, object, set} but got number",
    ),
]


@pytest.mark.parametrize(("name", "operands", "kind", "message"), PROBLEMS)
def test_problems(name: str, operands: tuple[Any, ...], kind: str, message: str) -> None:
    assert problem(name, *operands) == f"eval_{kind}_error: {name}: {message}"


@pytest.mark.parametrize("amount", ["1e999999999", "1e-999999999", "9" * 5000, "1e99999E"])
def test_amounts_beyond_measure(amount: str) -> None:
    assert problem("units.parse", amount + "K").startswith("eval_builtin_error: ")


def test_a_large_network_is_not_expanded() -> None:
    with pytest.raises(BudgetExhausted):
        call("net.cidr_expand", "::/0")


def test_one_evaluation_gets_one_uuid_for_a_name() -> None:
    evaluation = Evaluation()
    made = {call("uuid.rfc4122", "a", evaluation=evaluation) for _ in range(9)}
    assert len(made) == 1
    assert call("uuid.parse", made.pop())["version"] == 4
    assert call("uuid.rfc4122", "a", evaluation=evaluation) != call("uuid.rfc4122", "b", evaluation=evaluation)
    assert call("uuid.rfc4122", "a", evaluation=evaluation) != call("uuid.rfc4122", "a")
