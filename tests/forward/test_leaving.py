"""Calls leave at the end of a turn of the loop; what a kept connection brings in that turn is no answer to them, and no
call ends without a word."""

import asyncio
import socket
import time
from collections.abc import Callable
from contextlib import closing

import pytest
import uvloop

from tests.providers import Answer, RawProvider, Received, reply
from tidegate.clock import Clock
from tidegate.errors import TidegateError, UpstreamMalformed
from tidegate.forward import relay
from tidegate.forward.origin import Origin
from tidegate.forward.relay import Relay
from tidegate.model import Call, Outcome
from tidegate.settings import Forward
from tidegate.wire import openai

HEAD = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n"


class Course(relay.Course, relay.Client):
    """A call, and its client."""

    judges = False
    http11 = True
    closing = False

    def __init__(self) -> None:
        self.over = asyncio.get_running_loop().create_future()
        self.told: list[bytes] = []
        self._call = Call(b"0" * 26, openai.ROUTES[0], {}, b"", b"", None)

    @property
    def call(self) -> Call:
        return self._call

    @property
    def write(self) -> Callable[[bytes], None]:
        return self.told.append

    def again(self, status: int, error: str, relay: Relay) -> bool:
        return False

    def lines(self) -> bytes:
        return b""

    def first(self, relay: Relay) -> bool:
        return False

    def ended(self, outcome: Outcome, relay: Relay) -> bool:
        self.over.set_result(outcome)
        return False

    def streams(self) -> relay.Framer:
        raise AssertionError("no stream was sent")

    def judge_stream(self, done: bool) -> TidegateError | None:
        return None

    def judge_plain(self, body: bytes) -> TidegateError | None:
        return None

    def unjudged(self) -> TidegateError | None:
        return None

    def ending(self) -> bytes:
        return b""


class Client(asyncio.Protocol):
    """Whose bytes make a call leave."""

    def __init__(self, send: Callable[[], Course]) -> None:
        self.course: asyncio.Future[Course] = asyncio.get_running_loop().create_future()
        self._send = send

    def data_received(self, data: bytes) -> None:
        self.course.set_result(self._send())


def closes(connection: socket.socket) -> None:
    connection.shutdown(socket.SHUT_RDWR)


def speaks(connection: socket.socket) -> None:
    connection.sendall(reply(b"nobody's", "408 Request Timeout"))


@pytest.mark.parametrize("does", [closes, speaks])
def test_a_kept_connection_that_ends_in_that_turn_got_nothing(does: Callable[[socket.socket], None]) -> None:
    kept: list[socket.socket] = []

    def answer(connection: socket.socket, request: Received) -> None:
        kept.append(connection)
        connection.sendall(reply(b"%d" % len(kept)))

    async def conversation(provider: RawProvider) -> tuple[Outcome, list[bytes]]:
        clock = Clock(asyncio.get_running_loop())
        origin = Origin("127.0.0.1", provider.port, None, True, Forward(), clock)

        def send() -> Course:
            course = Course()
            origin.send(Relay(course, course, Forward(), clock), HEAD, b"{}")
            return course

        await send().over
        here, there = socket.socketpair()
        client = Client(send)
        transport, _ = await asyncio.get_running_loop().create_connection(lambda: client, sock=here)
        with closing(origin), there, closing(transport):
            there.send(b"!")  # this is read first, and then what the provider did
            does(kept[0])
            time.sleep(0.05)  # so that both are read in one turn
            outcome = await (await client.course).over
        return outcome, client.course.result().told

    asked: Answer = answer
    with RawProvider(asked) as provider, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        outcome, told = runner.run(conversation(provider))
        assert (outcome.status, outcome.error) == (200, None)
        assert b"".join(told).endswith(b"\r\n\r\n2")
        assert (provider.connections, len(provider.requests)) == (2, 2)


def test_a_fault_of_the_gateway_itself_closes_the_connection() -> None:
    class Faulty(Course):
        aborted = False

        def ended(self, outcome: Outcome, relay: Relay) -> bool:
            raise ZeroDivisionError

        def abort(self) -> None:
            self.aborted = True

    async def fails() -> Faulty:
        course = Faulty()
        passing = Relay(course, course, Forward(), Clock(asyncio.get_running_loop()))
        with pytest.raises(ZeroDivisionError):
            passing.fail(UpstreamMalformed("nothing"))
        return course

    assert asyncio.run(fails()).aborted
