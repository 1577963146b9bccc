"""What decisions were, by what the policy asked about the calls.

Calls are told apart by the values of those fields that have few (tenant, key, model...), then by the answers to the
questions that the policy asked about the others: how many tokens, how many bytes, how much is spent. Behind the last
answer stands the decision. So a call whose way is known needs some look-ups and comparisons, and no rule of the policy;
of a policy that looks into the messages only those rules are evaluated that do. The tree grows with the calls that
come. Nobody gets another's decision unless the policy could not tell the two apart.
"""

from __future__ import annotations

from sys import getsizeof
from typing import Any, Final

from tidegate.decide.fields import Field
from tidegate.decide.reading import Limits
from tidegate.model import Call, Caller, Decision, Estimate
from tidegate.rego.generate.asking import Note, Question

MOST: Final = 32 * 2**20  # bytes of what is kept, about; then all is forgotten
PART: Final = 100  # bytes of a question, or of a decision beside what it says
LONGEST: Final = 64  # questions on the way to a decision; where there are more, they are asked every time


class Asked:
    """A question of the policy, and what follows from the answer."""

    def __init__(self, question: Question, field: Field, other: Any) -> None:
        self.question = question
        self.field = field
        self.other = other  # what the field is compared with
        self.yes: Asked | Told | None = None
        self.no: Asked | Told | None = None


class Told:
    """What the policy said: the decision, or the values of its rules, of which some must be evaluated for each call."""

    def __init__(self, said: tuple[Any, ...], rules: frozenset[int]) -> None:
        self.said = said
        self.rules = rules
        self.decision: Decision | None = None  # where there are no such rules


class Known:
    """All of it, of one policy."""

    def __init__(self, few: list[str]) -> None:
        self._few = [Field(text) for text in few]
        self._fields: dict[tuple[str, tuple[str, ...]], Field] = {}
        self._tree: dict[Any, Any] = {}  # by the values of these fields: trees, behind the last one what was asked
        self._size = 0

    def find(
        self, call: Call, caller: Caller, estimate: Estimate, ns: int, integration: str | None, limits: Limits
    ) -> Told | None:
        """What the policy says of such a call; None where that is not known."""
        at: Any = self._tree
        for each in self._few:
            branches = at
            at = branches.get(each.of(call, caller, estimate, ns, integration, limits))
            if at is None:
                return None
        field: Field | None = None
        value: Any = None
        while type(at) is Asked:
            asked = at
            if asked.field is not field:  # many are asked about twice
                field = asked.field
                value = field.of(call, caller, estimate, ns, integration, limits)
            at = asked.yes if asked.question.answer(value, asked.other) else asked.no
        found: Told | None = at if type(at) is Told else None
        return found

    def keep(
        self,
        call: Call,
        caller: Caller,
        estimate: Estimate,
        ns: int,
        integration: str | None,
        limits: Limits,
        said: tuple[Any, ...],
        notes: list[Note],
    ) -> Told:
        """Keeps what the policy said of a call, and what it asked for that."""
        way, rules = _way(notes)
        told = Told(said, rules)
        values = [field.of(call, caller, estimate, ns, integration, limits) for field in self._few]
        if self._size > MOST:
            self._tree = {}
            self._size = 0
        self._tree = self._grown(self._tree, values, way, told)
        self._size += _weight(values) + _weight(said) + sum([_weight(note[1]) for note in way])
        return told

    def _grown(self, tree: Any, values: list[Any], way: list[Note], told: Told) -> Any:
        """A tree with the way through it that begins with these values and goes on with these answers."""
        if values:
            branches = tree if type(tree) is dict else self._new({})
            branches[values[0]] = self._grown(branches.get(values[0]), values[1:], way, told)
            return branches
        if not way:
            return self._new(told)
        question, other, answer = way[0]
        asked = tree if type(tree) is Asked and tree.question is question else None
        if asked is None:
            place = question.text, question.path
            asked = self._new(Asked(question, self._fields.setdefault(place, Field(*place)), other))
        if answer:
            asked.yes = self._grown(asked.yes, values, way[1:], told)
        else:
            asked.no = self._grown(asked.no, values, way[1:], told)
        return asked

    def _new(self, part: Any) -> Any:
        self._size += PART
        return part


def _weight(value: Any) -> int:
    """The bytes of a value, about."""
    if isinstance(value, dict):
        return getsizeof(value) + sum([_weight(key) + _weight(each) for key, each in value.items()])
    if isinstance(value, (tuple, list, set, frozenset)):
        return getsizeof(value) + sum([_weight(each) for each in value])
    return getsizeof(value)


def _way(notes: list[Note]) -> tuple[list[Note], frozenset[int]]:
    """The questions that tell decisions apart, and the rules that must be evaluated for each call."""
    rules: frozenset[int] = frozenset()
    way: list[Note] = []
    for note in notes:
        question = note[0]
        if question.anything:
            rules |= question.reach
        elif not question.reach <= rules:  # else only rules asked that are evaluated anyway
            way.append(note)
    if len(way) > LONGEST:
        return [], rules.union(*[note[0].reach for note in way])
    return way, rules
