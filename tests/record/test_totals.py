"""Totals from the records are those of a model that adds up everything, whatever is where when they are asked for."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.record.journals import ledger, run, said, sequenced, write
from tidegate.record import sequencer as sequencers
from tidegate.record._journal import Journal
from tidegate.record.fsck import fsck
from tidegate.record.layout import Layout
from tidegate.record.leaves import balances, encode
from tidegate.record.records import SEQUENCER, Aborted, Balance, Draw, Intent, Outcome, Position, Record, Total
from tidegate.record.sequencer import Sequencer
from tidegate.record.tiles import TileError
from tidegate.record.totals import DAY, Totals, draws_of, of_ledger, of_log

BUCKETS = [bytes([each]) * 16 for each in range(4)]
END = 10**10  # seconds: no window of these tests is over
SIZES = {"segment_size": 8192, "buffer": 16384, "limit": 2048}


@pytest.fixture(autouse=True)
def small() -> Iterator[None]:
    """Totals are stated after seven entries."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sequencers, "STATED", 7)
        yield


def totals(layout: Layout) -> dict[tuple[bytes, int], int]:
    told: list[str] = []
    found = {(each.bucket, each.end): each.settled for each in of_ledger(layout, told.append).current()}
    assert told == []
    return found


def settled(worker: int, epoch: int, seq: int, bucket: int, amount: int) -> Record:
    """Bucket 3 is a rate's."""
    draws = (Draw(BUCKETS[bucket], "tokens", 100, amount, END + bucket if bucket < 3 else 0),)
    at = {"worker": worker, "epoch": epoch, "seq": seq, "time": seq, "run": run(seq), "draws": draws}
    return Outcome(**at) if amount % 3 else Aborted(**at, reason="x")


# What happens in turn: a worker settles so much of a bucket, or dies and lives again; the sequencer takes in what is
# durable, signs it, or is killed.
steps = st.lists(
    st.tuples(st.just("settle"), st.integers(0, 1), st.integers(0, 3), st.integers(0, 99))
    | st.tuples(st.sampled_from(["life", "turn", "sign", "kill"]), st.integers(0, 1), st.just(0), st.just(0)),
    max_size=80,
)


@settings(max_examples=60, deadline=None)
@given(steps)
def test_totals_are_the_sum_of_all_that_was_settled(steps: list[tuple[str, int, int, int]]) -> None:
    expected: dict[tuple[bytes, int], int] = {}
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        layout = ledger(Path(folder))
        epochs = [1, 2]
        journals = [Journal(layout.journal, each, epochs[each], **SIZES) for each in range(2)]
        sequencer = Sequencer(layout)
        try:
            for what, worker, bucket, amount in steps:
                journal = journals[worker]
                if what == "settle":
                    record = settled(worker, epochs[worker], journal.appended + 1, bucket, amount)
                    journal.append(encode(record))
                    for draw in record.draws if bucket < 3 else ():
                        name = draw.bucket, draw.end
                        expected[name] = expected.get(name, 0) + amount
                elif what == "life":
                    journal.close()
                    epochs[worker] = max(epochs) + 1
                    journals[worker] = Journal(layout.journal, worker, epochs[worker], **SIZES)
                elif what == "turn":
                    assert [each.drain(5) for each in journals] == [True, True]
                    sequencer.turn()
                elif what == "sign":
                    sequencer.checkpoint()
                else:  # killed: what was not signed is forgotten
                    sequencer.close()
                    sequencer = Sequencer(layout)
            for journal in journals:
                journal.close()
            sequencer.close()
            assert totals(layout) == expected
            size = sequenced(layout)  # and when all of it is in the log
            assert totals(layout) == expected
            check_balances(layout, size)
            assert fsck(layout).findings == []
        finally:
            sequencer.close()
            for journal in journals:
                journal.close()


def check_balances(layout: Layout, size: int) -> None:
    """Each balance is the sum of the draws before it, and they are seven entries apart, or nearly."""
    sums: dict[tuple[bytes, int], int] = {}
    parts: dict[tuple[bytes, int], int] = {}
    since = 0
    for record in said(layout, size):
        if isinstance(record, Balance):
            since = 0
            parts |= {(each.bucket, each.end): each.settled for each in record.totals}
            if record.part == record.parts - 1:
                assert parts == sums
                parts = {}
            continue
        since += 1
        if isinstance(record, Outcome | Aborted):
            for draw in record.draws:
                if draw.end:
                    sums[draw.bucket, draw.end] = sums.get((draw.bucket, draw.end), 0) + draw.settled
    assert since < 7 + 200, "a turn states totals when there was enough"


def test_a_total_ends_where_the_table_of_limits_does() -> None:
    found = Totals()
    for seq in range(1, 5):
        found.take(encode(settled(0, 1, seq, 0, 2**62)))
    assert [total.settled for total in found.current()] == [2**62]


def test_a_balance_in_many_parts_counts_when_all_of_them_are_there(tmp_path: Path) -> None:
    layout = ledger(tmp_path)
    names = [bytes([9, each]) + bytes(14) for each in range(60)]
    stamp = {"worker": SEQUENCER, "epoch": 1}
    old = balances([Total(each, END, 1) for each in names], [Position(0, 1, 2)], **stamp, seq=1, time=10)
    torn = list(balances([Total(each, END, 2) for each in names], [], **stamp, seq=4, time=20))
    assert len(torn) == 3
    before, after = settled(0, 1, 1, 0, 5), settled(0, 1, 2, 0, 7)
    log = layout.open()
    log.append([encode(each) for each in (before, *old, after, *torn[1:])])
    sizes = [log.size]
    log.checkpoint(1)
    log.append([encode(torn[0])])  # in another order
    sizes.append(log.size)
    log.checkpoint(2)
    log.close()
    found = [of_log(layout.log, size) for size in sizes]
    assert [{each.bucket: each.settled for each in totals.current()} for totals, _ in found] == [
        dict.fromkeys(names, 1) | {BUCKETS[0]: 7},
        dict.fromkeys(names, 2),
    ]
    assert [begin for _, begin in found] == [1, 5]


def test_only_the_sequencer_states_totals(tmp_path: Path) -> None:
    layout = ledger(tmp_path)
    forged = list(balances([Total(BUCKETS[0], END, 0)], [], worker=0, epoch=1, seq=2, time=5))
    write(layout.journal, 0, 1, [encode(each) for each in (settled(0, 1, 1, 0, 5), *forged)])
    sequenced(layout)
    assert totals(layout) == {(BUCKETS[0], END): 5}


def test_windows_that_are_long_over_by_the_records_time_are_forgotten(tmp_path: Path) -> None:
    layout = ledger(tmp_path)
    now = 2_000_000_000
    ends = [now - DAY - 1, now - DAY + 1, now + 1, 2**62 // 10**9]
    draws = tuple(Draw(BUCKETS[at], "usd", 0, 1, end) for at, end in enumerate(ends))
    made = [Outcome(worker=0, epoch=1, seq=1, time=now * 10**9, run=run(1), draws=draws)]
    write(layout.journal, 0, 1, [encode(each) for each in made])
    assert [end for _, end in totals(layout)] == ends[1:]


def test_a_damaged_journal_counts_as_far_as_it_stands_and_is_told(tmp_path: Path) -> None:
    layout = ledger(tmp_path)
    made = [encode(settled(0, 1, seq, 0, 10)) for seq in range(1, 6)]
    [path] = write(layout.journal, 0, 1, made)
    data = bytearray(path.read_bytes())
    data[-60] ^= 1
    path.write_bytes(data)
    told: list[str] = []
    of_ledger(layout, told.append)
    assert len(told) == 1
    assert path.name in told[0]


def test_a_log_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    layout = ledger(tmp_path)
    write(layout.journal, 0, 1, [encode(settled(0, 1, 1, 0, 5))])
    sequenced(layout)
    for bundle in (layout.log / "tile" / "entries").iterdir():
        for each in [bundle] if bundle.is_file() else bundle.iterdir():
            each.unlink()
    with pytest.raises(TileError):
        totals(layout)


def test_draws_are_read_without_the_rest_of_a_record() -> None:
    record = settled(1, 2, 3, 1, 4)
    assert draws_of(encode(record)) == record.draws
    assert draws_of(encode(Aborted(run=run(1), reason="x"))) == ()
    with pytest.raises(Exception, match="draws"):
        draws_of(encode(Intent(run=run(1))))
