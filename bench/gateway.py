"""What the gateway costs, with all that it does by default: `python -m bench.gateway [--rounds N] [--quick] [--noise]`.

nginx and Tidegate run side by side before the same stub provider and are measured in turn, both within every round; a
ratio is taken inside a round. What belongs to one process alone (start, memory) is measured on fresh processes.

Exit codes: 0 every gate holds, 1 a gate is missed, 2 the run is void (an answer was wrong or missing).
"""

import argparse
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
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
    start_tls_provider,
    write_request,
)
from bench.report import Line, finish, ratio_line
from bench.rig import BenchError, Cost, Rig, rss

KIB, MB = 1024, 1_000_000
STREAMS = 500
PACE = 20  # ms
CONTENT_EVENTS = 100
EVENTS = CONTENT_EVENTS + 4  # the role, the finish, the usage, [DONE]
NOMINAL = STREAMS * EVENTS / ((EVENTS - 1) * PACE / 1e3)  # events a second when nothing is late
HELD = 0.93
SLOW_STREAMS = 1000
IDLE_CONNECTIONS = 10_000
SPARE_FILES = 1000  # descriptors a gateway may need besides its idle connections
QUIET = 0.15  # cores kept busy by other programs that a measure can bear

Pair = tuple[Cost, Cost]  # Tidegate's, nginx's


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


REQUESTS = (
    Cell("governed_request_c16", "ask", 16, call(SMALL), goal=1.9, gate=3),
    Cell("governed_request_c64", "ask", 64, call(SMALL), goal=1.5, gate=2.5),
    Cell("governed_request_8k_c64", "ask", 64, call(8 * KIB)),
    Cell("governed_request_64k_c64", "ask", 64, call(64 * KIB)),
    Cell("governed_request_tls_c64", "ask", 64, call(SMALL), tls=True),
)
PACED = Cell("governed_paced", "stream", STREAMS, paced(events=CONTENT_EVENTS, milliseconds=PACE))
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

    def __init__(self, rig: Rig, plan: Plan, ours: Start) -> None:
        self.rig, self.plan = rig, plan
        self.starts = {"tidegate": ours, "nginx": start_nginx}
        self.provider = start_provider(rig)
        self.tls_provider, _ = start_tls_provider(rig, self.provider)
        self.connections = min(IDLE_CONNECTIONS, rig.files - SPARE_FILES)
        self._requests: dict[bytes, Path] = {}

    def load(self, gateway: Gateway, mode: str, body: bytes, *, conns: int, ramp: float = 0.1, window: float) -> Cost:
        """One window of load."""
        if body not in self._requests:
            self._requests[body] = write_request(self.rig, f"request-{len(self._requests)}", body)
        return self.rig.load(
            mode, gateway.process, gateway.port, self._requests[body], conns=conns, ramp=ramp, window=window
        )

    def warm(self, gateway: Gateway) -> None:
        """Touch the code and the memory that ordinary traffic needs, and learn who the worker is."""
        self.load(gateway, "ask", call(SMALL), conns=16, window=self.plan.window)
        self.load(gateway, "stream", paced(events=20, milliseconds=5), conns=16, window=0.3)

    def rounds(self) -> Iterator[dict[str, Pair]]:
        """All cells, once for each round; who goes first alternates."""
        running = {name: (start(self.rig, self.provider), start(self.rig, self.tls_provider))
                   for name, start in self.starts.items()}  # fmt: skip
        for pair in running.values():
            for gateway in pair:
                self.warm(gateway)
        for number in range(self.plan.rounds):
            order = list(running) if number % 2 else list(running)[::-1]
            progress(f"round {number + 1} of {self.plan.rounds}")
            yield {cell.name: self.pair(cell, running, order) for cell in (*REQUESTS, PACED)}
        for pair in running.values():
            for gateway in pair:
                self.rig.stop(gateway.process)

    def pair(self, cell: Cell, running: dict[str, tuple[Gateway, Gateway]], order: list[str]) -> Pair:
        """One load on both, in turn; which attempt counts is decided by other programs' noise, never by the result."""
        pairs: list[Pair] = []
        while len(pairs) < self.plan.attempts and (not pairs or disturbance(pairs[-1]) > QUIET):
            costs = {name: self.cell(cell, running[name][cell.tls]) for name in order}
            pairs.append((costs["tidegate"], costs["nginx"]))
        return min(pairs, key=disturbance)

    def cell(self, cell: Cell, gateway: Gateway) -> Cost:
        """One load on one contestant."""
        streams = cell.mode == "stream"
        return self.load(
            gateway,
            cell.mode,
            cell.body,
            conns=cell.conns,
            ramp=self.plan.ramp if streams else 0.1,
            window=self.plan.paced_window if streams else self.plan.window,
        )

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


def disturbance(pair: Pair) -> float:
    """Cores that other programs kept busy, in the worse half of a pair."""
    return max(cost.foreign for cost in pair)


def progress(what: str) -> None:
    """Say on stderr where the run is."""
    print(f"{time.strftime('%H:%M:%S')} {what}", file=sys.stderr, flush=True)


def ratio_lines(rounds: list[dict[str, Pair]]) -> Iterator[Line]:
    """CPU per request and per event, and the tail of the delay, each against nginx."""

    def pairs(cell: str, of: Callable[[Cost], float]) -> list[tuple[float, float]]:
        return [(of(ours), of(theirs)) for ours, theirs in (found[cell] for found in rounds)]

    for cell in REQUESTS:
        costs = pairs(cell.name, lambda cost: cost.worker_us / cost.answers)
        yield ratio_line(cell.name, costs, goal=cell.goal, gate=cell.gate)
        if cell.gate is not None:
            yield ratio_line(f"{cell.name}_tree", pairs(cell.name, lambda cost: cost.tree_us / cost.answers))
    per_event = pairs(PACED.name, lambda cost: cost.worker_us / cost.events)
    yield ratio_line("governed_paced_event", per_event, goal=1.3, gate=1.6)
    rate = median(found[PACED.name][0].events / found[PACED.name][0].seconds for found in rounds)
    broken = "" if rate >= HELD * NOMINAL else f"streams not held: {rate:.0f} events/s of {NOMINAL:.0f}"
    delays = pairs(PACED.name, lambda cost: cost.delay_p99_us)
    yield ratio_line("governed_paced_500_p99", delays, goal=2.0, gate=2.0, broken=broken)


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


def describe(rounds: list[dict[str, Pair]]) -> None:
    """Latency of the same windows, which no gate looks at, and how quiet the machine was."""
    for cell in (*REQUESTS, PACED):
        of = "delay" if cell.mode == "stream" else "latency"
        for side, name in enumerate(("tidegate", "nginx")):
            costs = [found[cell.name][side] for found in rounds]
            p50, p99 = (median(getattr(cost, f"{of}_{quantile}_us") for cost in costs) for quantile in ("p50", "p99"))
            rate = median((cost.events or cost.answers) / cost.seconds for cost in costs)
            print(f"  {cell.name} {name}: {rate:.0f}/s, {of} p50 {p50:.0f} us, p99 {p99:.0f} us")
    foreign = [disturbance(pair) for found in rounds for pair in found.values()]
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
    options = parser.parse_args()
    plan = Plan.of(options.rounds, options.quick)

    with void_run(), Rig() as rig:
        bench = Bench(rig, plan, start_nginx if options.noise else start_tidegate)
        rounds = list(bench.rounds())
        solos = {name: bench.solos(name) for name in bench.starts}

    lines = [*ratio_lines(rounds), *solo_lines(solos["tidegate"], solos["nginx"], bench.connections)]
    by_round = [
        {cell: {"tidegate": ours, "nginx": theirs} for cell, (ours, theirs) in found.items()} for found in rounds
    ]
    raw = {"rounds": by_round, "fresh": solos}
    facts = {"options": vars(options), "plan": plan, "loopback_only": rig.loopback_only}
    suffix = "-noise" if options.noise else "-quick" if options.quick else ""
    code = finish(lines, f"gateway{suffix}", raw=raw, facts=facts)
    describe(rounds)
    return code


if __name__ == "__main__":
    sys.exit(main())
