"""What limits cost: `python -m bench.limits [--rounds N] [--quick]`.

The yardstick is a bare clock read from Python through the same loop: one call with one argument whose result is kept.
What is compared takes turns within every round, and a ratio is taken inside a round. Holds are settled between the
measured windows. Where two processes meet on one word, CPU time is counted, so that others on the machine do not.

Then a fleet: two nodes as processes, one rate of 50,000 calls a second, and Redis beside them on a unix socket.

Exit codes: 0 every gate holds, 1 a gate is missed, 2 the run is void (something was refused that must not be).
"""

import argparse
import gc
import json
import mmap
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import redis

from bench.report import ROOT, Line, finish, output, ratio_line
from tidegate.limit.fleet import Fleet, Hold, Waiting
from tidegate.limit.limits import Limits
from tidegate.limit.refusal import Refusal
from tidegate.model import Limit

BATCH = 2_000  # draws in a window of a round: a fifth of a millisecond, and every hold of it fits into the caches
REPEATS = 25  # batches in a round; their median counts, as a tick of the machine is longer than a batch
ROUND_TRIPS = 200
QUIET, MEET, END = 0, 1, 2  # what the other process is to do
SIGNAL, COUNT = 0, 64  # where it is told, and where it counts, in words: not on one cache line
RATE = 50_000
SECONDS = 3.0
# one rate in Redis, asked for each call: what there would be without leases
RATE_IN_REDIS = """
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local full = math.max(tonumber(redis.call('GET', KEYS[1]) or '0'), now) + ARGV[1]
if full > now + ARGV[2] then return 0 end
redis.call('SET', KEYS[1], string.format('%.0f', full), 'PX', 60000)
return 1
"""

Times = dict[str, list[float]]  # ns a call, one for each round
Work = Callable[[], float]


class Refused(Exception):
    """A draw was refused that must pass, or what was to be measured did not happen."""


def kept(call: Callable[[Any], Any], argument: object, settle: Callable[[Any], object] | None = None) -> Work:
    """Nanoseconds that a call takes whose result is kept, the median of some batches."""

    def measure() -> float:
        times = []
        for _ in range(REPEATS):
            results: list[Any] = []
            keep = results.append
            start = time.perf_counter_ns()
            for _ in range(BATCH):
                keep(call(argument))
            times.append((time.perf_counter_ns() - start) / BATCH)
            if any(isinstance(result, Refusal) for result in results):
                raise Refused("a draw was refused that must pass")
            if settle is not None:
                for result in results:
                    settle(result)
        return median(times)

    return measure


def measured(works: dict[str, Work], rounds: int) -> Times:
    """Rounds in which each has its turn; who goes first alternates."""
    times: Times = {name: [] for name in works}
    gc.disable()  # a collection would fall on whose turn it happens to be
    for number in range(rounds):
        for name in list(works) if number % 2 else reversed(list(works)):
            times[name].append(works[name]())
        gc.collect()
    gc.enable()
    return times


def limit(name: str, measure: Any = "requests", per: str = "1s") -> Limit:
    """A limit that nobody reaches here."""
    return Limit(name=name, key=("acme", "gpt-4o"), measure=measure, max=10**12, per=per)


def local_works(limits: Limits) -> dict[str, Work]:
    """Draws from shared memory."""
    rates = [limits.prepare(limit(f"rate {number}")) for number in range(2)]
    budgets = [limits.prepare(limit(f"budget {number}", "tokens", "total")) for number in range(2)]
    asked = [limit("asked") for _ in range(2)]

    def again(asked: list[Limit]) -> object:
        asked.reverse()  # equal, but not the same: as a policy makes it
        limits._known.clear()
        return limits.acquire([(limits.prepare(asked[0]), 1)])

    def hashed(asked: list[Limit]) -> object:
        limits._known.clear()  # as if it had never been seen
        limits._prepared.clear()
        return limits.acquire([(limits.prepare(asked[0]), 1)])

    def whole(draws: Any) -> None:
        limits.acquire(draws).settle([1])

    one, four = [(rates[0], 1)], [(bucket, 1) for bucket in (*rates, *budgets)]
    return {
        "clock": kept(time.clock_gettime_ns, time.CLOCK_MONOTONIC),
        "acquire_one": kept(limits.acquire, one, lambda hold: hold.settle([1])),
        "acquire_budget": kept(limits.acquire, [(budgets[0], 1)], lambda hold: hold.settle([1])),
        "acquire_four": kept(limits.acquire, four, lambda hold: hold.settle([1, 1, 1, 1])),
        "acquire_settle_one": kept(whole, one),
        "acquire_prepared_again": kept(again, asked, lambda hold: hold.settle([1])),
        "acquire_hashed": kept(hashed, asked, lambda hold: hold.settle([1])),
    }


def meeting(rounds: int) -> tuple[list[tuple[float, float]], str]:
    """CPU nanoseconds of a draw while another process draws from the same word, and while it does not.

    Of a round in company those batches count in which the other really drew at the same time.
    """
    limits = Limits(workers=2)
    draws = [(limits.prepare(limit("met")), 1)]
    limits.acquire(draws)
    shared = memoryview(mmap.mmap(-1, mmap.PAGESIZE)).cast("q")
    cores = sorted(os.sched_getaffinity(0))
    child = os.fork()
    if not child:
        os.sched_setaffinity(0, cores[-1:])
        limits.join(1)
        company(limits, shared)
    os.sched_setaffinity(0, cores[:1])
    pairs, batches = [], 0
    for _ in range(rounds):
        alone = [cpu(limits, draws) for _ in range(REPEATS)]
        shared[SIGNAL] = MEET
        met = []
        for _ in range(4 * REPEATS):
            before = shared[COUNT]
            took = cpu(limits, draws)
            if shared[COUNT] - before > BATCH // 2:
                met.append(took)
        shared[SIGNAL] = QUIET
        time.sleep(0.002)
        batches += len(met)
        if met:
            pairs.append((median(met), median(alone)))
    shared[SIGNAL] = END
    os.waitpid(child, 0)
    os.sched_setaffinity(0, cores)
    if len(pairs) < rounds // 2:
        raise Refused(f"two processes met in {len(pairs)} rounds of {rounds} only")
    return pairs, f"{batches} of {4 * REPEATS * rounds} batches in company"


def company(limits: Limits, shared: memoryview) -> None:
    """What the other process does: draws when it is told to, and counts."""
    draws = [(limits.prepare(limit("met")), 1)]
    while shared[SIGNAL] != END:
        if shared[SIGNAL] == MEET:
            for _ in range(100):
                limits.acquire(draws)  # a rate's hold needs no settling
            shared[COUNT] += 100
        else:
            time.sleep(0.0005)
    os._exit(0)


def cpu(limits: Limits, draws: Any) -> float:
    """CPU nanoseconds of a draw, of a batch."""
    start = time.thread_time_ns()
    for _ in range(BATCH):
        limits.acquire(draws)
    return (time.thread_time_ns() - start) / BATCH


@contextmanager
def redis_server() -> Iterator[str]:
    """A Redis on a unix socket, without a disk; its address."""
    with tempfile.TemporaryDirectory() as folder:
        socket = Path(folder, "redis.sock")
        command = ["redis-server", "--port", "0", "--unixsocket", str(socket), "--save", "", "--appendonly", "no"]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, cwd=folder)
        while not socket.exists():
            time.sleep(0.01)
        try:
            yield f"unix://{socket}"
        finally:
            process.kill()
            process.wait()


def redis_work(url: str) -> Work:
    """Nanoseconds of a round trip that draws from a rate in Redis."""
    script = redis.Redis.from_url(url).register_script(RATE_IN_REDIS)

    def measure() -> float:
        start = time.perf_counter_ns()
        for _ in range(ROUND_TRIPS):
            if not script(["rate"], [1, 10**9]):
                raise Refused("a draw was refused that must pass")
        return (time.perf_counter_ns() - start) / ROUND_TRIPS

    measure()
    return measure


def fleet_work(fleet: Fleet) -> Work:
    """Draws from a lease."""
    draws = [(fleet.prepare(limit("leased", "tokens", "total")), 1)]
    while isinstance(waiting := fleet.acquire(draws), Waiting):
        fleet.wait(waiting, 1.0)
    return kept(fleet.acquire, draws, lambda hold: hold.settle([1]))


def node(url: str) -> None:
    """One of two nodes that draw from a rate as fast as it lets them; prints the draws, and the calls of Redis."""
    fleet = Fleet(url, nodes=2)
    draws = [(fleet.prepare(Limit(name="shared", measure="requests", max=RATE, per="1s", burst=RATE // 100)), 1)]
    passed, until = 0, time.monotonic() + SECONDS
    while time.monotonic() < until:
        taken = fleet.acquire(draws)
        if isinstance(taken, Hold):
            taken.settle([1])
            passed += 1
        elif isinstance(taken, Waiting):
            fleet.wait(taken, 0.01)
        else:
            time.sleep(0.0005)
    print(json.dumps([passed, fleet.calls]))
    fleet.close()


def fleet_line(url: str) -> tuple[Line, list[list[int]]]:
    """How often Redis is asked for a request at 50,000 a second."""
    command = [sys.executable, "-m", "bench.limits", "--node", url]
    nodes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) for _ in range(2)]
    told = [json.loads(each.communicate()[0]) for each in nodes]
    passed, calls = (sum(column) for column in zip(*told, strict=True))
    pace = passed / SECONDS
    slow = f"only {pace:.0f} requests a second" if pace < 0.8 * RATE else ""
    detail = f"{pace:.0f} requests a second on two nodes, {calls / SECONDS:.0f} calls; {RATE // 100} at once"
    return Line(
        name="fleet_redis_calls", value=calls / passed, unit="calls/request", goal=0.15, gate=0.15, broken=slow,
        details=(detail, *([slow] if slow else [])),
    ), told  # fmt: skip


def lines(times: Times, met: list[tuple[float, float]]) -> Iterator[Line]:
    """Everything that is a ratio."""

    def to(name: str, yardstick: str) -> list[tuple[float, float]]:
        return list(zip(times[name], times[yardstick], strict=True))

    bounds = {"acquire_one": 2, "acquire_budget": None, "acquire_four": 5}
    for name in times:
        if name not in ("clock", "redis"):
            bound = bounds.get(name)
            yield ratio_line(name, to(name, "clock"), goal=bound, gate=bound, unit="ns")
    yield ratio_line("acquire_two_processes", met, goal=2, gate=2, unit="ns")
    yield ratio_line("acquire_to_redis", to("acquire_one", "redis"), goal=1 / 1000, gate=1 / 1000, unit="ns")


def main() -> int:
    parser = argparse.ArgumentParser(description="What limits cost.")
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--quick", action="store_true", help="few rounds: does everything still work")
    parser.add_argument("--node", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.node:
        node(options.node)
        return 0
    if shutil.which("redis-server") is None:
        print("redis-server is missing:  apt-get install -y redis-server", file=sys.stderr)
        return 2
    rounds = 10 if options.quick else options.rounds
    try:
        met, company_kept = meeting(rounds)
        with redis_server() as url:
            fleet = Fleet(url, nodes=2)
            works = local_works(Limits()) | {"acquire_leased": fleet_work(fleet), "redis": redis_work(url)}
            times = measured(works, rounds)
            fleet.close()
            calls, told = fleet_line(url)
    except Refused as why:
        print(f"nothing was measured: {why}", file=sys.stderr)
        return 2
    raw = {"times": times, "met": met, "fleet": told}
    facts = {"rounds": rounds, "met": company_kept, "redis": output("redis-server", "--version")}
    return finish([*lines(times, met), calls], "limits", raw=raw, facts=facts)


if __name__ == "__main__":
    sys.exit(main())
