"""The problems of a whole policy, each once and in the order in which a reader meets them."""

from collections.abc import Iterable

from tidegate.rego import ast
from tidegate.rego.errors import Problem
from tidegate.rego.source import Source


class Findings:
    """What the checks found."""

    def __init__(self, problems: Iterable[Problem] = ()) -> None:
        self.problems = list(problems)

    def error(self, code: str, message: str, source: Source, node: ast.Node, hint: str | None = None) -> None:
        self.problems.append(Problem(code, message, source, node.start, node.end, hint))

    def warning(self, code: str, message: str, source: Source, node: ast.Node, hint: str | None = None) -> None:
        self.problems.append(Problem(code, message, source, node.start, node.end, hint, warning=True))

    def sorted(self) -> tuple[Problem, ...]:
        """By file and position, each problem once. Where there is an error, warnings say nothing more."""
        errors = {_place(problem) for problem in self.problems if not problem.warning}
        found = {
            (*_place(problem), problem.warning, problem.message): problem
            for problem in reversed(self.problems)
            if not problem.warning or _place(problem) not in errors
        }
        return tuple(found[place] for place in sorted(found))


def _place(problem: Problem) -> tuple[str, int]:
    return problem.source.name if problem.source is not None else "", problem.start
