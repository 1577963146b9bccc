"""A real gateway for tests: its own process tree, its own ports, its own data directory."""

import atexit
import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from tidegate.record.places import Places
from tidegate.serve.ledger import memory_place

OPEN = Path(__file__).parent / "policies" / "open"  # every call passes: where the settings have no [policy]
START = 20.0  # seconds; generous, because the machines of CI are slow


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Gateway:
    """`tidegate serve` with a settings file written for it."""

    def __init__(
        self, folder: Path, settings: str = "", *, workers: int = 1, env: dict[str, str] | None = None
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        ledger = Places(folder.absolute() / ".tidegate" / "ledger")
        self.memory = memory_place(ledger, os.getuid())  # stays for its successor
        atexit.register(shutil.rmtree, self.memory, ignore_errors=True)
        self.port = self.admin_port = free_port()
        while self.admin_port == self.port:
            self.admin_port = free_port()
        outside = {k: v for k, v in os.environ.items() if not k.startswith("TIDEGATE_")}
        self.env = outside | {"TIDEGATE_PRICES_UNKNOWN": "input=1 output=2"} | (env or {})  # tests make up models
        self.file = folder / "tidegate.toml"
        self.workers = workers
        self.under: Sequence[str] = ()
        self.write(settings)

    def write(self, settings: str) -> None:
        """The settings file: TOML tables, with further keys of [serve] before a line `#rest` where there are any."""
        serve, _, rest = settings.partition("#rest\n") if "#rest\n" in settings else ("", "", settings)
        if "[policy]" not in settings:
            rest += f'\n[policy]\npath = "{OPEN}"\n'
        self.file.write_text(
            f'[serve]\nlisten = ["127.0.0.1:{self.port}"]\nadmin = "127.0.0.1:{self.admin_port}"\n'
            f"workers = {self.workers}\n{serve}\n{rest}"
        )

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        """All it has printed."""
        return (self.folder / "log").read_text()

    def start(self) -> "Gateway":
        """Starts it and waits until every worker is ready."""
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [*self.under, sys.executable, "-m", "tidegate", "serve", "--config", str(self.file)],
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                env=self.env,
            )
        deadline = time.monotonic() + START
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise AssertionError(f"the gateway ended with {self.process.returncode}:\n{self.log}")
            with contextlib.suppress(OSError, ValueError):
                if self.ask_admin("/readyz")[1].get("workers") == self.workers:
                    return self
            time.sleep(0.02)
        raise AssertionError(f"the gateway is not ready:\n{self.log}")

    def stop(self, patience: float = 60.0) -> int:
        """SIGTERM; its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(patience)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise

    def ask_admin(self, path: str) -> tuple[int, dict[str, object]]:
        """A GET on the admin port."""
        connection = http.client.HTTPConnection("127.0.0.1", self.admin_port, timeout=5)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()

    def worker_pids(self) -> list[int]:
        """The workers that live now."""
        return children(self.process.pid, "tidegate-w")

    def ask(self, request: bytes) -> "Told":
        """The answer to a whole request, on a connection of its own."""
        with self.connect() as connection:
            connection.sendall(request)
            return read_answer(connection)

    def connect(self, timeout: float = 10.0) -> socket.socket:
        """A raw connection."""
        return socket.create_connection(("127.0.0.1", self.port), timeout)


def children(pid: int, named: str) -> list[int]:
    """The processes of a supervisor whose names begin so; `tidegate-w` are the workers."""
    found = []
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        with contextlib.suppress(OSError):  # it has just ended
            if Path(f"/proc/{child}/comm").read_text().startswith(named):
                found.append(int(child))
    return found


@contextlib.contextmanager
def running(
    folder: Path, settings: str = "", *, workers: int = 1, env: dict[str, str] | None = None, under: Sequence[str] = ()
) -> Iterator[Gateway]:
    """A gateway that is stopped, and must stop well, at the end; `under` is a command that starts it."""
    gateway = Gateway(folder, settings, workers=workers, env=env)
    gateway.under = under
    try:
        gateway.start()
        yield gateway
        code = gateway.stop()
        assert code == 0, gateway.log
        assert "Traceback" not in gateway.log, gateway.log
    finally:
        if gateway.process.poll() is None:
            gateway.process.kill()
            gateway.process.wait()


def chat(model: str = "gpt-4o-mini", text: str = "Hello", **fields: object) -> bytes:
    """The body of a chat completion."""
    return json.dumps({"model": model, "messages": [{"role": "user", "content": text}], **fields}).encode()


def post(body: bytes, path: str = "/v1/chat/completions", *, fields: str = "", version: str = "1.1") -> bytes:
    """A whole request."""
    head = f"POST {path} HTTP/{version}\r\nHost: gateway\r\nContent-Type: application/json\r\n{fields}"
    return head.encode() + b"Content-Length: %d\r\n\r\n" % len(body) + body


def read_all(connection: socket.socket) -> bytes:
    """Everything until the other side closes (or resets)."""
    pieces = []
    with contextlib.suppress(ConnectionResetError):
        while piece := connection.recv(65536):
            pieces.append(piece)
    return b"".join(pieces)


class Told(NamedTuple):
    """An answer as a client got it: names of fields in lower case, the body without its chunks."""

    status: int
    fields: dict[str, str]
    body: bytes

    @property
    def code(self) -> str:
        """The code of our own error, in the shape of either dialect."""
        error = json.loads(self.body)["error"]
        return str(error["code"]) if "code" in error else error["message"].rpartition("(")[2].rstrip(")")


def read_answer(connection: socket.socket) -> Told:
    """One answer."""
    with contextlib.closing(http.client.HTTPResponse(connection)) as answer:
        answer.begin()
        body = answer.read()
        fields = {name.lower(): value for name, value in answer.getheaders()}
        return Told(answer.status, fields, body)
