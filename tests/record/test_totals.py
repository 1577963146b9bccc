"""Totals from the records are those of a model that adds up everything, wherever balances stand."""

import itertools
import random
import tempfile
import time
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.record.journals import ledger, run
from tidegate.record.layout import Layout
from tidegate.record.leaves import balances, encode
from tidegate.record.records import Aborted, Draw, Outcome, Position, Record, Total
from tidegate.record.totals import totals

BUCKETS = [bytes([each]) * 16 for each in range(4)]

# what happens in turn: a worker settles so much of a bucket (which may be a rate's, without an end), a balance is
# written, or a worker begins a new life
steps = st.lists(
    st.tuples(st.just("settle"), st.integers(0, 2), st.integers(0, 3), st.integers(0, 99))
    | st.tuples(st.just("balance"), st.integers(0, 3), st.integers(1, 2), st.just(0))
    | st.tuples(st.just("life"), st.integers(0, 2), st.just(0), st.just(0)),
    max_size=60,
)


def interleaved(made: list[Record], seed: int) -> list[Record]:
    """Another order, in which each journal has its own."""
    chance = random.Random(seed)
    by_journal = sorted(made, key=lambda each: (each.worker, each.epoch))
    journals = [list(group) for _, group in itertools.groupby(by_journal, lambda each: (each.worker, each.epoch))]
    mixed = []
    while journals := [each for each in journals if each]:
        mixed.append(chance.choice(journals).pop(0))
    return mixed


def write(layout: Layout, leaves: list[bytes]) -> int:
    log = layout.open()
    log.append(leaves)
    log.checkpoint(int(time.time()))
    size = log.size
    log.close()
    return size


@settings(max_examples=150, deadline=None)
@given(steps, st.integers(0, 2**32), st.booleans(), st.integers(0, 10))
def test_totals_are_the_sum_of_all_that_was_settled(
    steps: list[tuple[str, int, int, int]], seed: int, mixed: bool, waiting: int
) -> None:
    expected: dict[tuple[bytes, int], int] = {}
    lives = dict.fromkeys(range(3), 1)
    seqs: dict[tuple[int, int], int] = {}
    made: list[Record] = []
    supervised = 0
    for clock, (what, first, second, amount) in enumerate(steps, 1):
        if what == "life":
            lives[first] += 1
        elif what == "settle":
            key = first, lives[first]
            seqs[key] = seqs.get(key, 0) + 1
            end = 0 if second == 3 else 1000 + second
            kind = Outcome if amount % 3 else Aborted
            draw = Draw(BUCKETS[second], "tokens", 100, amount, end)
            stamp = {
                "worker": key[0],
                "epoch": key[1],
                "seq": seqs[key],
                "time": clock,
                "run": run(len(made)),
                "draws": (draw,),
            }
            made.append(kind(**stamp, **({} if kind is Outcome else {"reason": "x"})))
            if end:
                name = BUCKETS[second], end
                expected[name] = expected.get(name, 0) + amount
        else:
            stated = [Total(bucket, end, settled) for (bucket, end), settled in expected.items()]
            positions = [Position(*key, seq) for key, seq in seqs.items()]
            parts = list(balances(stated, positions, worker=9, epoch=1, seq=supervised + 1, time=clock))
            supervised += len(parts)
            made += parts
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        layout = ledger(Path(folder))
        leaves = [encode(each) for each in (interleaved(made, seed) if mixed else made)]
        logged, last = leaves[: len(leaves) - waiting], leaves[len(leaves) - waiting :] if waiting else []
        size = write(layout, logged)
        found = totals(layout.log, size, reversed(last), *(() if mixed else (0,)))
    assert {(each.bucket, each.end): each.settled for each in found if each.settled} == {
        name: settled for name, settled in expected.items() if settled
    }


def settled(worker: int, seq: int, amount: int, now: int, bucket: int = 0) -> Outcome:
    draws = (Draw(BUCKETS[bucket], "tokens", 0, amount, 1000),)
    return Outcome(worker=worker, epoch=1, seq=seq, time=now, run=run(seq), draws=draws)


def found(tmp_path: Path, made: list[Record], slack: int) -> dict[bytes, int]:
    layout = ledger(tmp_path)
    size = write(layout, [encode(each) for each in made])
    return {each.bucket: each.settled for each in totals(layout.log, size, (), slack)}


def test_a_journal_that_lags_is_looked_for_behind_the_balance(tmp_path: Path) -> None:
    stated, places = [Total(BUCKETS[0], 1000, 50)], [Position(1, 1, 1), Position(2, 1, 1)]
    made: list[Record] = [
        settled(1, 1, 30, now=10),
        settled(1, 2, 7, now=21),  # not in the balance, which was written before and comes after
        settled(2, 1, 20, now=11),
        *balances(stated, places, worker=9, epoch=1, seq=1, time=20),
    ]
    assert found(tmp_path, made, slack=5) == {BUCKETS[0]: 57}


def test_a_balance_without_all_its_parts_does_not_count(tmp_path: Path) -> None:
    names = [bytes([9, each]) + bytes(14) for each in range(60)]
    old = [Total(name, 1000, 1) for name in names]
    new = [Total(name, 1000, 2) for name in names]
    torn = list(balances(new, [Position(1, 1, 2)], worker=9, epoch=1, seq=4, time=20))
    assert len(torn) == 3
    made: list[Record] = [
        settled(1, 1, 5, now=1),
        *balances(old, [Position(1, 1, 1)], worker=9, epoch=1, seq=1, time=10),
        settled(1, 2, 7, now=15),
        *torn[:2],
    ]
    assert found(tmp_path / "torn", made, slack=0) == dict.fromkeys(names, 1) | {BUCKETS[0]: 7}
    assert found(tmp_path / "whole", [*made, torn[2]], slack=0) == dict.fromkeys(names, 2)
