"""A real Redis for tests: on a unix socket, without a disk."""

import contextlib
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

START = 20.0  # seconds


class RedisServer:
    """`redis-server` that can be killed, started again and stopped for a while."""

    def __init__(self, folder: Path) -> None:
        self.socket = folder / "redis.sock"
        self.url = f"unix://{self.socket}"
        self.start()

    def start(self) -> None:
        """Starts it with an empty memory and waits until it answers."""
        command = ["redis-server", "--port", "0", "--unixsocket", str(self.socket), "--save", "", "--appendonly", "no"]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, cwd=self.socket.parent)
        until = time.monotonic() + START
        client = redis.Redis.from_url(self.url)
        while True:
            try:
                client.ping()
                break
            except redis.RedisError:
                assert time.monotonic() < until, "redis-server does not answer"
                time.sleep(0.01)
        client.close()

    def kill(self) -> None:
        """Gone at once, and with it all that it knew."""
        self.process.kill()
        self.process.wait()


@contextlib.contextmanager
def redis_server(folder: Path) -> Iterator[RedisServer]:
    """Runs one for a while."""
    if shutil.which("redis-server") is None:
        pytest.skip("redis-server is absent")
    server = RedisServer(folder)
    try:
        yield server
    finally:
        server.kill()
