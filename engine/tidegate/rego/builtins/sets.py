"""Sets: what two or many have together. The difference is `minus`, beside that of numbers."""

from tidegate.rego.builtins import builtin
from tidegate.rego.builtins.operands import NAMES, set_
from tidegate.rego.errors import OperandError
from tidegate.rego.evaluation import Evaluation
from tidegate.rego.values import RegoSet, Value


@builtin("and", "x: set[any], y: set[any] -> z: set[any]")
def and_(x: Value, y: Value) -> RegoSet:
    return _common(set_("and", 1, x), set_("and", 2, y))


@builtin("or", "x: set[any], y: set[any] -> z: set[any]", evaluation=True)
def or_(evaluation: Evaluation, x: Value, y: Value) -> RegoSet:
    first, second = set_("or", 1, x), set_("or", 2, y)
    evaluation.spend(len(first) + len(second))
    return RegoSet(first | second)


@builtin("union", "xs: set[set[any]] -> y: set[any]", evaluation=True)
def union(evaluation: Evaluation, xs: Value) -> RegoSet:
    result = RegoSet()
    for one in _sets("union", xs):
        evaluation.spend(len(one))
        result.update(one)
    return result


@builtin("intersection", "xs: set[set[any]] -> y: set[any]")
def intersection(xs: Value) -> RegoSet:
    found = _sets("intersection", xs)
    if not found:
        return RegoSet()
    result = found[0]
    for one in found[1:]:
        result = _common(result, one)
    return result


@builtin("set_diff", "x: set[any], y: set[any] -> set[any]", deprecated="the operator says the same: `x - y`")
def set_diff(x: Value, y: Value) -> RegoSet:
    others = set_("set_diff", 2, y)
    return RegoSet((name, held) for name, held in set_("set_diff", 1, x).items() if name not in others)


def _common(x: RegoSet, y: RegoSet) -> RegoSet:
    small, large = (x, y) if len(x) <= len(y) else (y, x)
    return RegoSet((name, held) for name, held in small.items() if name in large)


def _sets(name: str, xs: Value) -> list[RegoSet]:
    found = list(set_(name, 1, xs).values())
    for one in found:
        if type(one) is not RegoSet:
            raise OperandError(f"{name}: operand 1 must be set of sets but got set containing {NAMES[type(one)]}")
    return found
