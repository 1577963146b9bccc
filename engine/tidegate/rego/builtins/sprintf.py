"""sprintf, as Go's fmt formats: verbs, flags, width, precision, `*` and `[n]`, and the marks for what does not fit.

A whole number is an int, or a *big.Int beyond 64 bits; any other number is a float64 (a string where that has no room
for it); a string is itself; everything else is the string of its Rego text.
"""

import math
import re
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from typing import Final

from msgspec import Struct

from tidegate.rego.builtins import builtin
from tidegate.rego.builtins.operands import mistyped
from tidegate.rego.builtins.text import display, quoted, utf8
from tidegate.rego.evaluation import Evaluation
from tidegate.rego.values import Value

_WIDEST: Final = 1_000_000  # Go's own bound for a width and a precision
_DIRECTIVE: Final = re.compile(
    r"%(?P<flags>[-+# 0]*)(?P<width_at>\[(?:[^\]]*\])?)?(?P<width>\*|\d+)?"
    r"(?P<point>\.(?P<precision_at>\[(?:[^\]]*\])?)?(?P<precision>\*|\d+)?)?(?P<value_at>\[(?:[^\]]*\])?)?(?P<verb>.)?",
    re.DOTALL | re.ASCII,
)


@builtin("sprintf", "format: string, values: array[any] -> output: string", evaluation=True)
def sprintf(evaluation: Evaluation, form: Value, values: Value) -> str:
    if type(form) is not str:
        raise mistyped("sprintf", 1, form, "string")
    if type(values) is not list:
        raise mistyped("sprintf", 2, values, "array")
    pieces = _kept(form) if len(form) <= 1000 else _taken_apart(form)
    if pieces.plain is not None and len(pieces.plain) == len(values):
        for kinds, value in zip(pieces.plain, values, strict=True):
            if type(value) not in kinds:
                break
        else:
            text = pieces.template % tuple(values)
            evaluation.spend(len(text) // 8)
            return text
    return _Formatting(evaluation, [_argument(evaluation, value) for value in values]).run(pieces.parts)


# The usual, which Python formats just as Go does, and the kinds of values that it does so for.
_PLAIN: Final = (
    (re.compile(r"%v"), frozenset((str, int))),
    (re.compile(r"%-?(?:[1-9]\d{0,2})?s", re.ASCII), frozenset((str,))),
    (re.compile(r"%[-+ 0]*\d{0,3}[dxXo]", re.ASCII), frozenset((int,))),
    (re.compile(r"%[-+ 0]*\d{0,3}(?:\.\d{1,3})?[fFeE]", re.ASCII), frozenset((float,))),
)


def _plain_kinds(directive: str) -> frozenset[type]:
    """What Python may format; nothing where the directive is unusual."""
    return next((kinds for form, kinds in _PLAIN if form.fullmatch(directive)), frozenset())


def _argument(evaluation: Evaluation, value: Value) -> str | float:
    """What Go is given for a value."""
    if type(value) is Decimal and math.isfinite(float(value)):
        return float(value)
    return value if type(value) in (int, float) else display(evaluation, value)


class Pieces(Struct, frozen=True):
    """A format string, taken apart."""

    parts: tuple[str | re.Match[str], ...]
    plain: tuple[frozenset[type], ...] | None  # if all of them are plain: what each is for
    template: str  # for Python then


def _taken_apart(form: str) -> Pieces:
    parts: list[str | re.Match[str]] = []
    at = 0
    for directive in _DIRECTIVE.finditer(form):
        parts += [form[at : directive.start()], directive]
        at = directive.end()
    parts.append(form[at:])
    plain = tuple(_plain_kinds(part[0]) for part in parts if not isinstance(part, str))
    template = "".join(part if isinstance(part, str) else part[0].replace("v", "s") for part in parts)
    return Pieces(tuple(parts), plain if all(plain) else None, template)


_kept = lru_cache(maxsize=512)(_taken_apart)


class Style(Struct):
    """How one directive wants its value."""

    flags: str = ""
    width: int | None = None
    precision: int | None = None

    def padded(self, text: str, zeros: bool = True) -> str:
        width = self.width or 0
        if "-" in self.flags:
            return text.ljust(width)
        return text.rjust(width, "0" if zeros and "0" in self.flags else " ")

    def signed(self, negative: bool, text: str) -> str:
        """A number's text with its sign, which stands before zeros that fill it up."""
        sign = "-" if negative else "+" if "+" in self.flags else " " if " " in self.flags else ""
        if "0" in self.flags and "-" not in self.flags:
            text = text.rjust((self.width or 0) - len(sign), "0")
        return self.padded(sign + text, zeros=False)


class _Formatting:
    """One run over the parts of a format string: which value comes next, and whether `[n]` was used."""

    def __init__(self, evaluation: Evaluation, values: list[str | float]) -> None:
        self.evaluation = evaluation
        self.values = values
        self.next = 0
        self.reordered = False

    def run(self, parts: tuple[str | re.Match[str], ...]) -> str:
        written = []
        for part in parts:
            text = part if isinstance(part, str) else self.directive(part)
            self.evaluation.spend(len(text) // 8)
            written.append(text)
        if not self.reordered and self.next < len(self.values):
            extra = ", ".join(f"{_type(value)}={_value(value, Style())}" for value in self.values[self.next :])
            written.append(f"%!(EXTRA {extra})")
        return "".join(written)

    def directive(self, found: re.Match[str]) -> str:
        style = Style(found["flags"])
        marks = ""
        good = self.select(found["width_at"])
        style.width, width_mark = self.size(found["width"], "WIDTH")
        if style.width is not None and style.width < 0:
            style.flags += "-"
            style.width = -style.width
        good = good and not (found["width_at"] and found["width"] not in (None, "*"))
        if found["point"]:
            good = good and not (found["width_at"] and not found["width"])
            good = self.select(found["precision_at"]) and good
            good = good and not (found["precision_at"] and found["precision"] not in (None, "*"))
            style.precision, precision_mark = self.size(found["precision"] or "0", "PREC")
            if style.precision is not None and style.precision < 0:
                style.precision, precision_mark = None, "%!(BADPREC)"
            marks = precision_mark
        good = self.select(found["value_at"]) and good
        marks = width_mark + marks
        self.evaluation.spend(((style.width or 0) + (style.precision or 0)) // 8)
        return marks + self.value(found["verb"], style, good)

    def select(self, written: str | None) -> bool:
        """`[n]` makes the nth value the next one."""
        if written is None:
            return True
        self.reordered = True
        index = written[1:-1]
        if not written.endswith("]") or not index.isdecimal() or not 1 <= int(index[:9]) <= len(self.values):
            return False
        self.next = int(index) - 1
        return True

    def size(self, written: str | None, what: str) -> tuple[int | None, str]:
        """A width or precision, and the mark that stands in the output where it is none."""
        if written is None:
            return None, ""
        if written != "*":
            given: object = int(written[:9])
        else:
            given = self.values[self.next] if self.next < len(self.values) else None
            self.next += self.next < len(self.values)
        if isinstance(given, int) and -_WIDEST <= given <= _WIDEST:
            return given, ""
        return None, f"%!(BAD{what})" if written == "*" else ""

    def value(self, verb: str | None, style: Style, good: bool) -> str:
        if verb is None:
            return "%!(NOVERB)"
        if verb == "%":
            return "%"
        if not good:
            return f"%!{verb}(BADINDEX)"
        if self.next >= len(self.values):
            return f"%!{verb}(MISSING)"
        value = self.values[self.next]
        self.next += 1
        if verb == "T":
            return style.padded(_type(value))
        text = _formatted(verb, value, style)
        return f"%!{verb}({_type(value)}={_value(value, style)})" if text is None else text


def _type(value: str | float) -> str:
    """The name of the Go type."""
    if isinstance(value, int):
        return "int" if -(2**63) <= value < 2**63 else "*big.Int"
    return "float64" if isinstance(value, float) else "string"


def _value(value: str | float, style: Style) -> str:
    """A value as `%v` formats it."""
    text = _formatted("v", value, style)
    assert text is not None
    return text


def _formatted(verb: str, value: str | float, style: Style) -> str | None:
    """None where the verb is none for such a value."""
    if isinstance(value, int):
        if verb == "s" and _type(value) == "*big.Int":
            verb = "d"
        return _integer(verb, value, style)
    if isinstance(value, float):
        return _float(verb, value, style)
    return _string(verb, value, style)


# whole numbers

_BASES: Final = {"v": "d", "d": "d", "b": "b", "o": "o", "O": "o", "x": "x", "X": "X"}
_PREFIXES: Final = {"b": "0b", "o": "0", "x": "0x", "X": "0X"}


def _integer(verb: str, value: int, style: Style) -> str | None:
    if verb in _BASES:
        return _digits(verb, value, style)
    if _type(value) != "int":
        return None
    if verb in "eEfFgG":
        return None
    character = chr(value) if 0 <= value <= 0x10FFFF and not 0xD800 <= value < 0xE000 else "�"
    if verb == "c":
        return style.padded(character)
    if verb == "q":
        inner = quoted(character, "+" in style.flags)[1:-1].replace('\\"', '"').replace("'", "\\'")
        return style.padded(f"'{inner}'")
    if verb == "U":
        code = f"U+{value & 0xFFFF_FFFF_FFFF_FFFF:0{max(4, style.precision or 0)}X}"
        shown = f" '{character}'" if "#" in style.flags and character.isprintable() else ""
        return style.padded(code + shown, zeros=False)
    return None


def _digits(verb: str, value: int, style: Style) -> str:
    if style.precision == 0 and value == 0:
        return " " * (style.width or 0)
    digits = format(abs(value), _BASES[verb])
    flags = style.flags
    if style.precision is not None:
        digits = digits.rjust(style.precision, "0")
        flags = flags.replace("0", "")
    prefix = "0o" if verb == "O" else _PREFIXES.get(verb, "") if "#" in flags else ""
    if prefix == "0" and digits.startswith("0"):
        prefix = ""
    if prefix and "0" in flags and "-" not in flags:  # the zeros stand behind the prefix
        sign = 1 if value < 0 or "+" in flags or " " in flags else 0
        digits = digits.rjust((style.width or 0) - sign, "0") if prefix != "0" else digits
    return Style(flags, style.width).signed(value < 0, prefix + digits)


# floats


def _float(verb: str, value: float, style: Style) -> str | None:
    form = _FLOATS.get(verb)
    if form is None:
        return None
    text = form(abs(value), style.precision)
    if "#" in style.flags and verb in "vgGeEfF":
        text = _with_point(text, verb, style.precision)
    return style.signed(value < 0, text.upper() if verb in "EGX" else text)


def _general(value: float, precision: int | None) -> str:
    """The shortest form, or one of so many digits."""
    if precision is not None:
        return _exponent(format(value, f".{precision}g"))
    if value == 0 or 1e-4 <= value < 1e6:
        return repr(value).removesuffix(".0")
    return _exponent(format(Decimal(repr(value)).normalize(), "e"))


def _exponent(text: str) -> str:
    """At least two digits of an exponent."""
    mantissa, mark, exponent = text.partition("e")
    return f"{mantissa}e{int(exponent):+03d}" if mark else text


def _fixed(value: float, precision: int | None) -> str:
    return format(value, f".{6 if precision is None else precision}f")


def _scientific(value: float, precision: int | None) -> str:
    return format(value, f".{6 if precision is None else precision}e")


def _binary(value: float, precision: int | None) -> str:
    """The 53 bits of the mantissa, and the power of two."""
    fraction, power = math.frexp(value)
    return f"{int(fraction * 2**53)}p{power - 53:+d}"


def _hexadecimal(value: float, precision: int | None) -> str:
    fraction, power = math.frexp(value)
    mantissa = int(fraction * 2**53)  # one bit before the point, 52 behind it
    if precision is not None and precision < 13:
        unit = 2 ** (52 - 4 * precision)
        mantissa = round(Fraction(mantissa, unit)) * unit
    digits = format(mantissa & (2**52 - 1), "013x")
    digits = digits.rstrip("0") if precision is None else digits[:precision].ljust(precision, "0")
    power = power - 1 if value else 0
    return f"0x{mantissa >> 52}{'.' if digits else ''}{digits}p{power:+03d}"


_FLOATS: Final[dict[str, Callable[[float, int | None], str]]] = {
    "v": _general, "g": _general, "G": _general,
    "f": _fixed, "F": _fixed,
    "e": _scientific, "E": _scientific,
    "b": _binary, "x": _hexadecimal, "X": _hexadecimal,
}  # fmt: skip


def _with_point(text: str, verb: str, precision: int | None) -> str:
    """`#`: a point at all events, and for %g every digit up to the precision."""
    mantissa, mark, exponent = text.partition("e")
    if "." not in mantissa:
        mantissa += "."
    if verb in "vgG":
        digits = len(mantissa.replace(".", "").lstrip("0")) or 1
        mantissa += "0" * ((6 if precision is None else precision) - digits)
    return mantissa + mark + exponent


# strings


def _string(verb: str, text: str, style: Style) -> str | None:
    if style.precision is not None and verb in "vsq":
        text = text[: style.precision]
    if verb in "vs":
        quote = verb == "v" and "#" in style.flags
        return style.padded(quoted(text) if quote else text)
    if verb == "q":
        return style.padded(_quoted(text, style.flags))
    if verb in "xX":
        return style.padded(_octets(verb, text, style))
    return None


def _quoted(text: str, flags: str) -> str:
    raw = all((character.isprintable() or character == "\t") and character not in "`\ufeff" for character in text)
    return f"`{text}`" if "#" in flags and raw else quoted(text, "+" in flags)


def _octets(verb: str, text: str, style: Style) -> str:
    octets = utf8(text)[: style.precision]
    spaced, prefixed = " " in style.flags, "#" in style.flags
    between = (" 0x" if prefixed else " ") if spaced else ""
    written = ("0x" if prefixed and octets else "") + between.join(format(octet, "02x") for octet in octets)
    return written.upper() if verb == "X" else written
