"""READ THIS FIRST: the path of one call, step by step.

    accept -> identify -> decide -> limit -> forward -> count -> record

`begin` takes a call from its first step to the provider; `Passage` is the call while its answer passes, and
`Passage.ended` takes it from there to its record. Between the two the relay passes bytes on by itself, and `count`
reads them as they pass. The steps do not know each other; what passes between them are the small frozen values of
`model.py`, and only here and in `run.py`, which has what needs no network, are they joined.

Everything runs in the callbacks of one loop. A step that refuses raises, the caller gets the error in the shape of
its dialect, and the refusal is recorded like any outcome; before a caller is known it is only counted. Whatever takes
longer than a callback should (a long prompt, the keys of a caller not met before, a record) is waited for aside.
"""

from asyncio import Future, get_running_loop
from collections.abc import Callable
from concurrent.futures import Executor
from functools import partial
from resource import RLIMIT_NOFILE, getrlimit
from typing import Final

from tidegate.accept._head import Request
from tidegate.accept.connection import Connection
from tidegate.clock import Clock
from tidegate.count.metering import Metering, Meters
from tidegate.counters import Counters
from tidegate.decide.live import Live
from tidegate.errors import TidegateError
from tidegate.forward.relay import Framer, Relay
from tidegate.forward.way import Way, Ways
from tidegate.identify.caller import Met, identify
from tidegate.identify.held import Keys
from tidegate.limit.hold import Holder
from tidegate.limit.limits import Limits
from tidegate.model import Call, Caller, Outcome
from tidegate.record._runs import RunIds
from tidegate.record.account import Account
from tidegate.record.evidence import Evidence, Known
from tidegate.record.unrecorded import Unrecorded
from tidegate.run import Rules, Run
from tidegate.settings import Settings
from tidegate.wire.dialect import Route
from tidegate.wire.reader import Reader


class Snapshot:
    """Everything that is set: a call uses one from its start to its end."""

    def __init__(self, settings: Settings, ways: Ways, meters: Meters, policy: Live) -> None:
        self.settings = settings
        self.ways = ways
        self.meters = meters
        self.rules = Rules(policy, settings.limits, settings.policy)
        self.evidence = settings.record.evidence
        self.forward = settings.forward
        self.identify = settings.identify
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


SPARE: Final = 64  # open files that are no connections


def _affordable(upstream: int) -> int:
    """Clients for which there are files. A call takes two, and of those to providers there are at most `upstream`."""
    files = getrlimit(RLIMIT_NOFILE)[0] - SPARE
    return max(1, files // 2, files - upstream)


class Pipeline:
    """One worker's path."""

    def __init__(
        self,
        snapshot: Snapshot,
        keys: Keys,
        limits: Limits,
        evidence: Evidence,
        counters: Counters,
        clock: Clock,
        threads: Executor,
    ) -> None:
        self.clock = clock
        self.draining = False
        self.connections: set[Connection] = set()
        self._keys = keys
        self._holder = Holder(limits)
        self._evidence = evidence
        self._counters = counters
        self._runs = RunIds()
        self._threads = threads
        self._buffered = 0
        self.use(snapshot)

    def use(self, snapshot: Snapshot) -> None:
        """Puts other settings in force from the next request on; calls under way keep theirs."""
        self.snapshot = snapshot
        self.limits = snapshot.settings.accept
        self._most = min(snapshot.settings.serve.connections, _affordable(snapshot.ways.most))

    # the path of a call

    def begin(self, client: Connection, request: Request) -> None:
        """accept has read a request; this brings it to the provider, once there is room to record it."""
        run = self.new_run()
        behind = self._evidence.behind()
        if behind:
            room = Room(self, client, request, run)
            if self._evidence.wait(behind, room):
                client.answering = room
                return
        self.go(client, request, run)

    def go(self, client: Connection, request: Request, run: bytes) -> None:
        """Whose call it is, and what it asks for."""
        now = self.snapshot
        met = client.met
        if not isinstance(met, Met):
            met = client.met = Met()
        try:
            call = now.read(request, run)
            caller = identify(call, client.ip, self._keys, now.identify, met)
        except TidegateError as error:
            self.refused(error)
            client.refuse(error, run)
            return
        known = met.known = self._evidence.at_hand(caller, met.known)
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
        account = Account(self._evidence, call, known, now.evidence)
        passage = Passage.__new__(Passage)  # once a call: made without the arguments' way through Python
        passage.set_out(now, self._holder, self._counters, call, caller, account, self._evidence, self._threads)
        try:
            names = now.ways.models(call.route.dialect, caller) if call.fields is None else None
            if names is not None:
                self._list(client, passage, names)
            elif self._metered(client, passage, now.ways.choose(call, caller, call.model), call.model):
                self._decide(client, passage)
        except TidegateError as error:
            self.refuse(client, passage, error)

    def _metered(self, client: Connection, passage: "Passage", way: Way, model: str) -> bool:
        """Counts the prompt for a model. False where that takes long: then a thread does it, and the path goes on when
        that is done, unless the client has left by then.
        """
        call, meters = passage.call, passage.now.meters
        if not meters.is_long(call):
            passage.goes(way, model, meters.open(call, way.model(model), way.provider, passage.counted))
            return True
        self._count_aside(client, passage, way, model)
        return False

    def _count_aside(self, client: Connection, passage: "Passage", way: Way, model: str) -> None:
        """Counts a long prompt in a thread."""
        call, open_ = passage.call, passage.now.meters.open
        aside = client.answering = Counting(self, client, passage)

        def done(found: "Future[Metering]") -> None:
            if aside.over:
                return
            client.answering = None
            try:
                passage.goes(way, model, found.result())
                self._go_on_with(client, passage)
            except TidegateError as error:
                self.refuse(client, passage, error)

        work = get_running_loop().run_in_executor(
            self._threads, open_, call, way.model(model), way.provider, passage.counted
        )
        work.add_done_callback(done)

    def _go_on_with(self, client: Connection, passage: "Passage") -> None:
        """A prompt was counted aside: before the decision, or after one that sends the call elsewhere."""
        if passage.decided:
            self._leave(client, passage)
        else:
            self._decide(client, passage)

    def _decide(self, client: Connection, passage: "Passage") -> None:
        """All is known of the call that can be known: decides about it, and where it goes."""
        passage.decide()
        route = passage.decision.route
        if route is None:
            self._leave(client, passage)
            return
        ways, call, caller = passage.now.ways, passage.call, passage.caller
        model = route.model or call.model
        passage.fallback = route.fallback
        if route.integration is not None:
            way = ways.named(route.integration, call, caller)
        elif route.model is not None:
            way = ways.choose(call, caller, model)
        else:
            way = passage.way
        same = way is passage.way and model == passage.model
        if same or self._metered(client, passage, way, model):
            self._leave(client, passage)

    def _leave(self, client: Connection, passage: "Passage") -> None:
        """Takes what the decision asks for, and sends the call."""
        passage.take()
        relay = client.answering = Relay(passage, client, passage.now.forward, self.clock)
        passage.depart(relay)  # which may have an end, and the next request its turn, before this returns

    def _list(self, client: Connection, passage: "Passage", names: tuple[str, ...]) -> None:
        """Answers with the models that the settings list; nothing leaves, and nothing is used."""
        call = passage.call
        passage.metered(passage.now.meters.open(call, "", ""), "", "")
        passage.decide()
        passage.take()
        body = call.route.dialect.models(names)
        lines = passage.lines()
        try:
            seq = passage.settle(Outcome(200))
        except Unrecorded as error:  # it is over, and recorded later
            client.refuse(error, call.run)
        else:
            self._answer(client, passage, seq, partial(client.reply, body, call.run, lines))

    def refuse(self, client: Connection, passage: "Passage", error: TidegateError) -> None:
        """The call goes no further."""
        try:
            seq = passage.refuse(error)
        except Unrecorded as unrecorded:
            if unrecorded is error:  # else it is recorded later
                self._evidence.refused(unrecorded.code)
            client.refuse(unrecorded, passage.call.run)
        else:
            self._answer(client, passage, seq, partial(client.refuse, error, passage.call.run))

    def _answer(self, client: Connection, passage: "Passage", seq: int, say: Callable[[], None]) -> None:
        """Answers by ourselves, as soon as the record is durable that the answer relies on."""
        held = Answer(client, passage.call.run, say)
        if passage.account.mode != "async" and self._evidence.wait(seq, held):
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
        self._counters.refused(error.code)

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
        """Counts bytes of bodies; False when there are too many."""
        self._buffered += size
        return size < 0 or self._buffered <= self.limits.buffered


class Passage(Run):
    """A call on its way to a provider and back: the relay's `Course`."""

    def set_out(
        self,
        now: Snapshot,
        holder: Holder,
        counters: Counters,
        call: Call,
        caller: Caller,
        account: Account,
        evidence: Evidence,
        threads: Executor,
    ) -> None:
        """Begins it."""
        self._begin(now.rules, holder, counters, call, caller, account)
        self.now = now
        self.model = ""  # that is asked for, as the integration knows it
        self.fallback: tuple[str, ...] = ()  # the integrations that are asked when this one does not answer
        self._evidence = evidence
        self._threads = threads
        self._seq = 0  # of the intent

    def goes(self, way: Way, model: str, metering: Metering) -> None:
        """Which integration it goes to."""
        self.way = way
        self.model = model
        self.metered(metering, way.name, self.now.meters.prices.digest)

    def depart(self, relay: Relay) -> None:
        """Sends it, as soon as its evidence allows that."""
        way, call = self.way, self.call
        try:
            body, edits = way.body(call, way.model(self.model), self.lowered())
            self._seq = self.leave(body, edits)
        except BaseException:
            self.release()
            raise
        head = way.head(call, len(body))
        if self.account.mode != "strict" or not self._evidence.wait(self._seq, Departure(way, relay, head, body)):
            way.origin.send(relay, head, body)

    def again(self, status: int, error: str, relay: Relay) -> bool:
        """The provider does not answer, and the client has heard nothing: whether another one was asked, or the client
        is told why not.
        """
        if not self.fallback:
            return False
        name, self.fallback = self.fallback[0], self.fallback[1:]
        self.moved(status, error)
        relay.reached = False  # nobody has it now: who was asked has refused it
        try:
            way = self.now.ways.named(name, self.call, self.caller)
        except TidegateError as failed:
            relay.fail(failed)
            return True
        if self.now.meters.is_long(self.call):
            work = get_running_loop().run_in_executor(self._threads, self._count, way)
            work.add_done_callback(partial(self._counted_aside, relay, way))
        else:
            self._go_to(relay, way, partial(self._count, way))
        return True

    def _count(self, way: Way) -> Metering:
        """Counts the prompt for another provider; a long one in a thread."""
        return self.now.meters.open(self.call, way.model(self.model), way.provider, self.counted)

    def _counted_aside(self, relay: Relay, way: Way, found: "Future[Metering]") -> None:
        """A long prompt was counted for another provider; the client may have left by then."""
        if not relay.over:
            self._go_to(relay, way, found.result)

    def _go_to(self, relay: Relay, way: Way, count: Callable[[], Metering]) -> None:
        """Asks another provider."""
        try:
            self.goes(way, self.model, count())
            self.take()
            self.depart(relay)
        except TidegateError as failed:
            relay.fail(failed)

    def streams(self) -> Framer:
        """The answer is a stream of events."""
        self.stream(self.way.asks_usage(self.call))
        return self

    def first(self, relay: Relay) -> bool:
        """Whether the first byte has to wait."""
        return self.account.mode != "async" and self._evidence.wait(self._seq, relay)

    def ended(self, ended: Outcome, relay: Relay) -> bool:
        """forward is done, however it went; whether the last bytes have to wait."""
        try:
            seq = self.settle(ended)
        except Unrecorded as error:  # the answer must not be completed as if it were on record
            get_running_loop().call_soon(relay.lost, error)
            return True
        return self.account.mode != "async" and not ended.client_left and self._evidence.wait(seq, relay)


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


class Counting(Aside):
    """A call whose prompt takes long to count. Its caller is known, so it is on record however it ends."""

    def __init__(self, pipeline: Pipeline, client: Connection, passage: Passage) -> None:
        super().__init__(client, passage.call.run)
        self._pipeline = pipeline
        self._passage = passage

    def client_left(self) -> None:
        """The call goes no further."""
        self.over = True
        self._passage.deserted()

    def shut(self, error: TidegateError) -> None:
        """The gateway ends this call."""
        if not self.over:
            self.over = True
            self._pipeline.refuse(self._client, self._passage, error)


class Room(Aside):
    """A call that begins when the disk has caught up: a pause of the disk delays calls, and refuses none."""

    def __init__(self, pipeline: Pipeline, client: Connection, request: Request, run: bytes) -> None:
        super().__init__(client, run)
        self._pipeline = pipeline
        self._request = request

    def release(self) -> None:
        """It has."""
        if not self.over:
            self._client.answering = None
            self._pipeline.go(self._client, self._request, self._run)

    def lost(self, error: TidegateError) -> None:
        """It does not."""
        if not self.over:
            self._pipeline.refused(error)
            self.shut(error)


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
