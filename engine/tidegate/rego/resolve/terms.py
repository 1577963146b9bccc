"""Terms in their resolved form: a name becomes a reference into `data` or `input`, a function's path, or a variable."""

from abc import abstractmethod
from collections.abc import Callable
from typing import Any

from tidegate.rego import ast
from tidegate.rego.builtins import REFUSED
from tidegate.rego.errors import Problem
from tidegate.rego.resolve.lines import Closure, Line, Variables, statements_of
from tidegate.rego.resolve.names import CERTAIN, ROOTS, Names, Path, dotted, hint_for_function, is_builtin
from tidegate.rego.resolve.scopes import REFERENCED, Scope
from tidegate.rego.source import Source
from tidegate.rego.suggest import did_you_mean


class Terms:
    """Resolves the terms of one module. What occurs in a line is gathered while its terms are resolved."""

    def __init__(self, names: Names, known: dict[str, Path], source: Source) -> None:
        self.names = names
        self.known = known
        self.source = source
        self.problems: list[Problem] = []
        self.scope = Scope({})
        self.variables: Variables = {}
        self.closures: list[Closure] = []
        self.fresh = 0  # names made in this rule
        self.constants: dict[Path, Callable[[ast.Node], ast.Term]] = {}  # functions that mean a constant in this rule
        self.checked: dict[Path, Path] = {}  # functions by the name that is written, once it is known to be right
        self.hints: dict[str, str | None] = {}  # to functions that are not there
        self.terms: dict[type, Callable[[Any], Any]] = {
            ast.Scalar: lambda term: term,
            str: lambda part: part,
            ast.Var: self.variable,
            ast.Ref: self.reference,
            ast.Call: self.call,
            ast.Array: self.collection,
            ast.Set: self.collection,
            ast.Object: self.object,
            ast.Template: self.template,
            ast.Expression: self.templated,
            ast.ArrayComprehension: self.comprehension,
            ast.SetComprehension: self.comprehension,
            ast.ObjectComprehension: self.object_comprehension,
        }

    def problem(self, code: str, message: str, start: int, end: int, hint: str | None = None) -> None:
        self.problems.append(Problem(code, message, self.source, start, end, hint))

    def term(self, term: ast.Term) -> Any:
        return self.terms[type(term)](term)

    def all(self, terms: tuple[Any, ...]) -> tuple[Any, ...]:
        resolve = self.terms
        return tuple([resolve[type(term)](term) for term in terms])

    # names

    def variable(self, term: ast.Var) -> ast.Var | ast.Ref:
        name = term.name
        local = self.scope.names.get(name)
        if local is None:
            if name == "_":
                return self.wildcard(term)
            path = self.known.get(name)
            if path is not None:
                return self.document(term, path)
            local = name
        if local == name:
            self.scope.history.setdefault(name, REFERENCED)
            found = term
        else:
            found = ast.Var(local, start=term.start, end=term.end)
        self.variables.setdefault(local, found)
        return found

    def wildcard(self, term: ast.Var) -> ast.Var:
        self.fresh += 1
        found = ast.Var(f"_~{self.fresh}", start=term.start, end=term.end)
        self.variables[found.name] = found
        return found

    def document(self, term: ast.Var, path: Path) -> ast.Ref:
        start, end = term.start, term.end
        head = term if path[0] == term.name else ast.Var(path[0], start=start, end=end)
        return ast.Ref(head, tuple([ast.Scalar(part, start=start, end=end) for part in path[1:]]), start=start, end=end)

    def reference(self, term: ast.Ref) -> ast.Ref:
        head, path = term.head, term.path
        for step in path:
            if type(step) is not ast.Scalar:
                path = self.all(path)
                break
        if type(head) is ast.Var and head.name in ROOTS:
            return term if path is term.path else ast.Ref(head, path, start=term.start, end=term.end)
        resolved = self.term(head)
        if type(resolved) is ast.Ref:
            return ast.Ref(resolved.head, resolved.path + path, start=term.start, end=term.end)
        return ast.Ref(resolved, path, start=term.start, end=term.end)

    # calls

    def call(self, term: ast.Call) -> ast.Term:
        name = term.name
        if term.name_end > term.start:
            name = self.function(term)
            if name in self.constants and not term.args:
                return self.constants[name](term)
        return ast.Call(name, self.all(term.args), term.name_end, start=term.start, end=term.end)

    def function(self, term: ast.Call) -> Path:
        """The full name of what is called; reports one that is not there."""
        written = term.name
        if written[0] in self.scope.names:
            return self.shadowed_function(term)
        if written in self.checked:
            return self.checked[written]
        found = self.full(written)
        name = ".".join(found)
        if self.check_refused(name, term.start, term.name_end):
            return found
        if self.names.is_function(found):
            self.checked[written] = found
        elif found not in self.constants or term.args:
            self.undefined_function(term)
        return found

    def check_refused(self, name: str, start: int, end: int) -> bool:
        if name in REFUSED:
            self.problem("rego_type_error", f"`{name}` is refused: {REFUSED[name]}", start, end)
        return name in REFUSED

    def shadowed_function(self, term: ast.Call) -> Path:
        name = ".".join(term.name)
        hint = f"`{term.name[0]}` is a variable in this body"
        self.problem("rego_compile_error", f"called function `{name}` shadowed", term.start, term.name_end, hint)
        return self.full(term.name)

    def undefined_function(self, term: ast.Call) -> None:
        name = ".".join(term.name)
        if term.name in self.constants:
            message, hint = f"function `{name}` takes no arguments", None
        else:
            if name not in self.hints:
                self.hints[name] = hint_for_function(name, self.names, self.known)
            message, hint = f"undefined function `{name}`", self.hints[name]
        self.problem("rego_type_error", message, term.start, term.name_end, hint)

    def full(self, written: Path) -> Path:
        path = self.known.get(written[0])
        return path + written[1:] if path is not None else written

    # collections

    def collection(self, term: ast.Array | ast.Set) -> ast.Array | ast.Set:
        return type(term)(self.all(term.elements), start=term.start, end=term.end)

    def object(self, term: ast.Object) -> ast.Object:
        resolve = self.terms
        pairs = [(resolve[type(key)](key), resolve[type(value)](value)) for key, value in term.pairs]
        return ast.Object(tuple(pairs), start=term.start, end=term.end)

    def template(self, term: ast.Template) -> ast.Template:
        return ast.Template(self.all(term.parts), start=term.start, end=term.end)

    def templated(self, part: ast.Expression) -> ast.Expression:
        modifiers = self.modifiers(part.modifiers)
        return ast.Expression(self.term(part.term), part.negated, modifiers, start=part.start, end=part.end)

    # `with`

    def modifiers(self, modifiers: tuple[ast.With, ...]) -> tuple[ast.With, ...]:
        return tuple([self.modifier(each) for each in modifiers]) if modifiers else ()

    def modifier(self, modifier: ast.With) -> ast.With:
        target, is_function = self.target(modifier.target)
        value = self.replacement(modifier.value) if is_function else None
        if value is None:
            value = self.term(modifier.value)
        return ast.With(target, value, start=modifier.start, end=modifier.end)

    def target(self, term: ast.Var | ast.Ref) -> tuple[ast.Var | ast.Ref, bool]:
        """What is replaced, and whether it is a function; reports what can not be."""
        written = dotted(term)
        if written is None:
            self.problem("rego_type_error", "`with` replaces something that has a constant name", term.start, term.end)
            return term, False
        path = written if written[0] in self.scope.names else self.full(written)
        if path in self.names.functions:
            return self.named(term, path), True
        if path[0] in ROOTS:
            return self.named(term, path), False
        name = ".".join(path)
        if not is_builtin(name):
            hint = did_you_mean(name, self.known, CERTAIN) or hint_for_function(name, self.names, self.known)
            message = f"`with` replaces `input`, `data`, parts of them and functions, and `{name}` is none of these"
            self.problem("rego_type_error", message, term.start, term.end, hint)
        return term, True

    def replacement(self, term: ast.Term) -> ast.Term | None:
        """The function that takes another's place; None where it is a value."""
        written = dotted(term)
        if written is None or written[0] in self.scope.names:
            return None
        path = self.full(written)
        if path in self.names.functions:
            return self.named(term, path)
        name = ".".join(path)
        self.check_refused(name, term.start, term.end)
        return term if path == written and is_builtin(name) else None

    def named(self, term: ast.Term, path: Path) -> ast.Ref:
        start, end = term.start, term.end
        parts = tuple([ast.Scalar(part, start=start, end=end) for part in path[1:]])
        return ast.Ref(ast.Var(path[0], start=start, end=end), parts, start=start, end=end)

    # comprehensions

    @abstractmethod
    def closed(self, body: ast.Body, result: tuple[ast.Term, ...]) -> tuple[list[Line], Line]:
        """A body of its own, and the terms it is for."""

    def comprehension(self, term: ast.ArrayComprehension | ast.SetComprehension) -> Any:
        lines, result = self.closed(term.body, (term.element,))
        [element] = result.terms
        node = type(term)(element, statements_of(lines), start=term.start, end=term.end)
        self.closures.append(Closure(node, lines, result))
        return node

    def object_comprehension(self, term: ast.ObjectComprehension) -> ast.ObjectComprehension:
        lines, result = self.closed(term.body, (term.key, term.value))
        key, value = result.terms
        node = ast.ObjectComprehension(key, value, statements_of(lines), start=term.start, end=term.end)
        self.closures.append(Closure(node, lines, result))
        return node
