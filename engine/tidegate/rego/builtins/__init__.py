"""The builtin functions, one module per group of OPA's list; each registers its functions here.

A builtin takes values (`values.py`) and gives one back, or UNDEFINED. It raises `OperandError` for an operand of a
wrong type and `BuiltinError` for anything else it cannot do. It never changes an operand, and what it makes may share
parts with them. Impure ones, and those whose result can be much larger than their operands, take the `Evaluation`
first: they spend its budget before they work, and the moment and the random numbers are its own.
"""

from collections.abc import Callable
from importlib import import_module
from typing import Any, Final, TypeVar

from msgspec import Struct

Function = TypeVar("Function", bound=Callable[..., Any])


class Builtin(Struct, frozen=True):
    """One builtin as the checker and the code generation see it."""

    name: str
    signature: str  # "haystack: string, needle: string -> boolean"; types as OPA writes them: array[any], set[string]
    call: Callable[..., Any]
    evaluation: bool = False  # takes the Evaluation first
    pure: bool = True  # the same operands give the same result in every evaluation, so that it can be done beforehand
    deprecated: str | None = None  # what to use instead
    specialised: Callable[..., Any] | None = None  # of all operands but the last: a function of that one, if a string

    @property
    def arity(self) -> int:
        """How many operands it has."""
        params = self.signature.rpartition("->")[0].strip()
        count, depth = int(bool(params)), 0
        for char in params:
            depth += (char in "[<") - (char in "]>")
            count += char == "," and depth == 0
        return count


TABLE: Final[dict[str, Builtin]] = {}

# What a gateway must not do inside a decision, and why. The checker refuses a call to one of these with the reason.
REFUSED: Final = {
    "http.send": "a decision is a function of its input and data, and may not wait for the network",
    "net.lookup_ip_addr": "a decision is a function of its input and data, and may not wait for the network",
    "opa.runtime": "it would show the environment of the process, and with it the secrets kept there",
    "test.sleep": "a decision may not wait",
}


def builtin(
    name: str,
    signature: str,
    *,
    evaluation: bool = False,
    pure: bool = True,
    deprecated: str | None = None,
    specialised: Callable[..., Any] | None = None,
) -> Callable[[Function], Function]:
    """Registers the function below it."""

    def register(function: Function) -> Function:
        TABLE[name] = Builtin(name, signature, function, evaluation, pure, deprecated, specialised)
        return function

    return register


GROUPS: Final = (
    "aggregates",
    "arrays",
    "aws",
    "bits",
    "comparison",
    "crypto",
    "encoding",
    "glob",
    "graph",
    "graphql",
    "json",
    "jsonpatch",
    "jsonpaths",
    "jsonschema",
    "jwt",
    "net",
    "numbers",
    "objects",
    "output",
    "parsing",
    "regex",
    "semver",
    "sets",
    "sprintf",
    "strings",
    "templates",
    "time",
    "types",
    "units",
    "uuid",
    "x509",
    "yaml",
)  # the modules beside this one

for _group in GROUPS:
    import_module(f"tidegate.rego.builtins.{_group}")
