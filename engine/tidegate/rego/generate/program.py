"""A plan and its data as functions that can be called."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tidegate.rego.errors import EvaluationError
from tidegate.rego.evaluation import Evaluation
from tidegate.rego.generate.link import Linkable, dump, link, load
from tidegate.rego.generate.typed import Typed
from tidegate.rego.values import UNDEFINED, Value

if TYPE_CHECKING:
    from tidegate.rego.plan import Plan


class Program:
    """Evaluates the entries of a plan. It keeps nothing between evaluations, and any number of threads may use it.

    `typed` asks for two more entries, which take the embedder's own objects and give the values of the rules that are
    wanted, sets as what their collectors made of them. `noted` gives also what was asked of the fields that have many
    values (`asking`): the result is the same for all inputs of which the fields `few` are the same, and those answers.
    `again` takes a result and the places of the rules that must be evaluated for every input, and evaluates these.
    """

    def __init__(self, plan: Plan, data: Value, *, strict: bool = False, typed: Typed | None = None) -> None:
        from tidegate.rego.generate.code import compiled  # not for a program that is loaded

        self._link(compiled(plan, data, strict, typed), strict, typed)

    @classmethod
    def load(cls, content: bytes, *, strict: bool = False, typed: Typed | None = None) -> Program:
        """The program of which `dump` gave these bytes."""
        program = cls.__new__(cls)
        program._link(load(content), strict, typed)
        return program

    def dump(self) -> bytes:
        """As bytes, for the same version of Python and of this package. To load them is to run them."""
        return dump(self._linkable)

    def _link(self, linkable: Linkable, strict: bool, typed: Typed | None) -> None:
        namespace = link(linkable, strict, typed)
        self.strict = strict
        self.noted = namespace.get("noted")
        self.again = namespace.get("again")
        self.few = linkable.few
        self._linkable = linkable
        self._fresh = namespace["fresh"]
        self._entries = {name: namespace[f"entry{number}"] for number, name in enumerate(linkable.entries)}

    @property
    def entries(self) -> list[str]:
        return list(self._entries)

    def evaluate(self, entry: str, input: Value = UNDEFINED, evaluation: Evaluation | None = None) -> list[Value]:
        """The results of an entry; raises an EvaluationError where it has no answer.

        What they hold may be parts of the input, of the data and of the policy's constants: it must not be changed.
        """
        if evaluation is None:
            evaluation = Evaluation(self.strict)
        try:
            return self._entries[entry](input, self._fresh((evaluation,)))  # type: ignore[no-any-return]
        except RecursionError:
            raise EvaluationError("a value is nested too deeply") from None
        except (MemoryError, ArithmeticError, UnicodeError) as error:
            raise EvaluationError(f"a value is out of all bounds: {type(error).__name__}") from None
