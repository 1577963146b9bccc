"""Bodies: statements one after the other, each seeing the variables that were declared before it."""

from collections.abc import Callable
from typing import Any

from tidegate.rego import ast
from tidegate.rego.resolve.lines import Closure, Line, occurring, statements_of
from tidegate.rego.resolve.names import ROOTS, Names, Path, hint_for_variable
from tidegate.rego.resolve.order import Order
from tidegate.rego.resolve.scopes import ASSIGN, ASSIGNED, DECLARED, body_of, inner, pattern_variables
from tidegate.rego.resolve.terms import Terms
from tidegate.rego.source import Source

PATTERNS = frozenset((ast.Var, ast.Array, ast.Object, ast.Scalar))
KINDS: dict[type, str] = {
    ast.Scalar: "a constant",
    ast.Ref: "a reference",
    ast.Call: "a call",
    ast.Set: "a set",
    ast.Template: "a template",
}


class Bodies(Terms):
    def __init__(self, names: Names, known: dict[str, Path], source: Source) -> None:
        super().__init__(names, known, source)
        self.some: list[tuple[str, ast.Var]] = []  # the variables that `some x` declared in this rule
        self.told: set[str] = set()  # the names in this rule of which something wrong is told already
        self.statements: dict[type, Callable[[Any], ast.Statement | None]] = {
            ast.Expression: self.expression,
            ast.Some: self.declaration,
            ast.SomeIn: self.some_in,
            ast.Every: self.every,
        }

    def query(self, body: ast.Body) -> ast.Body:
        """A body that belongs to no rule."""
        self.scope = inner(self.scope, body)
        return self.order(self.lines(body), [], set())

    # scopes

    def closed(self, body: ast.Body, result: tuple[ast.Term, ...]) -> tuple[list[Line], Line]:
        outside = self.scope, self.variables, self.closures
        self.scope = inner(self.scope, body)
        lines = self.lines(body)
        last = self.line(result)
        self.scope, self.variables, self.closures = outside
        return lines, last

    def lines(self, body: ast.Body) -> list[Line]:
        """The statements that are left, in their order."""
        found = []
        for statement in body:
            self.variables = {}
            self.closures = []
            resolved = self.statements[type(statement)](statement)
            if resolved is not None:
                found.append(Line(resolved, self.variables, self.closures))
        return found

    def line(self, terms: tuple[ast.Term, ...]) -> Line:
        """What a body is for, at its end."""
        self.variables = {}
        self.closures = []
        return Line(self.all(terms), self.variables, self.closures)

    # declarations

    def declare(self, variable: ast.Var, how: str) -> None:
        """From here on the name is this body's own."""
        name = variable.name
        before = self.scope.history.get(name)
        if name in ROOTS:
            self.wrong(variable, f"variables must not shadow `{name}`", "use a different name")
        elif before is not None:
            self.wrong(variable, f"var `{name}` {before}")
            self.told.add(name)
            return
        self.fresh += 1
        self.scope.names[name] = f"{name}~{self.fresh}"
        self.scope.history[name] = how

    def declare_pattern(self, pattern: ast.Term) -> None:
        self.check_pattern(pattern)
        for variable in pattern_variables(pattern):
            self.declare(variable, ASSIGNED)

    def check_pattern(self, pattern: ast.Term) -> None:
        kind = type(pattern)
        if kind not in PATTERNS:
            shown = KINDS.get(kind, "a comprehension")
            self.wrong(pattern, f"cannot assign to {shown}")
        elif type(pattern) is ast.Array:
            for element in pattern.elements:
                self.check_pattern(element)
        elif type(pattern) is ast.Object:
            for _, value in pattern.pairs:
                self.check_pattern(value)

    # statements

    def expression(self, statement: ast.Expression) -> ast.Expression:
        modifiers = self.modifiers(statement.modifiers)
        term = statement.term
        if type(term) is ast.Call and term.name == ASSIGN and term.name_end == term.start:
            if statement.negated:
                self.wrong(term, "cannot assign vars inside negated expression", "write `==`, or assign before")
                self.told.update([variable.name for variable in pattern_variables(term.args[0])])
            resolved = self.assignment(term)
        else:
            resolved = self.term(term)
        return ast.Expression(resolved, statement.negated, modifiers, start=statement.start, end=statement.end)

    def assignment(self, term: ast.Call) -> ast.Call:
        left, right = term.args
        value = self.term(right)
        if type(left) is ast.Scalar:
            self.wrong(left, "cannot assign to a constant")
        self.declare_pattern(left)
        return ast.Call(ASSIGN, (self.term(left), value), term.name_end, start=term.start, end=term.end)

    def declaration(self, statement: ast.Some) -> None:
        for variable in statement.names:
            if variable.name != "_":
                self.declare(variable, DECLARED)
                self.some.append((self.scope.names.get(variable.name, ""), variable))

    def some_in(self, statement: ast.SomeIn) -> ast.SomeIn:
        """A variable that the domain has too is not declared."""
        outside = self.variables
        self.variables = {}
        domain = self.term(statement.domain)
        taken = {name.split("~")[0] for name in self.variables}
        self.variables = {**outside, **self.variables}
        modifiers = self.modifiers(statement.modifiers)
        patterns = (statement.value,) if statement.key is None else (statement.key, statement.value)
        for pattern in patterns:
            for variable in pattern_variables(pattern):
                if variable.name not in taken:
                    self.declare(variable, DECLARED)
        *key, value = self.all(patterns)
        return ast.SomeIn(key[0] if key else None, value, domain, modifiers, start=statement.start, end=statement.end)

    def every(self, statement: ast.Every) -> ast.Every:
        domain = self.term(statement.domain)
        modifiers = self.modifiers(statement.modifiers)
        outside = self.scope, self.variables, self.closures
        self.scope = inner(self.scope, ())
        given = [variable for variable in (statement.key, statement.value) if variable is not None]
        for variable in given:
            if variable.name != "_":
                self.declare(variable, DECLARED)
        *key, value = self.all(tuple(given))
        self.scope = body_of(self.scope, statement.body)
        lines = self.lines(statement.body)
        self.scope, self.variables, self.closures = outside
        for variable in (*key, value):
            self.variables.pop(variable.name, None)
        node = ast.Every(
            key[0] if key else None,
            value,
            domain,
            statements_of(lines),
            modifiers,
            start=statement.start,
            end=statement.end,
        )
        names = tuple([variable.name for variable in (*key, value)])
        self.closures.append(Closure(node, lines, Line((), {}, []), names))
        return node

    # order

    def order(self, lines: list[Line], last: list[Line], bound: set[str]) -> ast.Body:
        """The statements of a rule in order. What comes last may need whatever they bind."""
        everything = [*lines, *last]
        order = Order(self.names.arity, lambda variable: self.unsafe(variable, everything))
        ordered = order.ordered(lines, bound)
        order.ordered(last, bound)
        if self.some:
            occurs = occurring(everything)
            for name, variable in self.some:
                if name not in occurs:
                    self.wrong(variable, f"declared var `{variable.name}` unused")
        return statements_of(ordered)

    def unsafe(self, variable: ast.Var, lines: list[Line]) -> None:
        """Each name is told once in a rule, and not at all where its declaration is wrong."""
        name = variable.name.split("~")[0]
        if name in self.told:
            return
        self.told.add(name)
        hint = None
        if variable.name == name:
            others = {each.split("~")[0] for each in occurring(lines) - {name}}
            declared = "its declaration does not reach here"
            hint = declared if name in others else hint_for_variable(name, self.names, self.known, others)
        self.problem("rego_unsafe_var_error", f"var `{name}` is unsafe", variable.start, variable.end, hint)

    def wrong(self, node: ast.Node, message: str, hint: str | None = None) -> None:
        self.problem("rego_compile_error", message, node.start, node.end, hint)
