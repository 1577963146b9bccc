"""READ THIS FIRST: the path of one call, step by step.

    accept -> identify -> decide -> limit -> forward -> count -> record

`begin` takes a call from its first step to the provider; `_ended` takes it from the answer's last byte to its record.
Between the two nothing of this file runs: the relay passes bytes on by itself. The steps do not know each other; what
passes between them are the small frozen values of `model.py`, and only here are they joined.

Everything runs in the callbacks of one loop. A step that refuses raises, the caller gets the error in the shape of
its dialect, and the refusal is recorded like any outcome.
"""

from typing import TYPE_CHECKING

from tidegate.accept._head import Request
from tidegate.accept.connection import Connection
from tidegate.clock import Clock
from tidegate.count.usage import usage
from tidegate.decide.decision import decide
from tidegate.errors import TidegateError
from tidegate.forward.relay import Relay
from tidegate.forward.way import Ways
from tidegate.identify.caller import identify
from tidegate.limit.hold import acquire, settle
from tidegate.model import Call, Decision, Hold, Outcome
from tidegate.record._runs import RunIds
from tidegate.record.entries import intent, outcome, refused
from tidegate.settings import Settings
from tidegate.wire.dialect import Route
from tidegate.wire.reader import Reader

if TYPE_CHECKING:
    from tidegate.decide.live import Live


class Pipeline:
    """One worker's path, under one snapshot of the settings at a time."""

    def __init__(self, settings: Settings, ways: Ways, policy: "Live | None", clock: Clock) -> None:
        self.clock = clock
        self.draining = False
        self.connections: set[Connection] = set()
        self._runs = RunIds()
        self._buffered = 0
        self.use(settings, ways, policy)

    def use(self, settings: Settings, ways: Ways, policy: "Live | None") -> None:
        """Puts other settings in force from the next request on; calls under way keep theirs."""
        self.settings = settings
        self.limits = settings.accept
        self._ways = ways
        self._policy = policy
        self._readers: dict[Route, Reader] = {}

    # the path of a call

    def begin(self, client: Connection, request: Request) -> None:
        """accept has read a request; this brings it to the provider."""
        run = self.new_run()
        call = hold = None
        try:
            call = self._read(request, run)
            caller = identify(call, self.settings.identify)
            decision = decide(call, caller, self._policy)
            hold = acquire(decision)
            self._forward(client, call, decision, hold)
        except TidegateError as error:
            if call is not None:
                if hold is not None:
                    settle(hold, None)
                refused(call, error)
            client.refuse(error, run)

    def _read(self, request: Request, run: bytes) -> Call:
        """The last of accept: the body has one meaning, and these are its governed fields."""
        route = request.route
        assert route is not None
        if route.body is None:
            return Call(run, route, request.headers, request.query, b"", None)
        reader = self._readers.get(route)
        if reader is None:
            reader = self._readers[route] = Reader(route.body, self.limits.depth)
        return Call(run, route, request.headers, request.query, request.body, reader.read(request.body))

    def _forward(self, client: Connection, call: Call, decision: Decision, hold: Hold) -> None:
        if call.fields is None:
            names = self._ways.models(call.route.dialect)
            if names is not None:
                client.reply(call.route.dialect.models(names), call.run)
                self._ended(call, hold, Outcome(200))
                return
        way = self._ways.choose(call)
        relay = Relay(call, hold, client, self.settings.forward, self.clock, self._ended)
        client.answering = relay
        intent(call, decision)
        body = way.body(call)
        way.origin.send(relay, way.head(call, len(body)), body)

    def _ended(self, call: Call, hold: Hold, ended: Outcome) -> None:
        """forward is done, however it went: count, settle, record."""
        settle(hold, usage(call))
        outcome(call, ended)

    # what accept asks for

    def new_run(self) -> bytes:
        """An id for the next answer."""
        return self._runs.new()

    def connect(self) -> Connection:
        """A protocol for a new client."""
        return Connection(self)

    def opened(self, client: Connection) -> bool:
        """Counts a connection; False when there are too many."""
        self.connections.add(client)
        return len(self.connections) <= self.settings.serve.connections

    def closed(self, client: Connection) -> None:
        """Counts it out."""
        self.connections.discard(client)

    def buffer(self, size: int) -> bool:
        """Counts bytes of waiting bodies; False when there are too many."""
        self._buffered += size
        return size < 0 or self._buffered <= self.limits.buffered
