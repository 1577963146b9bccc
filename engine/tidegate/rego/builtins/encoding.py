"""base64, hex and the query of a URL. Text is encoded as UTF-8; decoded bytes that are none become U+FFFD."""

import binascii
import re
from base64 import b64decode, b64encode, urlsafe_b64encode
from typing import Any, Final
from urllib.parse import quote_plus, unquote_to_bytes

from tidegate.rego.builtins import builtin
from tidegate.rego.builtins.operands import NAMES, object_, string, strings
from tidegate.rego.builtins.text import from_utf8, utf8
from tidegate.rego.errors import BuiltinError, OperandError
from tidegate.rego.evaluation import Evaluation
from tidegate.rego.values import COLLECTIONS, Value

_TEXT: Final = "x: string -> y: string"
_ALPHABET: Final = re.compile(r"[A-Za-z0-9+/]*={0,2}").fullmatch


@builtin("base64.encode", _TEXT, evaluation=True)
def base64_encode(evaluation: Evaluation, x: Value) -> str:
    return b64encode(_paid(evaluation, "base64.encode", x)).decode()


@builtin("base64.decode", _TEXT)
def base64_decode(x: Value) -> str:
    return from_utf8(_octets("base64.decode", string("base64.decode", 1, x)))


@builtin("base64.is_valid", "x: string -> result: boolean")
def base64_is_valid(x: Value) -> bool:
    if type(x) is not str:
        return False
    try:
        _octets("base64.is_valid", x)
    except BuiltinError:
        return False
    return True


@builtin("base64url.encode", _TEXT, evaluation=True)
def base64url_encode(evaluation: Evaluation, x: Value) -> str:
    return urlsafe_b64encode(_paid(evaluation, "base64url.encode", x)).decode()


@builtin("base64url.encode_no_pad", _TEXT, evaluation=True)
def base64url_encode_no_pad(evaluation: Evaluation, x: Value) -> str:
    return urlsafe_b64encode(_paid(evaluation, "base64url.encode_no_pad", x)).decode().rstrip("=")


_FROM_URL: Final = str.maketrans("-_+/", "+/??")


@builtin("base64url.decode", _TEXT)
def base64url_decode(x: Value) -> str:
    """The padding may be left out."""
    text = string("base64url.decode", 1, x).translate(_FROM_URL)
    if not text.endswith("="):
        text += "=" * (-len(text) % 4)
    return from_utf8(_octets("base64url.decode", text))


def _paid(evaluation: Evaluation, name: str, x: Value) -> bytes:
    """What is to be encoded; that the result is a little longer adds up where it is encoded again and again."""
    octets = utf8(string(name, 1, x))
    evaluation.spend(len(octets) // 16)
    return octets


def _octets(name: str, text: str) -> bytes:
    """Line ends may be anywhere, as in Go."""
    text = text.replace("\r", "").replace("\n", "")
    if len(text) % 4 or not _ALPHABET(text):
        raise BuiltinError(f"{name}: illegal base64 data")
    return b64decode(text)


@builtin("hex.encode", _TEXT, evaluation=True)
def hex_encode(evaluation: Evaluation, x: Value) -> str:
    return _paid(evaluation, "hex.encode", x).hex()


@builtin("hex.decode", _TEXT)
def hex_decode(x: Value) -> str:
    try:
        return from_utf8(binascii.unhexlify(string("hex.decode", 1, x)))
    except ValueError:
        raise BuiltinError("hex.decode: not a hexadecimal string of even length") from None


_BAD_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2}).{0,2}", re.DOTALL).search


@builtin("urlquery.encode", _TEXT, evaluation=True)
def urlquery_encode(evaluation: Evaluation, x: Value) -> str:
    return quote_plus(_paid(evaluation, "urlquery.encode", x), safe="")


@builtin("urlquery.decode", _TEXT)
def urlquery_decode(x: Value) -> str:
    return _decoded("urlquery.decode", string("urlquery.decode", 1, x))


@builtin("urlquery.encode_object", "object: object[string: any<string, array[string], set[string]>] -> y: string")
def urlquery_encode_object(document: Value) -> str:
    """Keys in order; one that has several values comes as often."""
    name = "urlquery.encode_object"
    pairs = []
    fields = object_(name, 1, document)
    if not all(type(field) is str for field in fields):
        raise OperandError(f"{name}: operand 1 must be an object with string keys")
    for field, held in sorted(fields.items()):
        pairs += [f"{_encoded(field)}={_encoded(value)}" for value in _values(name, held)]
    return "&".join(pairs)


def _values(name: str, held: Value) -> list[str]:
    if type(held) is str:
        return [held]
    if type(held) not in COLLECTIONS or type(held) is dict:
        raise OperandError(f"{name}: operand 1 must have strings, arrays or sets as values but got {NAMES[type(held)]}")
    return strings(name, 1, held)


@builtin("urlquery.decode_object", "x: string -> object: object[string: array[string]]")
def urlquery_decode_object(x: Value) -> dict[Any, Value]:
    name = "urlquery.decode_object"
    fields: dict[Any, Value] = {}
    for pair in string(name, 1, x).split("&"):
        if ";" in pair:
            raise BuiltinError(f"{name}: invalid semicolon separator in query")
        if pair:
            field, _, value = pair.partition("=")
            fields.setdefault(_decoded(name, field), []).append(_decoded(name, value))
    return fields


def _encoded(text: str) -> str:
    return quote_plus(utf8(text), safe="")


def _decoded(name: str, text: str) -> str:
    bad = _BAD_ESCAPE(text)
    if bad:
        raise BuiltinError(f'{name}: invalid URL escape "{bad[0]}"')
    return from_utf8(unquote_to_bytes(utf8(text.replace("+", " "))))
