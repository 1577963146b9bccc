"""What a process counts: nothing is lost, whoever reads or takes over, and whatever has no place is counted too."""

import itertools
import multiprocessing
import os
import random
import signal
import time
from collections import Counter

import pytest

from tidegate.counters import FAST, KINDS, SIZE, SLOW, Counters
from tidegate.serve.metrics import LAST, blocks, rows, summed

NOTHING = (0, 0, 0, 0)


def ended(counters: Counters, *labels: str, status: int = 200, error: str | None = None, **more: object) -> None:
    endpoint, integration, action = labels or ("chat.completions", "main", "allow")
    said = {"left": False, "stopped": "", "decided": 0, "sent": 0, "first": 0, "last": 0} | more
    counters.ended(endpoint, integration, action, status, error, **said)  # type: ignore[arg-type]


def calls(block: memoryview) -> dict[tuple[str, ...], int]:
    return {row.labels: row.words[0] for row in rows(block) if row.family == "call" and any(row.words)}


OUTCOMES = [
    ("a whole answer", {}, "complete"),
    ("a redirect is the provider's answer too", {"status": 304}, "complete"),
    ("the provider refused", {"status": 429, "sent": 1}, "provider_error"),
    ("a policy refused", {"status": 403, "error": "policy_denied"}, "refused"),
    ("the provider failed", {"status": 502, "error": "upstream_failed", "sent": 1}, "failed"),
    ("the client left", {"status": 499, "left": True, "sent": 1}, "client_left"),
    ("who left is not told why", {"status": 499, "left": True, "stopped": "limit"}, "client_left"),
    ("a limit was reached", {"stopped": "limit", "sent": 1}, "stopped"),
    ("a stop that is told as an error", {"stopped": "policy", "error": "policy_stopped", "sent": 1}, "stopped"),
]


@pytest.mark.parametrize(("note", "told", "outcome"), OUTCOMES, ids=[row[0] for row in OUTCOMES])
def test_a_call_has_one_outcome(note: str, told: dict[str, object], outcome: str) -> None:
    [block] = blocks(1)
    ended(Counters(block), **told)  # type: ignore[arg-type]
    assert calls(block) == {("chat.completions", "main", "allow", outcome): 1}, note


def test_what_is_counted_is_what_is_read() -> None:
    [block] = blocks(1)
    counters = Counters(block)
    for number in range(100):
        ended(counters, status=200 + 300 * (number % 2), last=number)
        counters.used("main", KINDS[number % 4], 10, 1, 7)
        counters.refused("key_invalid")
        counters.attempt_failed("main")
    found = summed(rows(block))
    assert found["answer", ("chat.completions",)] == [0, 0, 50, 0, 0, 50]
    assert found["way", ("main",)][:10] == [250, 25] * 4 + [700, 100]
    assert found["refusal", ("key_invalid",)] == [100]


def test_calls_of_every_kind_are_told_apart_whoever_names_them() -> None:
    """Rows are found by the objects that name them; others that say the same, and more than are kept, find them too."""
    [block] = blocks(1)
    counters = Counters(block)
    kinds = list(itertools.product([f"endpoint-{n}" for n in range(4)], ["one", "two", ""], ["allow", "warn", "none"]))
    statuses = [(200, "complete"), (500, "provider_error")]
    expected: Counter[tuple[str, ...]] = Counter()
    chance = random.Random(7)
    for _ in range(2000):
        kind, (status, outcome) = chance.choice(kinds), chance.choice(statuses)
        if chance.random() < 0.3:
            kind = tuple(["".join(list(each)) for each in kind])
        ended(counters, *kind, status=status)
        expected[*kind, outcome] += 1
    assert calls(block) == expected
    found = summed(rows(block))
    for name in ("one", "two", ""):
        counted = sum(count for kind, count in expected.items() if kind[1] == name)
        assert sum(found["way", (name,)][LAST : LAST + len(SLOW) + 1]) == counted


@pytest.mark.parametrize("bounds", [SLOW, FAST])
def test_a_span_is_in_the_first_bucket_that_holds_it(bounds: tuple[int, ...]) -> None:
    for at, bound in enumerate(bounds):
        for span, expected in ((bound - 1, at), (bound, at), (bound + 1, at + 1)):
            [block] = blocks(1)
            counters = Counters(block)
            ended(counters, **({"last": span} if bounds is SLOW else {"sent": span}))  # type: ignore[arg-type]
            found = summed(rows(block))
            words = found["way", ("main",)][LAST:] if bounds is SLOW else found["worker", ()][9 + len(FAST) + 2 :]
            words = words[: len(bounds) + 2]
            assert words.index(1) == expected
            assert sum(words[:-1]) == 1
            assert words[-1] == span


def test_a_successor_goes_on_with_the_counts_and_not_with_the_state() -> None:
    [block] = blocks(1)
    first = Counters(block)
    first.under_way(1)
    first.streams(1)
    first.look(5, 2, 3, 7, 90)
    first.look(5, 4, 3, 7, 95)
    ended(first)
    second = Counters(block)
    second.look(1, 1, 0, 8, 2)
    ended(second)
    ended(second, "messages", "main", "warn")
    found = summed(rows(block))
    assert found["worker", ()][:8] == [0, 0, 1, 5, 3, 0, 8, 2]
    assert calls(block)["chat.completions", "main", "allow", "complete"] == 2
    assert calls(block)["messages", "main", "warn", "complete"] == 1


def test_a_gauge_never_shows_less_than_nothing() -> None:
    from tidegate.serve.metrics import _signed

    [block] = blocks(1)
    counters = Counters(block)
    counters.under_way(-1)
    assert _signed(summed(rows(block))["worker", ()][0]) == 0
    counters.under_way(1)
    counters.under_way(1)
    assert _signed(summed(rows(block))["worker", ()][0]) == 1


def test_labels_have_a_bound_and_no_count_is_lost() -> None:
    [block] = blocks(1)
    counters = Counters(block)
    for number in range(3000):
        counters.used(f"integration-{number}", "exact", 1, 1, 1)
        counters.refused(f"code_{number}")
    for _ in range(2):  # a successor finds the same rows
        found = summed(rows(block))
        ways = [words for (family, _), words in found.items() if family == "way"]
        assert len(ways) < 200
        assert sum(words[2] for words in ways) == 3000
        assert sum(words[0] for (family, _), words in found.items() if family == "refusal") == 3000
        Counters(block)


@pytest.mark.parametrize("label", ["a\tb", "a\nb", "x" * 97, "\ud800", "ä", "\x85", "a\x1cb"])
def test_a_label_that_could_be_read_in_two_ways_is_other(label: str) -> None:
    [block] = blocks(1)
    Counters(block).refused(label)
    assert summed(rows(block))["refusal", ("other",)] == [1]
    Counters(block)


def test_a_block_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match="bytes"):
        Counters(bytearray(SIZE - 8))
    ended(Counters())  # without one it has its own


def counting(block: memoryview, started: object) -> None:
    counters = Counters(block)
    number = 0
    while True:
        number += 1
        ended(counters, f"e{number % 50}", f"i{number % 7}", "allow")
        counters.policy("enforced", f"{number:064x}")


def test_whoever_counts_may_be_killed_at_any_moment() -> None:
    """A reader sees whole rows and counts that only grow; a successor goes on."""
    blocks_ = blocks(1)
    context = multiprocessing.get_context("fork")
    seen: dict[tuple[str, ...], int] = {}
    for _ in range(20):
        process = context.Process(target=counting, args=(blocks_[0], None), daemon=True)
        process.start()
        until = time.monotonic() + 0.05
        while time.monotonic() < until:
            now = calls(blocks_[0])
            assert all(now[labels] >= count for labels, count in seen.items())
            seen = now
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        process.join()
    assert len(seen) > 1
    assert sum(calls(blocks_[0]).values()) >= sum(seen.values())
