"""Rules: their heads, bodies, `else` chains and defaults.

What Rego v0 wrote without `if` and `contains` is a problem whose hint is the same line in v1; the rule is read all
the same, so that what is wrong in its body is reported too.
"""

from collections.abc import Iterator
from typing import Final, Literal

from msgspec.structs import replace

from tidegate.rego.ast import (
    Annotation,
    ArrayComprehension,
    Body,
    Call,
    Expression,
    Head,
    Node,
    ObjectComprehension,
    Ref,
    Rule,
    Scalar,
    Set,
    SetComprehension,
    Template,
    Term,
    Var,
)
from tidegate.rego.errors import Problem
from tidegate.rego.parser.bodies import UNIFIERS, Bodies
from tidegate.rego.parser.cursor import Stop
from tidegate.rego.parser.terms import OPERATORS

ELSES: Final = 100  # in one rule
# Operators of a rule that need no closer look, and how deep its tree may be: those who walk it recurse.
OPERATORS_UNMEASURED: Final = 50
TREE_DEPTH: Final = 200

Kind = Literal["value", "set", "func"]

# What begins no rule, and where it belongs.
NO_RULE: Final = {
    "else": "`else` follows a rule that has a body",
    "if": "`if` follows the head of a rule: `name := value if { ... }`",
    "with": "`with` follows a statement of a body",
    "{": "a body follows the head of a rule: `name := value if { ... }`",
    "}": "there is no `{` that it could close",
    "not": "conditions are written in the body of a rule",
    "some": "conditions are written in the body of a rule",
    "every": "conditions are written in the body of a rule",
}
CLOSURES: Final[frozenset[type[Node]]] = frozenset((ArrayComprehension, SetComprehension, ObjectComprehension))
NOT_CONSTANT: Final[dict[type[Node], str]] = {
    Var: "a variable",
    Ref: "a reference",
    Call: "a call",
    Template: "a template",
}


class Rules(Bodies):
    def rules(self, annotations: tuple[Annotation, ...]) -> list[Rule]:
        """One rule, or several where more bodies follow the first."""
        self.operators = 0
        begin = self.at
        found = [self._default(annotations)] if self.kinds[begin] == "default" else self._ordinary(annotations)
        if self.operators > OPERATORS_UNMEASURED and max(depth for _, depth in _walk(found)) > TREE_DEPTH:
            hint = "give a part of it a name of its own"
            self.fail("the expressions of this rule are nested too deep", self.starts[begin], self.ends[begin], hint)
        return found

    def _ordinary(self, annotations: tuple[Annotation, ...]) -> list[Rule]:
        begin = self.at
        start = self.starts[begin]
        head = self._head()
        if self.kinds[self.at] not in ("if", "{"):
            self._check_bodiless(head, begin)
            return [Rule(head, (), None, False, annotations, start=start, end=self.ends[self.at - 1])]
        body = self._body(head, begin)
        otherwise = self._otherwise(head)
        found = [Rule(head, body, otherwise, False, annotations, start=start, end=self.ends[self.at - 1])]
        while self.kinds[self.at] == "{":
            if otherwise is not None:
                self.unexpected(None, "a condition of `else` is written in its body, or after its `if`")
            start = self.starts[self.at]
            found.append(Rule(head, self._braces(), start=start, end=self.ends[self.at - 1]))
        return found

    # heads

    def _head(self) -> Head:
        start = self.starts[self.at]
        path, args = self._path(start)
        kind = self.kinds[self.at]
        if kind == "name" and self.values[self.at] == "contains":
            if args is not None:
                name = self.one_line(path.start, path.end)
                self.unexpected(None, f"a function has one value: `{name}(...) := value`")
            self.at += 1
            key = self.expression()
            return Head("set", path, None, key, start=start, end=self.ends[self.at - 1])
        if kind in UNIFIERS:
            self.at += 1
            value = self.expression()
            if self.kinds[self.at] in UNIFIERS:
                self.unexpected(None, "a rule has one value, and all that stands before this is a part of it")
        elif kind == "==" or kind == ":":
            self.unexpected(None, "a rule's value is written `name := value`")
        else:
            value = Scalar(True, start=start, end=self.ends[self.at - 1])
        of_kind: Kind = "value" if args is None else "func"
        return Head(of_kind, path, args, None, value, start=start, end=self.ends[self.at - 1])

    def _path(self, start: int) -> tuple[Var | Ref, tuple[Term, ...] | None]:
        """The rule's name with what follows it, and a function's arguments. Spaces are allowed before a bracket."""
        if self.kinds[self.at] != "name":
            self.unexpected("a rule", NO_RULE.get(self.kinds[self.at]))
        name = Var(self.values[self.at], start=start, end=self.ends[self.at])
        self.at += 1
        path: list[Term] = []
        while self.kinds[self.at] in (".", "["):
            path.append(self.step())
        args = None
        end = self.ends[self.at - 1]
        if self.kinds[self.at] == "(":
            args = self.arguments()
        return (Ref(name, tuple(path), start=start, end=end) if path else name), args

    def _check_bodiless(self, head: Head, begin: int) -> None:
        """A head alone must say something: `p := v` or `p contains v`."""
        if head.kind == "set" or self._is_assigned(head):
            return
        if self._is_v0_set(head, begin):
            self.problems.append(self._missing_contains(head))
            return
        if not self.fresh[begin] and begin > 0:
            self.at = begin
            self.unexpected("a new line")
        at = self.at
        if self.kinds[at] == "bad" or (self.kinds[at] != "end" and not self.fresh[at]):
            self.unexpected("`:=`, `contains` or `if`")
        text = self.one_line(head.start, head.end)
        hint = f"write `{text} := value` or `{text} if {{ ... }}`"
        self.fail("the rule has neither a value nor a body", head.start, head.end, hint)

    def _is_assigned(self, head: Head) -> bool:
        return head.value is not None and head.value.start > head.start

    def _is_v0_set(self, head: Head, begin: int) -> bool:
        """`p[x]` without a value, which was a set."""
        path = head.path
        is_plain = head.kind == "value" and not self._is_assigned(head) and type(path) is Ref and len(path.path) == 1
        return is_plain and self.kinds[begin + 1] == "["

    # bodies

    def _body(self, head: Head, begin: int) -> Body:
        if self.kinds[self.at] == "if":
            self.at += 1
            return self._condition()
        if self._is_v0_set(head, begin):
            self.problems.append(self._missing_contains(head))
        else:
            self.problems.append(self._missing_if(self.starts[begin]))
        return self._braces()

    def _condition(self) -> Body:
        """After `if`: statements in braces, or one statement. That may be in braces too, unless it is a plain set."""
        if self.kinds[self.at] != "{":
            return (self.statement(),)
        begin = self.at
        if self.kinds[begin + 1] == "}" or self._is_collection():
            return (self.statement(),)
        try:
            body = self._braces()
            if self.kinds[self.at] not in OPERATORS and self.kinds[self.at] not in UNIFIERS:
                return body
        except Stop as stop:
            return self._statement_instead(begin, stop)
        self.at = begin
        return (self.statement(),)

    def _is_collection(self) -> bool:
        """Whether the braces here hold an object or a comprehension; nothing is taken."""
        begin, depth = self.at, self.depth
        self.at += 1
        try:
            self.primary()
        except Stop:
            return False
        else:
            return self.kinds[self.at] in (":", "|")
        finally:
            self.at, self.depth = begin, depth

    def _statement_instead(self, begin: int, stop: Stop) -> Body:
        """What is no body may be a comparison of collections."""
        failed = self.at
        self.at, self.depth = begin, 0
        try:
            statement = self.statement()
        except Stop:
            statement = None
        if statement is None or (type(statement) is Expression and type(statement.term) is Set):
            self.at = failed
            raise stop
        return (statement,)

    def _braces(self) -> Body:
        self.at += 1
        self.deeper()
        body = self.statements("}")
        self.depth -= 1
        return body

    # else

    def _otherwise(self, head: Head) -> Rule | None:
        """All `else` after a rule, each in the one before."""
        found: list[Rule] = []
        while self.kinds[self.at] == "else":
            self._check_else(head, len(found))
            start = self.starts[self.at]
            self.at += 1
            value = self._else_value(start)
            else_head = replace(head, value=value, start=start, end=self.ends[self.at - 1])
            body = self._else_body(start)
            found.append(Rule(else_head, body, start=start, end=self.ends[self.at - 1]))
            if not body:
                break
        rule = None
        for each in reversed(found):
            rule = each if rule is None else replace(each, otherwise=rule)
        return rule

    def _else_value(self, start: int) -> Term:
        if self.kinds[self.at] in UNIFIERS:
            self.at += 1
            return self.expression()
        if self.kinds[self.at] not in ("if", "{"):
            self.unexpected("`:=` or `if`")
        return Scalar(True, start=start, end=self.ends[self.at - 1])

    def _else_body(self, start: int) -> Body:
        if self.kinds[self.at] not in ("if", "{"):
            return ()
        if self.kinds[self.at] == "if":
            self.at += 1
            return self._condition()
        self.problems.append(self._missing_if(start))
        return self._braces()

    def _check_else(self, head: Head, before: int) -> None:
        if head.kind == "set":
            self.unexpected(None, "a set takes what any of its rules gives; write another rule")
        if _has_variables(head.path):
            self.unexpected(None, "a rule with variables in its name has no `else`; write another rule")
        if before == ELSES:
            self.unexpected(None, f"a rule has {ELSES} at most; look the value up in an object")

    # defaults

    def _default(self, annotations: tuple[Annotation, ...]) -> Rule:
        start = self.starts[self.at]
        self.at += 1
        head = self._head()
        rule = Rule(head, (), None, True, annotations, start=start, end=self.ends[self.at - 1])
        if head.kind == "set" or not self._is_assigned(head):
            hint = f"write `default {self.one_line(head.path.start, head.path.end)} := value`"
            self.fail("a default needs a value", start, rule.end, hint)
        if _has_variables(head.path):
            self.fail("a default has no variables in its name", head.path.start, head.path.end)
        self._check_default_args(head.args or ())
        assert head.value is not None
        self._check_constant(head.value)
        if self.kinds[self.at] in ("if", "{", "else"):
            self.unexpected(None, "a default has no conditions: it holds where no other rule gives a value")
        return rule

    def _check_default_args(self, args: tuple[Term, ...]) -> None:
        names = set()
        for arg in args:
            if type(arg) is not Var or (arg.name in names and arg.name != "_"):
                hint = "a default holds for all arguments: `default f(_, _) := value`"
                self.fail("a default function takes different variables only", arg.start, arg.end, hint)
            names.add(arg.name)

    def _check_constant(self, value: Term) -> None:
        """A default's value is known beforehand; comprehensions may look at what is known then."""
        for node, _ in _walk(value, CLOSURES):
            if type(node) in NOT_CONSTANT:
                kind = NOT_CONSTANT[type(node)]
                self.fail(f"a default is a constant, and this is {kind}", node.start, node.end)

    # Rego v0

    def _missing_if(self, start: int) -> Problem:
        brace = self.starts[self.at]
        hint = f"in Rego v1: `{self.one_line(start, brace)} if {self._rest_of_line(brace)}`"
        return self.problem("`if` is missing before the body", brace, brace + 1, hint)

    def _missing_contains(self, head: Head) -> Problem:
        path = head.path
        assert type(path) is Ref
        key = self.one_line(path.path[0].start, path.path[0].end)
        form = f"{self.one_line(path.start, path.head.end)} contains {key}"
        if self.kinds[self.at] == "{":
            form += f" if {self._rest_of_line(self.starts[self.at])}"
        message = "`contains` is missing: this is how Rego v0 wrote a set"
        return self.problem(message, path.head.end, path.end, f"in Rego v1: `{form}`")

    def _rest_of_line(self, start: int) -> str:
        return self.source.text[start:].split("\n", 1)[0].strip()


def _has_variables(path: Var | Ref) -> bool:
    return type(path) is Ref and not all(type(step) is Scalar for step in path.path)


def _walk(root: object, closed: frozenset[type[Node]] = frozenset()) -> Iterator[tuple[Node, int]]:
    """A tree's nodes, each with its depth; those of a closed type are not entered."""
    pending = [(root, 0)]
    while pending:
        found, depth = pending.pop()
        if isinstance(found, tuple | list):
            pending += [(each, depth) for each in found]
        elif isinstance(found, Node):
            yield found, depth
            if type(found) not in closed:
                pending += [(getattr(found, name), depth + 1) for name in found.__struct_fields__]
