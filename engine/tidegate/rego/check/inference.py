"""The types of terms, as far as literals, rules, builtins and the input's schema tell them, and where they cannot fit.

What is reported can never have a value: a comparison of types without a common value, an operand that a builtin does
not take, a reference into something that has no such member. Wherever it is not known, the type is any and nothing is
reported. A statement with `with` sees other documents than the rest, so there only its own terms are known.
"""

from collections.abc import Callable, Iterable
from typing import Any, Final

from tidegate.rego import ast, types, values
from tidegate.rego.builtins import TABLE
from tidegate.rego.check.calls import written
from tidegate.rego.check.findings import Findings
from tidegate.rego.check.places import Definition, Place, path_of
from tidegate.rego.source import Source
from tidegate.rego.suggest import did_you_mean, listed
from tidegate.rego.types import ANY, BOOLEAN, STRING, ArrayOf, ObjectOf, SetOf, Type, bounded, one_of

CODE: Final = "rego_type_error"
LONGEST: Final = 60  # characters of a type in a message; what is longer is told by its kind
MATCHES: Final = frozenset((("eq",), ("assign",), ("equal",)))
PATTERNS: Final = frozenset((ast.Array, ast.Object))


class Types:
    """What is known of the rules so far."""

    def __init__(self, root: Place, input_type: Type, findings: Findings) -> None:
        self.root = root
        self.input_type = input_type
        self.findings = findings
        self.results: dict[Place, Type] = {}

    def add(self, place: Place, broken: Callable[[Definition], bool]) -> None:
        """Checks the rules of a place; those that they read come before them."""
        found: list[Type] = []
        for definition in place.definitions:
            if broken(definition):
                found.append(ANY)
            else:
                found += [
                    Inference(self, definition.module.source).branch(each, definition) for each in definition.branches
                ]
        self.results[place] = _result(place, found)


def _result(place: Place, found: list[Type]) -> Type:
    kinds = {"object" if each.is_open else each.rule.head.kind for each in place.definitions}
    if kinds == {"set"}:
        return bounded(SetOf(one_of(found)))
    if kinds == {"object"}:
        pairs = [types.entries(each) or (ANY, ANY) for each in found]
        return bounded(ObjectOf(rest=(one_of(key for key, _ in pairs), one_of(held for _, held in pairs))))
    return one_of(found) if len(kinds) == 1 else ANY


class Inference:
    """The types in one rule or query, statement by statement."""

    def __init__(self, known: Types, source: Source) -> None:
        self.known = known
        self.source = source
        self.input_type = known.input_type
        self.is_mocked = False  # rules and functions are not what they are elsewhere
        self.variables: dict[str, Type] = {}

    def branch(self, rule: ast.Rule, definition: Definition) -> Type:
        """The type that a rule gives its place: its value, its set's element, or for an open name an object."""
        self.body(rule.body)
        head = rule.head
        path = [part for part in path_of(rule) if type(part) is not ast.Scalar]
        keys = [self.term(part) for part in path]
        if head.kind == "set":
            assert head.key is not None
            result = self.term(head.key)
        else:
            result = self.term(head.value) if head.value is not None else BOOLEAN
        if not definition.is_open:
            return result
        is_flat = len(keys) == 1 and path_of(rule)[-1] is path[0] and head.kind == "value"
        return ObjectOf(rest=(keys[0], result) if is_flat else (ANY, ANY))

    # statements

    def body(self, body: Iterable[Any]) -> None:
        for statement in body:
            if type(statement) is not ast.Some and statement.modifiers:
                self._modified(statement)
            else:
                _STATEMENT[type(statement)](self, statement)

    def _modified(self, statement: Any) -> None:
        before = self.input_type, self.is_mocked
        for modifier in statement.modifiers:
            self.term(modifier.value)
        targets = [each.target.head if type(each.target) is ast.Ref else each.target for each in statement.modifiers]
        if any(type(target) is ast.Var and target.name == "input" for target in targets):
            self.input_type = ANY
        self.is_mocked = True  # rules may read the input
        _STATEMENT[type(statement)](self, statement)
        self.input_type, self.is_mocked = before

    def expression(self, statement: ast.Expression) -> None:
        term = statement.term
        if type(term) is ast.Call:
            self._statement_call(term)
        else:
            self.term(term)

    def _statement_call(self, call: ast.Call) -> None:
        if call.name in MATCHES and len(call.args) == 2:
            self._match(call)
            return
        result = self.call(call)
        operands = self._operands(call)
        if operands is not None and len(call.args) == len(operands) + 1:
            self.bind(call.args[-1], result)

    def _match(self, call: ast.Call) -> None:
        one, other = call.args
        if self._binds(other) and not self._binds(one):
            one, other = other, one
        if not self.bind(one, self.term(other)):
            left, right = (_short(self.term(side)) for side in call.args)
            self._error(f"match error: left is {left}, right is {right}", call)

    def some_in(self, statement: ast.SomeIn) -> None:
        key, held = types.entries(self.term(statement.domain)) or (ANY, ANY)
        if statement.key is not None:
            self.bind(statement.key, key)
        self.bind(statement.value, held)

    def every(self, statement: ast.Every) -> None:
        key, held = types.entries(self.term(statement.domain)) or (ANY, ANY)
        if statement.key is not None:
            self.variables[statement.key.name] = key
        self.variables[statement.value.name] = held
        self.body(statement.body)

    # patterns

    def _binds(self, term: ast.Term) -> bool:
        """Whether a term has variables that get their values from what it is matched with."""
        if type(term) is ast.Var:
            return term.name not in self.variables
        if type(term) is ast.Array:
            return any(map(self._binds, term.elements))
        return type(term) is ast.Object and any(self._binds(held) for _, held in term.pairs)

    def bind(self, pattern: ast.Term, kind: Type) -> bool:
        """Gives new variables their types; False if no value of the type fits the pattern."""
        if type(pattern) is ast.Var:
            return types.overlap(self.variables.setdefault(pattern.name, kind), kind)
        if type(pattern) in PATTERNS and self._binds(pattern):
            return self._bind_array(pattern, kind) if type(pattern) is ast.Array else self._bind_object(pattern, kind)
        return types.overlap(self.term(pattern), kind)

    def _bind_array(self, pattern: ast.Array, kind: Type) -> bool:
        wanted = ArrayOf(tuple(ANY for _ in pattern.elements))
        fitting = [each for each in types.members(kind) if types.overlap(each, wanted)]
        fits = bool(fitting)
        for index, element in enumerate(pattern.elements):
            held = [types.select(each, index) or ANY for each in fitting]
            fits = self.bind(element, one_of(held)) and fits
        return fits

    def _bind_object(self, pattern: Any, kind: Type) -> bool:
        fits = types.overlap(kind, types.ANY_OBJECT)
        for key, element in pattern.pairs:
            held = types.select(kind, key.value) if type(key) is ast.Scalar else ANY
            fits = self.bind(element, held if held is not None else ANY) and held is not None and fits
        return fits

    # terms

    def term(self, term: Any) -> Type:
        return _TERM[type(term)](self, term)

    def variable(self, term: ast.Var) -> Type:
        return self.variables.get(term.name, ANY)

    def array(self, term: ast.Array) -> Type:
        return bounded(ArrayOf(tuple(map(self.term, term.elements))))

    def set(self, term: ast.Set) -> Type:
        return bounded(SetOf(one_of(map(self.term, term.elements))))

    def object(self, term: ast.Object) -> Type:
        fields: dict[Any, Type] = {}
        others = []
        for key, held in term.pairs:
            if type(key) is ast.Scalar:
                fields[values.key(key.value)] = self.term(held)
            else:
                others.append((self.term(key), self.term(held)))
        rest = (one_of(key for key, _ in others), one_of(held for _, held in others)) if others else None
        return bounded(ObjectOf(tuple(fields.items()), rest, exact=True))

    def array_comprehension(self, term: ast.ArrayComprehension) -> Type:
        self.body(term.body)
        return bounded(ArrayOf(rest=self.term(term.element)))

    def set_comprehension(self, term: ast.SetComprehension) -> Type:
        self.body(term.body)
        return bounded(SetOf(self.term(term.element)))

    def object_comprehension(self, term: ast.ObjectComprehension) -> Type:
        self.body(term.body)
        return bounded(ObjectOf(rest=(self.term(term.key), self.term(term.value))))

    def template(self, term: ast.Template) -> Type:
        for part in term.parts:
            if type(part) is ast.Expression:
                self.body((part,))
            elif type(part) is not str:
                self.term(part)
        return STRING

    # calls

    def _operands(self, call: ast.Call) -> tuple[Type, ...] | None:
        builtin = TABLE.get(".".join(call.name)) if call.name[0] != "data" else None
        if builtin is not None:
            return types.signature(builtin.signature).operands
        place = self.known.root.find(call.name[1:]) if call.name[0] == "data" else None
        return (ANY,) * place.arity if place is not None and place.is_function else None

    def call(self, call: ast.Call) -> Type:
        given = [self.term(argument) for argument in call.args]
        if self.is_mocked:
            return ANY
        if call.name[0] == "data":
            place = self.known.root.find(call.name[1:])
            return self.known.results.get(place, ANY) if place is not None else ANY
        builtin = TABLE.get(".".join(call.name))
        if builtin is None:
            return ANY
        signature = types.signature(builtin.signature)
        if len(given) not in (len(signature.operands), len(signature.operands) + 1):
            return signature.result
        for index, (wanted, kind) in enumerate(zip(signature.operands, given, strict=False)):
            if not types.overlap(wanted, kind):
                message = (
                    f"{written(call, self.source)}: operand {index + 1} must be {_short(wanted)} but got {_short(kind)}"
                )
                self._error(message, call.args[index])
        return signature.result

    # references

    def reference(self, ref: ast.Ref) -> Type:
        head = ref.head
        if type(head) is not ast.Var:
            return self._select(ref, self.term(head), 0)
        if head.name == "input":
            return self._select(ref, self.input_type, 0)
        if head.name != "data":
            return self._select(ref, self.variable(head), 0)
        place: Place | None = None if self.is_mocked else self.known.root
        for index, part in enumerate(ref.path):
            if place is None or type(part) is not ast.Scalar:
                return self._select(ref, ANY, index)
            place = place.children.get(values.key(part.value))
            if place is not None and place.definitions:
                is_whole = not place.children and not place.is_function
                return self._select(ref, self.known.results.get(place, ANY) if is_whole else ANY, index + 1)
        return ANY

    def _select(self, ref: ast.Ref, kind: Type, index: int) -> Type:
        """The type of what the path from `index` on selects."""
        for part in ref.path[index:]:
            found = self._member(kind, part)
            if found is None:
                self._undefined(ref, part, kind)
                return ANY
            kind = found
        return kind

    def _member(self, kind: Type, part: ast.Term) -> Type | None:
        if type(part) is ast.Scalar:
            return types.select(kind, part.value)
        pair = types.entries(kind)
        if pair is None:
            return None
        if type(part) in PATTERNS or (type(part) is ast.Var and part.name not in self.variables):
            self.bind(part, pair[0])
            return pair[1]
        return pair[1] if types.overlap(self.term(part), pair[0]) else None

    def _undefined(self, ref: ast.Ref, part: ast.Term, kind: Type) -> None:
        text = self.source.text
        end = part.end if ref.start < part.end <= ref.end else ref.end
        before = text[ref.start : part.start].rstrip('.["`') if ref.start < part.start < end else text[ref.start : end]
        end += text[end : end + 1] == "]"
        name = text[ref.start : end]
        findings = self.known.findings
        findings.error(
            CODE, f"undefined ref: `{name}`", self.source, ast.Node(start=ref.start, end=end), _hint(before, part, kind)
        )

    def _error(self, message: str, node: ast.Node) -> None:
        self.known.findings.error(CODE, message, self.source, node)


def _hint(before: str, part: ast.Term, kind: Type) -> str:
    """What there is instead of the member that there is not."""
    fields = [name for each in types.members(kind) if type(each) is ObjectOf for name, _ in each.fields]
    names = sorted({name for name in fields if type(name) is str})
    if not names or type(part) is not ast.Scalar:
        return f"`{before}` is {_short(kind)}"
    near = did_you_mean(str(part.value), names)
    return f"{near} `{before}` has {listed(names)}" if near else f"`{before}` has {listed(names)}"


def _short(kind: Type) -> str:
    written_form = types.text(kind)
    if len(written_form) <= LONGEST:
        return written_form
    return " or ".join(
        dict.fromkeys(types.text(each).partition("<")[0].partition("[")[0] for each in types.members(kind))
    )


_TERM: Final[dict[type, Callable[[Inference, Any], Type]]] = {
    ast.Scalar: lambda inference, term: types.of_value(term.value),
    ast.Var: Inference.variable,
    ast.Ref: Inference.reference,
    ast.Call: Inference.call,
    ast.Array: Inference.array,
    ast.Set: Inference.set,
    ast.Object: Inference.object,
    ast.ArrayComprehension: Inference.array_comprehension,
    ast.SetComprehension: Inference.set_comprehension,
    ast.ObjectComprehension: Inference.object_comprehension,
    ast.Template: Inference.template,
}
_STATEMENT: Final[dict[type, Callable[[Inference, Any], None]]] = {
    ast.Expression: Inference.expression,
    ast.Some: lambda inference, statement: None,
    ast.SomeIn: Inference.some_in,
    ast.Every: Inference.every,
}
