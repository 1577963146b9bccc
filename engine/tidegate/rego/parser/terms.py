"""Terms: literals, references, calls, collections, comprehensions, templates, and the operators between them.

Operators bind, from the weakest: `in`; comparison; `|`; `&`; `+ -`; `* / %`. All of them group to the left.
`[x | ...]` and `{x | ...}` are comprehensions wherever the whole can be one; `[x | y, z]` is not.
"""

from abc import abstractmethod
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from functools import cached_property
from typing import Final

from tidegate.rego import values
from tidegate.rego.ast import (
    Array,
    ArrayComprehension,
    Body,
    Call,
    Expression,
    Object,
    ObjectComprehension,
    Ref,
    Scalar,
    Set,
    SetComprehension,
    Statement,
    Template,
    Term,
    Var,
)
from tidegate.rego.parser.cursor import BRACKETS, CLOSINGS, Cursor

OPERATORS: Final[dict[str, tuple[int, tuple[str, ...]]]] = {
    "in": (1, ("internal", "member_2")),
    "==": (2, ("equal",)),
    "!=": (2, ("neq",)),
    "<": (2, ("lt",)),
    "<=": (2, ("lte",)),
    ">": (2, ("gt",)),
    ">=": (2, ("gte",)),
    "|": (3, ("or",)),
    "&": (4, ("and",)),
    "+": (5, ("plus",)),
    "-": (5, ("minus",)),
    "*": (6, ("mul",)),
    "/": (6, ("div",)),
    "%": (6, ("rem",)),
}
MEMBERSHIP: Final = 1
RELATION: Final = 2
SUFFIXES: Final = frozenset((".", "[", "("))
CONSTANTS: Final = {"true": True, "false": False, "null": None}
STATEMENT: Final = frozenset((":=", "=", ";", "some", "every", "not", "with"))
# What may be followed by `.x` or `[x]`.
REFERABLE: Final = frozenset((Var, Call, Array, Object, Set, ArrayComprehension, SetComprehension, ObjectComprehension))

Operand = tuple[Term, int, int]  # with the place where it stands, its own parentheses included


class Terms(Cursor):
    @abstractmethod
    def statements(self, closing: str) -> Body:
        """The statements up to the closing bracket, which is taken too."""

    @abstractmethod
    def statement(self) -> Statement:
        """One statement of a body."""

    # operators

    def expression(self) -> Term:
        """A term with its operators; `k, v in xs` is one too."""
        start = self.starts[self.at]
        term = self.operation(RELATION)
        if self.kinds[self.at] == ",":
            term = self._member_with_key(term, start)
        if self.kinds[self.at] != "in":
            return term
        return self._operators((term, start, self.ends[self.at - 1]), MEMBERSHIP)

    def operation(self, weakest: int = MEMBERSHIP) -> Term:
        """A term with its operators, save those that bind weaker."""
        start = self.starts[self.at]
        term = self.primary()
        if self.kinds[self.at] not in OPERATORS:
            return term
        return self._operators((term, start, self.ends[self.at - 1]), weakest)

    def _operators(self, first: Operand, weakest: int) -> Term:
        """What follows the first operand. Stacks instead of recursion, so that brackets alone cost depth."""
        operands = [first]
        pending: list[tuple[int, tuple[str, ...]]] = []
        while True:
            power, name = OPERATORS.get(self.kinds[self.at], (0, ()))
            if power < weakest:
                power = 0
            while pending and pending[-1][0] >= power:
                right, _, end = operands.pop()
                left, start, _ = operands.pop()
                operands.append((self._operator(pending.pop()[1], (left, right), start, end), start, end))
            if not power:
                return operands[0][0]
            pending.append((power, name))
            self.at += 1
            operands.append(self._operand())

    def _operand(self) -> Operand:
        start = self.starts[self.at]
        return self.primary(), start, self.ends[self.at - 1]

    def _operator(self, name: tuple[str, ...], operands: tuple[Term, ...], start: int, end: int) -> Call:
        self.operators += 1
        return Call(name, operands, start, start=start, end=end)

    def _member_with_key(self, key: Term, start: int) -> Term:
        comma = self.at
        self.at += 1
        value = self.operation(RELATION)
        if self.kinds[self.at] != "in":
            self.at = comma
            self.unexpected(None, "statements are separated by new lines or `;`")
        self.at += 1
        domain = self.operation(RELATION)
        return self._operator(("internal", "member_3"), (key, value, domain), start, self.ends[self.at - 1])

    # terms without operators

    def primary(self) -> Term:
        at = self.at
        kind = self.kinds[at]
        start = self.starts[at]
        term: Term
        if kind == "name":
            self.at = at + 1
            term = Var(self.values[at], start=start, end=self.ends[at])
        elif kind == "string" or kind == "number":
            self.at = at + 1
            term = Scalar(self.values[at], start=start, end=self.ends[at])
        elif kind in CONSTANTS:
            self.at = at + 1
            term = Scalar(CONSTANTS[kind], start=start, end=self.ends[at])
        elif kind == "-":
            term = self._negative(start)
        elif kind in self._bracketed:
            self.deeper()
            term = self._bracketed[kind](start)
            self.depth -= 1
        else:
            self.unexpected("a term")
        if self.kinds[self.at] in SUFFIXES and self.starts[self.at] == self.ends[self.at - 1]:
            return self._reference(term, start)
        return term

    @cached_property
    def _bracketed(self) -> dict[str, Callable[[int], Term]]:
        return {
            "[": self._array,
            "{": self._set_or_object,
            "(": self._parentheses,
            "template": self._template,
        }

    def _negative(self, start: int) -> Term:
        number = self.at + 1
        if self.kinds[number] != "number":
            self.unexpected(None, "only a number is written with a sign; write `0 - x`")
        self.at += 2
        text = self.source.text[self.starts[number] : self.ends[number]]
        return Scalar(values.number(f"-{text}"), start=start, end=self.ends[number])

    def _parentheses(self, start: int) -> Term:
        self.at += 1
        term = self.expression()
        self.expect(")")
        return term

    def _template(self, start: int) -> Term:
        """Each token of the template is a text, and an expression follows it."""
        parts: list[str | Term | Expression] = []
        while True:
            if self.values[self.at]:
                parts.append(self.values[self.at])
            self.at += 1
            if self.kinds[self.at - 1] == "template end":
                return Template(tuple(parts), start=start, end=self.ends[self.at - 1])
            parts.append(self._template_expression())
            if self.kinds[self.at] not in ("template middle", "template end"):
                self.unexpected("`}`")

    def _template_expression(self) -> Term | Expression:
        begin = self.at
        statement = self.statement()
        if type(statement) is not Expression or statement.negated or self._assigns(statement.term):
            start, end = self.starts[begin], self.ends[self.at - 1]
            self.fail("a template holds values only", start, end, "work it out in a statement before")
        return statement if statement.modifiers else statement.term

    def _assigns(self, term: Term) -> bool:
        return type(term) is Call and term.name in (("assign",), ("eq",)) and term.name_end == term.start

    # references and calls

    def _reference(self, head: Term, start: int) -> Term:
        """The head with all that directly follows it: `.x`, `[x]` and `(x)`."""
        path: list[Term] = []
        while self.kinds[self.at] in SUFFIXES and self.starts[self.at] == self.ends[self.at - 1]:
            if self.kinds[self.at] == "(":
                head = self._call(head, path, start)
                path = []
                continue
            if type(head) not in REFERABLE:
                self.unexpected(None, "only variables, calls and collections have parts that can be referred to")
            path.append(self.step())
        return Ref(head, tuple(path), start=start, end=self.ends[self.at - 1]) if path else head

    def step(self) -> Term:
        """`.x` or `[x]`"""
        self.at += 1
        if self.kinds[self.at - 1] == ".":
            at = self.at
            if self.starts[at] != self.ends[at - 1]:
                self.at -= 1
                self.unexpected(None, "a name follows the `.` directly")
            return Scalar(self.word("a name"), start=self.starts[at], end=self.ends[at])
        self.deeper()
        term = self.expression()
        self.depth -= 1
        self.expect("]")
        return term

    def _call(self, head: Term, path: list[Term], start: int) -> Term:
        name_end = self.ends[self.at - 1]
        name = self._function_name(head, path)
        args = self.arguments()
        end = self.ends[self.at - 1]
        if name == ("set",) and not args:
            return Set((), start=start, end=end)
        return Call(name, args, name_end, start=start, end=end)

    def _function_name(self, head: Term, path: list[Term]) -> tuple[str, ...]:
        name = [head.name] if type(head) is Var else []
        name += [step.value for step in path if type(step) is Scalar and type(step.value) is str]
        if len(name) != len(path) + 1:
            self.unexpected(None, "only a function that has a name can be called")
        return tuple(name)

    def arguments(self) -> tuple[Term, ...]:
        """`(a, b)`"""
        self.at += 1
        self.deeper()
        found = self._elements(")", [])
        self.depth -= 1
        return found

    def _elements(self, closing: str, found: list[Term]) -> tuple[Term, ...]:
        """Terms up to the closing bracket, which is taken too. A comma may follow the last."""
        kinds = self.kinds
        while kinds[self.at] != closing:
            found.append(self.operation())
            self._comma(closing)
        self.at += 1
        return tuple(found)

    def _comma(self, closing: str) -> None:
        if self.kinds[self.at] == ",":
            self.at += 1
        elif self.kinds[self.at] != closing:
            self.unexpected(f"`,` or `{closing}`")

    # collections

    def _array(self, start: int) -> Term:
        self.at += 1
        if self.kinds[self.at] == "]":
            return Array(self._elements("]", []), start=start, end=self.ends[self.at - 1])
        first = self._operand()
        if self._is_comprehension():
            return ArrayComprehension(first[0], self._comprehended("]"), start=start, end=self.ends[self.at - 1])
        found = [self._first_element(first)]
        self._comma("]")
        return Array(self._elements("]", found), start=start, end=self.ends[self.at - 1])

    def _set_or_object(self, start: int) -> Term:
        self.at += 1
        if self.kinds[self.at] == "}":
            self.at += 1
            return Object((), start=start, end=self.ends[self.at - 1])
        first = self._operand()
        if self._is_comprehension():
            return SetComprehension(first[0], self._comprehended("}"), start=start, end=self.ends[self.at - 1])
        element = self._first_element(first)
        if self.kinds[self.at] == ":":
            return self._object(element, start)
        if self.kinds[self.at] not in (",", "}"):
            self.unexpected("`,`, `:` or `}`")
        self._comma("}")
        return Set(self._elements("}", [element]), start=start, end=self.ends[self.at - 1])

    def _object(self, key: Term, start: int) -> Term:
        """From the colon after the first key."""
        self.at += 1
        first = self._operand()
        if self._is_comprehension():
            body = self._comprehended("}")
            return ObjectComprehension(key, first[0], body, start=start, end=self.ends[self.at - 1])
        pairs = [(key, self._first_element(first))]
        self._comma("}")
        while self.kinds[self.at] != "}":
            key = self.operation()
            self.expect(":")
            pairs.append((key, self.operation()))
            self._comma("}")
        self.at += 1
        return Object(tuple(pairs), start=start, end=self.ends[self.at - 1])

    def _first_element(self, first: Operand) -> Term:
        """With its operators, where it is not what a comprehension gives."""
        if self.kinds[self.at] not in OPERATORS:
            return first[0]
        bar = self._find(self.at, {"|", ",", ":"})
        if self.kinds[bar] == "|" and self.kinds[self._find(bar + 1, STATEMENT | {","})] in STATEMENT:
            begin, end = first[1], self.ends[bar - 1]
            hint = f"write `({self.one_line(begin, end)}) | ...`"
            self.fail("what a comprehension gives is in parentheses if it has operators", begin, end, hint)
        return self._operators(first, MEMBERSHIP)

    def _comprehended(self, closing: str) -> Body:
        self.at += 1
        return self.statements(closing)

    def _is_comprehension(self) -> bool:
        """Whether the `|` here is followed by a body: by anything but `b, c` where no `c in xs` comes of it."""
        if self.kinds[self.at] != "|":
            return False
        after = self._find(self.at + 1, STATEMENT | {","})
        return self.kinds[after] != "," or self.kinds[self._find(after + 1, {"in", ",", ":", ";"})] == "in"

    def _find(self, at: int, wanted: AbstractSet[str]) -> int:
        """The next token of a wanted kind, or else the end of the brackets that `at` is in."""
        while True:
            kind = self.kinds[at]
            if kind in wanted or kind in CLOSINGS:
                return at
            if kind in BRACKETS:
                if at not in self.partners:
                    return at
                at = self.partners[at]
            at += 1
