"""The test bench under every contestant: a network of its own, two cores, processes that surely end, and their costs.

* The gateway under test has the first core to itself; the stub provider, the load and this program share the last one.
* CPU is nanoseconds on a core of all threads of a process (`schedstat`), not ticks: a window of a second will do.
* Whatever is started here ends with the rig's context, by its process group, or with this program, however it ends.
"""

import ctypes
import fcntl
import json
import os
import resource
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from types import FrameType, TracebackType
from typing import IO, Self

from bench.report import ROOT

SOURCES = ROOT / "bench"
BUILD = SOURCES / "build"
PATIENCE = 30.0  # for a gateway's first answer
GRACE = 5.0  # between SIGTERM and SIGKILL
TICK = os.sysconf("SC_CLK_TCK")

_LIBC = ctypes.CDLL(None, use_errno=True)
_PR_SET_PDEATHSIG = 1
_CLONE_NEWNET = 0x40000000
_SIOCSIFFLAGS = 0x8914
_IFF_UP = 1


class BenchError(Exception):
    """The run is void: something did not start, or an answer was wrong."""


@dataclass(frozen=True)
class Cost:
    """What one window of load cost one gateway: the worker alone, and its whole tree of processes."""

    seconds: float
    answers: int
    events: int
    worker_us: float  # CPU
    tree_us: float
    worker_before: int  # resident bytes before the load, and at the end of the window
    worker_after: int
    first_byte_p50_us: float
    first_byte_p99_us: float
    latency_p50_us: float
    latency_p99_us: float
    delay_p50_us: float  # from the provider's write to the client's read, each event
    delay_p99_us: float
    foreign: float  # cores that programs outside this benchmark kept busy

    def __post_init__(self) -> None:
        if self.seconds <= 0:
            raise BenchError("the load measured nothing")


class Process:
    """A running program on one core, with its log."""

    def __init__(self, name: str, command: Sequence[str], core: int, log: Path, env: Mapping[str, str]) -> None:
        self.name = name
        self.log = log
        self.worker = 0  # the first load shows which of the tree it is
        with log.open("wb") as out:
            self._popen = _start(command, core, out, env)
        self.pid = self._popen.pid

    def tree(self) -> list[int]:
        """This process and all its descendants."""
        found = [self.pid]
        for pid in found:
            found += _children(pid)
        return found

    def check(self) -> None:
        """Raise if it ended by itself."""
        if self._popen.poll() is not None:
            tail = self.log.read_text(errors="replace")[-2000:]
            raise BenchError(f"{self.name} ended with {self._popen.returncode}:\n{tail}")

    def stop(self) -> None:
        """End it and whatever it started."""
        self._popen.terminate()
        try:
            self._popen.wait(GRACE)
        except subprocess.TimeoutExpired:
            pass
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self._popen.wait()


class Rig:
    """Starts, loads and ends processes; use as a context."""

    def __init__(self) -> None:
        cores = sorted(os.sched_getaffinity(0))
        self.gateway_core, self.load_core = cores[0], cores[-1]
        self.loopback_only = _own_network()
        self.files = _raise_file_limit()
        self._temporary = tempfile.TemporaryDirectory(prefix="tidegate-bench-")
        self.directory = Path(self._temporary.name)
        self._processes: list[Process] = []
        self._elsewhere: list[Path] = []

    def __enter__(self) -> Self:
        signal.signal(signal.SIGTERM, _interrupt)
        os.sched_setaffinity(0, {self.load_core})
        build()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C must not cut the cleaning short
        for process in reversed(self._processes):
            process.stop()
        self._temporary.cleanup()
        for folder in self._elsewhere:
            shutil.rmtree(folder, ignore_errors=True)
        signal.signal(signal.SIGINT, before)

    def start(
        self, name: str, command: Sequence[str], *, under_test: bool, env: Mapping[str, str] | None = None
    ) -> Process:
        """Start a program on its core; its output goes to a log in the rig's directory."""
        log = self.directory / f"{name}-{len(self._processes)}.log"
        core = self.gateway_core if under_test else self.load_core
        process = Process(name, command, core, log, env or {})
        self._processes.append(process)
        return process

    def leaves(self, folder: Path) -> None:
        """A program keeps something outside of the rig's directory, which goes when that does."""
        self._elsewhere.append(folder)

    def stop(self, process: Process) -> None:
        """End one program before the others."""
        process.stop()
        self._processes.remove(process)

    def load(
        self, mode: str, process: Process, port: int, request: Path, *, conns: int, ramp: float, window: float
    ) -> Cost:
        """Put one window of load on a gateway; any wrong or missing answer voids the run."""
        process.check()
        tree = process.tree()
        settings = (port, conns, round(ramp * 1e3), round(window * 1e3), request, *tree)
        others_before, began = self._others(), time.monotonic()
        client = _start([str(BUILD / "load"), mode, *map(str, settings)], self.load_core, subprocess.PIPE, {})
        try:
            printed = client.communicate()[0]
        finally:
            client.kill()
            client.wait()
        foreign = (self._others() - others_before) / (time.monotonic() - began)
        if client.returncode:
            raise BenchError(f"the load client ended with {client.returncode}")
        found = json.loads(printed)
        if found.pop("errors"):
            raise BenchError(f"{process.name}, {mode} with {conns} connections: {found['first_error']}")
        del found["first_error"]
        costs = {int(pid): cost for pid, cost in found.pop("processes").items()}
        process.worker = process.worker or max(costs, key=lambda pid: costs[pid]["cpu_ns"])
        if process.worker not in costs:
            raise BenchError(f"{process.name}'s worker was replaced")
        worker = costs[process.worker]
        return Cost(
            **found,
            worker_us=worker["cpu_ns"] / 1e3,
            tree_us=sum(cost["cpu_ns"] for cost in costs.values()) / 1e3,
            worker_before=worker["rss_before"],
            worker_after=worker["rss_after"],
            foreign=max(0.0, foreign),
        )

    def _others(self) -> float:
        """CPU seconds so far of everything on the machine that is not this benchmark."""
        busy = 0
        for line in Path("/proc/stat").read_text().splitlines():
            if line.startswith("cpu "):
                user, nice, system, _idle, _iowait, *rest = map(int, line.split()[1:9])
                busy = user + nice + system + sum(rest)
        own = sum(cpu_ns(pid) for process in self._processes for pid in process.tree()) / 1e9
        return busy / TICK - own - sum(os.times()[:4])


def _start(command: Sequence[str], core: int, out: int | IO[bytes], env: Mapping[str, str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command,
        cwd=ROOT,
        env=os.environ | env,
        stdin=subprocess.DEVNULL,
        stdout=out,
        stderr=None if out == subprocess.PIPE else subprocess.STDOUT,
        start_new_session=True,
        preexec_fn=partial(_before_exec, core, os.getpid()),  # safe: this program has one thread
    )


def _before_exec(core: int, parent: int) -> None:
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        os._exit(1)
    os.sched_setaffinity(0, {core})


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _children(pid: int) -> list[int]:
    found: list[int] = []
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            found += map(int, Path(f"/proc/{pid}/task/{task}/children").read_text().split())
    except FileNotFoundError:
        pass
    return found


def cpu_ns(pid: int) -> int:
    """Nanoseconds on a core of all threads a process has now; 0 when it is gone."""
    total = 0
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            total += int(Path(f"/proc/{pid}/task/{task}/schedstat").read_text().split()[0])
    except (FileNotFoundError, ProcessLookupError):
        pass
    return total


def rss(pid: int) -> int:
    """Resident bytes of a process."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize()


def build() -> None:
    """Compile the C programs whose source is newer than what was built."""
    BUILD.mkdir(exist_ok=True)
    for source in sorted(SOURCES.glob("*.c")):
        target = BUILD / source.stem
        if not target.exists() or target.stat().st_mtime < source.stat().st_mtime:
            subprocess.run(["gcc", "-O2", "-Wall", "-Wextra", "-o", target, source], check=True)


def free_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port: int = s.getsockname()[1]
    return port


def wait_for_port(process: Process, port: int) -> None:
    """Wait until a process listens."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        process.check()
        with socket.socket() as s:
            if not s.connect_ex(("127.0.0.1", port)):
                return
        time.sleep(0.01)
    raise BenchError(f"{process.name} does not listen on port {port}")


def first_answer(process: Process, port: int, body: bytes, headers: Mapping[str, str]) -> bytes:
    """Ask until the gateway answers 200; the body of that answer."""
    end, last = time.monotonic() + PATIENCE, "no connection"
    while time.monotonic() < end:
        process.check()
        connection = HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("POST", "/v1/chat/completions", body, dict(headers))
            answer = connection.getresponse()
            content = answer.read()
            if answer.status == 200:
                return content
            last = f"{answer.status} {content[:300]!r}"
        except (OSError, HTTPException) as error:
            last = repr(error)
        finally:
            connection.close()
        time.sleep(0.002)
    raise BenchError(f"{process.name} gave no answer in {PATIENCE:g} s: {last}")


def _own_network() -> bool:
    """Move into a network namespace with nothing but loopback, where that is allowed.

    No firewall rule and nobody else's packet is in the way there, and congestion control can be chosen: bbr's pacing
    timers would be part of every number. Reno, as nothing is lost on loopback and a namespace may not choose cubic.
    """
    if _LIBC.unshare(_CLONE_NEWNET):
        return False
    with socket.socket() as s:
        fcntl.ioctl(s, _SIOCSIFFLAGS, struct.pack("16sh", b"lo", _IFF_UP).ljust(40, b"\0"))
    try:
        Path("/proc/sys/net/ipv4/tcp_congestion_control").write_text("reno")
    except OSError:
        pass  # the result file says what it was
    return True


def _raise_file_limit() -> int:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard
