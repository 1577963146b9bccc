"""Clients that read slowly: their providers are paused, memory stays bounded, and nobody else notices."""

import asyncio
import contextlib
import resource
import statistics
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.faults.load import Line
from tests.faults.source import Source
from tests.gateway import Gateway, chat, post

KIB = 1024
RATE = 100  # bytes a second that a slow client reads
WINDOW = 4 * KIB  # and what its kernel takes in ahead of it
LARGE = post(chat("large", stream=True))
PLAIN = post(chat())
MANY = [100, pytest.param(1000, marks=pytest.mark.long)]


def settings(port: int, more: str = "") -> str:
    """A gateway in front of a source."""
    return f'{more}[integration.source]\nprovider = "openai"\nprivate = true\nbase_url = "http://127.0.0.1:{port}/v1"\n'


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


async def latencies(gateway: Gateway, calls: int) -> list[float]:
    """Of plain calls over one kept connection, sorted."""
    line = await Line.open(gateway.port)
    found = []
    try:
        for _ in range(calls):
            start = time.perf_counter()
            assert (await line.call(PLAIN)).status == 200
            found.append(time.perf_counter() - start)
    finally:
        line.close()
    return sorted(found)


async def bounded(folder: Path, count: int) -> float:
    source = Source()
    async with gateway_before(source, folder) as gateway:
        (worker,) = gateway.worker_pids()
        await latencies(gateway, 200)
        before = resident(worker)
        async with slow_clients(gateway, count):
            await at_rest(source, count)
            grown = (resident(worker) - before) / count
            assert max(source.written) < 32 * KIB * KIB, "the upstream is not paused"
            assert source.left == 0
            assert len(await latencies(gateway, 200)) == 200  # others are served
        deadline = time.monotonic() + 20
        while source.left < count:
            assert time.monotonic() < deadline, f"{count - source.left} streams whose client left still run"
            await asyncio.sleep(0.05)
        assert gateway.worker_pids() == [worker]
    return grown


@pytest.mark.parametrize("count", MANY)
def test_slow_readers_pause_their_upstream_and_memory_is_bounded(tmp_path: Path, count: int) -> None:
    grown = asyncio.run(bounded(tmp_path, count))
    print(f"{count} clients at {RATE} B/s: {grown / KIB:.1f} KiB of RSS each")
    assert grown <= 128 * KIB


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
        await latencies(gateway, 1000)
        for number in range(rounds):
            alone = percentile(await latencies(gateway, 2000))
            async with slow_clients(gateway, count):
                await at_rest(source, (number + 1) * count)
                beside = percentile(await latencies(gateway, 2000))
            found.append((alone, beside))
            await asyncio.sleep(1.0)
    return found


def percentile(ordered: list[float]) -> float:
    """The 99th."""
    return ordered[len(ordered) * 99 // 100]


@pytest.mark.long
def test_a_thousand_slow_readers_do_not_slow_the_others(tmp_path: Path) -> None:
    """Alone and beside them by turns, in one run; the ratio is judged by its median."""
    rounds = asyncio.run(paired_rounds(tmp_path, 1000, 7))
    ratios = [beside / alone for alone, beside in rounds]
    print("p99 beside 1,000 slow readers / alone:", " ".join(f"{ratio:.2f}" for ratio in ratios))
    assert statistics.median(ratios) < 1.5
