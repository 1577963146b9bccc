"""Several processes on one table, killed at random: nothing goes over a limit, nothing leaks, nothing is forgotten."""

import array
import itertools
import mmap
import os
import random
import select
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.faketime import movable_clock
from tests.limit.worker import BUDGET, CALLS, DAILY, NUMBERS, RATE, SMALL
from tidegate import Limit, Limits
from tidegate.limit._draw import Hold
from tidegate.limit._table import Table, size_of
from tidegate.limit.limits import Charge, Left, LimitsFull, Total

ROOT = Path(__file__).parent.parent.parent
SECOND = 1_000_000_000


class Crew:
    """The workers of a table, and what they told."""

    def __init__(self, path: Path, environ: dict[str, str] | None = None, slots: int = NUMBERS["slots"]) -> None:
        self.path = path
        self.slots = slots
        self.environ = {**os.environ, **(environ or {})}
        self.running: dict[int, tuple[subprocess.Popen[bytes], int]] = {}
        self.told: list[int] = []
        self.told_small: list[int] = []

    def start(self, place: int, seed: int) -> None:
        read, write = os.pipe()
        command = [
            sys.executable,
            "-m",
            "tests.limit.worker",
            str(self.path),
            *map(str, (place, write, seed, self.slots)),
        ]
        worker = subprocess.Popen(command, pass_fds=(write,), cwd=ROOT, env=self.environ)
        os.close(write)
        assert os.read(read, 6) == b"began\n", f"worker {place} did not begin"
        os.set_blocking(read, False)
        self.running[place] = worker, read

    def listen(self) -> None:
        for _, read in self.running.values():
            self._hear(read)

    def _hear(self, read: int) -> None:
        while True:
            try:
                heard = os.read(read, 1 << 20)
            except BlockingIOError:
                return
            if not heard:
                return
            while not heard.endswith(b"\n"):
                heard += os.read(read, 1 << 10)
            for line in heard.splitlines():
                used, small = line.split()
                self.told.append(int(used))
                self.told_small.append(int(small))

    def kill(self, place: int) -> None:
        worker, read = self.running.pop(place)
        worker.kill()
        worker.wait()
        self._hear(read)
        os.close(read)


def hammer(
    path: Path,
    seconds: float,
    environ: dict[str, str] | None = None,
    clock: Path | None = None,
    slots: int = NUMBERS["slots"],
) -> dict[str, int]:
    """Workers that are killed and replaced, and supervisors too; returns what was counted meanwhile."""
    chance = random.Random(seconds)
    numbers = {**NUMBERS, "slots": slots}
    supervisor = Limits(path, worker=None, **numbers)
    crew = Crew(path, environ, slots)
    calls = supervisor.prepare(CALLS)
    until = time.monotonic() + seconds
    kills = 0
    try:
        for place in range(3):
            crew.start(place, place)
        while time.monotonic() < until:
            time.sleep(chance.uniform(0.01, 0.05))
            crew.listen()
            if clock is not None:
                clock.write_text(chance.choice(["+0", "-3600", "+86400", "-90000"]))
            action = chance.random()
            if action < 0.25:
                place = chance.randrange(3)
                crew.kill(place)
                kills += 1
                if chance.random() < 0.5:  # else the successor reaps it itself
                    assert supervisor.reap(place)
                    assert not supervisor.reap(place)
                crew.start(place, kills * 10)
            elif action < 0.5:
                supervisor.reclaim(0.2)
            elif action < 0.55:
                supervisor_dies_reclaiming(path, chance, slots)
        crew.listen()
        for place in list(crew.running):
            crew.kill(place)
        supervisor = Limits(path, worker=None, **numbers)  # after everybody was killed
        assert supervisor.made is None
        assert supervisor.recover() <= 3
        assert supervisor.recover() == 0
        budget, small, calls = (supervisor.prepare(each) for each in (BUDGET, SMALL, CALLS))
        assert (budget.held(), small.held(), calls.held(), calls.settled()) == (0, 0, 0, 0)
        assert kills > 0
        assert len(crew.told) > 100
        assert sum(crew.told) <= budget.settled() <= budget.max
        assert sum(crew.told_small) <= small.settled() <= small.max
        for day in range(-1, 4):  # of whichever windows there were
            supervisor.table.set_clock(supervisor.table.time(), time.time_ns() + day * 86_400 * SECOND)
            daily = supervisor.prepare(DAILY)
            assert daily.held() == 0
            assert daily.settled() <= daily.max
        supervisor.table.set_clock(None)
        whole = supervisor.prepare(Limit(name="calls", measure="concurrent", max=5))
        supervisor.join(0)
        for _ in range(5):  # nothing blocks that is not there
            assert isinstance(supervisor.acquire([(whole, 1)]), Hold)
        assert not supervisor.acquire([(whole, 1)])
        supervisor.reap(0)
        supervisor.reclaim()
        time.sleep(0.3)
        supervisor.reclaim()
        assert supervisor.counters()["used"] <= 5  # the totals, and windows that are not over
        return supervisor.counters()
    finally:
        for place in list(crew.running):
            crew.kill(place)


RECLAIM = """
import sys
from tidegate import Limits
from tests.limit.worker import NUMBERS
limits = Limits(sys.argv[1], worker=None, **{**NUMBERS, "slots": int(sys.argv[2])})
print(flush=True)
while True:
    limits.reclaim(0.01)
"""


def supervisor_dies_reclaiming(path: Path, chance: random.Random, slots: int) -> None:
    other = subprocess.Popen([sys.executable, "-c", RECLAIM, str(path), str(slots)], stdout=subprocess.PIPE, cwd=ROOT)
    assert other.stdout is not None
    other.stdout.readline()
    time.sleep(chance.uniform(0, 0.02))
    other.kill()
    other.wait()
    other.stdout.close()


def test_workers_and_supervisors_are_killed_at_random(tmp_path: Path) -> None:
    hammer(tmp_path / "limits", 4)


def test_they_are_killed_while_the_table_is_full_or_nearly(tmp_path: Path) -> None:
    assert hammer(tmp_path / "limits", 3, slots=64)["full"] > 100


@pytest.mark.long
def test_workers_and_supervisors_are_killed_at_random_for_long(tmp_path: Path) -> None:
    hammer(tmp_path / "limits", 180)


def test_the_wall_clock_jumps_meanwhile(tmp_path: Path) -> None:
    clock, environ = movable_clock(tmp_path)
    hammer(tmp_path / "limits", 3, environ, clock)


# every instant of a rate, across processes

RUSH = """
import os, sys
from tidegate import Limits
from tests.limit.worker import NUMBERS, RATE
limits = Limits(sys.argv[1], worker=int(sys.argv[2]), **NUMBERS)
pairs = [(limits.prepare(RATE), 1)]
until = limits.table.time() + 700_000_000
taken = []
while (before := limits.table.time()) < until:
    if limits.acquire(pairs):
        taken.append((before, limits.table.time()))
print(*(f"{before},{after}" for before, after in taken))
"""


def test_no_window_of_a_rate_admits_more_than_it_may(tmp_path: Path) -> None:
    command = [sys.executable, "-c", RUSH, str(tmp_path / "limits")]
    runs = [subprocess.Popen([*command, str(i)], stdout=subprocess.PIPE, cwd=ROOT, text=True) for i in range(3)]
    taken: list[list[int]] = []
    for run in runs:
        out, _ = run.communicate(timeout=60)
        assert run.returncode == 0
        taken += [[int(end) for end in pair.split(",")] for pair in out.split()]
    assert RATE.burst is not None
    pace = RATE.max / SECOND
    assert len(taken) > 1000
    # a draw happened between two looks at the clock: all that began and ended in a window were in it
    begins = sorted(before for before, _ in taken)
    ends = sorted(taken, key=lambda one: one[1])
    for start in begins[:: max(len(begins) // 50, 1)]:
        inside = 0
        for before, after in ends:
            if before >= start:
                inside += 1
                assert inside <= RATE.burst + (after - start + 1) * pace + 1e-6
    elapsed = max(after for _, after in taken) - begins[0]
    assert len(taken) <= RATE.burst + elapsed * pace


CLAIMS = """
import random, sys, time
from tidegate import Limit, Limits
from tests.limit.worker import NUMBERS
limits = Limits(sys.argv[1], worker=int(sys.argv[2]), **NUMBERS)
buckets = [limits.prepare(Limit(name="c", key=(i,), measure="concurrent", max=2)) for i in range(150)]
print(flush=True)
sys.stdin.readline()
for _ in range(500):
    holds = [limits.acquire([(bucket, 1)]) for bucket in random.sample(buckets, 20)]
    [hold.release() for hold in holds if hold]
    limits.turn()
    time.sleep(0.0005)
print(sum(bool(limits.acquire([(bucket, 1)])) for bucket in buckets), flush=True)
sys.stdin.readline()
"""


def test_processes_that_claim_the_same_keys_share_their_places(tmp_path: Path) -> None:
    """While the supervisor frees them as fast as it can; of three that hold one each, two are let in."""
    path = tmp_path / "limits"
    supervisor = Limits(path, worker=None, **NUMBERS)
    command = [sys.executable, "-c", CLAIMS, str(path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "cwd": ROOT}
    runs = [subprocess.Popen([*command, str(i)], **pipes) for i in range(3)]  # type: ignore[call-overload]
    for run in runs:
        run.stdout.readline()
    for run in runs:
        run.stdin.write("\n")
        run.stdin.flush()
    reclaimed = 0
    while not all(select.select([run.stdout], [], [], 0)[0] for run in runs):
        reclaimed += supervisor.reclaim(0.0)
    admitted = [int(run.stdout.readline()) for run in runs]
    for _ in range(3):
        supervisor.reclaim(0.0)
    assert supervisor.counters()["used"] == 150
    assert sum(admitted) <= 300
    buckets = [supervisor.prepare(Limit(name="c", key=(i,), measure="concurrent", max=2)) for i in range(150)]
    assert sum(bucket.held() for bucket in buckets) == sum(admitted)
    assert max(bucket.held() for bucket in buckets) <= 2
    for run in runs:
        run.communicate("\n", timeout=30)
    assert reclaimed > 0


LAST = """
import sys
from tidegate import Limit, Limits
from tests.limit.worker import NUMBERS
limits = Limits(sys.argv[1], worker=int(sys.argv[2]), **NUMBERS)
pairs = [[(limits.prepare(Limit(name="last", key=(i,), measure="concurrent", max=1)), 1)] for i in range(100)]
time, acquire = limits.table.time, limits.acquire
print(flush=True)
begin = int(sys.stdin.readline())
spans = []
for turn in range(20_000):
    pair = pairs[turn % 100]
    while time() < begin + turn * 40_000:
        pass
    if hold := acquire(pair):
        since = time()
        while (until := time()) < since + 10_000:
            pass
        spans.append((turn % 100, since, until))
        hold.release()
print(*(f"{i} {since} {until}" for i, since, until in spans), sep="\\n")
"""


def test_of_two_that_race_for_the_last_place_one_at_most_gets_it(tmp_path: Path) -> None:
    """Both ask at the same instants, for one place after the other."""
    command = [sys.executable, "-c", LAST, str(tmp_path / "limits")]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "cwd": ROOT}
    runs = [subprocess.Popen([*command, str(i)], **pipes) for i in range(2)]  # type: ignore[call-overload]
    for run in runs:
        run.stdout.readline()
    begin = time.monotonic_ns() + 100_000_000
    held: dict[int, list[tuple[int, int]]] = {}
    with ThreadPoolExecutor() as threads:  # both at once, and neither waits for its pipe
        for out, _ in threads.map(lambda run: run.communicate(f"{begin}\n", timeout=60), runs):
            for line in out.splitlines():
                place, since, until = map(int, line.split())
                held.setdefault(place, []).append((since, until))
    assert sum(map(len, held.values())) > 1000
    for spans in held.values():
        spans.sort()
        for (_, until), (since, _) in itertools.pairwise(spans):
            assert until <= since, "two held the only place at once"


# restarts


def opened(path: Path, **more: object) -> Limits:
    return Limits(path, **{"slots": 64, "workers": 2, **more})  # type: ignore[arg-type]


TOTAL = Limit(name="total", key=("t",), measure="usd", max=1, per="total")


def test_a_table_of_this_boot_is_used_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "limits"
    limits = opened(path)
    assert limits.made == "there was none"
    held = [limits.acquire([(limits.prepare(TOTAL), 100)]) for _ in range(3)]
    assert isinstance(held[0], Hold)
    held[0].settle([70])
    limits.table.life(0)
    again = opened(path, worker=None)
    assert again.made is None
    bucket = again.prepare(TOTAL)
    assert (bucket.settled(), bucket.held()) == (70, 200)
    assert again.reap(0)  # as the supervisor would on its death
    assert (bucket.settled(), bucket.held()) == (270, 0)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda path: path.write_bytes(b""), "of another size"),
        (lambda path: path.write_bytes(bytes(path.stat().st_size)), "not a table of limits"),
        (lambda path: overwrite(path, 8, b"\x09"), "of another layout"),
        (lambda path: overwrite(path, 16, b"\x80"), "of another size"),
        (lambda path: overwrite(path, 32, bytes(16)), "of another boot"),
    ],
)
def test_another_table_is_refused_and_the_totals_are_those_from_before(
    tmp_path: Path, spoil: object, reason: str
) -> None:
    path, seed = tmp_path / "limits", bytes(range(16))
    key = opened(path, seed=seed).prepare(TOTAL).key
    spoil(path)  # type: ignore[operator]
    totals = [
        Total(key, 2**62, 99_999_990),
        Total(bytes(15) + b"u", 2**62, 7),
        Total(key, 2**62, 99_999_995),  # the later one stands
    ]
    limits = opened(path, seed=seed, totals=lambda: totals)
    assert limits.made == reason
    bucket = limits.prepare(TOTAL)
    assert limits.state(bucket).remaining == 5
    assert not limits.acquire([(bucket, 6)])
    assert path.stat().st_mode & 0o777 == 0o600
    assert opened(path, worker=None, seed=seed, totals=lambda: totals).made is None
    assert opened(path, worker=None, seed=bytes(16)).made == "of another seed"


def test_a_table_is_not_there_before_its_totals_are(tmp_path: Path) -> None:
    def totals() -> list[Total]:
        assert not (tmp_path / "limits").exists()
        raise OSError("the log cannot be read")

    with pytest.raises(OSError, match="log"):
        opened(tmp_path / "limits", totals=totals)
    assert opened(tmp_path / "limits").made == "there was none"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["limits", "limits.lock"]


def test_totals_that_have_no_place_are_an_error() -> None:
    with pytest.raises(LimitsFull, match="64 places"):
        Limits(slots=64, totals=lambda: [Total(bytes([n]) * 16, 2**62, 1) for n in range(65)])


def overwrite(path: Path, at: int, with_: bytes) -> None:
    with open(path, "r+b") as file:
        file.seek(at)
        file.write(with_)


def test_a_journal_says_what_a_dead_worker_s_holds_are_charged(tmp_path: Path) -> None:
    asked: list[tuple[int, int, list[Left]]] = []

    def journal(worker: int, epoch: int, left: Sequence[Left]) -> list[Charge]:
        asked.append((worker, epoch, list(left)))
        if len(asked) == 1:
            raise OSError("the disk is full")
        return [Charge(each.key, 9, each.held // 2) for each in left]

    limits = Limits(slots=64, worker=None, journal=journal)
    limits.join(0, 77)
    money, calls = limits.prepare(TOTAL), limits.prepare(CALLS)
    limits.acquire([(money, 100), (calls, 1)])
    with pytest.raises(OSError, match="full"):
        limits.reap(0)
    assert (money.settled(), money.held(), calls.held()) == (0, 100, 1)  # nothing is freed before it is durable
    assert limits.reap(0)
    assert (money.settled(), money.held(), calls.settled(), calls.held()) == (50, 0, 0, 0)
    assert [(worker, epoch) for worker, epoch, _ in asked] == [(0, 77), (0, 77)]
    assert sorted(each.kind for each in asked[0][2]) == ["budget", "concurrent"]
    assert not limits.reap(0)
    limits.join(0)
    assert not limits.reap(0, 1), "another epoch"


def test_what_a_record_says_is_added_once_wherever_its_worker_and_its_reaper_died() -> None:
    """Records 1 to 4 were appended; so many of them were settled, and so many of their charges were said before."""
    for settled, said in itertools.product(range(5), repeat=2):
        limits = Limits(slots=64)
        bucket = limits.prepare(TOTAL)
        records = [Charge(bucket.key, seq, 10**seq) for seq in range(1, 5)]
        holds = [limits.acquire([(bucket, 5)]) for _ in range(4)]
        for record in records[:settled]:
            hold = holds[record.seq - 1]
            assert isinstance(hold, Hold)
            hold.settle([record.amount], record.seq)
        assert limits.table.left(0, 1) == [(bucket.key, "budget", 20 - 5 * settled, settled)]
        limits.table.charge(0, 1, bucket.key, [(each.seq, each.amount) for each in records[:said]])
        limits._journal = lambda worker, epoch, left: records
        assert limits.reap(0)
        assert (bucket.settled(), bucket.held()) == (11_110, 0)
        limits.join(0)  # the next life's records are others, though they have the same numbers
        hold = limits.acquire([(bucket, 5)])
        assert isinstance(hold, Hold)
        hold.settle([3], 2)
        limits._journal = lambda worker, epoch, left: records[:2]
        assert limits.reap(0)
        assert bucket.settled() == 11_113
        limits.join(0)
        limits.acquire([(bucket, 5)])
        limits._journal = lambda worker, epoch, left: [Charge(bucket.key, 1, 6)]
        assert limits.reap(0)
        assert (bucket.settled(), bucket.held()) == (11_119, 0)


def test_a_hold_of_before_a_fork_is_the_parent_s() -> None:
    limits = Limits(slots=64, workers=2)
    bucket = limits.prepare(TOTAL)
    hold = limits.acquire([(bucket, 100)])
    assert isinstance(hold, Hold)
    child = os.fork()
    if child == 0:
        limits.join(1)
        hold.settle([10])
        hold.release()
        other = limits.acquire([(bucket, 30)])
        os._exit(0 if other and limits.open == 1 else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert bucket.held() == 130
    assert limits.recover() == 1
    assert (bucket.held(), bucket.settled()) == (100, 30)
    hold.settle([10])
    assert (bucket.held(), bucket.settled()) == (0, 40)


def test_a_crash_between_two_words_is_healed(tmp_path: Path) -> None:
    """The words of a worker that died in the midst of settling and of claiming, written as it would have left them."""
    slots, workers = 64, 1
    memory = mmap.mmap(-1, size_of(slots, workers))
    table = Table(memory, slots, workers, 64)
    table.format(bytes(16), bytes(16))
    assert table.join(0, 1, 1) == 1
    words = memoryview(memory).cast("q")
    worker, entries = 4096 // 8, (4096 + 128 * (workers + 1)) // 8
    cells = entries + slots * 8
    table.restore(bytes(15) + b"\x01", 2**62, 5)
    slot = next(i for i in range(slots) if words[entries + i * 8] & 7 == 3)
    cell = slot * (workers + 1)
    words[cells + cell * 8 : cells + cell * 8 + 2] = memoryview(mmap_words(40, 100))
    redo = mmap_words(cell + 1, 30, 107, 1 << 41 | 6)  # held 30, settled 107, as record 6 of this life says
    words[worker + 4 : worker + 8] = memoryview(redo)
    busy, claimed, dead = (next(i for i in range(slots) if not words[entries + i * 8]) + n for n in (0, 1, 2))
    for place, state in ((busy, 1), (claimed, 2), (dead, 6)):
        words[entries + place * 8] = state | 0 << 3 | 1 << 13
    assert table.used() == 4
    key = bytes(15) + b"\x01"
    assert table.left(0, 1) == [(key, "budget", 30, 6)]
    table.charge(0, 1, key, [(5, 1000), (6, 1000), (7, 30)])
    assert list(words[cells + cell * 8 : cells + cell * 8 + 2]) == [0, 137]
    table.free(0, 1)
    assert table.used() == 1
    assert table.left(0, 1) is None
    words.release()


def mmap_words(*numbers: int) -> "array.array[int]":
    return array.array("q", numbers)
