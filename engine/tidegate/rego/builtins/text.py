"""Text as Go and Rego have it: a value as Rego writes it, quoted strings, and bytes that are UTF-8 at all events."""

import codecs
import re
from typing import Final

from tidegate.rego.evaluation import Evaluation
from tidegate.rego.values import COLLECTIONS, RegoSet, Value, items, number_text, ordered, unkey

_PLAIN: Final = re.compile(r"[ !#-\[\]-~]*").fullmatch
_ESCAPES: Final = {
    "\a": r"\a", "\b": r"\b", "\f": r"\f", "\n": r"\n", "\r": r"\r", "\t": r"\t", "\v": r"\v", "\\": r"\\", '"': r"\"",
}  # fmt: skip


def rego_text(value: Value) -> str:
    """A value as it stands in a policy."""
    kind = type(value)
    if kind is str:
        return quoted(value)
    if value is None or kind is bool:
        return "null" if value is None else "true" if value else "false"
    if kind is list:
        return "[" + ", ".join(map(rego_text, value)) + "]"
    if kind is dict:
        return "{" + ", ".join(f"{rego_text(name)}: {rego_text(held)}" for name, held in items(value)) + "}"
    if kind is RegoSet:
        return "{" + ", ".join(map(rego_text, ordered(value.values()))) + "}" if value else "set()"
    return number_text(value)


def display(evaluation: Evaluation, value: Value) -> str:
    """A value inside other text: a string is itself."""
    if type(value) is str:
        return value
    evaluation.spend(weight(value))
    return rego_text(value)


def weight(value: Value) -> int:
    """What it costs to write a value out: parts that it shares with itself count as often as they come."""
    return _weight(value, {})


def _weight(value: Value, known: dict[int, int]) -> int:
    kind = type(value)
    if kind not in COLLECTIONS:
        return 1 + len(value) // 8 if kind is str else 1
    found = known.get(id(value))
    if found is None:
        members = value if kind is list else value.values()
        names = (_weight(unkey(name), known) for name in value) if kind is dict else ()
        found = known[id(value)] = 1 + sum(_weight(held, known) for held in members) + sum(names)
    return found


def quoted(text: str, ascii_only: bool = False) -> str:
    """A string as Go's strconv.Quote writes it."""
    if _PLAIN(text):
        return f'"{text}"'
    return '"' + "".join(_escaped(character, ascii_only) for character in text) + '"'


def _escaped(character: str, ascii_only: bool) -> str:
    known = _ESCAPES.get(character)
    if known is not None:
        return known
    code = ord(character)
    if character.isprintable() and not (ascii_only and code > 0x7E):
        return character
    if code < 0x20 or code == 0x7F:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def utf8(text: str) -> bytes:
    """The bytes of a string; half of a surrogate pair becomes the replacement character, as in Go."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode()


def from_utf8(octets: bytes) -> str:
    """The string of some bytes; each that is not UTF-8 becomes the replacement character, as in Go."""
    return octets.decode(errors="tidegate.replace-each")


def _replace_each(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)
    return "�" * (error.end - error.start), error.end


codecs.register_error("tidegate.replace-each", _replace_each)
