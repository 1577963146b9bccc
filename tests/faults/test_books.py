"""The checker of tests/faults/test_governed_laws.py is checked: books that agree, and one thing forged in them."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from tests.faults.books import Books, Call, Version
from tidegate.record.records import Aborted, Because, Bodies, Decided, Draw, Intent, Outcome, Used, Who
from tidegate.record.subjects import Subject
from tidegate.serve.simulated.ledger import Bill

PATH = "/v1/completions"
DIGEST, SPENT, MONEY, PLACE = b"d" * 32, b"s" * 16, b"m" * 16, b"c" * 16
SUBJECT = Subject(b"i" * 32, b"k" * 32)
START = 1_795_000_000_000_000_000


def run_of(number: int, at: int = 0) -> str:
    return f"{(START + at) // 1_000_000:012x}{number:06x}{0:08x}"


def draws(tokens: int, used: int, cost: int, done: int) -> tuple[Draw, ...]:
    money, place = Draw(MONEY, "usd", 10_000, cost, 1), Draw(PLACE, "concurrent", 1, done)
    return Draw(SPENT, "tokens", tokens, used, 1), money, place


def agreeing(count: int = 3) -> Books:
    """Calls of five and ten tokens, one after another, each begun a second after the one before."""
    calls, runs, bills = [], {}, {}
    for number in range(count):
        at = number * 10**9
        run = run_of(number, at)
        call = Call(PATH, b"%d" % number, 5, 10, 20, 20, START + at, START + at + 10**8, 200, run, 10, True)
        commitment = SUBJECT.commitment(bytes.fromhex(run), "upstream_request", call.body)
        who = Who(key=SUBJECT.pseudonym)
        intent = Intent(
            run=bytes.fromhex(run),
            who=who,
            time=START + at + 10**7,
            policy=DIGEST,
            draws=draws(25, 0, 0, 0),
            bodies=Bodies(b"", commitment),
        )
        outcome = Outcome(
            run=bytes.fromhex(run),
            who=who,
            time=START + at + 9 * 10**7,
            status=200,
            decision=Decided("warn", DIGEST, (Because("v0", "tidegate.admission.warn"),)),
            draws=draws(25, 15, 2500, 1),
            provider=Used("provider", 5, 10),
            cost=2500,
        )
        calls.append(call)
        runs[run] = [intent, outcome]
        bills[call.key] = Bill(1, 5, 10)
    return Books(
        calls,
        runs,
        bills,
        {SUBJECT.pseudonym: SUBJECT},
        {DIGEST: Version("v0", 70)},
        [],
        {"spent": SPENT, "money": MONEY, "at_once": PLACE, "pace": PLACE},
        {"spent": (15 * count, 0), "money": (2500 * count, 0)},
        [0, 15, 30, 45],
        1,
        (2, 1),
        count,
    )


def records(books: Books, number: int) -> list[Any]:
    return list(books.runs.values())[number]


def put(books: Books, number: int, place: int, **fields: Any) -> None:
    """Forges a record."""
    records(books, number)[place] = msgspec.structs.replace(records(books, number)[place], **fields)


def killed(books: Books, number: int, charged: int) -> None:
    intent = records(books, number)[0]
    aborted = Aborted(run=intent.run, time=intent.time + 1, reason="worker_died", draws=draws(25, charged, 2500, 0))
    records(books, number)[1] = aborted
    books.calls[number].status, books.calls[number].whole = 0, False
    books.calls[number].lost = True
    books.kills = [books.calls[number].began + 1]


def left(books: Books, output: int) -> None:
    put(books, 0, 1, client_left=True, provider=None, counted=Used("exact", 5, output), cost=500 + 200 * output)
    put(books, 0, 1, draws=draws(25, 5 + output, 500 + 200 * output, 1))
    books.table = {}
    books.calls[0].left, books.calls[0].whole, books.calls[0].seen = True, False, 4


FORGED: list[tuple[str, Callable[[Books], Any], str]] = [
    ("a call without an end", lambda b: records(b, 0).pop(), "has ['Intent']"),
    ("two ends", lambda b: records(b, 0).append(records(b, 0)[1]), "'Outcome', 'Outcome'"),
    ("an end alone that drew", lambda b: records(b, 0).pop(0), "did not leave and drew"),
    ("an answer that is nowhere", lambda b: setattr(b.calls[0], "run", run_of(99)), "has no end on record"),
    ("a bill without a record", lambda b: b.bills.update({"f" * 24: Bill(1, 1, 1)}), "of which no intent speaks"),
    ("one call sent twice", lambda b: setattr(next(iter(b.bills.values())), "calls", 2), "was sent 2 times"),
    ("a request without an intent", lambda b: setattr(b, "reached", 4), "read 4 requests"),
    ("a commitment to other bytes", lambda b: setattr(b.calls[0], "body", b"x"), "bytes that nobody sent"),
    ("a limit that was too low", lambda b: b.versions.update({DIGEST: Version("v0", 54)}), "drew 25 beside 30 of 54"),
    ("two at once", lambda b: put(b, 1, 0, time=START + 5 * 10**7), "2 were under way at once"),
    ("too many in a moment", lambda b: setattr(b, "pace", (0, 1)), "1 were let in within"),
    ("what was settled is less again", lambda b: b.samples.append(7), "went from 45 to 7"),
    ("more settled than allowed", lambda b: b.samples.append(71), "71 were settled of 70"),
    ("one token less in the table", lambda b: b.table.update(spent=(44, 0)), "the records say 45"),
    ("a hold that stays", lambda b: b.table.update(spent=(45, 25)), "held by nobody"),
    ("charged less than was used", lambda b: put(b, 0, 1, draws=draws(25, 14, 2500, 1)), "charged 14"),
    ("charged another price", lambda b: put(b, 0, 1, cost=2499), "cost 2499 on record"),
    ("billed more", lambda b: setattr(next(iter(b.bills.values())), "output", 11), "billed Bill"),
    ("no report of the provider", lambda b: put(b, 0, 1, provider=None, counted=Used("exact", 5, 10)), "is missing"),
    ("left, charged less than it saw", lambda b: left(b, 3), "left after 4 words, charged 5 and 3"),
    ("left, charged more than was billed", lambda b: left(b, 11), "left after 4 words, charged 5 and 11"),
    ("killed, charged less than it held", lambda b: killed(b, 0, 24), "charged 24, held 25"),
    ("killed, charged more than it held", lambda b: killed(b, 0, 26), "could hold 25"),
    ("two digests", lambda b: put(b, 0, 0, policy=b"e" * 32), "carries"),
    ("a digest of nothing", lambda b: b.versions.clear(), "carries"),
    ("decided by another policy", lambda b: b.versions.update({DIGEST: Version("v1", 70)}), "['v0'] decided"),
    ("lost without a kill", lambda b: setattr(b.calls[0], "lost", True), "nobody was killed"),
    ("a failure", lambda b: setattr(b.calls[0], "status", 503), "was answered 503"),
    ("half a stream", lambda b: setattr(b.calls[0], "whole", False), "has no proper end"),
    ("half the words", lambda b: setattr(b.calls[0], "seen", 5), "has 5 words of 10"),
]


def test_books_that_agree_have_no_problems() -> None:
    assert agreeing().problems() == []
    for allowed in (lambda b: left(b, 4), lambda b: left(b, 10), lambda b: killed(b, 0, 25)):
        books = agreeing()
        allowed(books)
        books.table = {}
        assert books.problems() == []


@pytest.mark.parametrize(("note", "forge", "words"), FORGED, ids=[note for note, *_ in FORGED])
def test_a_forgery_is_found(note: str, forge: Callable[[Books], Any], words: str) -> None:
    books = agreeing()
    forge(books)
    assert words in "\n".join(books.problems()), note
