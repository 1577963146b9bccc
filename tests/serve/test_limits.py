"""The table of limits of a gateway and its records say the same, whoever is killed and whatever is left."""

import os
import random
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.gateway import Gateway, children
from tests.record.journals import run
from tests.serve.calls import BUDGETS, LIMITS, Place, Worker, busy, ended, forked, killed, killed_before, lines_of
from tidegate.errors import StartError
from tidegate.limit import limits as library
from tidegate.limit import mapping
from tidegate.record import aborted, recovery, ring, segments
from tidegate.record import ledger as of_program
from tidegate.record import sequencer as sequencers
from tidegate.record.aborted import shares
from tidegate.record.leaves import decode
from tidegate.record.records import Aborted, Draw, Intent
from tidegate.record.recovery import unended
from tidegate.record.segments import epoch_entries
from tidegate.serve import ledger as ledgers
from tidegate.serve import limits as ours
from tidegate.serve.limits import Lives, Upkeep, let_go, open_limits

TOTAL, SMALL, MONTH, RATE, CALLS = LIMITS


@pytest.fixture(autouse=True)
def small() -> Iterator[None]:
    """Totals are stated after fifty entries; the folder of shared memory is given back."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sequencers, "STATED", 50)
        patch.setattr(ledgers, "SHARED", ledgers.SHARED)
        yield


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path / "place").open()


def die_with_open_calls(worker: Worker) -> None:
    """Ends one call and leaves others: in each of the states that a kill can find them in."""
    worker.turn()
    done = worker.draw((TOTAL, 100), (SMALL, 20), (CALLS, 1), (RATE, 5))
    assert done is not None
    worker.end(worker.intend(done), done, [90, 25, 1, 7])
    for amount in (10, 30):
        hold = worker.draw((TOTAL, amount), (MONTH, 0), (CALLS, 1), (RATE, 5))
        assert hold is not None
        worker.intend(hold)
        hold.grow([amount + 7, 3, 1, 6])
    assert worker.journal.drain(10)  # what follows no power cut leaves
    unsettled = worker.draw((SMALL, 40), (TOTAL, 1), (MONTH, 0))
    assert unsettled is not None
    assert worker.draw((SMALL, 11), (MONTH, 4)) is not None  # has no intent: it has not left
    worker.record(worker.intend(unsettled), unsettled, [33, 2, 9])


# 33 + 25 small; 90 + 2 + (10 + 7) + (30 + 7) total; 9 + 10 month, of which 4 were those of a call that had not left
SETTLED = {"total": 146, "small": 58, "month": 19}


@pytest.fixture(scope="module")
def died(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A place whose worker 0 has died so; to be copied."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ledgers, "SHARED", ledgers.SHARED)
        place = Place(tmp_path_factory.mktemp("died") / "place").open()
        assert ended(place.start(0, die_with_open_calls)) == 0
        return place


# one death


def test_a_dead_worker_s_calls_are_charged_what_the_table_shows_and_recorded_so(died: Place, tmp_path: Path) -> None:
    place = died.copy(tmp_path / "place").open()  # as its successor does at its start
    assert place.settled() == place.recorded() == SETTLED
    assert place.said == []
    [(name, path)] = segments.listing(place.ledger.journal)[-1:]
    records = [decode(entry.record) for entry in epoch_entries(path.parent, 0, name.epoch)]
    found = [each.draws for each in records if isinstance(each, Aborted)]
    assert [[(draw.measure, draw.held, draw.settled) for draw in draws] for draws in found] == [
        [("tokens", 10, 13), ("usd", 0, 5), ("concurrent", 1, 0), ("tokens", 5, 5)],
        [("tokens", 30, 41), ("usd", 0, 5), ("concurrent", 1, 0), ("tokens", 5, 5)],
    ]
    assert unended(place.ledger.journal, place.memory) == []
    assert place.limits.counters()["reaped"] == 1
    assert not place.limits.table.life(0)[1]


def of(*modules: object) -> set[str]:
    return {str(vars(module)["__file__"]) for module in modules}


STEPS = of(ours, library, recovery, aborted, ring)


@pytest.mark.parametrize("nth", [9, pytest.param(1, marks=pytest.mark.long)], ids=["some lines", "all lines"])
@pytest.mark.parametrize("sequenced", [False, True], ids=["at once", "after the log took in all it may"])
def test_a_supervisor_may_be_killed_at_any_line_while_it_ends_a_life(
    died: Place, tmp_path: Path, sequenced: bool, nth: int
) -> None:
    def end(place: Place) -> Callable[[], None]:
        place.limits = library.Limits(
            place.memory / "limits", slots=64, workers=2, worker=None, journal=Lives(place.ledger, print).charges
        )
        return lambda: Lives(place.ledger, print).end(place.limits, 0) and None

    ring.boot()  # is asked once a process: of those that are killed none comes to it again
    steps = lines_of(end(died.copy(tmp_path / "seen")), STEPS)
    assert len(steps) > 100
    steps = [*steps[4 * sequenced : -15 : nth], *steps[-15::2]]  # the last of them are after the life is over
    left = 0
    for number, step in enumerate(steps):
        place = died.copy(tmp_path / str(number))
        assert killed_before(step, end(place)) == -9, step
        if sequenced:
            place.sequence()
        left += place.limits.table.life(0)[1]
        place.open()
        assert place.settled() == place.recorded() == SETTLED, step
        assert unended(place.ledger.journal, place.memory) == [], step
        assert place.said == []
        place.sequence()
        place.sequence()
        assert segments.listing(place.ledger.journal) == []
        assert place.recorded() == SETTLED
        shutil.rmtree(place.folder)
    assert 0 < left < len(steps), "killed before and after the life was over"


@pytest.mark.parametrize("nth", [9, pytest.param(1, marks=pytest.mark.long)], ids=["some lines", "all lines"])
def test_a_start_may_be_interrupted_at_any_line(died: Place, tmp_path: Path, nth: int) -> None:
    """The table is gone, so that a new one is begun with the totals of the records; or of other numbers."""
    for workers in (2, 3):
        first = died.copy(tmp_path / f"first {workers}")
        first.workers = workers
        if workers == 2:
            (first.memory / "limits").unlink()
        steps = lines_of(lambda: first.copy(tmp_path / f"seen {workers}").open() and None, of(ours, library, mapping))
        expected = Place(tmp_path / f"seen {workers}", workers).open().settled()
        for number, step in enumerate(steps[::nth]):
            place = first.copy(tmp_path / f"{workers} {number}")
            assert killed_before(step, lambda: place.open() and None) == -9, step
            assert place.open().settled() == place.recorded() == expected, step
            shutil.rmtree(place.folder)


# many deaths


@pytest.mark.parametrize("rounds", [12, pytest.param(400, marks=pytest.mark.long)])
def test_table_and_records_are_equal_whoever_is_killed(tmp_path: Path, rounds: int) -> None:
    """Workers, and supervisors that end their lives, at random moments; the log takes in what it may meanwhile."""
    chance = random.Random(rounds)
    place = Place(tmp_path / "place").open()
    running = {worker: place.start(worker, busy(worker)) for worker in range(2)}
    try:
        for turn in range(rounds):
            time.sleep(chance.uniform(0.02, 0.15))
            worker = chance.randrange(2)
            assert killed(running.pop(worker)) == -9
            while chance.random() < 0.5:
                other = forked(lambda: place.lives.end(place.limits, worker) and None)
                time.sleep(chance.uniform(0, 0.03))
                assert killed(other) in (-9, 0)
            if chance.random() < 0.5:
                place.sequence()
            if chance.random() < 0.2:  # all of it, at once
                for each in list(running):
                    assert killed(running.pop(each)) == -9
                place = Place(place.folder).open()
                assert place.limits.made is None
                assert place.settled() == place.recorded()
            else:
                assert place.lives.end(place.limits, worker)
            place.limits.reclaim(0.0)
            for each in {0, 1} - running.keys():
                running[each] = place.start(each, busy(10 * turn + each))
    finally:
        for each in list(running):
            killed(running.pop(each))
    place = Place(place.folder).open()
    settled = place.settled()
    assert settled == place.recorded()
    assert min(settled.values()) > 0
    assert place.said == []
    place.sequence()
    assert settled == place.recorded()
    bucket = place.limits.prepare(SMALL)
    assert place.limits.prepare(CALLS).held() == 0
    (place.memory / "limits").unlink()  # and the machine's next boot begins where this one ended
    place.open()
    assert place.limits.made == "there was none"
    assert place.settled() == settled
    assert place.limits.prepare(SMALL).key == bucket.key


def test_a_gateway_ends_the_lives_of_workers_and_of_a_gateway_that_was_killed(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path, "[limits]\nslots = 64\n", workers=2).start()
    try:
        table = library.Limits(gateway.memory / "limits", slots=64, workers=2, worker=None)
        assert table.made is None
        lives = [table.table.life(worker) for worker in range(2)]
        assert sorted(pid for _, _, pid, _ in lives) == sorted(gateway.worker_pids())
        assert all(joined for _, joined, _, _ in lives)
        assert table.table.journal(0) != table.table.journal(1)
        _, _, victim, _ = lives[0]
        os.kill(victim, signal.SIGKILL)
        until = time.monotonic() + 20
        while (life := table.table.life(0))[2] == victim or not life[1]:
            assert time.monotonic() < until, gateway.log
            time.sleep(0.02)
        assert (life[0], table.table.life(1)) == (lives[0][0] + 1, lives[1])
        for pid in (gateway.process.pid, *children(gateway.process.pid, "tidegate-")):
            os.kill(pid, signal.SIGKILL)
        gateway.process.wait()
        gateway.start()
        assert table.counters()["reaped"] == 3
        assert gateway.stop() == 0
        assert not gateway.memory.exists()  # nothing was drawn
    finally:
        if gateway.process.poll() is None:
            gateway.process.kill()
            gateway.process.wait()


# the next start


def overwrite(path: Path, at: int, with_: bytes) -> None:
    with open(path, "r+b") as file:
        file.seek(at)
        file.write(with_)


def test_after_another_boot_the_totals_are_those_of_the_records(died: Place, tmp_path: Path) -> None:
    place = died.copy(tmp_path / "place")
    overwrite(place.memory / "limits", 32, bytes(16))
    for path in place.memory.glob("*.ring"):
        overwrite(path, 32, bytes(16))
    place.open()
    assert place.limits.made == "of another boot"
    # nobody knows by how much calls had grown: they are charged their intents
    assert place.settled() == place.recorded() == {"total": 130, "small": 25, "month": 0}
    again = Place(place.folder).open()
    assert again.limits.made is None
    assert again.settled() == place.settled()


def test_a_table_with_other_numbers_is_brought_to_its_end_and_replaced(died: Place, tmp_path: Path) -> None:
    place = died.copy(tmp_path / "place")
    place.workers = 3
    place.open()
    assert place.limits.made == "of another size"
    assert place.limits.table.workers == 3
    assert place.settled() == place.recorded() == SETTLED


def test_without_shared_memory_the_table_is_in_the_data_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Place(tmp_path / "place")
    place.open()
    (place.memory / "limits").unlink()
    shutil.rmtree(place.folder / "shm")
    limits = open_limits(place.settings, place.ledger, 2, place.said.append)
    assert limits.path == Path(place.settings.data) / "limits"
    assert limits.path.stat().st_mode & 0o777 == 0o600
    (place.folder / "shm").mkdir()  # it is there again, but the table of this boot is where it is
    again = open_limits(place.settings, place.ledger, 2, place.said.append)
    assert (again.path, again.made) == (limits.path, None)


def test_the_seed_of_the_keys_stays(place: Place) -> None:
    seed = Path(place.settings.data) / "limits.seed"
    assert seed.stat().st_mode & 0o777 == 0o600
    assert place.limits.table.seed == seed.read_bytes()
    key = place.limits.prepare(TOTAL).key
    place.table.unlink()
    assert place.open().limits.prepare(TOTAL).key == key
    seed.write_bytes(b"short")
    with pytest.raises(StartError, match=r"limits\.seed` is not what it should be: it has 5 bytes"):
        place.open()


def test_totals_that_cannot_be_read_refuse_the_start(died: Place, tmp_path: Path) -> None:
    place = died.copy(tmp_path / "place").open()
    place.sequence()
    shutil.rmtree(place.ledger.log / "tile")
    Place(place.folder).open()  # the table is there
    place.table.unlink()
    for _ in range(2):
        with pytest.raises(StartError, match=r"the table of limits cannot be used: .*missing"):
            Place(place.folder).open()


# what goes wrong


def test_a_worker_that_sealed_its_journal_while_it_held_something_is_charged_all_of_it(place: Place) -> None:
    def work(worker: Worker) -> None:
        hold = worker.draw((TOTAL, 50), (CALLS, 1))
        assert hold is not None
        worker.intend(hold)
        worker.journal.close()

    assert ended(place.start(0, work)) == 0
    assert place.lives.end(place.limits, 0)
    assert place.settled()["total"] == 50
    assert place.said == ["worker 0 is charged all that it held of limits: its journal does not know of it"]


def test_a_journal_that_is_damaged_charges_all_that_was_held_and_says_so(died: Place, tmp_path: Path) -> None:
    place = died.copy(tmp_path / "place")
    [(_, path)] = segments.listing(place.ledger.journal)
    overwrite(path, segments.HEADER.size + 30, b"\xff\xff")
    place.open()
    assert place.settled() == {"total": 145, "small": 76, "month": 10}  # what was held, and the call that had ended
    assert any("charged all that it held, without a record" in each for each in place.said)
    assert not place.limits.table.life(0)[1]


def test_a_life_that_cannot_be_ended_now_is_ended_later(
    died: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = died.copy(tmp_path / "place")
    lives = Lives(place.ledger, place.said.append)
    limits = library.Limits(place.memory / "limits", slots=64, workers=2, worker=None, journal=lives.charges)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device", "journal")

    with monkeypatch.context() as patch:
        patch.setattr(recovery, "_place", full)
        assert not lives.end(limits, 0)
        assert place.said == ["what worker 0 held of limits cannot be settled yet: No space left on device (`journal`)"]
        with pytest.raises(StartError, match="the place of worker 0 in the limits was not freed"):
            ours.join(limits, 0, 9)
    assert lives.end(limits, 0)
    place.limits = limits
    assert place.settled() == place.recorded() == SETTLED


def test_a_worker_that_ended_well_leaves_nothing_to_charge(place: Place) -> None:
    def work(worker: Worker) -> None:
        hold = worker.draw((TOTAL, 50), (CALLS, 1))
        assert hold is not None
        assert worker.limits.holding
        worker.end(worker.intend(hold), hold, [20, 1])
        assert not worker.limits.holding
        assert worker.journal.close()

    assert ended(place.start(0, work)) == 0
    assert place.lives.end(place.limits, 0)
    assert place.settled() == place.recorded() == {"total": 20, "small": 0, "month": 0}


def test_lost_holds_are_said_once(place: Place) -> None:
    upkeep = Upkeep(place.limits, place.said.append)
    place.limits.join(1)
    place.limits.acquire([(place.limits.prepare(TOTAL), 5)])
    place.limits.table.set_clock(place.limits.table.time() + 3600 * ours.SECOND, time.time_ns())
    ours.Turns(place.limits).check(0.0)
    for now in (1.0, 2.0, 100.0, 200.0):
        upkeep.check(now)
    assert place.said == ["1 calls were lost while they held limits; this is a bug"]


def test_an_empty_table_goes_with_the_gateway_and_one_in_use_stays(place: Place) -> None:
    assert sorted(path.name for path in place.memory.iterdir()) == ["limits", "limits.lock"]
    let_go(place.limits)
    assert list(place.memory.iterdir()) == []
    place.open()
    place.limits.join(0)
    let_go(place.limits)
    assert place.table.exists()  # somebody works on it
    assert place.limits.acquire([(place.limits.prepare(TOTAL), 5)])
    assert place.lives.end(place.limits, 0)
    let_go(place.limits)
    assert place.table.exists()


def test_a_start_that_fails_leaves_no_table(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path, '[prices]\nfile = "/nowhere"\n')
    with pytest.raises(AssertionError, match="the gateway ended"):
        gateway.start()
    assert not gateway.memory.exists()


def test_places_of_a_running_gateway_are_reclaimed_without_waiting(place: Place) -> None:
    upkeep = Upkeep(place.limits, place.said.append)
    worker = library.Limits(place.table, slots=64, workers=2, worker=0)
    hold = worker.acquire([(worker.prepare(CALLS), 1)])
    assert hold
    hold.settle([1])
    upkeep.check(10.0)
    assert place.limits.counters()["used"] == 1  # its worker has not turned since it was marked
    ours.Turns(worker).check(0.0)
    upkeep.check(11.0)  # not yet
    assert place.limits.counters()["used"] == 1
    upkeep.check(20.0)
    assert place.limits.counters()["used"] == 0


# who is charged what

draws = st.lists(
    st.builds(Draw, st.sampled_from([b"a" * 16, b"b" * 16]), st.just("usd"), st.integers(0, 50), end=st.just(9)),
    max_size=3,
    unique_by=lambda draw: draw.bucket,
)


@given(st.lists(draws, max_size=5), st.dictionaries(st.sampled_from([b"a" * 16, b"b" * 16]), st.integers(0, 200)))
def test_calls_are_charged_together_what_was_held(found: list[list[Draw]], held: dict[bytes, int]) -> None:
    intents = [Intent(run=run(number), draws=tuple(draws)) for number, draws in enumerate(found)]
    charged = [draw for draws in shares(intents, held) for draw in draws]
    assert [(draw.bucket, draw.held) for draw in charged] == [(d.bucket, d.held) for draws in found for d in draws]
    for bucket in {draw.bucket for draw in charged}:
        of_it = [draw for draw in charged if draw.bucket == bucket]
        whole, amount = sum(draw.held for draw in of_it), held.get(bucket, 0)
        assert sum(draw.settled for draw in of_it) == amount
        for draw in of_it:
            part = amount * draw.held / whole if whole else amount / len(of_it)
            assert abs(draw.settled - part) < 1


def test_a_ledger_in_a_program_keeps_the_record_that_is_settled_after_it(tmp_path: Path) -> None:
    """So that a kill between the two finds it."""
    with of_program.Ledger(tmp_path / "ledger", origin="example.org/l") as ledger:
        seq = ledger.append(Intent(run=ledger.new_run()))
        [(_, epoch)] = ring.listing(ledger.layout.journal)
        found = ring.read(ring.path_of(ledger.layout.journal, 0, epoch))
        assert found is not None
        assert found.keep == seq
    assert BUDGETS == [TOTAL, SMALL, MONTH]
