"""What the gateway costs, with all that it does by default: `python -m bench.gateway [--rounds N] [--quick] [--noise]`.

nginx, Tidegate and two other gateways run side by side before the same stub provider and are measured in turn, all
within every round; a ratio is taken inside a round. What belongs to one process alone (start, memory) is measured on
fresh processes. `--soak` alone looks whether a million calls and a hundred thousand streams leave memory behind.

Exit codes: 0 every gate holds, 1 a gate is missed, 2 the run is void (an answer was wrong or missing).
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from bench.contestants import (
    SMALL,
    Gateway,
    Start,
    call,
    paced,
    start_nginx,
    start_provider,
    start_tidegate,
    start_tidegate_async,
    start_tls_provider,
    write_request,
)
from bench.peers import VERSIONS, peers
from bench.report import RESULTS, Line, finish, ratio_line
from bench.rig import BenchError, Cost, Rig, rss

KIB, MB = 1024, 1_000_000
STREAMS = 500
PACE = 20  # ms
TAKEN, EVERY, CALLERS = 16, 24, 96  # each calls once in 24 ms, answered after 16: 64 in flight, 4,000 a second
CONTENT_EVENTS = 100
EVENTS = CONTENT_EVENTS + 4  # the role, the finish, the usage, [DONE]
NOMINAL = STREAMS * EVENTS / ((EVENTS - 1) * PACE / 1e3)  # events a second when nothing is late
HELD = 0.93
SLOW_STREAMS = 1000
IDLE_CONNECTIONS = 10_000
SPARE_FILES = 1200  # descriptors that a gateway keeps for calls to its provider and for itself
CALLS, ENDED_STREAMS = 1_000_000, 100_000  # of a soak
REGRESSION = 1.5
KEPT = 1.0  # MB that may stay
RECORDED = 800  # bytes of a call's records
FLUSHES = 20
BESIDE = "governed_even_c64 beside"  # a flush's time while nginx has that load
QUIET = 0.15  # cores kept busy by other programs that a measure can bear

Round = dict[str, Cost]  # by contestant


@dataclass(frozen=True)
class Cell:
    """One load that both contestants get in every round."""

    name: str
    mode: str
    conns: int
    body: bytes
    tls: bool = False
    goal: float | None = None
    gate: float | None = None
    others: bool = False  # also for those beside Tidegate and nginx


REQUESTS = (
    Cell("governed_request_c16", "ask", 16, call(SMALL), goal=1.9, gate=3, others=True),
    Cell("governed_request_c64", "ask", 64, call(SMALL), goal=1.5, gate=2.5, others=True),
    Cell("governed_request_8k_c64", "ask", 64, call(8 * KIB)),
    Cell("governed_request_64k_c64", "ask", 64, call(64 * KIB)),
    Cell("governed_request_tls_c64", "ask", 64, call(SMALL), tls=True),
)
FULL = REQUESTS[1]
EVEN = Cell("governed_even_c64", "even", CALLERS, call(SMALL, seed=TAKEN), others=True)
PACED = Cell("governed_paced", "stream", STREAMS, paced(events=CONTENT_EVENTS, milliseconds=PACE))
CELLS = (*REQUESTS, EVEN, PACED)
SLOW = paced(events=20, milliseconds=200)


@dataclass(frozen=True)
class Plan:
    """How long to look."""

    rounds: int
    window: float  # s of a request window
    paced_window: float
    ramp: float  # s over which paced and slow streams open
    settle: float  # s of rest before memory is read
    attempts: int  # at a pair that other programs disturb; the quietest counts
    solos: int  # fresh processes of each contestant; even ones open streams, odd ones idle connections

    @classmethod
    def of(cls, rounds: int | None, quick: bool) -> "Plan":
        if quick:
            return cls(rounds or 3, 0.3, 1.0, 0.5, 0.3, 1, 2)
        return cls(rounds or 12, 0.8, 2.0, 1.0, 1.0, 2, 6)


@dataclass(frozen=True)
class Solo:
    """What one fresh process showed; of the two growths one is measured in each."""

    start: float
    idle: int  # bytes
    per_stream: float | None = None
    per_connection: float | None = None


class Bench:
    """One run: the processes that stay up, and the measures taken on them."""

    def __init__(self, rig: Rig, plan: Plan, ours: Start, others: dict[str, Start]) -> None:
        self.rig, self.plan = rig, plan
        self.starts = {"tidegate": ours, "nginx": start_nginx}
        self.others = {} if ours is start_nginx else {"tidegate_async": start_tidegate_async, **others}
        self.provider = start_provider(rig)
        self.tls_provider, _ = start_tls_provider(rig, self.provider)
        self.connections = min(IDLE_CONNECTIONS, rig.files - SPARE_FILES)
        self.flushes: list[dict[str, float]] = []  # by the load of 64 in flight that brings such batches; each round
        self._requests: dict[tuple[bytes, str], Path] = {}

    def load(self, gateway: Gateway, mode: str, body: bytes, *, conns: int, ramp: float = 0.1, window: float) -> Cost:
        """One window of load."""
        name = body, gateway.key
        if name not in self._requests:
            self._requests[name] = write_request(self.rig, f"request-{len(self._requests)}", *name)
        return self.rig.load(
            mode, gateway.process, gateway.port, self._requests[name], conns=conns, ramp=ramp, window=window
        )

    def warm(self, gateway: Gateway) -> None:
        """Touch the code and the memory that ordinary traffic needs, and learn who the worker is."""
        self.load(gateway, "ask", call(SMALL), conns=16, window=self.plan.window)
        self.load(gateway, "stream", paced(events=20, milliseconds=5), conns=16, window=0.3)

    def rounds(self, cells: Sequence[Cell]) -> Iterator[dict[str, Round]]:
        """All cells, once for each round; who goes first alternates."""
        running = {name: (start(self.rig, self.provider), start(self.rig, self.tls_provider))
                   for name, start in self.starts.items()}  # fmt: skip
        for name, start in self.others.items():
            one = start(self.rig, self.provider)
            running[name] = one, one
        for gateway in each_once(running):
            self.warm(gateway)
        for number in range(self.plan.rounds):
            order = list(running) if number % 2 else list(running)[::-1]
            progress(f"round {number + 1} of {self.plan.rounds}")
            yield {cell.name: self.round(cell, running, order) for cell in cells}
            nginx, _ = running["nginx"]
            self.flushes.append(
                {
                    FULL.name: self.flush(64, 0),
                    EVEN.name: self.flush(2, 0.0005),
                    BESIDE: self.flush_beside(EVEN, nginx, 2, 0.0005),
                }
            )
        for gateway in each_once(running):
            self.rig.stop(gateway.process)

    def round(self, cell: Cell, running: dict[str, tuple[Gateway, Gateway]], order: list[str]) -> Round:
        """One load on all, in turn; which attempt counts is decided by other programs' noise, never by the result."""
        found: list[Round] = []
        names = [name for name in order if cell.others or name in self.starts]
        while len(found) < self.plan.attempts and (not found or disturbance(found[-1]) > QUIET):
            found.append({name: self.cell(cell, running[name][cell.tls]) for name in names})
        return min(found, key=disturbance)

    def flush(self, calls: int, pause: float) -> float:
        """Microseconds of one write and flush of the records of so many calls, into a file as a journal has it: filled.
        Each comes after a pause, of seconds; a disk that has just been busy is quicker.
        """
        batch = b"x" * (calls * RECORDED)
        with open(self.rig.directory / "flushed", "w+b", 0) as file:
            file.write(bytes(FLUSHES * len(batch)))
            os.fdatasync(file.fileno())
            file.seek(0)
            times = []
            for _ in range(FLUSHES):
                time.sleep(pause)
                began = time.perf_counter()
                file.write(batch)
                os.fdatasync(file.fileno())
                times.append(time.perf_counter() - began)
        return median(times) * 1e6

    def flush_beside(self, cell: Cell, gateway: Gateway, calls: int, pause: float) -> float:
        """The same, while a load goes on: a commit too has its interrupts and threads on cores that others use."""
        with ThreadPoolExecutor(1) as aside:
            loaded = aside.submit(self.cell, cell, gateway)
            time.sleep(self.plan.window / 2)
            taken = self.flush(calls, pause)
            loaded.result()
        return taken

    def regression(self) -> Iterator[Line]:
        """What a call and an event cost, against what the last full result says. These machines differ and are shared,
        so that only what certainly costs half as much again is one.
        """
        source = sorted(RESULTS.glob("????-??-??-gateway.json"))[-1]
        last = {line["name"]: line["interval"]["high"] for line in json.loads(source.read_text())["lines"]
                if line["interval"]}  # fmt: skip
        cells, self.others = (FULL, PACED), {}
        rounds = list(self.rounds(cells))
        for line in ratio_lines(rounds, cells):
            if line.name in last and line.interval is not None:
                least, most = line.interval.low, REGRESSION * last[line.name]
                note = f"at least {least:.3g}; {source.name} has {last[line.name]:.3g}"
                yield Line(name=line.name, value=least, unit="x", gate=most, details=(note,))

    def soak(self) -> Iterator[Line]:
        """What calls and streams leave in the worker's memory, once it has seen some."""
        gateway = self.starts["tidegate"](self.rig, self.provider)
        loads = {
            "calls": ("ask", call(SMALL), CALLS),
            "streams": ("stream", call(SMALL, max_tokens=10, stream=True), ENDED_STREAMS),
        }
        for name, (mode, body, most) in loads.items():
            self.load(gateway, mode, body, conns=64, window=10.0)
            before, done = rss(gateway.process.worker), 0
            while done < most:
                done += self.load(gateway, mode, body, conns=64, window=10.0).answers
                progress(f"{done} of {most} {name}")
            time.sleep(self.plan.settle)
            growth = (rss(gateway.process.worker) - before) / MB
            yield Line(name=f"governed_soak_{name}", value=growth, unit="MB", goal=KEPT, gate=KEPT,
                       details=(f"after {done}",))  # fmt: skip
        self.rig.stop(gateway.process)

    def cell(self, cell: Cell, gateway: Gateway) -> Cost:
        """One load on one contestant."""
        ramp, window = {
            "ask": (0.1, self.plan.window),
            "even": (EVERY / 1e3, self.plan.window),
            "stream": (self.plan.ramp, self.plan.paced_window),
        }[cell.mode]
        return self.load(gateway, cell.mode, cell.body, conns=cell.conns, ramp=ramp, window=window)

    def solos(self, name: str) -> list[Solo]:
        """Start and memory, each time on a fresh process."""
        found = []
        for number in range(self.plan.solos):
            progress(f"{name}: fresh process {number + 1} of {self.plan.solos}")
            gateway = self.starts[name](self.rig, self.provider)
            found.append(self.solo(gateway, streams=number % 2 == 0))
            self.rig.stop(gateway.process)
        return found

    def solo(self, gateway: Gateway, *, streams: bool) -> Solo:
        """Growth is from the warmed-up worker to the open streams, or to the idle connections."""
        time.sleep(self.plan.settle)
        idle = {pid: rss(pid) for pid in gateway.process.tree()}
        self.warm(gateway)
        time.sleep(self.plan.settle)
        resting = idle[gateway.process.worker]
        if streams:
            cost = self.load(gateway, "stream", SLOW, conns=SLOW_STREAMS, ramp=2 * self.plan.ramp, window=1.0)
            return Solo(gateway.start, resting, per_stream=growth(cost) / SLOW_STREAMS)
        cost = self.load(gateway, "hold", call(SMALL), conns=self.connections, window=0.5)
        return Solo(gateway.start, resting, per_connection=growth(cost) / self.connections)


def growth(cost: Cost) -> int:
    """Bytes of the worker's memory that the load's connections took."""
    return cost.worker_after - cost.worker_before


def each_once(running: dict[str, tuple[Gateway, Gateway]]) -> list[Gateway]:
    """All that run."""
    return list({id(gateway): gateway for pair in running.values() for gateway in pair}.values())


def disturbance(found: Round) -> float:
    """Cores that other programs kept busy, in the worst part of a round."""
    return max(cost.foreign for cost in found.values())


def progress(what: str) -> None:
    """Say on stderr where the run is."""
    print(f"{time.strftime('%H:%M:%S')} {what}", file=sys.stderr, flush=True)


def ratio_lines(rounds: list[dict[str, Round]], cells: Sequence[Cell]) -> Iterator[Line]:
    """CPU per request and per event, and the tail of the delay, each against nginx."""

    def pairs(cell: str, of: Callable[[Cost], float], whose: str = "tidegate") -> list[tuple[float, float]]:
        return [(of(found[cell][whose]), of(found[cell]["nginx"])) for found in rounds]

    def request(cost: Cost) -> float:
        return cost.worker_us / cost.answers

    for cell in cells:
        if cell.mode == "stream":
            continue
        yield ratio_line(cell.name, pairs(cell.name, request), goal=cell.goal, gate=cell.gate)
        if cell.gate is not None:
            yield ratio_line(f"{cell.name}_tree", pairs(cell.name, lambda cost: cost.tree_us / cost.answers))
        short = cell.name.removeprefix("governed_")
        if "tidegate_async" in rounds[0][cell.name]:
            yield ratio_line(f"governed_async_{short}", pairs(cell.name, request, "tidegate_async"), goal=1.3)
        for peer in VERSIONS:
            if peer in rounds[0][cell.name]:
                yield ratio_line(f"{peer}_{short}", pairs(cell.name, request, peer))
    per_event = pairs(PACED.name, lambda cost: cost.worker_us / cost.events)
    yield ratio_line("governed_paced_event", per_event, goal=1.3, gate=1.6)
    ours = [found[PACED.name]["tidegate"] for found in rounds]
    rate = median(cost.events / cost.seconds for cost in ours)
    broken = "" if rate >= HELD * NOMINAL else f"streams not held: {rate:.0f} events/s of {NOMINAL:.0f}"
    delays = pairs(PACED.name, lambda cost: cost.delay_p99_us)
    yield ratio_line("governed_paced_500_p99", delays, goal=2.0, gate=2.0, broken=broken)


def added_lines(rounds: list[dict[str, Round]], flushes: list[dict[str, float]]) -> Iterator[Line]:
    """What the governed path, and its evidence alone, add to the time of a call with 64 in flight. Their bound is the
    disk's, so they are judged where calls wait for a provider and not for each other.

    Where the provider answers at once the core is full, and the time of a call is 64 times its CPU: that is reported
    too, but it says again what the ratios say, and no evidence could keep it within the bound.
    """
    for load, cell in (("", EVEN), ("full_", FULL)):
        flush = median(each[cell.name] for each in flushes)
        bound = 1.5 * flush + 300
        note = f"one flush of the same batch: {flush:.4g} us; in the bound 1.5 of it, and 300 us"
        if cell is EVEN:
            beside = median(each[BESIDE] for each in flushes)
            note += f"; while nginx has that load, and no evidence: {beside:.4g} us"
        found = [each[cell.name] for each in rounds]
        for name, without in (("added", "nginx"), ("evidence_added", "tidegate_async")):
            if all(without in costs for costs in found):
                added = median(costs["tidegate"].latency_p50_us - costs[without].latency_p50_us for costs in found)
                yield Line(name=f"governed_{load}{name}_p50_c64", value=added, unit="us", goal=bound,
                           gate=bound if cell is EVEN else None, details=(note,))  # fmt: skip


def solo_lines(ours: list[Solo], theirs: list[Solo], connections: int) -> Iterator[Line]:
    """Start and memory of Tidegate as they are; nginx's beside them."""

    def line(name: str, unit: str, bound: float, scale: float, of: Callable[[Solo], float | None], note: str) -> Line:
        mine, its = ([value / scale for solo in side if (value := of(solo)) is not None] for side in (ours, theirs))
        seen = " ".join(f"{value:.4g}" for value in mine)
        details = (f"{note}; seen {seen}; nginx {median(its):.4g} {unit}",)
        return Line(name=name, value=median(mine), unit=unit, goal=bound, gate=bound, details=details)

    yield line("stream_rss", "KiB", 16, KIB, lambda solo: solo.per_stream, f"{SLOW_STREAMS} streams")
    note = f"{connections} connections"
    yield line("idle_connection_rss", "KiB", 4, KIB, lambda solo: solo.per_connection, note)
    yield line("start", "s", 0.5, 1, lambda solo: solo.start, "exec to first answer")
    yield line("idle_rss", "MB", 60, MB, lambda solo: solo.idle, "the worker alone")


def describe(rounds: list[dict[str, Round]]) -> None:
    """Latency of the same windows, which no gate looks at, and how quiet the machine was."""
    for cell in CELLS:
        of = "delay" if cell.mode == "stream" else "latency"
        for name in rounds[0][cell.name]:
            costs = [found[cell.name][name] for found in rounds]
            p50, p99 = (median(getattr(cost, f"{of}_{quantile}_us") for cost in costs) for quantile in ("p50", "p99"))
            rate = median((cost.events or cost.answers) / cost.seconds for cost in costs)
            print(f"  {cell.name} {name}: {rate:.0f}/s, {of} p50 {p50:.0f} us, p99 {p99:.0f} us")
    foreign = [disturbance(cells) for found in rounds for cells in found.values()]
    print(f"  cores kept busy by other programs: median {median(foreign):.2f}, worst {max(foreign):.2f}")


@contextmanager
def void_run() -> Iterator[None]:
    """A run that cannot be trusted says why and has an exit code of its own."""
    try:
        yield
    except (BenchError, OSError, subprocess.CalledProcessError) as error:  # the latter two: a program is missing
        print(f"void: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)


def main() -> int:
    """Run, print, write the result file."""
    parser = argparse.ArgumentParser(prog="python -m bench.gateway", description="What the gateway costs.")
    parser.add_argument("--rounds", type=int, help="paired rounds (12)")
    parser.add_argument("--quick", action="store_true", help="3 rounds of short windows: does it work at all")
    parser.add_argument("--noise", action="store_true", help="a second nginx in Tidegate's place: how quiet is it here")
    parser.add_argument("--regression", action="store_true", help="only: do calls cost more than the last result says")
    parser.add_argument("--soak", action="store_true", help="only the memory after many calls; some minutes")
    options = parser.parse_args()
    plan = Plan.of(options.rounds, options.quick)

    others = {} if options.noise else peers()  # they are installed while there is still a network
    with void_run(), Rig() as rig:
        bench = Bench(rig, plan, start_nginx if options.noise else start_tidegate, others)
        if options.regression:
            return finish(list(bench.regression()), "gateway-regression", raw={}, facts={})
        if options.soak:
            return finish(list(bench.soak()), "gateway-soak", raw={}, facts={"loopback_only": rig.loopback_only})
        rounds = list(bench.rounds(CELLS))
        solos = {name: bench.solos(name) for name in bench.starts}

    lines = [*ratio_lines(rounds, (*REQUESTS, EVEN)), *added_lines(rounds, bench.flushes)]
    lines += solo_lines(solos["tidegate"], solos["nginx"], bench.connections)
    raw = {"rounds": rounds, "fresh": solos}
    facts = {"options": vars(options), "plan": plan, "loopback_only": rig.loopback_only}
    suffix = "-noise" if options.noise else "-quick" if options.quick else ""
    code = finish(lines, f"gateway{suffix}", raw=raw, facts=facts)
    describe(rounds)
    return code


if __name__ == "__main__":
    sys.exit(main())
