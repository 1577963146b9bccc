"""READ THIS FIRST: the path of one call, step by step.

    accept -> identify -> decide -> limit -> forward -> count -> record

`begin` takes a call from its first step to the provider; `Underway` is the call while its answer passes, and
`Underway.ended` takes it from there to its record. Between the two the relay passes bytes on by itself, and `count`
reads them as they pass. The steps do not know each other; what passes between them are the small frozen values of
`model.py`, and only here are they joined.

Everything runs in the callbacks of one loop. A step that refuses raises, the caller gets the error in the shape of
its dialect, and the refusal is recorded like any outcome; before a caller is known it is only counted. Whatever takes
longer than a callback should (a long prompt, the keys of a caller not met before, a record) is waited for aside.
"""

from asyncio import Future, get_running_loop
from collections.abc import Callable
from concurrent.futures import Executor
from functools import partial
from typing import TYPE_CHECKING

from tidegate.accept._head import Request
from tidegate.accept.connection import Connection
from tidegate.clock import Clock
from tidegate.count._meter import Meter
from tidegate.count.metering import NO_PROMPT, Metering, Meters
from tidegate.decide.decision import decide, denied
from tidegate.errors import TidegateError
from tidegate.forward.relay import Framer, Relay
from tidegate.forward.way import Way, Ways
from tidegate.identify.caller import identify
from tidegate.identify.held import Keys
from tidegate.limit.hold import acquire, settle
from tidegate.model import Call, Caller, Hold, Outcome
from tidegate.record._runs import RunIds
from tidegate.record.account import Account
from tidegate.record.evidence import Evidence, Known
from tidegate.record.unrecorded import Unrecorded
from tidegate.settings import Settings
from tidegate.wire.dialect import Route
from tidegate.wire.reader import Reader

if TYPE_CHECKING:
    from tidegate.decide.live import Live


class Snapshot:
    """Everything that is set: a call uses one from its start to its end."""

    def __init__(self, settings: Settings, ways: Ways, meters: Meters, policy: "Live | None") -> None:
        self.settings = settings
        self.ways = ways
        self.meters = meters
        self.policy = policy
        self.readers: dict[Route, Reader] = {}

    def read(self, request: Request, run: bytes) -> Call:
        """The last of accept: the body has one meaning, and these are its governed fields."""
        route = request.route
        assert route is not None
        if route.body is None:
            return Call(run, route, request.headers, request.query, b"", None)
        reader = self.readers.get(route)
        if reader is None:
            reader = self.readers[route] = Reader(route.body, self.settings.accept.depth)
        return Call(run, route, request.headers, request.query, request.body, reader.read(request.body))


class Pipeline:
    """One worker's path."""

    def __init__(self, snapshot: Snapshot, keys: Keys, evidence: Evidence, clock: Clock, threads: Executor) -> None:
        self.clock = clock
        self.draining = False
        self.connections: set[Connection] = set()
        self._keys = keys
        self._evidence = evidence
        self._runs = RunIds()
        self._threads = threads
        self._buffered = 0
        self.use(snapshot)

    def use(self, snapshot: Snapshot) -> None:
        """Puts other settings in force from the next request on; calls under way keep theirs."""
        self.snapshot = snapshot
        self.limits = snapshot.settings.accept
        self._most = snapshot.settings.serve.connections

    # the path of a call

    def begin(self, client: Connection, request: Request) -> None:
        """accept has read a request; this brings it to the provider."""
        run = self.new_run()
        now = self.snapshot
        try:
            call = now.read(request, run)
            caller = identify(call, client.ip, self._keys, now.settings.identify)
        except TidegateError as error:
            self.refused(error)
            client.refuse(error, run)
            return
        known = self._evidence.at_hand(caller)
        if known is None:
            self._meet(now, client, call, caller)
        else:
            self._go_on(now, client, call, caller, known)

    def _meet(self, now: Snapshot, client: Connection, call: Call, caller: Caller) -> None:
        """A caller whose keys are not at hand: without them nothing could be recorded."""
        aside = client.answering = Aside(client, call.run)

        def met(known: Known | None) -> None:
            if not aside.over:
                client.answering = None
                if known is None:
                    error = Unrecorded("the keys that records need cannot be had")
                    self.refused(error)
                    client.refuse(error, call.run)
                else:
                    self._go_on(now, client, call, caller, known)

        self._evidence.of(caller, met)

    def _go_on(self, now: Snapshot, client: Connection, call: Call, caller: Caller, known: Known) -> None:
        """What is to become of a call whose caller is known."""
        account = Account(self._evidence, call, known, now.settings.record.evidence)
        try:
            names = now.ways.models(call.route.dialect, caller) if call.fields is None else None
            if names is not None:
                self._list(now, client, call, caller, account, names)
                return
            way = now.ways.choose(call, caller)
            if now.meters.is_long(call):
                self._count_aside(now, client, call, caller, account, way)
            else:
                metering = now.meters.open(call, way.model(call), way.provider)
                self._admit(now, client, call, caller, account, way, metering)
        except TidegateError as error:
            self._refuse(client, call, account, error)

    def _count_aside(
        self, now: Snapshot, client: Connection, call: Call, caller: Caller, account: Account, way: Way
    ) -> None:
        """Counts a long prompt in a thread; the path goes on when that is done, unless the client has left by then."""
        aside = client.answering = Aside(client, call.run)

        def counted(found: "Future[Metering]") -> None:
            if aside.over:
                return
            client.answering = None
            try:
                self._admit(now, client, call, caller, account, way, found.result())
            except TidegateError as error:
                self._refuse(client, call, account, error)

        loop = get_running_loop()
        work = loop.run_in_executor(self._threads, now.meters.open, call, way.model(call), way.provider)
        work.add_done_callback(counted)

    def _admit(
        self,
        now: Snapshot,
        client: Connection,
        call: Call,
        caller: Caller,
        account: Account,
        way: Way,
        metering: Metering,
    ) -> None:
        """All is known of the call that can be known: decides about it, takes what that asks for, and sends it."""
        price = metering.price
        account.routed(way.name, price.model if price is not None else "", now.meters.prices.digest)
        decision = decide(call, caller, metering.estimate, now.policy)
        account.decided(decision, metering.estimate)
        if decision.action == "block":
            raise denied(decision)
        hold = acquire(decision)
        body = way.body(call)
        seq = account.intent(body, way.edits(call))
        underway = Underway(call, self._evidence, account, seq, hold, way, metering)
        relay = Relay(underway, client, now.settings.forward, self.clock)
        client.answering = relay
        head = way.head(call, len(body))
        if account.mode != "strict" or not self._evidence.wait(seq, Departure(way, relay, head, body)):
            way.origin.send(relay, head, body)

    def _list(
        self,
        now: Snapshot,
        client: Connection,
        call: Call,
        caller: Caller,
        account: Account,
        names: tuple[str, ...],
    ) -> None:
        """Answers with the models that the settings list; nothing leaves, and nothing is used."""
        decision = decide(call, caller, NO_PROMPT, now.policy)
        account.decided(decision, NO_PROMPT)
        if decision.action == "block":
            raise denied(decision)
        body = call.route.dialect.models(names)
        seq = account.outcome(Outcome(200), None, None, 0)
        self._answer(client, call, account, seq, partial(client.reply, body, call.run))

    def _refuse(self, client: Connection, call: Call, account: Account, error: TidegateError) -> None:
        """The call goes no further."""
        if not isinstance(error, Unrecorded):
            try:
                seq = account.refused(error)
                self._answer(client, call, account, seq, partial(client.refuse, error, call.run))
                return
            except Unrecorded as unrecorded:
                error = unrecorded
        self.refused(error)
        client.refuse(error, call.run)

    def _answer(self, client: Connection, call: Call, account: Account, seq: int, say: Callable[[], None]) -> None:
        """Answers by ourselves, as soon as the record is durable that the answer relies on."""
        held = Answer(client, call.run, say)
        if account.mode != "async" and self._evidence.wait(seq, held):
            client.answering = held
        else:
            say()

    # what accept asks for

    def new_run(self) -> bytes:
        """An id for the next answer."""
        return self._runs.new()

    def refused(self, error: TidegateError) -> None:
        """Counts a request that was refused before a caller was known."""
        self._evidence.refused(error.code)

    def connect(self) -> Connection:
        """A protocol for a new client."""
        return Connection(self)

    def opened(self, client: Connection) -> bool:
        """Counts a connection; False when there are too many."""
        self.connections.add(client)
        return len(self.connections) <= self._most

    def closed(self, client: Connection) -> None:
        """Counts it out."""
        self.connections.discard(client)

    def buffer(self, size: int) -> bool:
        """Counts bytes of waiting bodies; False when there are too many."""
        self._buffered += size
        return size < 0 or self._buffered <= self.limits.buffered


class Underway:
    """A call on its way, with all that the steps said of it: the relay's `Course`, and a stream's `Framer`."""

    def __init__(
        self, call: Call, evidence: Evidence, account: Account, seq: int, hold: Hold, way: Way, metering: Metering
    ) -> None:
        self.call = call
        self._evidence = evidence
        self._account = account
        self._seq = seq  # of the intent
        self._hold = hold
        self._way = way
        self._metering = metering
        self._meter: Meter | None = None

    # a stream, event by event

    def stream(self) -> Framer:
        """The answer is a stream of events."""
        self._meter = self._metering.stream(self._way.asks_usage(self.call))
        return self

    @property
    def overflow(self) -> bool:
        """An unfinished event is larger than the limit."""
        return self._meter is not None and self._meter.overflow

    def feed(self, read: bytes) -> bytes:
        """The bytes that may go on after this read."""
        assert self._meter is not None
        self._account.came(read)
        passed = self._meter.feed(read)
        if passed:
            self._account.went(passed)
        return passed

    def rest(self) -> bytes:
        """What stands after the last event, when the stream has ended by itself."""
        assert self._meter is not None
        left = self._meter.rest()
        self._account.went(left)
        return left

    # any other answer

    def plain(self, body: bytes) -> None:
        """The whole answer."""
        self._metering.plain(body)

    def piece(self, body: bytes) -> None:
        """A piece of an answer that is too large to hold."""
        self._metering.piece(body)

    def body(self, body: bytes) -> None:
        """Bytes of an answer that is no stream, as they pass."""
        self._account.came(body)
        self._account.went(body)

    # its ends

    def said(self, event: bytes) -> None:
        """An event of our own ends the stream."""
        self._account.went(event)

    def first(self, relay: Relay) -> bool:
        """Whether the first byte has to wait."""
        return self._account.mode != "async" and self._evidence.wait(self._seq, relay)

    def ended(self, ended: Outcome, relay: Relay) -> bool:
        """forward is done, however it went: settle, record; whether the last bytes have to wait."""
        metering, reported, counted, cost = self._metering, None, None, 0
        if metering.charged:
            reported, counted = metering.reported, metering.counted()
            usage = metering.settled(counted, ended.error is None and not ended.client_left)
            settle(self._hold, usage)
            cost = metering.cost(usage)
        try:
            seq = self._account.outcome(ended, reported, counted, cost)
        except Unrecorded as error:  # the answer must not be completed as if it were on record
            get_running_loop().call_soon(relay.lost, error)
            return True
        return self._account.mode != "async" and not ended.client_left and self._evidence.wait(seq, relay)


class Departure:
    """A call that leaves when its intent is durable."""

    def __init__(self, way: Way, relay: Relay, head: bytes, body: bytes) -> None:
        self._way = way
        self._relay = relay
        self._head = head
        self._body = body

    def release(self) -> None:
        """It is; the client may have left by then."""
        if not self._relay.over:
            self._way.origin.send(self._relay, self._head, self._body)

    def lost(self, error: TidegateError) -> None:
        """It will not be."""
        self._relay.shut(error)


class Aside:
    """A call that waits for something, as its connection sees it."""

    def __init__(self, client: Connection, run: bytes) -> None:
        self.over = False
        self._client = client
        self._run = run

    def pause(self) -> None: ...
    def resume(self) -> None: ...

    def client_left(self) -> None:
        """Nobody waits for the answer any more: the call goes no further."""
        self.over = True

    def shut(self, error: TidegateError) -> None:
        """The gateway ends this call."""
        if not self.over:
            self.over = True
            self._client.refuse(error, self._run)


class Answer(Aside):
    """An answer of our own that waits for its record."""

    def __init__(self, client: Connection, run: bytes, say: Callable[[], None]) -> None:
        super().__init__(client, run)
        self._say = say

    def release(self) -> None:
        """The record is durable."""
        if not self.over:
            self.over = True
            self._say()

    def lost(self, error: TidegateError) -> None:
        """It will not be."""
        self.shut(error)
