"""A plan and its data as what `link` binds: the whole way through the code generation."""

from types import CodeType

from tidegate.rego.errors import EvaluationError, PolicyRefused, Problem
from tidegate.rego.evaluation import Evaluation
from tidegate.rego.generate.link import Linkable, available, link
from tidegate.rego.generate.runtime import MISSING
from tidegate.rego.generate.scopes import Knowledge
from tidegate.rego.generate.typed import Typed
from tidegate.rego.generate.unit import FOLDING, Unit
from tidegate.rego.plan import Plan
from tidegate.rego.values import UNDEFINED, Value


def compiled(plan: Plan, data: Value, strict: bool, typed: Typed | None) -> Linkable:
    """The functions of a plan; raises PolicyRefused."""
    try:
        return _compiled(plan, data, strict, typed)
    except RecursionError:
        raise _too_deep() from None


def _compiled(plan: Plan, data: Value, strict: bool, typed: Typed | None) -> Linkable:
    knowledge = Knowledge(plan)
    refuse_unknown_builtins(knowledge)
    unit = Unit(knowledge, data, strict, constant_rules(knowledge, data, strict), typed)
    unit.assign_slots()
    for entry in plan.entries:
        unit.entry(entry)
    unit.generate()
    if typed is not None:
        unit.typed_entry()
    return linkable(unit)


def linkable(unit: Unit) -> Linkable:
    """A unit whose functions have all been generated."""
    entries = list(unit.knowledge.entries)
    moment = unit.place("moment") if unit.typed is not None else 0
    tables, few = unit.tables(), sorted(unit.few)
    return Linkable(code_of(unit.source), unit.recipes, len(unit.slots), entries, tables, moment, few)


def code_of(lines: list[str]) -> CodeType:
    try:
        return compile("\n".join(lines), "<policy>", "exec", dont_inherit=True, optimize=2)
    except (IndentationError, RecursionError, MemoryError):  # more levels than Python's own compiler takes
        raise _too_deep() from None
    except SyntaxError as error:
        if "nested" in str(error):
            raise _too_deep() from None
        raise


def _too_deep() -> PolicyRefused:
    return PolicyRefused([Problem("rego_compile_error", "the policy is nested too deeply")])


def constant_rules(knowledge: Knowledge, data: Value, strict: bool) -> dict[str, Value]:
    """The values of the rules that depend on nothing but the data. One that fails now will fail in its time."""
    names = [name for name in knowledge.functions if knowledge.rule(name) and name not in knowledge.dependent]
    if not names:
        return {}
    unit = Unit(knowledge, data, strict, {})
    unit.slots = {name: slot for slot, name in enumerate(names, 1)}
    functions = {name: unit.want(name, "f") for name in names}
    unit.generate()
    made = linkable(unit)
    made.entries = []
    namespace = link(made, strict, None)
    memo = namespace["fresh"]((None,))
    found = {}
    memo[0] = evaluation = Evaluation(strict)
    for name in names:
        evaluation.budget = FOLDING  # one evaluation, so that what was weighed for one rule is known for the next
        held = memo[unit.slots[name]]
        try:
            found[name] = namespace[functions[name]](UNDEFINED, memo) if held is MISSING else held
        except (EvaluationError, RecursionError, MemoryError, ArithmeticError, UnicodeError):
            continue
    return found


def refuse_unknown_builtins(knowledge: Knowledge) -> None:
    """Every builtin that a plan calls must be there; all that are not are named."""
    problems: dict[str, Problem] = {}
    for scopes in (*knowledge.scopes.values(), *knowledge.entries.values()):
        for call, _ in scopes.functions:
            if call.function not in knowledge.functions:
                try:
                    available(call.function)
                except PolicyRefused as error:
                    problems[call.function] = error.problems[0]
    if problems:
        raise PolicyRefused(list(problems.values()))
