"""JSON text, as Go's encoding/json writes it: no spaces, keys in order, `<`, `>` and `&` escaped."""

from typing import Any, Final

from tidegate.rego.builtins import builtin
from tidegate.rego.builtins.operands import boolean, object_, string
from tidegate.rego.builtins.text import weight
from tidegate.rego.errors import BuiltinError, OperandError
from tidegate.rego.evaluation import Evaluation
from tidegate.rego.values import Value, from_json, json_text, to_json

_ESCAPED: Final = str.maketrans({character: f"\\u{ord(character):04x}" for character in "<>&\u2028\u2029"})


def marshalled(value: Value) -> str:
    # None of the five stands in JSON outside of a string.
    return json_text(value).translate(_ESCAPED)


@builtin("json.marshal", "x: any -> y: string", evaluation=True)
def marshal(evaluation: Evaluation, x: Value) -> str:
    evaluation.spend(weight(x))
    return marshalled(x)


@builtin(
    "json.marshal_with_options",
    "x: any, opts: object<indent: string, prefix: string, pretty: boolean>[string: any] -> y: string",
    evaluation=True,
)
def marshal_with_options(evaluation: Evaluation, x: Value, options: Value) -> str:
    """On several lines where `pretty` says so, or where it says nothing and an indent or a prefix is given."""
    name = "json.marshal_with_options"
    evaluation.spend(weight(x))
    given = object_(name, 2, options)
    for option in given:
        if option not in ("indent", "prefix", "pretty"):
            raise OperandError(f"{name}: object contained unknown key {json_text(option)}")
    indent = string(name, 2, given.get("indent", "\t"))
    prefix = string(name, 2, given.get("prefix", ""))
    if not boolean(name, 2, given.get("pretty", "indent" in given or "prefix" in given)):
        return marshalled(x)
    return prefix + "".join(_Lines(evaluation, indent, prefix).of(to_json(x), 0))


class _Lines:
    """The pieces of an indented document."""

    def __init__(self, evaluation: Evaluation, indent: str, prefix: str) -> None:
        self.evaluation = evaluation
        self.indent = indent
        self.prefix = prefix

    def of(self, document: Any, depth: int) -> list[str]:
        if not isinstance(document, dict | list) or not document:
            return [marshalled(document)]
        if isinstance(document, list):
            begin, end = "[]"
            members = [("", held) for held in document]
        else:
            begin, end = "{}"
            members = [(f"{marshalled(name)}: ", held) for name, held in sorted(document.items())]
        pieces = [begin]
        for at, (label, held) in enumerate(members):
            pieces += [",", self.line(depth + 1), label] if at else [self.line(depth + 1), label]
            pieces += self.of(held, depth + 1)
        return [*pieces, self.line(depth), end]

    def line(self, depth: int) -> str:
        self.evaluation.spend(1 + (len(self.prefix) + depth * len(self.indent)) // 8)
        return "\n" + self.prefix + self.indent * depth


@builtin("json.unmarshal", "x: string -> y: any")
def unmarshal(x: Value) -> Value:
    try:
        return from_json(string("json.unmarshal", 1, x))
    except (ValueError, ArithmeticError, RecursionError) as error:
        raise BuiltinError(f"json.unmarshal: {error}") from None


@builtin("json.is_valid", "x: string -> result: boolean")
def is_valid(x: Value) -> bool:
    if type(x) is not str:
        return False
    try:
        from_json(x)
    except (ValueError, ArithmeticError, RecursionError):
        return False
    return True
