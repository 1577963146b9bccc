"""Bodies: statements on lines of their own, or with `;` between them."""

from typing import Final

from tidegate.rego.ast import Body, Call, Every, Expression, Ref, Some, SomeIn, Statement, Term, Var, With
from tidegate.rego.parser.terms import RELATION, Terms

UNIFIERS: Final = {":=": ("assign",), "=": ("eq",)}


class Bodies(Terms):
    def statements(self, closing: str) -> Body:
        """Up to the closing bracket, which is taken too."""
        if self.kinds[self.at] == closing:
            self.unexpected("a statement")
        found = self.statements_before(closing)
        self.at += 1
        return found

    def statements_before(self, closing: str) -> Body:
        found = []
        while True:
            found.append(self.statement())
            kind = self.kinds[self.at]
            if kind == ";":
                self.at += 1
                if self.kinds[self.at] == closing:
                    self.unexpected("a statement after the `;`")
            elif kind == closing:
                return tuple(found)
            elif not self.fresh[self.at]:
                self.unexpected(f"a new line, `;` or `{closing}`" if closing != "end" else "a new line or `;`")

    def statement(self) -> Statement:
        kind = self.kinds[self.at]
        start = self.starts[self.at]
        if kind == "some":
            return self._some(start)
        if kind == "every":
            return self._every(start)
        if kind == "not":
            return self._negated(start)
        return self._plain(start, False)

    def _plain(self, start: int, negated: bool) -> Expression:
        begin = self.starts[self.at]
        term = self.expression()
        if self.kinds[self.at] in UNIFIERS:
            name = UNIFIERS[self.kinds[self.at]]
            self.at += 1
            term = self.unifier(name, term, begin)
        modifiers = self._modifiers() if self.kinds[self.at] == "with" else ()
        return Expression(term, negated, modifiers, start=start, end=self.ends[self.at - 1])

    def unifier(self, name: tuple[str, ...], left: Term, start: int) -> Call:
        right = self.expression()
        if self.kinds[self.at] in UNIFIERS:
            self.unexpected(None, "a statement has one `:=` or `=`; a comparison is written `==`")
        return Call(name, (left, right), start, start=start, end=self.ends[self.at - 1])

    def _negated(self, start: int) -> Statement:
        self.at += 1
        kind = self.kinds[self.at]
        if kind == "some":
            self.unexpected(None, "write `not x in xs`, or put `some` into a rule of its own and negate that")
        if kind == "every":
            self.unexpected(None, "put `every` into a rule of its own and negate that")
        return self._plain(start, True)

    def _modifiers(self) -> tuple[With, ...]:
        found = []
        while self.kinds[self.at] == "with":
            start = self.starts[self.at]
            self.at += 1
            begin = self.at
            target = self.primary()
            if type(target) is not Var and type(target) is not Ref:
                self.at = begin
                self.unexpected("`input`, a part of `input` or `data`, or a function")
            self.expect("as")
            found.append(With(target, self.expression(), start=start, end=self.ends[self.at - 1]))
        return tuple(found)

    # some, every

    def _some(self, start: int) -> Statement:
        begin = self.at
        patterns = self._patterns()
        end = self.ends[self.at - 1]
        if self.kinds[self.at] == "in":
            key, value = self._key_and_value(patterns, begin)
            self.at += 1
            domain = self.operation(RELATION)
            modifiers = self._modifiers()
            return SomeIn(key, value, domain, modifiers, start=start, end=self.ends[self.at - 1])
        names = tuple(pattern for pattern in patterns if type(pattern) is Var)
        if len(names) < len(patterns):
            self.unexpected("`in`", "`some` declares variables, or takes values out of a collection: `some x in xs`")
        return Some(names, start=start, end=end)

    def _every(self, start: int) -> Every:
        begin = self.at
        patterns = self._patterns()
        if self.kinds[self.at] != "in":
            self.unexpected("`in`", "write `every x in xs { ... }` or `every k, v in xs { ... }`")
        key, value = self._key_and_value(patterns, begin)
        if (key is not None and type(key) is not Var) or type(value) is not Var:
            wrong = value if key is None or type(key) is Var else key
            self.fail("`every` takes variables only", wrong.start, wrong.end, "take the value apart in the body")
        self.at += 1
        domain = self.operation(RELATION)
        if self.kinds[self.at] != "{":
            self.unexpected("`{`")
        self.at += 1
        self.deeper()
        body = self.statements("}")
        self.depth -= 1
        modifiers = self._modifiers()
        return Every(key, value, domain, body, modifiers, start=start, end=self.ends[self.at - 1])

    def _patterns(self) -> list[Term]:
        """What stands after `some` or `every`, up to the `in`."""
        self.at += 1
        found = [self.operation(RELATION)]
        while self.kinds[self.at] == ",":
            self.at += 1
            found.append(self.operation(RELATION))
        return found

    def _key_and_value(self, patterns: list[Term], begin: int) -> tuple[Term | None, Term]:
        if len(patterns) > 2:
            third = patterns[2]
            self.fail("a collection has keys and values only", third.start, third.end, "write `k, v in xs`")
        return (patterns[0] if len(patterns) == 2 else None), patterns[-1]
