"""A server that refuses with the gateway's own limits and bytes; what a call meets is named by its model.

    with refusing({"throttled": Case(...)}) as server: ...

Every case has limits of its own. Its first call finds them used up, so that nothing here depends on how soon it comes.
"""

import asyncio
import contextlib
import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import uvloop

from tidegate.accept._head import Request
from tidegate.accept.connection import Connection
from tidegate.clock import Clock
from tidegate.errors import TidegateError
from tidegate.forward._answer import frame
from tidegate.limit._draw import Bucket
from tidegate.limit.limits import Limits
from tidegate.limit.refusal import Refusal
from tidegate.limit.refused import exceeded
from tidegate.model import Limit
from tidegate.record._runs import RunIds
from tidegate.settings import Accept
from tidegate.wire.reply import END_OF_CHUNKS, JSON, head, whole

EVENTS = b"Content-Type: text/event-stream\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
ANSWERS = {
    "chat.completions": {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "two metres"}, "finish_reason": "stop"}],
    },
    "messages": {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": [{"type": "text", "text": "two metres"}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 1, "output_tokens": 2},
    },
}
BEGINNINGS = {
    "chat.completions": b'data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"m",'
    b'"choices":[{"index":0,"delta":{"content":"two"},"finish_reason":null}]}\n\n',
    "responses": b"event: response.created\n"
    b'data: {"type":"response.created","sequence_number":0,"response":{"id":"r"}}\n\n',
    "messages": b'event: message_start\ndata: {"type":"message_start","message":{"id":"msg_1","type":"message",'
    b'"role":"assistant","model":"m","content":[],"stop_reason":null,"stop_sequence":null,'
    b'"usage":{"input_tokens":1,"output_tokens":1}}}\n\n',
}


@dataclass
class Case:
    """What a call meets: limits that are used up, or an error; in a stream the error comes after its first event."""

    limits: tuple[Limit, ...] = ()
    error: Callable[[], TidegateError] | None = None
    amount: int = 1  # that a call asks of each limit
    buckets: list[Bucket] = field(default_factory=list)


class Server:
    """The gate of the connections: it answers instead of a pipeline."""

    def __init__(self, loop: asyncio.AbstractEventLoop, cases: dict[str, Case]) -> None:
        self.clock = Clock(loop)
        self.limits = Accept()
        self.draining = False
        self.port = 0
        self.calls: Counter[str] = Counter()  # of every model
        self.connections: set[Connection] = set()
        self._cases = cases
        self._table = Limits(slots=256)
        self._runs = RunIds()

    def begin(self, client: Connection, request: Request) -> None:
        asked = json.loads(request.body)
        case = self._cases[asked["model"]]
        self.calls[asked["model"]] += 1
        error = self._refusal(asked["model"], case)
        if error is None:
            assert request.route is not None
            answer = json.dumps(ANSWERS[request.route.endpoint]).encode()
            client.write(whole(200, JSON, self.new_run(), answer, client.closing))
            client.finish()
        elif asked.get("stream") and not case.limits:
            self._break_off(client, request, error)
        else:
            client.refuse(error, self.new_run())

    def _refusal(self, model: str, case: Case) -> TidegateError | None:
        if case.error is not None:
            return case.error()
        if self.calls[model] == 1:
            case.buckets = [self._table.prepare(Limit(**_fields(limit, model))) for limit in case.limits]
            for bucket in case.buckets:
                assert self._table.acquire([(bucket, bucket.max)])
        taken = self._table.acquire([(bucket, case.amount) for bucket in case.buckets])
        return exceeded(taken) if isinstance(taken, Refusal) else None

    def _break_off(self, client: Connection, request: Request, error: TidegateError) -> None:
        route, run = request.route, self.new_run()
        assert route is not None
        assert route.stream_error is not None
        events = BEGINNINGS[route.endpoint] + route.stream_error(error, run)
        client.write(head(200, EVENTS, run, CHUNKED, client.closing) + frame(events) + END_OF_CHUNKS)
        client.finish()

    def new_run(self) -> bytes:
        return self._runs.new()

    def refused(self, error: TidegateError) -> None:
        raise AssertionError(error)  # every call of a test is one that a gateway could read

    def opened(self, client: Connection) -> bool:
        self.connections.add(client)
        return True

    def closed(self, client: Connection) -> None:
        self.connections.discard(client)

    def buffer(self, size: int) -> bool:
        return True


def _fields(limit: Limit, model: str) -> dict[str, object]:
    return {name: getattr(limit, name) for name in limit.__struct_fields__} | {"key": (model,)}


@contextlib.contextmanager
def refusing(cases: dict[str, Case]) -> Iterator[Server]:
    """The server in a thread of its own."""
    loop = uvloop.new_event_loop()

    async def begin() -> tuple[Server, asyncio.Server]:
        gate = Server(loop, cases)
        listening = await loop.create_server(lambda: Connection(gate), "127.0.0.1", 0)  # type: ignore[arg-type]
        gate.port = listening.sockets[0].getsockname()[1]
        return gate, listening

    gate, listening = loop.run_until_complete(begin())

    def end() -> None:
        gate.clock.stop()
        listening.close()
        for client in gate.connections:
            client.abort()
        loop.call_later(0.05, loop.stop)

    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield gate
    finally:
        loop.call_soon_threadsafe(end)
        thread.join()
        loop.close()
