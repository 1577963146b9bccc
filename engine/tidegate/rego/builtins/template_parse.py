"""Go's text/template, read: what stands between `{{` and `}}` as a tree.

Taken are fields, variables, literals, pipelines, functions, `if`, `with`, `range`, `break`, `continue`, comments and
the marks that trim white space. `define`, `template` and `block` are not: one template is all there is.
"""

import re
from typing import Final, TypeAlias

from msgspec import Struct

from tidegate.rego.errors import BuiltinError


class Constant(Struct, frozen=True):
    value: bool | int | float | str | None


class Field(Struct, frozen=True):
    """`.a.b`; with no names, the dot itself."""

    names: tuple[str, ...]


class Variable(Struct, frozen=True):
    name: str
    names: tuple[str, ...]


class Nested(Struct, frozen=True):
    """`(pipeline).a`"""

    pipeline: "Pipeline"
    names: tuple[str, ...]


class Command(Struct, frozen=True):
    function: str | None  # None: the only operand is the value
    operands: tuple["Operand", ...]


class Pipeline(Struct, frozen=True):
    """`$a, $b := first | second`"""

    commands: tuple[Command, ...]
    variables: tuple[str, ...] = ()
    declares: bool = False


Operand: TypeAlias = Constant | Field | Variable | Nested | Command


class Text(Struct, frozen=True):
    text: str


class Action(Struct, frozen=True):
    pipeline: Pipeline


class Branch(Struct, frozen=True):
    """`if`, `with` or `range`"""

    kind: str
    pipeline: Pipeline
    then: tuple["Node", ...]
    otherwise: tuple["Node", ...]


class Jump(Struct, frozen=True):
    """`break` or `continue`"""

    kind: str


Node: TypeAlias = Text | Action | Branch | Jump

FUNCTIONS: Final = frozenset(
    ("and", "or", "not", "eq", "ne", "lt", "le", "gt", "ge", "len", "index", "slice", "print", "printf", "println",
     "html", "urlquery")
)  # fmt: skip
_COMMENT: Final = re.compile(r"\{\{(?:- )?/\*.*?\*/(?P<trim> -)?\}\}", re.DOTALL)
_CLOSE: Final = re.compile(r"(?P<trim>\s-)?\}\}")
_SPACE: Final = re.compile(r"[ \t\r\n]*")
_TOKEN: Final = re.compile(
    r"""(?P<space>\s+)|(?P<string>"(?:[^"\\\n]|\\.)*")|(?P<raw>`[^`]*`)|(?P<char>'(?:[^'\\\n]|\\[^\n]+?)')
    |(?P<number>[+-]?(?:0[xX][0-9a-fA-F_]+|0[bB][01_]+|0[oO][0-7_]+|[0-9][0-9_]*(?:\.[0-9]*)?(?:[eE][+-]?[0-9]+)?))
    |(?P<variable>\$\w*)|(?P<field>\.[^\W\d]\w*)|(?P<dot>\.)|(?P<name>[^\W\d]\w*)|(?P<mark>:=|[=|(),])""",
    re.VERBOSE,
)
_ESCAPE: Final = re.compile(r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-7]{3})|(.))", re.DOTALL)
_ESCAPED: Final = {
    "a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "\\": "\\", "'": "'", '"': '"',
}  # fmt: skip
_LONGEST_INTEGER: Final = 66  # 64 binary digits, and what stands before them
_LITERALS: Final = {"true": True, "false": False, "nil": None}
_BRANCHES: Final = ("if", "with", "range")

Token: TypeAlias = tuple[str, str]
_END: Final[Token] = ("end", "")


def parse(template: str) -> tuple[Node, ...]:
    parser = _Parser(template)
    nodes = parser.nodes(in_range=False)
    if parser.closing is not None:
        raise _unexpected(parser.closing)
    return nodes


def _unexpected(what: str) -> BuiltinError:
    return BuiltinError(f"template: unexpected {{{{{what}}}}}")


class _Parser:
    def __init__(self, template: str) -> None:
        self.template = template
        self.at = 0
        self.closing: str | None = None  # the `end` or `else` that ended the last list of nodes
        self.tokens: list[Token] = []
        self.place = 0
        self.variables = ["$"]

    # text and actions

    def nodes(self, in_range: bool) -> tuple[Node, ...]:
        """The nodes up to an `end`, an `else` or the end of the template."""
        found: list[Node] = []
        self.closing = None
        while self.at < len(self.template):
            self._text(found)
            if self.at == len(self.template):
                break
            if self._comment():
                continue
            self._lex()
            word = self._word()
            if word in ("end", "else"):
                self.closing = word
                return tuple(found)
            found.append(self._node(word, in_range))
        return tuple(found)

    def _text(self, found: list[Node]) -> None:
        """Takes the text before the next action, which is left to be read."""
        end = self.template.find("{{", self.at)
        text = self.template[self.at :] if end < 0 else self.template[self.at : end]
        self.at = len(self.template) if end < 0 else end
        if end >= 0 and self._trims(end):
            text = text.rstrip(" \t\r\n")
        if text:
            found.append(Text(text))

    def _trims(self, begin: int) -> bool:
        return self.template.startswith("-", begin + 2) and self.template[begin + 3 : begin + 4].isspace()

    def _comment(self) -> bool:
        found = _COMMENT.match(self.template, self.at)
        if found is None:
            return False
        self._skip(found)
        return True

    def _skip(self, closed: re.Match[str]) -> None:
        """Goes behind the end of an action, and behind the white space that its mark trims."""
        self.at = closed.end()
        if closed["trim"]:
            self.at = _SPACE.match(self.template, self.at).end()  # type: ignore[union-attr]  # it may be empty

    def _lex(self) -> None:
        """Reads the tokens of one action."""
        self.at += 3 if self._trims(self.at) else 2
        self.tokens, self.place = [], 0
        while (closed := _CLOSE.match(self.template, self.at)) is None:
            token = _TOKEN.match(self.template, self.at)
            if token is None:
                raise BuiltinError("template: unclosed action or unexpected character in it")
            self.tokens.append((str(token.lastgroup), token[0]))
            self.at = token.end()
        self._skip(closed)

    def _node(self, word: str, in_range: bool) -> Node:
        if word in _BRANCHES:
            return self._branch(word, in_range)
        if word in ("break", "continue"):
            self._take()
            if not in_range or not self._is_done():
                raise _unexpected(word)
            return Jump(word)
        if word in ("define", "template", "block"):
            raise BuiltinError(f"template: `{word}` is not supported")
        return Action(self._whole_pipeline())

    def _branch(self, kind: str, in_range: bool) -> Branch:
        known = len(self.variables)
        self._take()
        pipeline = self._whole_pipeline(in_range=kind == "range")
        then = self.nodes(in_range or kind == "range")
        otherwise: tuple[Node, ...] = ()
        if self.closing == "else":
            otherwise = self._otherwise(kind, in_range)
        if self.closing != "end":
            raise BuiltinError("template: unexpected EOF")
        self.closing = None
        del self.variables[known:]
        return Branch(kind, pipeline, then, otherwise)

    def _otherwise(self, kind: str, in_range: bool) -> tuple[Node, ...]:
        self._take()
        if self._is_done():
            return self.nodes(in_range)
        if kind == "range" or self._word() != kind:
            raise _unexpected("else")
        chained = self._branch(kind, in_range)  # `else if`: its `end` is ours too
        self.closing = "end"
        return (chained,)

    # tokens

    def _peek(self) -> Token:
        return self.tokens[self.place] if self.place < len(self.tokens) else _END

    def _take(self) -> Token:
        token = self._peek()
        self.place += 1
        return token

    def _spaces(self) -> None:
        while self._peek()[0] == "space":
            self.place += 1

    def _word(self) -> str:
        self._spaces()
        kind, text = self._peek()
        return text if kind == "name" else ""

    def _is_done(self) -> bool:
        self._spaces()
        return self._peek() is _END

    def _take_mark(self, *marks: str) -> str | None:
        self._spaces()
        kind, text = self._peek()
        if kind != "mark" or text not in marks:
            return None
        self.place += 1
        return text

    # pipelines

    def _whole_pipeline(self, in_range: bool = False) -> Pipeline:
        pipeline = self._pipeline(in_range)
        if not self._is_done():
            raise BuiltinError(f"template: unexpected {self._peek()[1]} in command")
        return pipeline

    def _pipeline(self, in_range: bool = False) -> Pipeline:
        variables, mark = self._declaration(in_range)
        commands = [self._command()]
        while self._take_mark("|"):
            commands.append(self._command())
        if any(command.function is None for command in commands[1:]):
            raise BuiltinError("template: non executable command in pipeline")
        self.variables += variables if mark == ":=" else ()
        return Pipeline(tuple(commands), variables, mark == ":=")

    def _declaration(self, in_range: bool) -> tuple[tuple[str, ...], str | None]:
        """`$x :=`, `$x =`, and in a range `$k, $v :=`; or nothing, and then nothing is taken."""
        begin, names = self.place, []
        self._spaces()
        while self._peek()[0] == "variable":
            names.append(self._take()[1])
            if not in_range or len(names) == 2 or not self._take_mark(","):
                break
            self._spaces()
        mark = self._take_mark(":=", "=") if names else None
        if mark is None:
            self.place = begin
            return (), None
        if mark == "=" and any(name not in self.variables for name in names):
            raise BuiltinError(f"template: undefined variable {names[0]}")
        return tuple(names), mark

    def _command(self) -> Command:
        operands: list[Operand] = []
        while (operand := self._operand()) is not None:
            operands.append(operand)
        if not operands:
            raise BuiltinError("template: missing value for command")
        first, *rest = operands
        if isinstance(first, Command):
            return Command(first.function, tuple(rest))
        if rest:
            raise BuiltinError("template: only a function can be given arguments")
        return Command(None, (first,))

    def _operand(self) -> Operand | None:
        self._spaces()
        if self._take_mark("("):
            pipeline = self._pipeline()
            if not self._take_mark(")"):
                raise BuiltinError("template: unclosed left paren")
            return Nested(pipeline, self._names())
        kind, text = self._peek()
        if kind in ("end", "mark"):
            return None
        self._take()
        match kind:
            case "dot":
                return Field(())
            case "field":
                return Field((text[1:], *self._names()))
            case "variable":
                if text not in self.variables:
                    raise BuiltinError(f"template: undefined variable {text}")
                return Variable(text, self._names())
            case "name" if text not in _LITERALS:
                if text not in FUNCTIONS:
                    raise BuiltinError(f"template: function `{text}` is not defined")
                return Command(text, ())
        return Constant(_constant(kind, text))

    def _names(self) -> tuple[str, ...]:
        """The fields that follow without a space."""
        names = []
        while self._peek()[0] == "field":
            names.append(self._take()[1][1:])
        return tuple(names)


def _constant(kind: str, text: str) -> bool | int | float | str | None:
    match kind:
        case "name":
            return _LITERALS[text]
        case "string":
            return _unquoted(text[1:-1])
        case "raw":
            return text[1:-1]
        case "char":
            return ord(_unquoted(text[1:-1]))
    digits = text.replace("_", "")
    if digits.lstrip("+-")[:2].lower() not in ("0x", "0b", "0o") and set(digits) & set(".eE"):
        return float(digits)
    if len(digits) > _LONGEST_INTEGER:
        raise BuiltinError("template: integer overflow")
    return int(digits, 0 if digits.lstrip("+-")[1:2].isalpha() else 10)


def _unquoted(text: str) -> str:
    return _ESCAPE.sub(_unescaped, text)


def _unescaped(found: re.Match[str]) -> str:
    *codes, octal, letter = found.groups()
    code = next((int(each, 16) for each in codes if each), int(octal, 8) if octal else None)
    if code is None:
        if letter not in _ESCAPED:
            raise BuiltinError(f"template: bad escape \\{letter}")
        return _ESCAPED[letter]
    if code > 0x10FFFF or 0xD800 <= code < 0xE000:
        raise BuiltinError("template: bad escape")
    return chr(code)
