"""Static types: how they are written, what they have in common, and what references select from them."""

import pytest

from tidegate.rego import types, values
from tidegate.rego.builtins import TABLE
from tidegate.rego.types import ANY, BOOLEAN, NULL, NUMBER, STRING, ArrayOf, ObjectOf, OneOf, SetOf, Type


def read(written: str) -> Type:
    return types.signature(f"-> {written}").result


WRITTEN = [
    "any",
    "null",
    "boolean",
    "number",
    "string",
    "any<null, string>",
    "array[any]",
    "array<number, string>",
    "array<number>[string]",
    "set[array[string]]",
    "object[string: number]",
    "object<name: string>",
    "object<name: string, size: any<null, number>>[string: any]",
]


@pytest.mark.parametrize("written", WRITTEN)
def test_a_type_is_read_as_it_is_written(written: str) -> None:
    assert types.text(read(written)) == written


def test_an_empty_array_is_written_with_nothing_in_it() -> None:
    assert types.text(ArrayOf()) == "array<>"
    assert types.text(ObjectOf()) == "object<>"


def test_names_of_operands_are_no_part_of_their_types() -> None:
    signature = types.signature("x: number, the second: array[string] -> formatted timestamp: any<null, string>")
    assert signature.operands == (NUMBER, ArrayOf(rest=STRING))
    assert signature.result == OneOf((NULL, STRING))
    assert types.signature("-> n: number").operands == ()


@pytest.mark.parametrize("written", ["string[", "any<string", "-", "object[string: any"])
def test_what_is_no_type_is_refused(written: str) -> None:
    with pytest.raises((ValueError, KeyError)):
        read(written)


def test_every_builtin_has_a_signature_that_can_be_read() -> None:
    assert TABLE
    for builtin in TABLE.values():
        assert types.text(types.signature(builtin.signature).result)


OVERLAP = [
    # one, other, whether a value can be of both
    ("any", "string", True),
    ("string", "string", True),
    ("string", "number", False),
    ("null", "any<null, string>", True),
    ("number", "any<null, string>", False),
    ("any<number, string>", "any<null, string>", True),
    ("any<number, boolean>", "any<null, string>", False),
    ("array[any]", "set[any]", False),
    ("array[any]", "object[any: any]", False),
    ("array[number]", "array[string]", False),
    ("array[number]", "array[any<number, string>]", True),
    ("array<number, string>", "array<any, any>", True),
    ("array<number, string>", "array<string, any>", False),
    ("array<number, string>", "array<any>", False),
    ("array<number, string>", "array[any]", True),
    ("array<number, string>", "array[number]", False),
    ("set[number]", "set[string]", False),
    ("set[number]", "set[any]", True),
    ("object[string: number]", "object[string: string]", False),
    ("object[string: number]", "object[any: any]", True),
    ("object<a: number>", "object<a: string>", True),  # neither must have the field
    ("object<a: number>", "object<b: number>", True),
]


@pytest.mark.parametrize(("one", "other", "expected"), OVERLAP)
def test_types_overlap_where_a_value_can_be_of_both(one: str, other: str, expected: bool) -> None:
    assert types.overlap(read(one), read(other)) is expected
    assert types.overlap(read(other), read(one)) is expected


def test_an_exact_object_has_all_its_fields() -> None:
    one = ObjectOf((("a", NUMBER),), exact=True)
    assert types.overlap(one, ObjectOf((("a", ANY), ("b", ANY))))
    assert not types.overlap(one, ObjectOf((("a", ANY), ("b", ANY)), exact=True))
    assert not types.overlap(one, ObjectOf((("a", STRING),)))
    assert not types.overlap(one, ObjectOf((("b", ANY),)))
    assert types.overlap(one, ObjectOf(rest=(STRING, NUMBER)))
    assert not types.overlap(one, ObjectOf(rest=(NUMBER, NUMBER)))


SELECTED = [
    # type, member, the member's type or None where there is none
    ("any", "x", "any"),
    ("string", "x", None),
    ("array[string]", 7, "string"),
    ("array[string]", "x", None),
    ("array[string]", -1, None),
    ("array[string]", 1.5, None),
    ("array<number, string>", 1, "string"),
    ("array<number, string>", 2, None),
    ("array<number>[string]", 2, "string"),
    ("object<a: number>", "a", "number"),
    ("object<a: number>", "b", None),
    ("object<a: number>[string: boolean]", "b", "boolean"),
    ("object[string: boolean]", 1, None),
    ("set[any<number, string>]", "x", "string"),
    ("set[number]", "x", None),
    ("any<null, object<a: number>>", "a", "number"),
    ("any<null, object<a: number>>", "b", None),
    ("any<array[string], object<a: number>>", 0, "string"),
]


@pytest.mark.parametrize(("written", "name", "expected"), SELECTED)
def test_selects_a_member(written: str, name: object, expected: str | None) -> None:
    found = types.select(read(written), name)
    assert (types.text(found) if found is not None else None) == expected


def test_a_boolean_key_is_not_the_number_one() -> None:
    kind = ObjectOf(((values.key(True), STRING),), exact=True)
    assert types.select(kind, True) == STRING
    assert types.select(kind, 1) is None


ENTRIES = [
    ("string", None),
    ("any<null, number>", None),
    ("any", ("any", "any")),
    ("array<>", ("any", "any")),
    ("array<number, string>", ("number", "any<number, string>")),
    ("set[string]", ("string", "string")),
    ("object<a: number>[number: boolean]", ("any<string, number>", "any<number, boolean>")),
    ("any<null, set[string]>", ("string", "string")),
]


@pytest.mark.parametrize(("written", "expected"), ENTRIES)
def test_entries_are_keys_and_values(written: str, expected: tuple[str, str] | None) -> None:
    found = types.entries(ArrayOf() if written == "array<>" else read(written))
    assert (tuple(map(types.text, found)) if found is not None else None) == expected


def test_one_of_is_flat_and_has_each_once() -> None:
    assert types.one_of([STRING, STRING]) == STRING
    assert types.one_of([STRING, OneOf((STRING, NULL)), NUMBER]) == OneOf((STRING, NULL, NUMBER))
    assert types.one_of([STRING, ANY]) == ANY
    assert types.one_of([]) == ANY


def test_a_type_of_very_many_is_any() -> None:
    assert types.one_of(SetOf(ArrayOf((BOOLEAN,) * size)) for size in range(types.WIDEST + 1)) == ANY
