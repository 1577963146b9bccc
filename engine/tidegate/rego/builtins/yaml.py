"""YAML as Go's sigs.k8s.io/yaml has it: what JSON can say, every key a string, dates stay strings.

Aliases are followed, and every node that they stand for is paid for from the budget, so that a small text cannot
become an endless document.
"""

import re
from base64 import b64decode
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, Final

import yaml

from tidegate.rego.builtins import builtin
from tidegate.rego.builtins.operands import string
from tidegate.rego.builtins.text import from_utf8, weight
from tidegate.rego.errors import BuiltinError
from tidegate.rego.evaluation import Evaluation
from tidegate.rego.values import COLLECTIONS, Value, json_text, number, number_text, to_json

_DEEPEST: Final = 100  # nested collections
_FAILURES: Final = (yaml.YAMLError, ValueError, ArithmeticError, RecursionError)

_CONSTANTS: Final[dict[str, Value]] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE", "yes", "Yes", "YES", "on", "On", "ON", "y", "Y"), True),
    **dict.fromkeys(("false", "False", "FALSE", "no", "No", "NO", "off", "Off", "OFF", "n", "N"), False),
}
_DECIMAL: Final = re.compile(r"[-+]?(?:\d[\d_]*\.?[\d_]*|\.\d+)(?:[eE][-+]?\d+)?", re.ASCII).fullmatch
_WHOLE: Final = re.compile(r"[-+]?0(?:x[0-9a-fA-F_]+|o?[0-7_]+|b[01_]+)", re.ASCII).fullmatch


@builtin("yaml.marshal", "x: any -> y: string", evaluation=True)
def marshal(evaluation: Evaluation, x: Value) -> str:
    evaluation.spend(weight(x) * 16)  # PyYAML takes its time
    written: str = yaml.dump(
        to_json(x), Dumper=_Dumper, default_flow_style=False, allow_unicode=True, width=float("inf")
    )
    return written.removesuffix("...\n")


@builtin("yaml.unmarshal", "x: string -> y: any", evaluation=True)
def unmarshal(evaluation: Evaluation, x: Value) -> Value:
    text = string("yaml.unmarshal", 1, x)
    try:
        return _Document(evaluation).read(text)
    except _FAILURES as error:
        raise BuiltinError(f"yaml.unmarshal: {_described(error)}") from None


@builtin("yaml.is_valid", "x: string -> result: boolean", evaluation=True)
def is_valid(evaluation: Evaluation, x: Value) -> bool:
    if type(x) is not str:
        return False
    try:
        _Document(evaluation).read(x)
    except _FAILURES:
        return False
    return True


def _described(error: Exception) -> str:
    """In libyaml's words, with the line that Go gives: that of the context, if there is one, counted as Go counts."""
    if not isinstance(error, yaml.MarkedYAMLError):
        return f"yaml: {error}"
    marks = [mark.line for mark in (error.context_mark, error.problem_mark) if mark is not None and mark.line]
    line = f"line {marks[0] + isinstance(error, yaml.scanner.ScannerError)}: " if marks else ""
    return f"yaml: {line}{error.problem}"


class _Document:
    """The value of a text, made of libyaml's events, which costs C no stack however deep it is nested."""

    def __init__(self, evaluation: Evaluation) -> None:
        self.evaluation = evaluation
        self.events: Iterator[Any] = iter(())
        self.anchors: dict[str, tuple[Value, int]] = {}  # values, and of how many nodes they are
        self.nodes = 0

    def read(self, text: str) -> Value:
        """Only the first document counts."""
        self.events = yaml.parse(text, Loader=yaml.CSafeLoader)
        for event in self.events:
            if isinstance(event, yaml.NodeEvent):
                return self.node(event, 0)
        return None

    def node(self, event: Any, depth: int) -> Value:
        if isinstance(event, yaml.AliasEvent):
            return self.alias(event)
        if depth > _DEEPEST:
            raise ValueError("nested too deep")
        before = self.nodes
        self.pay(1)
        value: Value
        if isinstance(event, yaml.ScalarEvent):
            value = _scalar(event)
        elif isinstance(event, yaml.SequenceStartEvent):
            value = [self.node(member, depth + 1) for member in self.until(yaml.SequenceEndEvent)]
        else:
            value = self.mapping(depth)
        if event.anchor:
            self.anchors[event.anchor] = value, self.nodes - before
        return value

    def alias(self, event: Any) -> Value:
        if event.anchor not in self.anchors:
            raise ValueError(f"unknown anchor `{event.anchor}` referenced")
        value, nodes = self.anchors[event.anchor]
        self.pay(nodes)
        return value

    def pay(self, nodes: int) -> None:
        self.nodes += nodes
        self.evaluation.spend(nodes)

    def until(self, end: type) -> Iterator[Any]:
        for event in self.events:
            if isinstance(event, end):
                return
            yield event

    def mapping(self, depth: int) -> dict[Any, Value]:
        """`<<` takes in the fields of other mappings; those that stand here come first."""
        own: dict[Any, Value] = {}
        taken: dict[Any, Value] = {}
        for event in self.until(yaml.MappingEndEvent):
            merge = isinstance(event, yaml.ScalarEvent) and event.value == "<<" and event.implicit[0]
            name = self.node(event, depth + 1)
            value = self.node(next(self.events), depth + 1)
            if merge:
                for one in reversed(value if type(value) is list else [value]):
                    if type(one) is not dict:
                        raise ValueError("map merge requires map or sequence of maps as the value")
                    taken |= one
            elif name is None or type(name) in COLLECTIONS:
                raise ValueError("a key must be a string, a number or a boolean")
            else:
                own[name if type(name) is str else json_text(name)] = value
        return taken | own


def _scalar(event: Any) -> Value:
    tag = (event.tag or "").removeprefix("tag:yaml.org,2002:")
    if tag == "binary":
        return from_utf8(b64decode(event.value))
    plain = event.implicit[0] or tag in ("int", "float", "bool", "null")
    return _resolved(event.value) if plain else event.value


def _resolved(text: str) -> Value:
    """What a text without quotes is."""
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if _WHOLE(text):
        return _whole(text.replace("_", ""))
    if _DECIMAL(text):
        return number(text.replace("_", ""))
    if text.lstrip("+-").lower() in (".inf", ".nan"):
        raise ValueError(f"`{text}` is not JSON")
    return text


def _whole(text: str) -> int:
    """Octal numbers may do without the `o`."""
    digits = text.lstrip("+-")
    value = int(digits, 0) if digits[1] in "xbo" else int(digits, 8)
    return -value if text.startswith("-") else value


class _Dumper(yaml.SafeDumper):
    """Writes shared parts out each time, and quotes as Go does."""

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def text(self, data: str) -> yaml.ScalarNode:
        tag = self.resolve(yaml.ScalarNode, data, (True, False))  # type: ignore[no-untyped-call]
        plain = tag == _STRING and type(_resolved(data)) is str
        style = "|" if "\n" in data else None if plain else '"'
        return self.represent_scalar(_STRING, data, style=style)

    def decimal(self, data: Any) -> yaml.ScalarNode:
        return self.represent_scalar("tag:yaml.org,2002:float", number_text(data))


_STRING: Final = "tag:yaml.org,2002:str"
_Dumper.add_representer(str, _Dumper.text)
_Dumper.add_representer(float, _Dumper.decimal)
_Dumper.add_representer(Decimal, _Dumper.decimal)
