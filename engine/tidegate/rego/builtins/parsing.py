"""rego.parse_module: a module's syntax tree as the JSON that OPA writes of its own, without positions and comments."""

from collections.abc import Callable, Iterable
from typing import Any, Final

from tidegate.rego import ast
from tidegate.rego.builtins import builtin
from tidegate.rego.builtins.operands import string
from tidegate.rego.errors import BuiltinError, PolicyRefused
from tidegate.rego.evaluation import Evaluation
from tidegate.rego.parser import parse
from tidegate.rego.source import Source
from tidegate.rego.values import Value, json_text

Document = dict[str, Value]

_MEMBER: Final = (("internal", "member_2"), ("internal", "member_3"))


@builtin("rego.parse_module", "filename: string, rego: string -> object[string: any]", evaluation=True)
def parse_module(evaluation: Evaluation, filename: Value, rego: Value) -> Value:
    source = Source(string("rego.parse_module", 1, filename), string("rego.parse_module", 2, rego))
    evaluation.spend(len(source.text))
    try:
        return _Writing(source.text).module(parse(source))
    except PolicyRefused as refused:
        problem = refused.problems[0]
        raise BuiltinError(f"{source.name}:{problem.line}: {problem.code}: {problem.message}") from None
    except RecursionError:
        raise BuiltinError(f"{source.name}: the module is nested too deeply") from None


def _typed(kind: str, value: Value) -> Document:
    return {"type": kind, "value": value}


def _path(names: Iterable[str]) -> list[Document]:
    first, *rest = names
    return [_typed("var", first), *(_typed("string", name) for name in rest)]


class _Writing:
    """One module on its way; its wildcards are numbered."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.wildcards = 0

    def module(self, module: ast.Module) -> Document:
        document: Document = {"package": {"path": _path(module.package)}}
        if module.imports:
            document["imports"] = [self._import(each) for each in module.imports]
        if module.rules:
            document["rules"] = [self._rule(each) for each in module.rules]
        return document

    def _import(self, written: ast.Import) -> Document:
        document: Document = {"path": _typed("ref", _path(written.path))}
        if written.alias not in (None, written.path[-1]):
            document["alias"] = written.alias
        return document

    def _rule(self, rule: ast.Rule) -> Document:
        document: Document = {"head": self._head(rule.head), "body": self._body(rule.body)}
        if rule.default:
            document["default"] = True
        if rule.otherwise is not None:
            document["else"] = self._rule(rule.otherwise)
        return document

    def _head(self, head: ast.Head) -> Document:
        path = [head.path.name] if isinstance(head.path, ast.Var) else None
        document: Document = {"ref": _path(path) if path else self._term(head.path)["value"]}
        if path:
            document["name"] = path[0]
        before = head.path.end
        if head.args is not None:
            document["args"] = [self._term(argument) for argument in head.args]
            before = max([before, *(argument.end for argument in head.args)])
        if head.key is not None:
            document["key"] = self._term(head.key)
        if head.value is not None:
            document["value"] = self._term(head.value)
            if ":=" in self.text[before : head.value.start]:
                document["assign"] = True
        return document

    def _body(self, body: ast.Body) -> list[Document]:
        """A rule without one has `true`."""
        if not body:
            return [{"index": 0, "terms": _typed("boolean", True)}]
        return [{"index": index, **self._statement(statement)} for index, statement in enumerate(body)]

    def _statement(self, statement: ast.Statement) -> Document:
        document: Document
        match statement:
            case ast.Some():
                document = {"terms": {"symbols": [self._term(name) for name in statement.names]}}
            case ast.SomeIn():
                sought = [each for each in (statement.key, statement.value, statement.domain) if each is not None]
                document = {"terms": {"symbols": [_typed("call", self._call(_MEMBER[len(sought) - 2], sought))]}}
            case ast.Every():
                terms = {
                    "key": None if statement.key is None else self._term(statement.key),
                    "value": self._term(statement.value),
                    "domain": self._term(statement.domain),
                    "body": self._body(statement.body),
                }
                document = {"terms": terms}
            case ast.Expression(term=ast.Call(name=name, args=args)):
                document = {"terms": self._call(name, args)}
            case _:
                document = {"terms": self._term(statement.term)}
        if isinstance(statement, ast.Expression) and statement.negated:
            document["negated"] = True
        if not isinstance(statement, ast.Some) and statement.modifiers:
            document["with"] = [
                {"target": self._term(each.target), "value": self._term(each.value)} for each in statement.modifiers
            ]
        return document

    def _call(self, name: tuple[str, ...], args: Iterable[ast.Term]) -> list[Document]:
        return [_typed("ref", _path(name)), *map(self._term, args)]

    # terms

    def _term(self, term: ast.Term) -> Document:
        return _TERMS[type(term)](self, term)

    def _scalar(self, term: ast.Scalar) -> Document:
        value = term.value
        if value is None:
            return _typed("null", {})  # as Go writes a structure without fields
        return _typed("string" if isinstance(value, str) else "boolean" if isinstance(value, bool) else "number", value)

    def _variable(self, term: ast.Var) -> Document:
        if term.name == "_":
            self.wildcards += 1
            return _typed("var", f"${self.wildcards - 1}")
        variable = _typed("var", term.name)
        return _typed("ref", [variable]) if term.name in ("data", "input") else variable

    def _ref(self, term: ast.Ref) -> Document:
        head = _typed("var", term.head.name) if isinstance(term.head, ast.Var) else self._term(term.head)
        return _typed("ref", [head, *map(self._term, term.path)])

    def _object(self, term: ast.Object) -> Document:
        pairs = [[self._term(name), self._term(value)] for name, value in term.pairs]
        return _typed("object", sorted(pairs, key=lambda pair: _order(pair[0])))

    def _template(self, term: ast.Template) -> Document:
        raise BuiltinError("the syntax tree of a template string is not shown")


_TERMS: Final[dict[type[ast.Node], Callable[[Any, Any], Document]]] = {
    ast.Scalar: _Writing._scalar,
    ast.Var: _Writing._variable,
    ast.Ref: _Writing._ref,
    ast.Call: lambda to, term: _typed("call", to._call(term.name, term.args)),
    ast.Array: lambda to, term: _typed("array", list(map(to._term, term.elements))),
    ast.Object: _Writing._object,
    ast.Set: lambda to, term: _typed("set", sorted(map(to._term, term.elements), key=_order)),
    ast.ArrayComprehension: lambda to, term: _typed(
        "arraycomprehension", {"term": to._term(term.element), "body": to._body(term.body)}
    ),
    ast.SetComprehension: lambda to, term: _typed(
        "setcomprehension", {"term": to._term(term.element), "body": to._body(term.body)}
    ),
    ast.ObjectComprehension: lambda to, term: _typed(
        "objectcomprehension", {"key": to._term(term.key), "value": to._term(term.value), "body": to._body(term.body)}
    ),
    ast.Template: _Writing._template,
}
_RANKS: Final = {
    kind: rank
    for rank, kind in enumerate(
        ("null", "boolean", "number", "string", "var", "ref", "array", "object", "set", "arraycomprehension",
         "objectcomprehension", "setcomprehension", "call")
    )
}  # fmt: skip


def _order(term: Document) -> tuple[Any, ...]:
    """A key for Rego's order of terms: by kind, then by content."""
    kind, value = term["type"], term["value"]
    if kind in ("null", "arraycomprehension", "objectcomprehension", "setcomprehension"):
        return (_RANKS[kind], json_text(value))
    if kind == "object":
        return (_RANKS[kind], [_order(name) for name, _ in value], [_order(held) for _, held in value])
    return (_RANKS[kind], [_order(each) for each in value] if isinstance(value, list) else value)
