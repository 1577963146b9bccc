"""What a policy prints while it is written. A gateway decides without a console, so these have no effect."""

from tidegate.rego.builtins import builtin
from tidegate.rego.builtins.operands import array, string
from tidegate.rego.values import Value


@builtin("internal.print", "args: array[set[any]] -> boolean")
def internal_print(args: Value) -> bool:
    array("internal.print", 1, args)
    return True


@builtin("trace", "note: string -> result: boolean")
def trace(note: Value) -> bool:
    string("trace", 1, note)
    return True
