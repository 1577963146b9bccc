"""What the checker infers holds: whatever a rule's value turns out to be is a value of the type that was inferred."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conformance.rego.case import OWN, SHARED, Case, needs_suite, read
from tidegate.rego import types, values
from tidegate.rego.check import Checked, check
from tidegate.rego.check.places import Place
from tidegate.rego.errors import RegoError
from tidegate.rego.generate import Program
from tidegate.rego.lower import lower
from tidegate.rego.parser import parse
from tidegate.rego.source import Source
from tidegate.rego.types import Anything, ArrayOf, ObjectOf, OneOf, Plain, SetOf, Type
from tidegate.rego.values import Value

# OPA's signatures say that there is always a key; there is null where there is none
WIDER_THAN_DECLARED = {"crypto.parse_private_keys", "crypto.x509.parse_rsa_private_key"}


def is_of(kind: Type, value: Value) -> bool:
    """Whether a value is one of a type's."""
    match kind:
        case Anything():
            return True
        case Plain():
            return types.OF_SCALAR.get(type(value)) == kind
        case OneOf(members):
            return any(is_of(member, value) for member in members)
        case SetOf(element):
            return type(value) is values.RegoSet and all(is_of(element, held) for held in value.values())
        case ArrayOf():
            return type(value) is list and len(value) >= len(kind.items) and _has(kind, dict(enumerate(value)))
        case ObjectOf():
            named = set(value) if type(value) is dict else set()
            return (
                type(value) is dict
                and (not kind.exact or named >= {name for name, _ in kind.fields})
                and _has(kind, value)
            )


def _has(kind: ArrayOf | ObjectOf, members: dict[object, Value]) -> bool:
    for name, value in members.items():
        member = types.select(kind, values.unkey(name))
        if member is None or not is_of(member, value):
            return False
    return True


def rules_with_values(checked: Checked) -> Iterator[Place]:
    for place in checked.known.root.below():
        parts_are_strings = all(type(part) is str for part in place.path)
        if place.definitions and not place.children and not place.is_function and parts_are_strings:
            yield place


def unsound(case: Case) -> list[str]:
    """The rules whose values are not what was inferred."""
    checked = check([parse(Source(str(number), text)) for number, text in enumerate(case.modules)])
    places = {place.name: place for place in rules_with_values(checked)}
    try:
        program = Program(lower(checked, {name: place.path for name, place in places.items()}), case.data)
    except RegoError:  # refused builtins
        return []
    found = []
    for name, place in places.items():
        try:
            answers = program.evaluate(name, case.document())
        except RegoError:
            continue
        kind = checked.types.results[place]
        found += [f"{name}: {types.text(kind)}: {each}" for each in answers if not is_of(kind, each["result"])]
    return found


@pytest.mark.parametrize("folder", [OWN, pytest.param(SHARED, marks=needs_suite)], ids=["own", "suite"])
def test_values_are_of_the_types_inferred(folder: Path) -> None:
    seen = 0
    for case in read(folder):
        if not any(name in text for name in WIDER_THAN_DECLARED for text in case.modules):
            assert unsound(case) == [], case.note
            seen += 1
    assert seen > 300
