"""What a connection keeps between two calls: thousands of them wait at a time, and a prompt is nobody's any more."""

import asyncio
import sys
from typing import Any, cast

import pytest

from tidegate.accept._head import Request
from tidegate.accept.connection import Connection
from tidegate.clock import Clock
from tidegate.errors import TidegateError
from tidegate.settings import Accept

BODY = b'{"model": "gpt-4o", "messages": [{"role": "user", "content": "a prompt"}]}'
HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
CALL = HEAD % len(BODY) + BODY


class Gate:
    """A pipeline that takes calls and answers none."""

    draining = False

    def __init__(self) -> None:
        self.clock = Clock(asyncio.get_running_loop())
        self.limits = Accept()
        self.calls: list[Request] = []

    def begin(self, client: Connection, request: Request) -> None:
        self.calls.append(request)

    def new_run(self) -> bytes:
        return b"run"

    def refused(self, error: TidegateError) -> None: ...

    def opened(self, client: Connection) -> bool:
        return True

    def closed(self, client: Connection) -> None: ...

    def buffer(self, size: int) -> bool:
        return True


class Transport:
    """A client's side that takes everything."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.write = self.written.append

    def get_extra_info(self, name: str) -> Any:
        return ("192.0.2.1", 1)

    def set_write_buffer_limits(self, high: int) -> None: ...

    def resume_reading(self) -> None: ...


@pytest.mark.parametrize(
    "reads",
    [
        pytest.param([CALL], id="plain, in one read"),
        pytest.param([CALL[:-10], CALL[-10:]], id="plain, the body in two"),
        pytest.param([CALL[:20], CALL[20:]], id="by the strict parser"),
    ],
)
def test_a_connection_that_waits_keeps_nothing_of_the_last_call(reads: list[bytes]) -> None:
    async def calls() -> None:
        gate = Gate()
        connection = Connection(gate)
        connection.connection_made(cast("asyncio.Transport", Transport()))
        for number in range(3):
            for read in reads:
                connection.data_received(read)
            assert len(gate.calls) == number + 1
            request = gate.calls[-1]
            assert request.body == BODY
            under_way = sys.getrefcount(request)
            connection.finish()
            assert sys.getrefcount(request) == under_way - 1
        gate.clock.stop()

    asyncio.run(calls())
