"""Calls of functions and builtins, and of what `with` put in their place."""

from tidegate.rego import ast, plan
from tidegate.rego.builtins import TABLE
from tidegate.rego.lower.planner import Generation
from tidegate.rego.lower.routine import VALUES, Routine
from tidegate.rego.lower.settling import settle
from tidegate.rego.lower.tree import Node
from tidegate.rego.lower.unification import match, unify
from tidegate.rego.plan import DATA, INPUT, Operand

RELATIONS = frozenset(("walk",))  # builtins that have many results: an array of them


def call(routine: Routine, term: ast.Call) -> Operand:
    """The result of a call."""
    return _invoke(routine, ".".join(term.name), [routine.value(argument) for argument in term.args])


def rule(routine: Routine, node: Node) -> int:
    """The value of the rules at a place."""
    return _function(routine, routine.generation, node, [])


def must_hold(routine: Routine, term: ast.Call) -> None:
    """Goes on if the call's result is neither false nor undefined; a last argument too many stands for the result."""
    name = ".".join(term.name)
    if name == "print":  # erased, with whatever its operands would have done
        return
    replaced = name in routine.generation.functions
    if name in ("eq", "assign"):
        settle(routine, lambda a, b: unify(routine, a, b), *term.args)
    elif name in ("equal", "neq") and not replaced and len(term.args) == 2:
        settle(routine, lambda a, b: _compare(routine, name, a, b), *term.args)
    elif len(term.args) > _arity(routine, name, len(term.args)):
        settle(routine, lambda *args: _match_result(routine, name, *args), *term.args)
    else:
        settle(routine, lambda *args: routine.must_hold(_call(routine, name, *args)), *term.args)


def _call(routine: Routine, name: str, *args: ast.Term) -> Operand:
    return _invoke(routine, name, [routine.value(argument) for argument in args])


def _match_result(routine: Routine, name: str, *args: ast.Term) -> None:
    match(routine, _call(routine, name, *args[:-1]), args[-1])


def _compare(routine: Routine, name: str, first: ast.Term, second: ast.Term) -> None:
    a, b = routine.value(first), routine.value(second)
    routine.emit(plan.Equal(a=a, b=b) if name == "equal" else plan.NotEqual(a=a, b=b))


def _invoke(routine: Routine, name: str, args: list[Operand]) -> Operand:
    generation = routine.generation
    replacement = generation.functions.get(name)
    if type(replacement) is int:
        return routine.captured[replacement]
    if type(replacement) is str:
        # what takes a function's place sees the functions as they are
        name, generation = replacement, routine.planner.generation({}, generation.documents, 0)
    node = routine.planner.functions.get(name)
    if node is not None:
        return _function(routine, generation, node, args)
    result = routine.local()
    routine.emit(plan.Call(function=name, args=args, result=result))
    return routine.scan(result)[1] if name in RELATIONS else result


def _function(routine: Routine, generation: Generation, node: Node, args: list[Operand]) -> int:
    captured = routine.captured if generation.captures else ()
    name = routine.planner.name(generation, node)
    result = routine.local()
    routine.emit(plan.Call(function=name, args=[INPUT, DATA, *captured, *args], result=result))
    return result


def _arity(routine: Routine, name: str, given: int) -> int:
    """How many operands are asked for; those given, where that is not known."""
    node = routine.planner.functions.get(name)
    if node is not None:
        return node.arity
    return TABLE[name].arity if name in TABLE else given


VALUES[ast.Call] = call
