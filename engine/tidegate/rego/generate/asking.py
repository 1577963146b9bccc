"""What an evaluation asks of the fields of a typed input that have too many values for results to be kept by them.

Most rules ask only whether such a field is above a number, is there, or is of some type. An evaluation that notes its
questions and what the answers were has the same result for every input with the same answers, as far as the fields
that have few values are the same too. Where a rule does more with a field, as putting it into a message, the question
is ANYTHING: the rules that can come there must be evaluated for every input.
"""

import sys
from typing import Any, Final

from tidegate.rego.values import NUMBERS, UNDEFINED, Value, compare, equal, lookup

_ABOVE, _AT_LEAST, _BELOW, _AT_MOST, _KIND, _EQUAL, _DEFINED, _ANYTHING = range(8)
ANYTHING: Final = "anything"
TESTS: Final = {
    "gt": _ABOVE,
    "gte": _AT_LEAST,
    "lt": _BELOW,
    "lte": _AT_MOST,
    "equal": _EQUAL,
    "defined": _DEFINED,
    "is_number": _KIND,
    "is_string": _KIND,
    "is_null": _KIND,
    "is_boolean": _KIND,
    ANYTHING: _ANYTHING,
}
KINDS: Final[dict[str, frozenset[type]]] = {
    "is_number": NUMBERS,
    "is_string": frozenset((str,)),
    "is_null": frozenset((type(None),)),
    "is_boolean": frozenset((bool,)),
}


def at_path(value: Value, path: tuple[str, ...]) -> Value:
    """What stands at a path in a value, or UNDEFINED."""
    for name in path:
        if value is UNDEFINED:
            break
        value = lookup(value, name)
    return value


class Question:
    """A test of a field, or of what stands at a path in it. What is not there passes none."""

    def __init__(self, text: str, path: tuple[str, ...], test: str, reach: frozenset[int]) -> None:
        self.text = text  # the expression that reads the field
        self.path = tuple([sys.intern(name) for name in path])
        self.reach = reach  # the wanted rules whose evaluation can come to this question
        self.anything = test == ANYTHING
        self._test = TESTS[test]
        self._kinds = KINDS.get(test, frozenset())

    def answer(self, value: Value, other: Value) -> bool:
        """Whether this value passes; `other` is what it is compared with."""
        if value is UNDEFINED:
            return False
        test = self._test
        if test <= _AT_MOST:
            return self._compared(test, value, other)
        if test == _KIND:
            return type(value) in self._kinds
        return test != _EQUAL or value is other or (other is not None and equal(value, other))

    def _compared(self, test: int, value: Value, other: Value) -> bool:
        if (type(value) is int or type(value) is float) and (type(other) is int or type(other) is float):
            if test == _ABOVE:  # Python orders whole numbers and floats exactly
                return value > other
            if test == _BELOW:
                return value < other
            return value >= other if test == _AT_LEAST else value <= other
        if value is None and test == _ABOVE:  # what nobody has said: nothing is below null
            return False
        order = compare(value, other)
        if test == _ABOVE:
            return order > 0
        if test == _BELOW:
            return order < 0
        return order >= 0 if test == _AT_LEAST else order <= 0


Note = tuple[Question, Any, bool]  # what was asked, what the field was compared with, and the answer


def ask(notes: list[Note], question: Question, value: Value, other: Value) -> bool:
    """The answer, which is noted."""
    answer = question.answer(at_path(value, question.path), other)
    notes.append((question, other, answer))
    return answer
