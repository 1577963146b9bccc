"""Clients that read slowly: their providers are paused, memory stays bounded, and nobody else notices."""

import asyncio
import contextlib
import resource
import statistics
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.faults.load import Line, allow_files
from tests.faults.source import Source
from tests.gateway import Gateway, chat, post

KIB = 1024
RATE = 100  # bytes a second that a slow client reads
WINDOW = 4 * KIB  # and what its kernel takes in ahead of it
LARGE = post(chat("large", stream=True))
EACH = 112 * KIB  # bytes that wait for a slow client, one read more, and what a stream is made of
ONCE = 4 * KIB * KIB  # what allocators take in advance, however many there are
MANY = [100, pytest.param(1000, marks=pytest.mark.long)]


def settings(port: int, more: str = "") -> str:
    """A gateway with large streams from a source and quick answers from within the worker."""
    return (
        f'{more}[integration.source]\nprovider = "openai"\nprivate = true\nbase_url = "http://127.0.0.1:{port}/v1"\n'
        'models = ["large"]\n[integration.quick]\nprovider = "simulated"\n'
    )


@contextlib.asynccontextmanager
async def gateway_before(source: Source, folder: Path, more: str = "", workers: int = 1) -> AsyncIterator[Gateway]:
    """Both run while the body does."""
    async with source.listening() as port:
        gateway = Gateway(folder, settings(port, more), workers=workers)
        await asyncio.to_thread(gateway.start)
        try:
            yield gateway
            assert await asyncio.to_thread(gateway.stop) == 0, gateway.log
        finally:
            gateway.process.kill()
            gateway.process.wait()


@contextlib.asynccontextmanager
async def slow_clients(gateway: Gateway, count: int) -> AsyncIterator[list[Line]]:
    """So many, each reading a large stream at `RATE`."""
    lines: list[Line] = []
    readers: list[asyncio.Task[None]] = []
    try:
        for _ in range(count):
            line = await Line.open(gateway.port, window=WINDOW)
            lines.append(line)
            await line.send(LARGE)
            readers.append(asyncio.create_task(read_slowly(line)))
        yield lines
        ended = [reader for reader in readers if reader.done()]
        assert not ended, f"{len(ended)} of {count} slow clients were cut off"
    finally:
        for reader in readers:
            reader.cancel()
        await asyncio.gather(*readers, return_exceptions=True)
        for line in lines:
            line.close()


async def read_slowly(line: Line) -> None:
    while await line.read(RATE):
        await asyncio.sleep(1.0)


async def at_rest(source: Source, streams: int, patience: float = 60.0) -> None:
    """Until the source can write no more, but for what the trickle makes room for."""
    deadline = time.monotonic() + patience
    before = -1
    while len(source.written) < streams or source.total - before > streams * 4 * KIB:
        assert time.monotonic() < deadline, f"{len(source.written)} streams still write: {source.total} bytes"
        before = source.total
        await asyncio.sleep(1.0)


def resident(pid: int) -> int:
    """Bytes of RSS."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * resource.getpagesize()


MEASURE = """
import socket, sys, time
from tests.gateway import chat, post, read_answer
request, found = post(chat()), []
with socket.create_connection(("127.0.0.1", int(sys.argv[1])), 20) as connection:
    for _ in range(int(sys.argv[2])):
        start = time.perf_counter()
        connection.sendall(request)
        assert read_answer(connection)[0] == 200
        found.append(time.perf_counter() - start)
print(sorted(found)[len(found) * 99 // 100])
"""


async def p99(gateway: Gateway, calls: int = 2000) -> float:
    """Of plain calls over one kept connection, seconds; measured by a process that does nothing else."""
    arguments = ("-c", MEASURE, str(gateway.port), str(calls))
    measuring = await asyncio.create_subprocess_exec(sys.executable, *arguments, stdout=asyncio.subprocess.PIPE)
    said, _ = await measuring.communicate()
    assert measuring.returncode == 0
    return float(said)


async def warm(gateway: Gateway, source: Source) -> None:
    """Plain calls and a stream: what the first of each takes is no stream's."""
    await p99(gateway, 200)
    line = await Line.open(gateway.port)
    await line.send(LARGE)
    read = 0
    while read < 1024 * KIB:
        read += len(await line.read())
    line.close()
    while not source.left:
        await asyncio.sleep(0.05)
    source.written.clear()
    source.left = 0


async def bounded(folder: Path, count: int) -> float:
    source = Source()
    async with gateway_before(source, folder) as gateway:
        (worker,) = gateway.worker_pids()
        await warm(gateway, source)
        before = resident(worker)
        async with slow_clients(gateway, count):
            await at_rest(source, count)
            grown = (resident(worker) - before) / count
            assert max(source.written) < 32 * KIB * KIB, "the upstream is not paused"
            assert source.left == 0
            assert await p99(gateway, 200)  # others are served
        deadline = time.monotonic() + 20
        while source.left < count:
            assert time.monotonic() < deadline, f"{count - source.left} streams whose client left still run"
            await asyncio.sleep(0.05)
        assert gateway.worker_pids() == [worker]
    return grown


@pytest.mark.parametrize("count", MANY)
def test_slow_readers_pause_their_upstream_and_memory_is_bounded(tmp_path: Path, count: int) -> None:
    allow_files(3 * count + 100)
    grown = asyncio.run(bounded(tmp_path, count))
    print(f"{count} clients at {RATE} B/s: {grown / KIB:.1f} KiB of RSS each")
    assert grown <= EACH + ONCE / count


async def resumed(folder: Path) -> tuple[int, int]:
    source = Source()
    async with gateway_before(source, folder) as gateway:
        line = await Line.open(gateway.port, window=WINDOW)
        try:
            await line.send(LARGE)
            await at_rest(source, 1)
            paused = source.total
            read = 0
            while read < paused + 8 * KIB * KIB:
                read += len(await line.read(KIB * KIB))
        finally:
            line.close()
        return paused, source.total


def test_a_reader_that_catches_up_gets_the_stream_moving_again(tmp_path: Path) -> None:
    paused, later = asyncio.run(resumed(tmp_path))
    assert later > paused


async def paired_rounds(folder: Path, count: int, rounds: int) -> list[tuple[float, float]]:
    source = Source()
    found = []
    async with gateway_before(source, folder) as gateway:
        await p99(gateway)
        for number in range(rounds):
            alone = await p99(gateway)
            async with slow_clients(gateway, count):
                await at_rest(source, (number + 1) * count)
                beside = await p99(gateway)
            while source.left < (number + 1) * count:
                await asyncio.sleep(0.1)
            found.append((alone, beside))
    return found


@pytest.mark.long
def test_a_thousand_slow_readers_do_not_slow_the_others(tmp_path: Path) -> None:
    """Alone and beside them by turns, in one run; the ratio is judged by its median."""
    allow_files(3_100)
    rounds = asyncio.run(paired_rounds(tmp_path, 1000, 7))
    ratios = [beside / alone for alone, beside in rounds]
    print("p99 beside 1,000 slow readers / alone:", " ".join(f"{ratio:.2f}" for ratio in ratios))
    assert statistics.median(ratios) < 1.5
