"""The admin port: three small questions, answered whatever the workers and other clients do."""

import contextlib
import os
import selectors
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.gateway import Gateway, chat, post, read_all, read_answer, running
from tidegate.serve import admin as module
from tidegate.serve.admin import Admin, Answer

CONNECTIONS = 64  # that it serves at a time


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """One for all tests that leave it as it was."""
    with running(tmp_path_factory.mktemp("gateway"), workers=2) as started:
        yield started


def connect(gateway: Gateway) -> socket.socket:
    return socket.create_connection(("127.0.0.1", gateway.admin_port), 10)


def say(gateway: Gateway, request: bytes) -> bytes:
    """Everything that comes back."""
    with connect(gateway) as connection:
        connection.sendall(request)
        return read_all(connection)


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


# what it knows


def test_healthz_is_about_the_supervisor(gateway: Gateway) -> None:
    assert gateway.ask_admin("/healthz") == (200, {"status": "ok"})


def test_readyz_counts_workers(gateway: Gateway) -> None:
    assert gateway.ask_admin("/readyz") == (200, {"status": "ready", "workers": 2})


def test_version_says_what_runs(gateway: Gateway) -> None:
    import tidegate

    code, document = gateway.ask_admin("/version")
    assert code == 200
    assert document["version"] == tidegate.__version__


def test_readyz_says_when_no_worker_is_ready_and_when_it_drains(tmp_path: Path) -> None:
    with running(tmp_path, "drain = 5\n#rest\n") as gateway, gateway.connect(20) as connection:
        (worker,) = gateway.worker_pids()
        connection.sendall(post(chat("simulated-pace-100+words-15", stream=True)))
        connection.recv(65536)
        gateway.process.send_signal(signal.SIGTERM)
        while (answer := gateway.ask_admin("/readyz"))[0] == 200:
            time.sleep(0.01)
        assert answer == (503, {"status": "draining", "workers": 1})
        assert gateway.ask_admin("/healthz")[0] == 200
    with running(tmp_path) as gateway:
        (worker,) = gateway.worker_pids()
        for _ in range(3):  # its successors die young, so that their start is put off
            pids = gateway.worker_pids()
            for pid in pids:
                os.kill(pid, signal.SIGKILL)
            while gateway.worker_pids() == pids:
                time.sleep(0.005)
            if gateway.ask_admin("/readyz") == (503, {"status": "starting", "workers": 0}):
                break
        else:
            raise AssertionError("it was ready though no worker lived")
        assert worker not in gateway.worker_pids()
        assert gateway.ask_admin("/healthz")[0] == 200


# what it is asked

QUESTIONS = [
    ("an unknown path", b"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n", 404),
    ("a route of the gateway", b"GET /v1/models HTTP/1.1\r\nHost: x\r\n\r\n", 404),
    ("the root", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", 404),
    ("a question behind the path", b"GET /metrics?from=a-scraper HTTP/1.1\r\nHost: x\r\n\r\n", 200),
    ("another method", b"POST /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", 405),
    ("DELETE", b"DELETE /readyz HTTP/1.1\r\nHost: x\r\n\r\n", 405),
    ("an old version", b"GET /healthz HTTP/1.0\r\n\r\n", 200),
    ("HTTP/0.9", b"GET /healthz\r\n\r\n", 400),
    ("another version", b"GET /healthz HTTP/2.0\r\n\r\n", 400),
    ("garbage", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\r\n\r\n", 400),
    ("nothing but an end", b"\r\n\r\n", 400),
    ("a head that is large and ends", b"GET /healthz HTTP/1.1\r\nX: " + b"x" * 7000 + b"\r\n\r\n", 200),
]


@pytest.mark.parametrize(("note", "request_bytes", "expected"), QUESTIONS, ids=[row[0] for row in QUESTIONS])
def test_every_question_has_one_answer(gateway: Gateway, note: str, request_bytes: bytes, expected: int) -> None:
    answer = say(gateway, request_bytes)
    assert status(answer) == expected, note
    head, _, body = answer.partition(b"\r\n\r\n")
    assert f"Content-Length: {len(body)}".encode() in head
    assert b"\r\nConnection: close" in head


def test_head_is_get_without_a_body(gateway: Gateway) -> None:
    whole = say(gateway, b"GET /version HTTP/1.1\r\nHost: x\r\n\r\n")
    assert say(gateway, b"HEAD /version HTTP/1.1\r\nHost: x\r\n\r\n") == whole[: whole.index(b"\r\n\r\n") + 4]


def test_a_question_in_single_bytes_is_understood(gateway: Gateway) -> None:
    with connect(gateway) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n":
            connection.send(bytes([byte]))
        assert status(read_all(connection)) == 200


@pytest.mark.parametrize("sent", [b"", b"GET /healthz HTTP/1.1\r\n"], ids=["nothing", "half"])
def test_a_client_that_leaves_early_is_no_trouble(gateway: Gateway, sent: bytes) -> None:
    for _ in range(3 * CONNECTIONS):
        with connect(gateway) as connection:
            connection.sendall(sent)
    assert gateway.ask_admin("/healthz")[0] == 200


def test_an_endless_head_is_cut_off(gateway: Gateway) -> None:
    with connect(gateway) as connection, contextlib.suppress(ConnectionError):
        for _ in range(10_000):
            connection.sendall(b"X: " + b"x" * 997)
        raise AssertionError("it took ten megabytes")
    assert gateway.ask_admin("/healthz")[0] == 200


# who else asks


def test_slow_clients_cannot_keep_others_out(gateway: Gateway) -> None:
    """However many connect and say nothing."""
    with contextlib.ExitStack() as slow:
        for number in range(3 * CONNECTIONS):
            connection = slow.enter_context(connect(gateway))
            connection.sendall(b"GET /healthz HT" if number % 2 else b"")
        for _ in range(3):
            assert gateway.ask_admin("/healthz")[0] == 200


def test_a_client_that_says_nothing_is_let_go(gateway: Gateway) -> None:
    with connect(gateway) as connection:
        connection.settimeout(20)
        assert read_all(connection) == b""


def test_a_client_that_waits_while_a_worker_starts_sees_the_end_of_its_answer(tmp_path: Path) -> None:
    """Nothing of the admin port goes to the workers."""
    with running(tmp_path) as gateway, connect(gateway) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\n")
        (worker,) = gateway.worker_pids()
        os.kill(worker, signal.SIGKILL)
        while gateway.worker_pids() in ([worker], []):
            time.sleep(0.01)
        connection.sendall(b"\r\n")
        assert status(read_all(connection)) == 200


def test_slow_admin_clients_do_not_delay_a_replacement(tmp_path: Path) -> None:
    with running(tmp_path) as gateway, contextlib.ExitStack() as slow:
        for _ in range(CONNECTIONS):
            slow.enter_context(connect(gateway)).sendall(b"GET /healthz HT")
        (worker,) = gateway.worker_pids()
        os.kill(worker, signal.SIGKILL)
        with gateway.connect() as connection:
            connection.sendall(post(chat()))
            assert read_answer(connection)[0] == 200


def test_it_answers_while_every_worker_stands_still(tmp_path: Path) -> None:
    """The supervisor needs nobody for its answers."""
    with running(tmp_path, "hang = 600\n#rest\n") as gateway:
        (worker,) = gateway.worker_pids()
        os.kill(worker, signal.SIGSTOP)
        try:
            assert gateway.ask_admin("/healthz")[0] == 200
        finally:
            os.kill(worker, signal.SIGCONT)


# answers that are larger than a socket's buffer


class Turning:
    """An admin port of this process, whose loop turns in a thread."""

    def __init__(self, answers: dict[bytes, Answer]) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._selector = selectors.DefaultSelector()
        self._admin = Admin(self._listener, self._selector, answers)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._turn)
        self._thread.start()

    def _turn(self) -> None:
        while not self._over.is_set():
            for key, _ in self._selector.select(0.01):
                key.data()
            self._admin.expire()
        self._admin.close()
        self._selector.close()

    def connect(self, path: str) -> socket.socket:
        connection = socket.create_connection(("127.0.0.1", self.port), 10)
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        return connection

    def end(self) -> None:
        self._over.set()
        self._thread.join()


@pytest.fixture
def turning() -> Iterator[Turning]:
    made = Turning({b"/large": lambda: (200, "x" * 20_000_000), b"/small": lambda: (200, {})})
    yield made
    made.end()


def test_a_large_answer_arrives_whole_and_holds_nobody_up(turning: Turning) -> None:
    with turning.connect("/large") as slow:
        time.sleep(0.1)  # it reads nothing yet
        with turning.connect("/small") as other:
            assert status(read_all(other)) == 200
        head, _, body = read_all(slow).partition(b"\r\n\r\n")
        assert b"Content-Type: text/plain; version=0.0.4; charset=utf-8" in head
        assert body == b"x" * 20_000_000


def test_who_does_not_take_a_large_answer_is_let_go(turning: Turning, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE", 0.2)
    with turning.connect("/large") as slow:
        time.sleep(1)
        assert len(read_all(slow)) < 20_000_000
        with turning.connect("/small") as other:
            assert status(read_all(other)) == 200
