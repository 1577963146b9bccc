"""Modules: the package, its imports, its rules, and where to go on after a problem.

A problem ends the rule it is in. The next one begins on a line of its own, indented no deeper than this one, and
outside of its brackets. Where such a line comes and a bracket is still open for good, the bracket is the problem.
"""

from typing import Final

from tidegate.rego.ast import Annotation, Import, Module, Rule, Scalar
from tidegate.rego.errors import Problem
from tidegate.rego.lexer import KEYWORDS, PROBLEMS
from tidegate.rego.parser.cursor import BRACKETS, Stop
from tidegate.rego.parser.metadata import Block, blocks
from tidegate.rego.parser.rules import Rules
from tidegate.rego.source import Source

KEYWORDS_OF_V1: Final = ("contains", "every", "if", "in")  # which v0 had to import
BEGINNINGS: Final = frozenset(("name", "default", "import", "package"))


class Modules(Rules):
    def __init__(self, source: Source) -> None:
        super().__init__(source)
        self.metadata = blocks(source, self.lexer.comments, self.problems)
        self.package: tuple[str, ...] | None = None
        self.package_end = 0
        self.imports: list[Import] = []
        self.found: list[Rule] = []
        self.annotations: list[Annotation] = []

    def module(self) -> Module:
        """Everything up to the end. Raises PolicyRefused with all problems."""
        if self.kinds[0] != "package":
            self.problems.append(self._package_missing())
        while self.kinds[self.at] != "end" and len(self.problems) < PROBLEMS:
            begin = self.at
            try:
                self._next()
            except Stop as stop:
                self._recover(begin, stop)
        for block in self.metadata:
            self.problems.append(block.problem("there is nothing below that it could describe"))
        if self.problems:
            raise self.refused()
        assert self.package is not None
        return Module(
            self.source,
            self.package,
            tuple(self.imports),
            tuple(self.found),
            tuple(self.annotations),
            self.package_end,
            start=0,
            end=len(self.source.text),
        )

    def _next(self) -> None:
        kind = self.kinds[self.at]
        above = self._metadata_above()
        if kind == "package":
            self._package()
            self.annotations += [block.annotation(("package", "subpackages"), self.problems) for block in above]
        elif kind == "import":
            for block in above:
                self.problems.append(block.problem("it describes a rule or a package, and no import"))
            self.imports.append(self._import())
        else:
            annotations = tuple(block.annotation(("rule", "document"), self.problems) for block in above)
            self.found += self.rules(annotations)

    def _metadata_above(self) -> list[Block]:
        start = self.starts[self.at]
        above = []
        while self.metadata and self.metadata[0].start < start:
            above.append(self.metadata.pop(0))
        return above

    # package and imports

    def _package_missing(self) -> Problem:
        hint = "write `package` and a name, such as `package example`"
        what = "the module is empty" if self.kinds[0] == "end" else "a module begins with its package"
        return self.problem(what, self.starts[0], self.ends[0], hint)

    def _package(self) -> None:
        if self.package is not None:
            self.unexpected(None, "a module has one package, on its first line")
        self.at += 1
        self.package = ("data", *self._name_parts("the package's name"))
        self.package_end = self.ends[self.at - 1]

    def _name_parts(self, wanted: str) -> tuple[str, ...]:
        """`a.b["c"]`"""
        if self.fresh[self.at]:
            self.unexpected(wanted)
        parts = [self.word(wanted)]
        while self.kinds[self.at] in (".", "[") and self.starts[self.at] == self.ends[self.at - 1]:
            part = self.step()
            if type(part) is not Scalar or type(part.value) is not str:
                self.fail("this name has strings in its brackets only", part.start, part.end)
            parts.append(part.value)
        return tuple(parts)

    def _import(self) -> Import:
        start = self.starts[self.at]
        self.at += 1
        path = self._name_parts("what is imported")
        end = self.ends[self.at - 1]
        alias = None
        if self.kinds[self.at] == "as":
            self.at += 1
            if self.kinds[self.at] != "name":
                self.unexpected("a name that is no keyword")
            alias = self.values[self.at]
            self.at += 1
        self._check_import(path, alias, start, end)
        if path[0] in ("data", "input"):
            alias = alias or path[-1]
        return Import(path, alias, start=start, end=self.ends[self.at - 1])

    def _check_import(self, path: tuple[str, ...], alias: str | None, start: int, end: int) -> None:
        written = ".".join(path)
        if path[0] == "rego":
            if path != ("rego", "v1"):
                self.fail(
                    f"there is no `{written}`", start, end, "write `import rego.v1`, which is not needed any more"
                )
        elif path[0] == "future":
            if path[1:2] != ("keywords",) or len(path) > 3 or (len(path) == 3 and path[2] not in KEYWORDS_OF_V1):
                self.fail(f"there is no `{written}`", start, end, "all keywords are there without an import")
            if alias is not None:
                self.fail("a keyword cannot have another name", start, end)
        elif path[0] not in ("data", "input"):
            hint = f"write `import data.{written}`"
            self.fail("only parts of `data` and `input` can be imported", start, end, hint)
        elif alias is None and (path[-1] in KEYWORDS or path[-1] == "contains"):
            hint = f"give it a name of its own: `import {written} as name`"
            self.fail(f"the keyword `{path[-1]}` cannot be a name", start, end, hint)

    # after a problem

    def _recover(self, begin: int, stop: Stop) -> None:
        """Lists the problem and moves to the next rule."""
        column = self.source.column(self.starts[begin])
        at, unclosed = self._after_brackets(begin)
        problem = stop.problem
        for bracket in reversed(unclosed):
            beginning = next((each for each in range(bracket + 1, self.at + 1) if self._begins(each, column)), None)
            if beginning is not None:
                message = f"{self.shown(bracket)} is never closed"
                problem = self.problem(message, self.starts[bracket], self.ends[bracket])
                at = beginning
                break
        if problem is not None:
            self.problems.append(problem)
        at = max(at, begin + 1)
        while not self._begins(at, column):
            at += 1
        self.at = at
        self.depth = 0

    def _after_brackets(self, begin: int) -> tuple[int, list[int]]:
        """Where the brackets that are open here end, and those that have no end."""
        unclosed = []
        at = begin
        while at < self.at:
            if self.kinds[at] in BRACKETS:
                if at in self.partners:
                    at = self.partners[at]
                else:
                    unclosed.append(at)
            at += 1
        return at, unclosed

    def _begins(self, at: int, column: int) -> bool:
        """Whether a rule can begin here, on a line indented no deeper than `column`; the end is one, too."""
        if self.kinds[at] == "end":
            return True
        is_first = self.fresh[at] and self.kinds[at] in BEGINNINGS
        return is_first and self.source.column(self.starts[at]) <= column
