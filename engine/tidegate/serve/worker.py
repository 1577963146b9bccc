"""A worker: one process, one loop, one pipeline. Forked by the supervisor with the sockets of its slot."""

import asyncio
import gc
import math
import os
import signal
import socket
import ssl
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import uvloop

from tidegate.accept.connection import LINGER
from tidegate.clock import Clock
from tidegate.count.calibration import Calibration
from tidegate.count.metering import Meters
from tidegate.count.prices import Prices
from tidegate.count.registry import Registry
from tidegate.counters import ROLES, Counters
from tidegate.errors import StartError, TidegateError
from tidegate.forward.way import Ways
from tidegate.identify.held import Keys
from tidegate.limit.limits import Limits
from tidegate.pipeline import Pipeline, Snapshot
from tidegate.record._journal import Journal
from tidegate.record.evidence import Evidence
from tidegate.record.places import Places
from tidegate.record.records import LEAF
from tidegate.record.subject_service import SubjectClient
from tidegate.serve import limits
from tidegate.serve.channel import Channel, Message
from tidegate.serve.ledger import memory_of
from tidegate.serve.policies import live
from tidegate.serve.tables import keep, prices_of, registry_of
from tidegate.settings import Settings

if TYPE_CHECKING:
    from tidegate.serve.simulated import Provider

THREADS = 2  # that count long prompts: more would only take turns
SAVE = 60.0  # seconds after which what was learnt of vocabularies is kept
GRACE = 1.0  # a drain leaves idle connections open so long: a request on its way finds an answer, not a reset


class Inherited(NamedTuple):
    """What a worker has from the supervisor: made once, and shared by the memory of the fork."""

    settings: Settings
    registry: Registry
    prices: Prices
    keys: Keys
    ledger: Places
    limits: Limits


def work(
    number: int,
    epoch: int,
    inherited: Inherited,
    sockets: list[socket.socket],
    channel: Channel,
    beat: Callable[[], None],
    block: memoryview,
) -> None:
    """Serves until the channel says `drain` or ends; returns when everything under way is over."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal sends it to all; the supervisor decides
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    gc.freeze()  # what was imported before the fork stays shared with the other workers
    gc.set_threshold(50_000, 20, 20)
    uvloop.run(Worker(number, epoch, inherited, sockets, channel, beat, block).run())


class Worker:
    """The life of one worker process."""

    def __init__(
        self,
        number: int,
        epoch: int,
        inherited: Inherited,
        sockets: list[socket.socket],
        channel: Channel,
        beat: Callable[[], None],
        block: memoryview,
    ) -> None:
        self._number = number
        self._epoch = epoch
        self._settings, self._registry, self._prices, self._keys, self._ledger, self._limits = inherited
        self._calibration = Calibration(Path(self._settings.data, "calibration"), number)
        self._sockets = sockets
        self._channel = channel
        self._beat = beat
        self._counters = Counters(block)
        self._simulated: Provider | None = None
        self._over = asyncio.Event()
        self._changing = asyncio.Lock()  # to other settings: one after the other, the newest last

    async def run(self) -> None:
        """From the first tick to the last answer."""
        loop = asyncio.get_running_loop()
        self._clock = Clock(loop, self._beat)
        self._beat()
        await self._simulate(self._settings)
        self._ways = self._make_ways(self._settings, self._prices)
        self._policies = live(self._settings, self._say)
        self._threads = ThreadPoolExecutor(THREADS, "count")
        journal = self._open_journal()
        limits.join(self._limits, self._number, self._epoch)
        self._clock.watch(limits.Turns(self._limits))
        subjects = SubjectClient(self._ledger.socket, loop)
        self._clock.watch(subjects)
        evidence = Evidence(journal, subjects.subjects, self._number, self._epoch, loop, self._clock)
        self._pipeline = Pipeline(
            self._snapshot(), self._keys, self._limits, evidence, self._counters, self._clock, self._threads
        )
        self._keys.follow(self._clock, self._say)
        for flaw in self._calibration.flaws:
            self._say(flaw)
        self._evidence, self._journal = evidence, journal
        self._clock.watch(self)
        self.check(0.0)
        keeping = loop.create_task(self._keep())
        self._tls = identity(self._settings)
        servers = [
            await loop.create_server(self._protocol, sock=each, **self._handshake(each)) for each in self._sockets
        ]
        loop.add_reader(self._channel.fileno(), self._hear)
        self._channel.send(Message("ready"))
        await self._over.wait()
        await self._drain(servers)
        keeping.cancel()
        evidence.close()
        subjects.close()
        if not self._limits.holding:  # else what is held is settled, and its calls' end recorded, as if it had died
            journal.close()
        keep(self._calibration, self._say)
        self._threads.shutdown(cancel_futures=True)

    def _protocol(self) -> asyncio.Protocol:
        return cast("asyncio.Protocol", self._pipeline.connect())

    def _handshake(self, listener: socket.socket, most: float = math.inf) -> dict[str, Any]:
        """How a connection of this listener begins. A handshake has the time of a head: nothing else bounds it."""
        if self._tls is None or listener.family == socket.AF_UNIX:
            return {}
        patience = min(most, self._settings.accept.header_timeout)
        return {"ssl": self._tls, "ssl_handshake_timeout": patience, "ssl_shutdown_timeout": LINGER}

    def _open_journal(self) -> Journal:
        record = self._settings.record
        try:
            return Journal(
                self._ledger.journal,
                self._number,
                self._epoch,
                memory=memory_of(self._ledger),
                limit=LEAF,
                audit=record.audit,
                stale=record.stale,
            )
        except OSError as error:
            raise StartError(f"{error.strerror} (`{error.filename}`)") from None

    def _snapshot(self) -> Snapshot:
        meters = Meters(self._registry, self._calibration, self._prices, self._settings.forward.event)
        return Snapshot(self._settings, self._ways, meters, self._policies)

    async def _keep(self) -> None:
        """Keeps what is learnt of vocabularies, now and then."""
        while True:
            await asyncio.sleep(SAVE)
            await asyncio.to_thread(keep, self._calibration, self._say)

    def check(self, now: float) -> bool:
        """The clock's question: are other policies in force than the ledger says? And what may others know of this?"""
        digests = self._policies.digests
        self._evidence.policies(digests)
        for role, digest in zip(ROLES, digests, strict=True):
            self._counters.policy(role, digest, len(self._policies.problems))
        connections, journal = len(self._pipeline.connections), self._journal
        self._counters.look(connections, self._evidence.lost, journal.dropped, self._epoch, journal.appended)
        return True

    def _make_ways(self, settings: Settings, prices: Prices) -> Ways:
        return Ways(settings, self._clock, os.environ, self._simulated_url, prices.provider)

    def _simulated_url(self) -> str:
        assert self._simulated is not None
        return f"http://127.0.0.1:{self._simulated.port}"

    async def _simulate(self, settings: Settings) -> None:
        """The simulated provider, where an integration wants the one of this process."""
        wanted = any(each.provider == "simulated" and not each.base_url for each in settings.integration.values())
        if wanted and self._simulated is None:
            from tidegate.serve.simulated import Provider

            self._simulated = await Provider.start()

    def _hear(self) -> None:
        message = self._channel.receive()
        if message is None or message.kind == "drain":
            asyncio.get_running_loop().remove_reader(self._channel.fileno())
            self._over.set()
        elif message.settings is not None:
            asyncio.get_running_loop().create_task(self._use(message.settings))

    async def _use(self, settings: Settings) -> None:
        """Other settings are in force from the next request on; calls under way keep theirs."""
        self._newest = settings
        async with self._changing:
            if settings is self._newest:
                await self._change(settings)

    async def _change(self, settings: Settings) -> None:
        await self._simulate(settings)
        registry, prices, policies = self._registry, self._prices, self._policies
        try:
            if settings.vocabulary != self._settings.vocabulary:
                registry = await asyncio.to_thread(registry_of, settings)
            if settings.prices != self._settings.prices:
                prices = await asyncio.to_thread(prices_of, settings)
            ways = self._make_ways(settings, prices)
        except TidegateError as error:  # the supervisor has checked them, and could not see this
            self._say(f"a worker keeps the settings that it has: {error.message}")
            return
        if settings.policy != self._settings.policy:  # compiled in a thread: calls go on meanwhile
            policies = await asyncio.to_thread(live, settings, self._say)
        before, followed = self._ways, self._policies
        self._settings, self._registry, self._prices = settings, registry, prices
        self._ways, self._policies = ways, policies
        self._pipeline.use(self._snapshot())
        before.close()
        if followed is not policies:
            await asyncio.to_thread(followed.close)

    def _say(self, words: str) -> None:
        """Says something to the operator; called from the thread that follows policies, too."""
        self._channel.send(Message("say", words=words))

    async def _drain(self, servers: list[asyncio.Server]) -> None:
        """Takes what has already connected, lets it finish, and ends what is left when the time is over."""
        pipeline, loop = self._pipeline, asyncio.get_running_loop()
        drain = self._settings.serve.drain
        deadline, grace = loop.time() + drain, min(drain, GRACE)
        pipeline.draining = True
        arriving = [self._take(each, listener, grace) for listener in self._sockets for each in backlog(listener)]
        for server in servers:
            server.close()
        idle = loop.time() + grace
        await asyncio.gather(*arriving, return_exceptions=True)  # a handshake that fails is its client's affair
        await self._emptied(idle)
        for connection in list(pipeline.connections):
            connection.drain()
        await self._emptied(deadline)
        for connection in list(pipeline.connections):
            connection.shut()
        await self._emptied(loop.time() + GRACE)
        self._ways.close()
        self._clock.stop()
        await asyncio.to_thread(self._policies.close)

    async def _take(self, accepted: socket.socket, listener: socket.socket, patience: float) -> None:
        """Serves a connection; where there is a handshake, it has no longer than so many seconds."""
        begins = self._handshake(listener, patience)
        await asyncio.get_running_loop().connect_accepted_socket(self._protocol, accepted, **begins)

    async def _emptied(self, deadline: float) -> None:
        """Waits until no connection is left, at most until the deadline."""
        loop = asyncio.get_running_loop()
        while self._pipeline.connections and loop.time() < deadline:
            await asyncio.sleep(0.02)


def backlog(listener: socket.socket) -> Iterator[socket.socket]:
    """The connections that were made and that nobody has accepted yet."""
    while True:
        try:
            accepted, _ = listener.accept()
        except OSError:
            return
        accepted.setblocking(False)
        yield accepted


def identity(settings: Settings) -> ssl.SSLContext | None:
    """The TLS identity of the listeners; raises StartError where its files do not make one."""
    tls = settings.serve.tls
    if tls is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    for path in (tls.certificate, tls.key):
        try:
            with open(path, "rb"):
                pass
        except OSError as error:
            raise StartError(f"cannot read `{path}`: {(error.strerror or '').lower()}") from None
    try:
        context.load_cert_chain(tls.certificate, tls.key)
    except ssl.SSLError as error:
        reason = (error.reason or "unreadable").lower().replace("_", " ")
        raise StartError(f"`{tls.certificate}` and `{tls.key}` make no TLS identity: {reason}") from None
    context.set_alpn_protocols(["http/1.1"])
    return context
