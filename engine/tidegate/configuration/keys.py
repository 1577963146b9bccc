"""What the Structs of `settings.py` say about a key: its name, its variable, what it takes, and the words for that.

A size may be written `32 MiB` and a time `10s`, in the file as in the environment. Units are the binary ones: `MB` is
refused, because half of its readers mean 1000 x 1000. Whether a key is a size or a time is read off its type: `Size`,
and any float, for every float of the tree is a time.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, cast

import msgspec
from msgspec import inspect
from msgspec.structs import FieldInfo, fields

from tidegate.settings import Section, Settings, Size

Key = tuple[str, ...]

SIZE = inspect.type_info(Size)
SIZES = {"GiB": 2**30, "MiB": 2**20, "KiB": 2**10, "B": 1, "": 1}
TIMES = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001, "": 1.0}

_WHOLE = re.compile(r"[+-]?[0-9]{1,18}")
_DECIMAL = re.compile(r"[0-9]{1,15}(?:\.[0-9]{1,9})?")
_UNIT = re.compile(r"(.*?) ?([A-Za-z]*)")
_PLAIN = inspect.IntType | inspect.FloatType | inspect.BoolType | inspect.LiteralType
_LONGEST_WORD = 16  # no provider's key is so short
_LONGEST_SHOWN = 60


def struct_of(hint: Any) -> type[Section] | None:
    """The Struct of a section, optional or not; None for the type of a key."""
    kind = inspect.type_info(hint)
    kinds = kind.types if isinstance(kind, inspect.UnionType) else (kind,)
    return next((cast(type[Section], kind.cls) for kind in kinds if isinstance(kind, inspect.StructType)), None)


def named_struct_of(hint: Any) -> type[Section] | None:
    """The Struct of sections that the operator names (`[integration.NAME]`); None for anything else."""
    kind = inspect.type_info(hint)
    inner = kind.value_type if isinstance(kind, inspect.DictType) else None
    return cast(type[Section], inner.cls) if isinstance(inner, inspect.StructType) else None


# the sections that the operator names, by the key in front of the name
NAMED: Final[Mapping[Key, type[Section]]] = {
    (field.name,): struct for field in fields(Settings) if (struct := named_struct_of(field.type))
}


def keys(struct: type[Section], section: Key = ()) -> Iterator[tuple[Key, FieldInfo]]:
    """Every key of a section and of the sections inside it, those that the operator names left out."""
    for field in fields(struct):
        key = (*section, field.name)
        if inner := struct_of(field.type):
            yield from keys(inner, key)
        elif not named_struct_of(field.type):
            yield key, field


def variable(key: Key) -> str:
    """The environment variable that overrides a key."""
    return "_".join(("tidegate", *key)).replace("-", "_").upper()


def fits(value: Any, hint: Any) -> bool:
    """Whether a key of this type takes the value."""
    try:
        msgspec.convert(value, hint)
    except msgspec.ValidationError:
        return False
    return True


def from_text(text: str, kind: inspect.Type) -> Any:
    """A variable's text as the file's value for it; text that is none stays text, which then does not fit."""
    match kind:
        case inspect.BoolType():
            return {"true": True, "false": False}.get(text, text)
        case inspect.IntType() if _WHOLE.fullmatch(text):
            return int(text)
        case inspect.VarTupleType():
            return [item.strip() for item in text.split(",")] if text else []
        case inspect.DictType():
            pairs = [pair.partition("=") for pair in text.split(",")] if text else []
            return {name.strip(): value.strip() for name, equals, value in pairs} if all(p[1] for p in pairs) else text
        case _:
            return text


def measured(value: Any, kind: inspect.Type) -> Any:
    """`32 MiB` as bytes and `10s` as seconds, for keys that are sizes and times; any other value as it is."""
    found = _UNIT.fullmatch(value) if isinstance(value, str) else None
    if found and kind == SIZE and found[2] in SIZES and _WHOLE.fullmatch(found[1]):
        return int(found[1]) * SIZES[found[2]]
    if found and isinstance(kind, inspect.FloatType) and found[2] in TIMES and _DECIMAL.fullmatch(found[1]):
        return float(found[1]) * TIMES[found[2]]
    return value


def expected(kind: inspect.Type) -> str:
    """What a key takes, in words."""
    match kind:
        case inspect.IntType():
            low = kind.ge if kind.ge is not None else (kind.gt or 0) + 1
            if kind == SIZE:
                return f"a whole number of bytes from {low} to {kind.le}, or a size such as `32 MiB`"
            return f"a whole number from {low} to {kind.le}"
        case inspect.FloatType():
            low_words = "0 or more" if kind.gt is None else f"above {kind.gt:g}"
            return f"seconds, {low_words}, at most {kind.le:g}, or a time such as `10s`"
        case inspect.BoolType():
            return "`true` or `false`"
        case inspect.LiteralType():
            return f"one of {listed(map(str, kind.values))}"
        case inspect.VarTupleType():
            return "a list of strings"
        case inspect.DictType():
            return "a table of strings"
        case _:
            return "a string"


def found(value: Any, kind: inspect.Type | None = None) -> str:
    """What stands there. A string is repeated only if it is short and a number or one of a few words should stand
    there: what stands in the place of free text, or is long, may be a secret.
    """
    match value:
        case bool():
            return f"`{str(value).lower()}`"
        case int() | float():
            return f"`{shown(str(value))}`"
        case str():
            return f"`{shown(value)}`" if isinstance(kind, _PLAIN) and len(value) <= _LONGEST_WORD else "a string"
        case list() | dict():
            items = value if isinstance(value, list) else value.values()
            odd = next((f" with {found(item)} in it" for item in items if not isinstance(item, str)), "")
            return f"a {'list' if isinstance(value, list) else 'table'}{odd}"
        case _:
            return "a date or time"


def shown(text: str) -> str:
    """Text as it can stand in a message: printable, on one line, not too long."""
    text = repr(text)[1:-1]
    return text if len(text) <= _LONGEST_SHOWN else text[:_LONGEST_SHOWN] + "..."


def listed(words: Iterable[str]) -> str:
    """Several words, each in backticks."""
    return ", ".join(f"`{shown(word)}`" for word in words)


def meant(name: str, valid: Iterable[str], start: str = "") -> str:
    """The end of a message about an unknown name: the nearest valid one, if one is near. `start` is common to all."""
    import difflib  # 4 ms that a start without mistakes need not spend

    near = difflib.get_close_matches(name, list(valid), n=1)
    return f"; did you mean `{start}{near[0]}`?" if near else ""


def meant_elsewhere(name: str) -> str:
    """As `meant`, for a key or section that exists under this very name, in another place."""
    places = {key[:end] for key, _ in keys(Settings) for end in range(1, len(key) + 1) if key[end - 1] == name}
    paths = sorted(".".join(place) for place in places)
    return f"; did you mean {' or '.join(f'`{path}`' for path in paths)}?" if paths else ""
