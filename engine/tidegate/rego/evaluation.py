"""What one evaluation has of its own: its moment, its budget, and what its impure builtins gave so far."""

import time
from collections.abc import Hashable

from tidegate.rego.errors import BudgetExhausted
from tidegate.rego.values import RegoSet, Value

# One unit is about one step of a loop, or 8 characters of a text made. A decision takes some hundred; ten million take
# some seconds, which is where a runaway policy ends.
BUDGET = 10_000_000


class Evaluation:
    """Made anew for every evaluation, so that policies have no global state and can run in many threads."""

    __slots__ = ("budget", "cache", "strict", "time_ns", "weights")

    def __init__(self, strict: bool = False, time_ns: int | None = None, budget: int = BUDGET) -> None:
        self.strict = strict  # a builtin's error stops the evaluation instead of making its expression undefined
        self.time_ns = time.time_ns() if time_ns is None else time_ns  # time stands still while a policy runs
        self.budget = budget
        self.cache: dict[Hashable, object] = {}  # rand.intn and uuid.rfc4122 answer the same question alike
        self.weights: dict[int, tuple[object, int]] = {}  # by id: composites, and how large they are written out

    def spend(self, units: int) -> None:
        """Takes from the budget, before the work is done."""
        if units > self.budget:
            raise BudgetExhausted("the policy did more work than one evaluation may")
        self.budget -= units

    def weigh(self, value: Value) -> int:
        """How many values one is when it is written out. A part that is shared counts each time, and is walked once.

        Sixty lines, each an array of the one above it twice, are small in memory and without end for their reader.
        """
        kind = type(value)
        if kind is not list and kind is not dict and kind is not RegoSet:
            return 1
        held = self.weights.get(id(value))
        if held is None:
            weight = 1
            for part in value if kind is list else value.values():
                weight += self.weigh(part)
            held = self.weights[id(value)] = (value, weight)
        return held[1]
