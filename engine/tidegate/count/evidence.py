"""What the vocabulary of a model is like beside ours, as far as calls have shown it: ratios, and how far off they are.

Evidence is sums of tokens and of calls, of which each call keeps 97 % of what the one before left. So it can be added
up: what two workers saw apart is what one would have seen, but for the order.
"""

import re
from functools import lru_cache
from typing import Annotated, Final, Literal

from msgspec import Meta, Struct, field

from tidegate.count.families import is_claude, is_newer_claude
from tidegate.count.features import BUCKETS, Side

DECAY: Final = 0.97
LEAN: Final = 200.0  # tokens that a broader ratio weighs beside a narrower one
LEAST: Final = 0.5  # no ratio of two vocabularies is less
GREATEST: Final = 3.0  # or more
ENOUGH_CALLS: Final = 10.0  # decayed ones, of which there are 33 at most: the last twelve
ENOUGH_TOKENS: Final = 1000.0

# errors up to these shares of an estimate, in percent; what is more counts as the last
ERRORS: Final = (1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 25, 30, 40, 50, 64, 100, 200)
WITHIN: Final = 0.95  # of the calls are no further off than the margin
UNKNOWN_ERROR: Final = 64  # the worst that public vocabularies taken for one another were found to have

# what is assumed until there is evidence; nobody measured these
NEWER_CLAUDE: Final = 1.4
CLAUDE: Final = 1.15
OTHERS: Final = ((re.compile("gemini|gemma"), 1.1), (re.compile("llama|mistral|mixtral|deepseek|qwen"), 1.05))

Sum = Annotated[float, Meta(ge=0, le=1e15)]
Errors = Annotated[tuple[Sum, ...], Meta(min_length=len(ERRORS), max_length=len(ERRORS))]


class Evidence(Struct, frozen=True):
    """Of one kind of text: tokens counted here, tokens billed for them, and calls by how far off their estimate was."""

    counted: Sum = 0.0
    billed: Sum = 0.0
    errors: Errors = (0.0,) * len(ERRORS)

    @property
    def calls(self) -> float:
        return _total(self.errors)

    @property
    def error(self) -> int:
        """What 95 % of the errors stay within, in percent."""
        return _within(self.errors)

    def faded(self) -> "Evidence":
        """What is left of it when another call has come."""
        return Evidence(self.counted * DECAY, self.billed * DECAY, _faded(self.errors, -1))

    def after(self, counted: int, billed: int, error: float) -> "Evidence":
        """What it becomes with another call, whose estimate was off by `error`, as a share of it. A call is no evidence
        of a ratio that vocabularies do not have.
        """
        errors = _faded(self.errors, _step(error * 100))
        billed_for = min(max(billed, LEAST * counted), GREATEST * counted)
        return Evidence(self.counted * DECAY + counted, self.billed * DECAY + billed_for, errors)

    def __add__(self, other: "Evidence") -> "Evidence":
        errors = tuple(mine + theirs for mine, theirs in zip(self.errors, other.errors, strict=True))
        return Evidence(self.counted + other.counted, self.billed + other.billed, errors)


# each call that teaches comes here several times: compiled, these reckon without Python's numbers


def _total(errors: tuple[float, ...]) -> float:
    total = 0.0
    for calls in errors:
        total += calls
    return total


def _is_enough(counted: float, errors: tuple[float, ...]) -> bool:
    return counted >= ENOUGH_TOKENS and _total(errors) >= ENOUGH_CALLS


def _within(errors: tuple[float, ...]) -> int:
    left = _total(errors) * WITHIN
    for step in range(len(errors)):
        calls = errors[step]
        left -= calls
        if left <= 0:
            return ERRORS[step]
    return ERRORS[-1]


def _step(percent: float) -> int:
    """Which of ERRORS an error counts as."""
    last = len(ERRORS) - 1
    for step in range(last):
        bound = ERRORS[step]
        if percent <= bound:
            return step
    return last


def _faded(errors: tuple[float, ...], another: int) -> tuple[float, ...]:
    """What is left of them when another call has come, which is one of them unless that is -1."""
    decay, left = DECAY, []
    for step in range(len(errors)):
        calls = errors[step]
        left.append(calls * decay)
    if another >= 0:
        left[another] += 1.0
    return tuple(left)


Kinds = Annotated[list[Evidence], Meta(min_length=BUCKETS, max_length=BUCKETS)]


def _nothing() -> list[Evidence]:
    return [Evidence()] * BUCKETS


class Learnt(Struct):
    """What was learnt of one model, by kind of text (features.py)."""

    prompt: Kinds = field(default_factory=_nothing)
    output: Kinds = field(default_factory=_nothing)

    def of(self, side: Side) -> list[Evidence]:
        return self.prompt if side == "prompt" else self.output

    def __add__(self, other: "Learnt") -> "Learnt":
        return Learnt(_added(self.prompt, other.prompt), _added(self.output, other.output))


def _added(one: list[Evidence], other: list[Evidence]) -> list[Evidence]:
    return [mine + theirs for mine, theirs in zip(one, other, strict=True)]


class Rate:
    """How tokens counted here become the model's."""

    def __init__(self, ratio: float, error: int, kind: Literal["calibrated", "estimated"]) -> None:
        self.ratio = ratio
        self.error = error
        self.kind = kind

    def of(self, tokens: int) -> int:
        """What so many tokens, counted here, are for the model; rounded up."""
        return -int(-tokens * self.ratio // 1)

    def back(self, tokens: int) -> int:
        """The least number counted here that is so many for the model."""
        counted = max(int((tokens - 1) / self.ratio), 0)
        while self.of(counted) < tokens:
            counted += 1
        while counted and self.of(counted - 1) >= tokens:
            counted -= 1
        return counted


def rates(model: str, every: list[Evidence]) -> tuple[Rate, ...]:
    """The rate of each kind of text: by its own evidence, leaning on that of all of them, and this on the family's."""
    counted = billed = 0.0
    for each in every:
        counted += each.counted
        billed += each.billed
    general = (billed + LEAN * prior(model)) / (counted + LEAN)
    return tuple([_rate(each, general) for each in every])


def _rate(evidence: Evidence, general: float) -> Rate:
    counted, billed, errors, lean = evidence.counted, evidence.billed, evidence.errors, LEAN
    ratio = min(max((billed + lean * general) / (counted + lean), LEAST), GREATEST)
    if _is_enough(counted, errors):
        return Rate(ratio, _within(errors), "calibrated")
    return Rate(ratio, UNKNOWN_ERROR, "estimated")


@lru_cache(maxsize=1024)
def prior(model: str) -> float:
    """The ratio that is assumed of a model."""
    if is_claude(model):
        return NEWER_CLAUDE if is_newer_claude(model) else CLAUDE
    return next((ratio for names, ratio in OTHERS if names.search(model)), 1.0)


@lru_cache(maxsize=1024)
def assumed(model: str) -> tuple[Rate, ...]:
    """The rates of a model of which nothing is known."""
    return rates(model, _nothing())
