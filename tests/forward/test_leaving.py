"""Calls leave at the end of a turn of the loop; what a kept connection brings in that turn is no answer to them, and no
call ends without a word."""

import asyncio
import socket
import time
from collections.abc import Callable
from typing import Any

import pytest
import uvloop

from tests.providers import Answer, RawProvider, Received, reply
from tidegate.clock import Clock
from tidegate.errors import TidegateError, UpstreamMalformed
from tidegate.forward.origin import Origin
from tidegate.forward.relay import Relay
from tidegate.model import Call, Outcome
from tidegate.settings import Forward
from tidegate.wire import openai

HEAD = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n"


class Course:
    """A call, and its client."""

    judges = False
    http11 = True
    closing = False

    def __init__(self) -> None:
        self.call = Call(b"0" * 26, openai.ROUTES[0], {}, b"", b"", None)
        self.over = asyncio.get_running_loop().create_future()
        self.told: list[bytes] = []

    def again(self, status: int, error: str, relay: Relay) -> bool:
        return False

    def lines(self) -> bytes:
        return b""

    def alive(self) -> None: ...
    def came(self, body: bytes) -> None: ...
    def plain(self, body: bytes) -> None: ...
    def went(self, body: bytes) -> None: ...

    def first(self, relay: Relay) -> bool:
        return False

    def ended(self, outcome: Outcome, relay: Relay) -> bool:
        self.over.set_result(outcome)
        return False

    def write(self, data: bytes) -> None:
        self.told.append(data)

    def refuse(self, error: TidegateError, run: bytes, lines: bytes = b"") -> None: ...


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
            course: Any = Course()
            origin.send(Relay(course, course, Forward(), clock), HEAD, b"{}")
            return course  # type: ignore[no-any-return]

        await send().over
        here, there = socket.socketpair()
        client = Client(send)
        transport, _ = await asyncio.get_running_loop().create_connection(lambda: client, sock=here)
        there.send(b"!")  # this is read first, and then what the provider did
        does(kept[0])
        time.sleep(0.05)  # so that both are read in one turn
        outcome = await (await client.course).over
        course = client.course.result()
        transport.close()
        there.close()
        origin.close()
        return outcome, course.told

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
        course: Any = Faulty()
        relay = Relay(course, course, Forward(), Clock(asyncio.get_running_loop()))
        with pytest.raises(ZeroDivisionError):
            relay.fail(UpstreamMalformed("nothing"))
        return course  # type: ignore[no-any-return]

    assert asyncio.run(fails()).aborted
