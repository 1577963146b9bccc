"""A plan and its data as functions that can be called."""

from __future__ import annotations

from types import CodeType
from typing import Any

from tidegate.rego.errors import EvaluationError, PolicyRefused, Problem
from tidegate.rego.evaluation import Evaluation
from tidegate.rego.generate.runtime import MISSING
from tidegate.rego.generate.scopes import Knowledge
from tidegate.rego.generate.unit import FOLDING, RUNTIME, Unit, available
from tidegate.rego.plan import Plan
from tidegate.rego.values import UNDEFINED, Value


class Program:
    """Evaluates the entries of a plan. It keeps nothing between evaluations, and any number of threads may use it."""

    def __init__(self, plan: Plan, data: Value, *, strict: bool = False) -> None:
        self.strict = strict
        knowledge = Knowledge(plan)
        refuse_unknown_builtins(knowledge)
        constants = constant_rules(knowledge, data, strict)
        unit = Unit(knowledge, data, strict, constants)
        unit.assign_slots()
        for entry in plan.entries:
            unit.entry(entry)
        unit.generate()
        self._blank: list[Any] = [None, *[MISSING] * len(unit.slots)]
        self.source = "\n".join(unit.source)
        namespace = self._load(unit, compiled(self.source))
        self._entries = {entry.name: namespace[f"entry{number}"] for number, entry in enumerate(plan.entries)}

    def _load(self, unit: Unit, code: CodeType) -> dict[str, Any]:
        blank = self._blank

        def fresh(memo: list[Any]) -> list[Any]:
            new = blank[:]
            new[0] = memo[0]
            return new

        namespace = {**RUNTIME, **unit.namespace, "fresh": fresh, "DYNAMIC": {}, "DYNAMIC_GENERIC": {}}
        exec(code, namespace)  # noqa: S102 - the text was made from the plan, with every name and value its own
        fill(namespace, unit)
        return namespace

    @property
    def entries(self) -> list[str]:
        return list(self._entries)

    def evaluate(self, entry: str, input: Value = UNDEFINED, evaluation: Evaluation | None = None) -> list[Value]:
        """The results of an entry; raises an EvaluationError where it has no answer."""
        memo = self._blank[:]
        memo[0] = Evaluation(self.strict) if evaluation is None else evaluation
        return self._entries[entry](input, memo)  # type: ignore[no-any-return]


def fill(namespace: dict[str, Any], unit: Unit) -> None:
    """Fills the tables of rules that are called by a path that is known only then."""
    for name, number in unit.numbers.items():
        function = unit.knowledge.functions[name]
        for table, letter in (("DYNAMIC", "f"), ("DYNAMIC_GENERIC", "g")):
            made = namespace.get(f"{letter}{number}")
            if made is not None and function.path and unit.knowledge.rule(name):
                namespace[table][function.path] = made


def compiled(source: str) -> CodeType:
    try:
        return compile(source, "<policy>", "exec", dont_inherit=True, optimize=2)
    except (SyntaxError, RecursionError, MemoryError) as error:
        raise PolicyRefused([Problem("rego_compile_error", f"the policy is nested too deeply: {error}")]) from None


def constant_rules(knowledge: Knowledge, data: Value, strict: bool) -> dict[str, Value]:
    """The values of the rules that depend on nothing but the data. One that fails now will fail in its time."""
    names = [name for name in knowledge.functions if knowledge.rule(name) and name not in knowledge.dependent]
    if not names:
        return {}
    unit = Unit(knowledge, data, strict, {})
    unit.slots = {name: slot for slot, name in enumerate(names, 1)}
    for name in names:
        unit._want(name, False)
    unit.generate()
    blank: list[Any] = [None, *[MISSING] * len(names)]

    def fresh(memo: list[Any]) -> list[Any]:
        return [memo[0], *blank[1:]]

    namespace = {**RUNTIME, **unit.namespace, "fresh": fresh, "DYNAMIC": {}, "DYNAMIC_GENERIC": {}}
    exec(compiled("\n".join(unit.source)), namespace)  # noqa: S102
    memo = blank[:]
    found = {}
    for name in names:
        memo[0] = Evaluation(strict, budget=FOLDING)
        slot = unit.slots[name]
        try:
            found[name] = namespace[f"f{unit.numbers[name]}"](UNDEFINED, memo) if memo[slot] is MISSING else memo[slot]
        except EvaluationError:
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
