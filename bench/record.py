"""What evidence costs: `python -m bench.record [--rounds N] [--quick] [PART...]`.

journal   one worker with 64 records in flight: each one that is durable is followed by the next. Beside it, in the same
          rounds and in the batches that the journal made, a bare loop that appends a batch to a file and flushes it.
          For the CPU, on one core, in batches of 64: one that encodes the records and writes them without a flush.
recovery  an epoch of a worker that was killed is read, its open calls are found, and it is ended.
log       the journal of a worker is brought into the log by a sequencer, with its index and a checkpoint a second,
          signed by both kinds of keys; then the log is verified. Both on one core.

The segments lie in `bench/build`, which is to be on the disk that is meant; the ring in shared memory.

Exit codes: 0 every gate holds, 1 a gate is missed, 2 the run is void (something was not recorded that must be).
"""

import argparse
import gc
import os
import select
import signal
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import uvloop
from msgspec import Struct
from msgspec.msgpack import Decoder, Encoder

from bench.report import ROOT, Line, finish, ratio_interval, ratio_line
from tidegate.record import layout, records
from tidegate.record._journal import Journal
from tidegate.record.leaves import encode
from tidegate.record.records import Bodies, Decided, Used, Who
from tidegate.record.recovery import recover
from tidegate.record.segments import Entry
from tidegate.record.sequencer import Sequencer
from tidegate.record.verify import verify_log

IN_FLIGHT = 64
SECONDS = 0.4  # of a window in a round
BATCHES = 400  # of a window in which CPU time is counted
FILLED = 128 << 20  # of the file that is there before a bare loop writes into it
INTEGRATED = 200_000  # records that become a log
BYTES = 200_000_000  # of the epoch that is recovered; the time is given for a GB
SHARED = Path("/dev/shm")

Raw = dict[str, list[Any]]


class Draw(Struct, array_like=True, gc=False, frozen=True):
    """What a statement says of one limit."""

    bucket: bytes
    measure: str
    held: int
    settled: int


class Statement(Struct, array_like=True, gc=False, frozen=True, tag_field="kind", kw_only=True):
    """What every record begins with."""

    version: int = 1
    worker: int
    epoch: int
    seq: int
    time: int
    run: bytes
    who: tuple[bytes, ...]
    draws: tuple[Draw, ...]
    model: str
    policy: bytes


class Intent(Statement, frozen=True, tag="intent"):
    """A call is about to leave."""


class Outcome(Statement, frozen=True, kw_only=True, tag="outcome"):
    """A call has ended."""

    status: int
    usage: tuple[tuple[str, int, int, int], ...]
    cost: int
    spans: tuple[int, ...]
    bodies: tuple[bytes, ...]


class Kind(Struct, array_like=True):
    """As much of a record as says which call it is about."""

    kind: str
    version: int
    worker: int
    epoch: int
    seq: int
    time: int
    run: bytes


class Lost(Exception):
    """A record is not there that was acknowledged, or was refused."""


def statement(seq: int) -> Intent | Outcome:
    """An intent of some 200 bytes or an outcome of some 450, in turns."""
    common: dict[str, Any] = {
        "worker": 1, "epoch": 1, "seq": seq, "time": time.time_ns(), "run": (seq // 2).to_bytes(13, "big"),
        "who": (b"tenant pseudonym", b"key's pseudonym.", b"user's pseudonym"), "model": "gpt-4o-mini",
        "draws": tuple(Draw(b"%016d" % number, "tokens", 4096, 812) for number in range(4)), "policy": bytes(32),
    }  # fmt: skip
    if seq % 2:
        return Intent(**common)
    usage = (("provider", 412, 400, 0), ("exact", 412, 400, 0), ("estimated", 412, 4096, 0))
    spans = (40_000, 52_000, 310_000_000, 2_100_000_000)
    bodies = tuple(bytes([number]) * 32 for number in range(5))
    return Outcome(**common, status=200, usage=usage, cost=1_812, spans=spans, bodies=bodies)


class Window(NamedTuple):
    """What was seen in a window, in microseconds a record."""

    pace: float
    p50: float  # from a record's append to its acknowledgement
    batches: list[int]


def flight(journal: Journal, made: Callable[[int], bytes], seconds: float) -> Window:
    """Records in flight for so long."""
    loop = uvloop.new_event_loop()
    waiting: deque[tuple[int, float]] = deque()
    times: list[float] = []
    batches: list[int] = []
    end = 0.0

    def append() -> None:
        waiting.append((journal.append(made(journal.appended + 1)), time.perf_counter()))

    def acknowledged() -> None:
        durable, now, count = journal.acknowledge(), time.perf_counter(), 0
        if journal.failures:
            raise Lost(journal.trouble or "a commit failed")
        while waiting and waiting[0][0] <= durable:
            times.append(now - waiting.popleft()[1])
            count += 1
        batches.append(count)
        if now < end:
            for _ in range(count):
                append()
        if waiting:
            journal.want(waiting[-1][0])
            journal.turn()
        else:
            loop.stop()

    loop.add_reader(journal.fileno(), acknowledged)
    start = time.perf_counter()
    end = start + seconds
    for _ in range(IN_FLIGHT):
        append()
    journal.want(waiting[-1][0])
    journal.turn()
    loop.run_forever()
    took = time.perf_counter() - start
    loop.close()
    return Window(took * 1e6 / len(times), median(times) * 1e6, batches)


def bare(path: Path, made: Callable[[int], bytes], batches: list[int]) -> Window:
    """The same batches, each written by one write and flushed: into what a file has already, and then growing it."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
    times: list[float] = []
    start, seq = time.perf_counter(), 0
    for count in batches:
        began = time.perf_counter()
        os.write(file, b"".join([made(seq + number) for number in range(count)]))
        os.fdatasync(file)
        times += [time.perf_counter() - began] * count
        seq += count
    took = time.perf_counter() - start
    os.close(file)
    return Window(took * 1e6 / seq, median(times) * 1e6, batches)


def cpu_of_journal(journal: Journal, batch: list[Intent | Outcome], encode: Callable[[object], bytes]) -> float:
    """CPU microseconds a record, of all threads: encoded, appended, and waited for once a batch."""
    poll = select.epoll()
    poll.register(journal.fileno(), select.EPOLLIN)
    start = time.process_time()
    for _ in range(BATCHES):
        for each in batch:
            seq = journal.append(encode(each))
        if not journal.want(seq):
            journal.turn()
            while journal.acknowledge() < seq:
                poll.poll()
    return (time.process_time() - start) * 1e6 / BATCHES / len(batch)


def cpu_of_write(path: Path, batch: list[Intent | Outcome], encode: Callable[[object], bytes], flush: bool) -> float:
    """CPU microseconds a record: encoded, and written once a batch."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
    start = time.process_time()
    for _ in range(BATCHES):
        os.write(file, b"".join([encode(each) for each in batch]))
        if flush:
            os.fdatasync(file)
    took = time.process_time() - start
    os.close(file)
    path.unlink()
    return took * 1e6 / BATCHES / len(batch)


@contextmanager
def one_core() -> Iterator[None]:
    """What is measured has a core to itself, and wakes no other."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    yield
    os.sched_setaffinity(0, before)


def cpu_line(folder: Path, rounds: int, raw: Raw) -> Line:
    """The CPU of a record, on one core."""
    encode = Encoder().encode
    batch = [statement(seq) for seq in range(1, IN_FLIGHT + 1)]
    cpu = raw["cpu"] = []
    flushed = raw["cpu_of_flushed"] = []
    with one_core(), closing(Journal(folder, 1, 3, memory=SHARED)) as journal:
        cpu_of_journal(journal, batch, encode)
        for _ in range(rounds):
            plain = cpu_of_write(folder / "bare", batch, encode, flush=False)
            cpu.append((cpu_of_journal(journal, batch, encode), plain))
            flushed.append((cpu_of_write(folder / "bare", batch, encode, flush=True), plain))
    line = ratio_line("journal_cpu", cpu, goal=2, gate=3)
    return replace(line, details=(*line.details, f"the bare loop that flushes: {ratio_interval(flushed)}"))


def journal_lines(folder: Path, rounds: int, raw: Raw) -> Iterator[Line]:
    """What a worker pays."""
    encode = Encoder().encode
    ready = [encode(statement(seq)) for seq in range(1, 4097)]
    pace, p50, filled = ([] for _ in range(3))
    raw |= {"pace": pace, "p50": p50, "pace_to_filled": filled}
    commits = []

    def made(seq: int) -> bytes:
        return ready[seq & 4095]

    with open(folder / "filled", "wb") as file:
        file.write(bytes(FILLED))
        os.fsync(file.fileno())
    with closing(Journal(folder, 1, 1, memory=SHARED)) as journal:
        flight(journal, made, 1.0)  # the first segments are small
        for _ in range(rounds):
            gc.collect()
            ours = flight(journal, made, SECONDS)
            theirs = bare(folder / "bare", made, ours.batches)
            pace.append((ours.pace, theirs.pace))
            p50.append((ours.p50, theirs.p50))
            filled.append((ours.pace, bare(folder / "filled", made, ours.batches).pace))
            commits.append(sum(ours.batches) / len(ours.batches))
            (folder / "bare").unlink()
    each = f"records of {sum(map(len, ready)) / len(ready):.0f} bytes, {median(commits):.0f} in a commit"
    facts = f"{median(1e6 / ours for ours, _ in pace):,.0f} acknowledged a second; {each}"
    line = ratio_line("journal_pace", pace, gate=1 / 0.6)
    yield replace(line, details=(*line.details, facts))
    yield ratio_line("journal_p50", p50, gate=1.5)
    yield ratio_line("journal_pace_to_filled", filled)
    yield cpu_line(folder, rounds, raw)


def recovery_lines(folder: Path, rounds: int, raw: Raw) -> Iterator[Line]:
    """How long it takes until a worker that died has left a whole epoch."""
    size = BYTES if rounds > 5 else BYTES // 10
    child = os.fork()
    if not child:
        die(folder, size)
    if os.waitpid(child, 0)[1] != signal.SIGKILL:
        raise Lost("the worker that was to be killed ended by itself")
    written = sum(path.stat().st_size for path in folder.glob("*.segment"))
    start = time.perf_counter()
    last = recover(folder, 1, 2, aborted, memory=SHARED)
    took = (time.perf_counter() - start) * 1e9 / written
    raw["recovery_of_1_GB"] = [took]
    if last < size // 500:
        raise Lost(f"{last} records were recovered")
    detail = f"{last} records in {written / 1e6:.0f} MB, the last call open"
    yield Line(name="recovery_of_1_GB", value=took, unit="s", gate=20, details=(detail,))


def die(folder: Path, size: int) -> None:
    """Writes so many bytes of records in the life of a worker, which is then killed."""
    encoder = Encoder()
    ready = [encoder.encode(statement(seq)) for seq in range(1, 4097)]
    journal = Journal(folder, 1, 2, memory=SHARED)
    while size > 0:
        for record in ready:
            journal.append(record)
            size -= len(record)
        if not journal.drain(60):
            os._exit(1)
    journal.append(ready[0])
    os.kill(os.getpid(), signal.SIGKILL)


def aborted(entries: Iterable[Entry]) -> Iterator[bytes]:
    """An outcome for every call that has none."""
    decode, running = Decoder(Kind).decode, set()
    for _, record in entries:
        read = decode(record)
        if read.kind == "intent":
            running.add(read.run)
        else:
            running.discard(read.run)
    yield from running


def log_lines(folder: Path, rounds: int, raw: Raw) -> Iterator[Line]:
    """How fast journals become a log, and how fast that is verified."""
    count = INTEGRATED if rounds > 5 else INTEGRATED // 10
    took: dict[str, list[float]] = {"integrate": [], "integrate_cpu": [], "verify": []}
    with one_core():
        for number in range(max(rounds // 4, 1)):
            place = layout.create(folder / str(number), "bench.example/ledger")
            size = journalled(place, count)
            clock, cpu = time.perf_counter(), time.process_time()
            sequencer = Sequencer(place)
            with closing(sequencer):
                while sequencer.turn() or sequencer.due or not sequencer.catch_up():
                    if sequencer.due:
                        sequencer.checkpoint()
                sequencer.checkpoint()
                while not sequencer.catch_up():
                    pass
            took["integrate"].append((time.perf_counter() - clock) * 1e6 / count)
            took["integrate_cpu"].append((time.process_time() - cpu) * 1e6 / count)
            clock = time.perf_counter()
            report = verify_log(place.log, place.verifiers(), store=place.checkpoints)
            took["verify"].append((time.perf_counter() - clock) * 1e6 / count)
            if not report.ok or not report.checkpoint or report.checkpoint.size < count:
                raise Lost("the log does not verify")
    raw["log"] = [took]
    for name, least in (("integrate", 30_000), ("verify", 200_000)):
        middle = median(took[name])
        facts = f"{1e6 / middle:,.0f} a second; {count} records of {size:.0f} bytes"
        if name == "integrate":
            facts += f"; {median(took['integrate_cpu']):.1f} us CPU each"
        yield Line(name=f"{name}_record", value=middle, unit="us", gate=1e6 / least, details=(facts,))


def journalled(place: layout.Layout, count: int) -> float:
    """A worker's whole journal of so many records; their mean size."""
    epoch = place.new_epoch()
    journal = Journal(place.journal, 1, epoch)
    size = 0
    who = Who(bytes(16), bytes(16), bytes(16))
    for seq in range(1, count + 1):
        run = (seq // 2).to_bytes(13, "big")
        head: dict[str, Any] = {"worker": 1, "epoch": epoch, "seq": seq, "time": time.time_ns(), "run": run, "who": who}
        bodies = Bodies(*(bytes([number]) * 32 for number in range(5)))
        if seq % 2:
            record = encode(
                records.Intent(
                    **head, evidence="response", integration="main", model="gpt-4o-mini", policy=bytes(32),
                    prices=bytes(32), estimated=Used("exact", 412, 0), bodies=bodies,
                )
            )  # fmt: skip
        else:
            used = Used("provider", 412, 400)
            record = encode(
                records.Outcome(
                    **head, evidence="response", endpoint="chat.completions", model="gpt-4o-mini", stream=True,
                    status=200, error="", client_left=False, decision=Decided("allow", bytes(32)), provider=used,
                    counted=used, estimated=used, prices=bytes(32), cost=1812, bodies=bodies,
                )
            )  # fmt: skip
        size += len(record)
        journal.append(record)
        if seq % 1000 == 0 and not journal.drain(60):
            raise Lost("the journal does not keep up")
    if not journal.close(60):
        raise Lost("the journal could not be closed")
    return size / count


PARTS: dict[str, Callable[[Path, int, Raw], Iterator[Line]]] = {
    "journal": journal_lines,
    "recovery": recovery_lines,
    "log": log_lines,
}


def main() -> int:
    parser = argparse.ArgumentParser(description="What evidence costs.")
    parser.add_argument("part", nargs="*", help=f"of {', '.join(PARTS)}; without one, all")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--quick", action="store_true", help="few rounds: does everything still work")
    options = parser.parse_args()
    rounds = 4 if options.quick else options.rounds
    lines: list[Line] = []
    raw: Raw = {}
    try:
        for part in options.part or PARTS:
            (ROOT / "bench" / "build").mkdir(exist_ok=True)
            with tempfile.TemporaryDirectory(dir=ROOT / "bench" / "build") as folder:
                lines += PARTS[part](Path(folder), rounds, raw)
    except Lost as why:
        print(f"nothing was measured: {why}", file=sys.stderr)
        return 2
    return finish(lines, "record", raw=raw, facts={"rounds": rounds})


if __name__ == "__main__":
    sys.exit(main())
