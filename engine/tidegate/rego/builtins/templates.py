"""strings.render_template: Go's text/template over the JSON document of an object.

A number of the object is Go's json.Number, which is a string to templates: `eq .n 1` compares two kinds and fails, and
no number of the object counts as empty. What is not there, and null, is written `<undefined>`.
"""

import html
import re
from collections.abc import Callable, Iterable
from typing import Any, Final
from urllib.parse import quote_plus

from tidegate.rego.builtins import builtin
from tidegate.rego.builtins.operands import object_, string
from tidegate.rego.builtins.sprintf import sprintf
from tidegate.rego.builtins.template_parse import (
    Action,
    Branch,
    Command,
    Constant,
    Field,
    Jump,
    Nested,
    Node,
    Operand,
    Pipeline,
    Text,
    Variable,
    parse,
)
from tidegate.rego.builtins.text import utf8
from tidegate.rego.errors import BuiltinError
from tidegate.rego.evaluation import Evaluation
from tidegate.rego.values import NUMBERS, RegoSet, Value, json_text, number_text, unkey, whole

_UNDEFINED: Final = "<undefined>"
_VERB: Final = re.compile(r"%[-+# 0-9.*\[\]]*(.)", re.DOTALL)


class _JsonNumber(str):
    """A number of the document: its text."""

    __slots__ = ()


class _Missing:
    """The value of a key that is not there."""


_MISSING: Final = _Missing()


@builtin("strings.render_template", "value: string, vars: object[string: any] -> string", evaluation=True)
def render_template(evaluation: Evaluation, template: Value, variables: Value) -> str:
    name = "strings.render_template"
    text = string(name, 1, template)
    evaluation.spend(1 + len(text) // 8 + evaluation.weigh(object_(name, 2, variables)))
    try:
        document = _document(variables)
        rendering = _Rendering(evaluation, document)
        rendering.walk(parse(text), document)
    except RecursionError:
        raise BuiltinError("template: nested too deeply") from None
    return "".join(rendering.written)


def _document(value: Value) -> Any:
    kind = type(value)
    if kind is dict:
        return {name if type(name) is str else json_text(unkey(name)): _document(held) for name, held in value.items()}
    if kind is list:
        return [_document(held) for held in value]
    if kind is RegoSet:
        raise BuiltinError("a set is no value for a template")
    return _JsonNumber(number_text(value)) if kind in NUMBERS else value


class _Rendering:
    def __init__(self, evaluation: Evaluation, document: Any) -> None:
        self.evaluation = evaluation
        self.written: list[str] = []
        self.variables: list[tuple[str, Any]] = [("$", document)]

    def walk(self, nodes: Iterable[Node], dot: Any) -> str | None:
        """Writes the nodes; gives `break` or `continue` where one of them stopped it."""
        for node in nodes:
            self.evaluation.spend(1)
            if isinstance(node, Text):
                self._write(node.text)
            elif isinstance(node, Jump):
                return node.kind
            elif isinstance(node, Action):
                value = self._value(node.pipeline, dot)
                if not node.pipeline.variables:
                    self._write(_shown(value))
            elif (jump := self._branch(node, dot)) is not None:
                return jump
        return None

    def _write(self, text: str) -> None:
        self.evaluation.spend(len(text) // 8)
        self.written.append(text)

    def _branch(self, branch: Branch, dot: Any) -> str | None:
        known = len(self.variables)
        if branch.kind == "range":
            jump = self._range(branch, dot)
        else:
            value = self._value(branch.pipeline, dot)
            inside = value if branch.kind == "with" else dot
            jump = self.walk(branch.then, inside) if _is_true(value) else self.walk(branch.otherwise, dot)
        del self.variables[known:]
        return jump

    def _range(self, branch: Branch, dot: Any) -> str | None:
        names = branch.pipeline.variables
        members = _members(self._of_commands(branch.pipeline.commands, dot))
        known = len(self.variables)
        is_empty = True
        for place, member in members:
            is_empty = False
            self.evaluation.spend(1)
            given = (
                ((names[0], place), (names[1], member)) if len(names) == 2 else ((names[0], member),) if names else ()
            )
            for name, value in given:
                self._set(name, value, branch.pipeline.declares)
            jump = self.walk(branch.then, member)
            del self.variables[known:]
            if jump == "break":
                break
        return self.walk(branch.otherwise, dot) if is_empty else None

    def _set(self, name: str, value: Any, declares: bool) -> None:
        if declares:
            self.variables.append((name, value))
            return
        place = next(place for place in reversed(range(len(self.variables))) if self.variables[place][0] == name)
        self.variables[place] = (name, value)

    # values

    def _value(self, pipeline: Pipeline, dot: Any) -> Any:
        value = self._of_commands(pipeline.commands, dot)
        for name in pipeline.variables:
            self._set(name, value, pipeline.declares)
        return value

    def _of_commands(self, commands: tuple[Command, ...], dot: Any) -> Any:
        value: Any = None
        for place, command in enumerate(commands):
            if command.function is None:
                value = self._operand(command.operands[0], dot)
            else:
                value = self._call(command, dot, (value,) if place else ())
        return value

    def _call(self, command: Command, dot: Any, piped: tuple[Any, ...]) -> Any:
        name = str(command.function)
        if name in ("and", "or"):
            return self._first(name == "or", command.operands, dot, piped)
        operands = [self._operand(operand, dot) for operand in command.operands]
        return _FUNCTIONS[name](self.evaluation, *operands, *piped)

    def _first(self, wanted: bool, operands: tuple[Operand, ...], dot: Any, piped: tuple[Any, ...]) -> Any:
        """The first operand that decides, or the last one; those behind it are not looked at."""
        value: Any = None
        for operand in operands:
            value = self._operand(operand, dot)
            if _is_true(value) is wanted:
                return value
        if not operands and not piped:
            raise BuiltinError("template: wrong number of args for and, or: want at least 1 got 0")
        return piped[0] if piped else value

    def _operand(self, operand: Operand, dot: Any) -> Any:
        if isinstance(operand, Constant):
            return operand.value
        if isinstance(operand, Field):
            return _member(dot, operand.names)
        if isinstance(operand, Variable):
            value = next(value for name, value in reversed(self.variables) if name == operand.name)
            return _member(value, operand.names)
        if isinstance(operand, Nested):
            return _member(self._value(operand.pipeline, dot), operand.names)
        return self._call(operand, dot, ())


def _member(value: Any, names: tuple[str, ...]) -> Any:
    for name in names:
        if value is _MISSING:
            return value
        if not isinstance(value, dict):
            raise BuiltinError(f"template: can't evaluate field {name} in {_kind(value)}")
        value = value.get(name, _MISSING)
    return value


def _members(value: Any) -> Iterable[tuple[Any, Any]]:
    if isinstance(value, dict):
        return sorted(value.items())
    if isinstance(value, list):
        return enumerate(value)
    if type(value) is int:
        return ((place, place) for place in range(value))
    if value is _MISSING:
        return ()
    raise BuiltinError(f"template: range can't iterate over {_kind(value)}")


def _kind(value: Any) -> str:
    """The kind of a value, as far as comparisons tell kinds apart."""
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, str):
        return "string"
    return "nil" if value is None or value is _MISSING else type(value).__name__


def _is_true(value: Any) -> bool:
    return value is not _MISSING and bool(value)


def _shown(value: Any) -> str:
    """A value as an action writes it."""
    return _UNDEFINED if value is None or value is _MISSING else _go_text(value)


def _go_text(value: Any) -> str:
    """A value as Go's `%v` writes it."""
    if isinstance(value, dict):
        return "map[" + " ".join(f"{name}:{_go_text(held)}" for name, held in sorted(value.items())) + "]"
    if isinstance(value, list):
        return "[" + " ".join(map(_go_text, value)) + "]"
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return "<nil>" if value is None or value is _MISSING else number_text(whole(value))


# functions; each takes the evaluation first

_Function = Callable[..., Any]


def _expect(name: str, operands: tuple[Any, ...], count: int) -> None:
    if len(operands) != count:
        raise BuiltinError(f"template: wrong number of args for {name}: want {count} got {len(operands)}")


def _not(_: Evaluation, *operands: Any) -> bool:
    _expect("not", operands, 1)
    return not _is_true(operands[0])


def _equals(one: Any, other: Any) -> bool:
    if _kind(one) in ("list", "dict") or _kind(other) in ("list", "dict"):
        raise BuiltinError("template: error calling eq: non-comparable type")
    if "nil" not in (_kind(one), _kind(other)) and _kind(one) != _kind(other):
        raise BuiltinError("template: error calling eq: incompatible types for comparison")
    return _kind(one) == _kind(other) and (_kind(one) == "nil" or bool(one == other))


def _eq(_: Evaluation, *operands: Any) -> bool:
    if len(operands) < 2:
        raise BuiltinError("template: error calling eq: missing argument for comparison")
    return any(_equals(operands[0], other) for other in operands[1:])


def _ne(_: Evaluation, *operands: Any) -> bool:
    _expect("ne", operands, 2)
    return not _equals(*operands)


def _order(name: str, holds: Callable[[Any, Any], bool]) -> _Function:
    def compare(_: Evaluation, *operands: Any) -> bool:
        _expect(name, operands, 2)
        one, other = operands
        if _kind(one) != _kind(other) or _kind(one) not in ("int", "float", "string"):
            raise BuiltinError(f"template: error calling {name}: incompatible types for comparison")
        return holds(one, other)

    return compare


def _len(_: Evaluation, *operands: Any) -> int:
    _expect("len", operands, 1)
    if not isinstance(operands[0], str | list | dict):
        raise BuiltinError(f"template: error calling len: len of type {_kind(operands[0])}")
    return len(utf8(operands[0])) if isinstance(operands[0], str) else len(operands[0])


def _index(_: Evaluation, *operands: Any) -> Any:
    if not operands:
        raise BuiltinError("template: wrong number of args for index: want at least 1 got 0")
    value = operands[0]
    for index in operands[1:]:
        if isinstance(value, dict) and isinstance(index, str):
            value = value.get(index, _MISSING)
        elif isinstance(value, list) and type(index) is int and 0 <= index < len(value):
            value = value[index]
        else:
            raise BuiltinError(f"template: error calling index: cannot index {_kind(value)} with {_kind(index)}")
    return value


def _slice(_: Evaluation, *operands: Any) -> Any:
    value, *bounds = operands or (None,)
    size = len(value) if isinstance(value, list | str) else -1
    begin, end = [*bounds, *(0, size)[len(bounds) :]][:2] if len(bounds) <= 2 else (-1, -1)
    if type(begin) is not int or type(end) is not int or not 0 <= begin <= end <= size:
        raise BuiltinError(f"template: error calling slice: cannot slice {_kind(value)} so")
    if isinstance(value, str) and not value.isascii():
        raise BuiltinError("template: error calling slice: only ASCII strings are sliced")
    return value[begin:end]


def _print(evaluation: Evaluation, *operands: Any) -> str:
    """With a space between two operands of which none is a string."""
    texts: list[str] = []
    was_string = True
    for operand in operands:
        is_string = isinstance(operand, str)
        texts += [" "] if texts and not is_string and not was_string else []
        texts.append(_go_text(operand))
        was_string = is_string
    evaluation.spend(sum(map(len, texts)) // 8)
    return "".join(texts)


def _println(evaluation: Evaluation, *operands: Any) -> str:
    texts = list(map(_go_text, operands))
    evaluation.spend(sum(map(len, texts)) // 8)
    return " ".join(texts) + "\n"


def _printf(evaluation: Evaluation, *operands: Any) -> str:
    if not operands or not isinstance(operands[0], str):
        raise BuiltinError("template: printf needs a format")
    directives = [found for found in _VERB.finditer(operands[0]) if found[1] != "%"]
    in_order = not any("[" in found[0] or "*" in found[0] for found in directives)
    given = []
    for place, operand in enumerate(operands[1:]):
        if type(operand) not in (str, int, float):
            meant = directives[place : place + 1] if in_order else directives
            allowed = "vsq" if isinstance(operand, _JsonNumber) else "v"
            if any(found[1] not in allowed for found in meant):
                raise BuiltinError(f"template: printf is not supported for this verb and {_kind(operand)}")
            operand = _go_text(operand)
        given.append(operand)
    return sprintf(evaluation, operands[0], given)


def _escaping(escape: Callable[[str], str]) -> _Function:
    def function(evaluation: Evaluation, *operands: Any) -> str:
        return escape(_print(evaluation, *operands))

    return function


def _html(text: str) -> str:
    return html.escape(text).replace("&quot;", "&#34;").replace("&#x27;", "&#39;").replace("\0", "�")


_FUNCTIONS: Final[dict[str, _Function]] = {
    "not": _not,
    "eq": _eq,
    "ne": _ne,
    "lt": _order("lt", lambda one, other: bool(one < other)),
    "le": _order("le", lambda one, other: bool(one <= other)),
    "gt": _order("gt", lambda one, other: bool(one > other)),
    "ge": _order("ge", lambda one, other: bool(one >= other)),
    "len": _len,
    "index": _index,
    "slice": _slice,
    "print": _print,
    "println": _println,
    "printf": _printf,
    "html": _escaping(_html),
    "urlquery": _escaping(lambda text: quote_plus(utf8(text))),
}
