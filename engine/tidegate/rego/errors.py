"""What can go wrong in a policy: before it runs (problems, all of them at once), and while it runs (one error).

The codes are OPA's, so that whoever knows those knows these.
"""

from typing import ClassVar

from msgspec import Struct

from tidegate.rego.source import Source


class RegoError(Exception):
    """Any failure of a policy that this package explains itself."""

    code: ClassVar[str] = "rego_error"


class Problem(Struct, frozen=True):
    """One thing that is wrong with a module, and where. `warning` ones do not keep a policy from running."""

    code: str  # rego_parse_error, rego_unsafe_var_error, rego_type_error, rego_recursion_error, rego_compile_error...
    message: str
    source: Source | None = None
    start: int = 0  # offsets into the source's text
    end: int = 0
    hint: str | None = None  # what would be right: "did you mean `x`?", the v1 form
    warning: bool = False

    @property
    def line(self) -> int:
        return self.source.line(self.start) if self.source is not None else 0

    @property
    def column(self) -> int:
        return self.source.column(self.start) if self.source is not None else 0

    def __str__(self) -> str:
        if self.source is None:
            return f"{self.code}: {self.message}" + (f"\n  {self.hint}" if self.hint else "")
        kind = "warning: " if self.warning else ""
        lines = [f"{self.source.name}:{self.line}:{self.column}: {kind}{self.code}: {self.message}"]
        lines += self.source.excerpt(self.start, self.end)
        return "\n".join(lines + ([f"  {self.hint}"] if self.hint else []))


class PolicyRefused(RegoError):
    """Modules that cannot be run; every problem found is listed."""

    code = "rego_compile_error"

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems


class EvaluationError(RegoError):
    """A policy stopped while it ran; it has no answer."""

    code = "eval_internal_error"

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class Conflict(EvaluationError):
    """Two rules gave two values where there can be one."""

    code = "eval_conflict_error"


class BuiltinError(EvaluationError):
    """A builtin could not do what it was asked. Lenient evaluation makes it undefined, strict evaluation stops."""

    code = "eval_builtin_error"


class OperandError(BuiltinError):
    """A builtin was given a value of a type it does not take."""

    code = "eval_type_error"


class BudgetExhausted(EvaluationError):
    """The policy did more work than one evaluation may."""

    code = "eval_budget_error"
