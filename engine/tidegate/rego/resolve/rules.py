"""Rules: their heads in full, their bodies in order."""

from msgspec.structs import replace

from tidegate.rego import ast
from tidegate.rego.resolve.bodies import Bodies
from tidegate.rego.resolve.lines import Line
from tidegate.rego.resolve.metadata import Metadata, constant
from tidegate.rego.resolve.names import ROOTS, Names, first_part
from tidegate.rego.resolve.order import Order
from tidegate.rego.resolve.scopes import ARGUMENT, Scope, body_of, pattern_variables


class Rules(Bodies):
    """Resolves the rules of one module."""

    def __init__(self, names: Names, metadata: Metadata, module: ast.Module) -> None:
        super().__init__(names, names.of_module(module), module.source)
        self.metadata = metadata
        self.resolving = module
        self.package = module.package[1:]

    def module(self) -> ast.Module:
        module = self.resolving
        for imported in module.imports:
            if imported.alias in ROOTS and imported.path != (imported.alias,):
                self.shadowed("imports", imported.alias, imported)
        rules = tuple([self.rule(rule) for rule in module.rules])
        return ast.Module(
            module.source,
            module.package,
            module.imports,
            rules,
            module.annotations,
            module.package_end,
            start=module.start,
            end=module.end,
        )

    def rule(self, rule: ast.Rule) -> ast.Rule:
        self.fresh = 0
        package = self.resolving.package
        self.constants = {
            ("rego", "metadata", "rule"): lambda call: constant(self.metadata.rule(rule), call),
            ("rego", "metadata", "chain"): lambda call: constant(self.metadata.chain(package, rule), call),
        }
        name = first_part(rule.head.path)
        if name.name in ROOTS:
            self.shadowed("rules", name.name, name)
        return self.branch(rule)

    def branch(self, rule: ast.Rule) -> ast.Rule:
        """The rule, or what follows an `else`."""
        head = rule.head
        self.scope = Scope({})
        self.some = []
        self.told = set()
        pattern = self.arguments(head.args or ())
        bound = {variable.name for arg in pattern.terms for variable in pattern_variables(arg)}
        self.scope = body_of(self.scope, rule.body)
        lines = self.lines(rule.body)
        result, resolved = self.head(head, pattern.terms if head.args is not None else None)
        if lines and Order(self.names.arity, lambda variable: None).needs(lines, result):
            lines, resolved, result = lifted(lines, resolved, result)
        body = self.order(lines, [result, pattern], bound)
        otherwise = self.branch(rule.otherwise) if rule.otherwise is not None else None
        return ast.Rule(resolved, body, otherwise, rule.default, rule.annotations, start=rule.start, end=rule.end)

    def arguments(self, args: tuple[ast.Term, ...]) -> Line:
        """What is given binds the variables of the patterns; the body binds those that only occur in them."""
        for variable in {each.name: each for arg in args for each in pattern_variables(arg)}.values():
            self.declare(variable, ARGUMENT)
        return self.line(args)

    def head(self, head: ast.Head, args: tuple[ast.Term, ...] | None) -> tuple[Line, ast.Head]:
        path = head.path
        start, end = path.start, path.end
        name = first_part(path)
        parts = [ast.Scalar(part, start=name.start, end=name.end) for part in (*self.package, name.name)]
        steps = path.path if type(path) is ast.Ref else ()
        given = [term for term in (head.key, head.value) if term is not None]
        result = self.line((*steps, *given))
        terms = result.terms
        full = ast.Ref(
            ast.Var("data", start=name.start, end=name.end), (*parts, *terms[: len(steps)]), start=start, end=end
        )
        rest = iter(terms[len(steps) :])
        key = next(rest) if head.key is not None else None
        value = next(rest) if head.value is not None else None
        return result, ast.Head(head.kind, full, args, key, value, start=head.start, end=head.end)

    def shadowed(self, what: str, name: str, node: ast.Node) -> None:
        self.wrong(node, f"{what} must not shadow `{name}`", "use a different name")


def lifted(lines: list[Line], head: ast.Head, result: Line) -> tuple[list[Line], ast.Head, Line]:
    """The references in a head as statements of the body: `p contains xs[i] if i > 1` needs them before its end."""
    lines = list(lines)
    variables = dict(result.variables)
    for field in ("key", "value"):
        term = getattr(head, field)
        if type(term) is ast.Ref:
            variable = ast.Var(f"head~{field}", start=term.start, end=term.end)
            call = ast.Call(("assign",), (variable, term), term.start, start=term.start, end=term.end)
            statement = ast.Expression(call, start=term.start, end=term.end)
            lines.append(Line(statement, {**result.variables, variable.name: variable}, result.closures))
            variables[variable.name] = variable
            head = replace(head, **{field: variable})
    given = [term for term in (head.key, head.value) if term is not None]
    steps = result.terms[: len(result.terms) - len(given)]
    return lines, head, Line((*steps, *given), variables, [])
