"""How upstreams are reached, seen from both ends: which connections are made, kept, refused, and what a client is told.

Deadlines are met up to a second late (`tidegate/clock.py`), so a test waits for what must happen, never for a time.
"""

import contextlib
import datetime
import ipaddress
import json
import select
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.gateway import Gateway, Told, chat, free_port, post, read_all, read_answer, running
from tests.providers import Answer, RawProvider, Received, always, integration, reply, until

EVENT = b'data: {"choices":[]}\n\n'
STREAM_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
CHUNK = b"%x\r\n%b\r\n" % (len(EVENT), EVENT)
QUICK = "first_byte_timeout = 1\nidle_timeout = 1\n"


def ask(gateway: Gateway, body: bytes = chat(), path: str = "/v1/chat/completions") -> Told:
    """One call."""
    return gateway.ask(post(body, path))


@contextlib.contextmanager
def between(folder: Path, answer: Answer | None = None, forward: str = "") -> Iterator[tuple[Gateway, RawProvider]]:
    """A gateway, and the raw provider behind it."""
    with (
        RawProvider(answer) as provider,
        running(folder, f"[forward]\n{forward}\n" + integration(provider.port)) as gateway,
    ):
        yield gateway, provider


def noted(value: object) -> str:
    """A case is named by its note."""
    return value if isinstance(value, str) else ""


def held_to(port: int) -> int:
    """How many sockets of this machine are connected to a port, or not yet closed on this side."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(row[2].endswith(f":{port:04X}") and row[3] in ("01", "08") for row in rows)


class TestPool:
    def test_calls_one_after_another_share_a_connection(self, tmp_path: Path) -> None:
        with between(tmp_path) as (gateway, provider):
            assert [ask(gateway).status for _ in range(5)] == [200] * 5
            assert (len(provider.requests), provider.connections) == (5, 1)

    @pytest.mark.parametrize(
        ("answer", "reused", "note"),
        [
            (always(STREAM_HEAD + CHUNK + b"0\r\n\r\n"), True, "a chunked stream that ended well"),
            (always(STREAM_HEAD + CHUNK + b"0\r\nx: y\r\n\r\n"), True, "trailers belong to the framing"),
            (always(b"HTTP/1.1 204 No Content\r\n\r\n"), True, "no body by its status"),
            (always(b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" + reply()), True, "an interim answer before"),
            (always(reply(fields="Connection: close\r\n")), False, "it says that it will close"),
            (always(reply(fields="Connection: x, Close\r\n")), False, "the same among other options"),
            (always(reply().replace(b"HTTP/1.1", b"HTTP/1.0")), False, "HTTP/1.0 closes unless it says otherwise"),
            (always(reply(fields="Connection: keep-alive\r\n").replace(b"/1.1", b"/1.0")), True, "it says otherwise"),
            (always(b"HTTP/1.1 200 OK\r\n\r\n{}", close=True), False, "a body until the close"),
        ],
    )
    def test_a_connection_is_kept_where_the_answer_allows_it(
        self, tmp_path: Path, answer: Answer, reused: bool, note: str
    ) -> None:
        with between(tmp_path, answer) as (gateway, provider):
            assert [ask(gateway).status // 100 for _ in range(3)] == [2] * 3, note
            assert provider.connections == (1 if reused else 3), note

    def test_a_bound_of_connections_a_bound_of_waiters_and_a_refusal(self, tmp_path: Path) -> None:
        go = threading.Event()
        with between(tmp_path, waits(go), "connections = 2\nwaiters = 1\n") as (gateway, provider):
            with contextlib.ExitStack() as stack:
                calls = [stack.enter_context(gateway.connect()) for _ in range(4)]
                for sent in (1, 2):
                    calls[sent - 1].sendall(post(chat()))
                    assert until(lambda sent=sent: len(provider.requests) == sent)  # type: ignore[misc]
                for call in calls[2:]:
                    call.sendall(post(chat()))
                (refused,), _, _ = select.select(calls, [], [], 10)
                told = read_answer(refused)
                assert (told.status, told.code) == (503, "overloaded")
                assert "x-should-retry" not in told.fields  # trying later helps
                calls.remove(refused)
                go.set()
                assert [read_answer(call)[0] for call in calls] == [200] * 3
            assert (len(provider.requests), provider.connections) == (3, 2)

    def test_the_refusal_is_in_the_shape_of_the_dialect(self, tmp_path: Path) -> None:
        go = threading.Event()
        with RawProvider(waits(go)) as provider:
            settings = "[forward]\nconnections = 1\nwaiters = 1\nwait_timeout = 2\n"
            ways = integration(provider.port) + integration(provider.port, "anthropic", name="two")
            with running(tmp_path, settings + ways) as gateway, gateway.connect() as first:
                first.sendall(post(chat()))
                assert until(lambda: len(provider.requests) == 1)
                openai, anthropic = ask(gateway), ask(gateway, path="/v1/messages")  # both waited until their time
                go.set()
                assert read_answer(first)[0] == 200
        assert (openai.status, openai.code, anthropic.status, anthropic.code) == (503, "overloaded") * 2
        assert json.loads(openai.body)["error"].keys() == {"message", "type", "param", "code", "run"}
        document = json.loads(anthropic.body)
        assert (document["type"], document["error"]["type"]) == ("error", "overloaded_error")
        assert document["request_id"] == anthropic.fields["x-tidegate-run-id"]

    def test_a_call_that_waits_keeps_what_it_holds(self, tmp_path: Path) -> None:
        """Here its place among the two calls of a tenant that may run at a time."""
        go = threading.Event()
        rule = 'limit contains {"name": "places", "key": ["all"], "measure": "concurrent", "max": 2}'
        (tmp_path / "rules").mkdir()
        (tmp_path / "rules" / "one.rego").write_text(f"package tidegate.admission\n\nimport rego.v1\n\n{rule}\n")
        settings = f'[policy]\npath = "{tmp_path}/rules"\n[limits]\ndeadline = 2\n'
        with between(tmp_path, waits(go), f"connections = 1\nwait_timeout = 30\n{settings}") as (gateway, _):
            with gateway.connect() as first, gateway.connect(30) as second:
                for call in (first, second):
                    call.sendall(post(chat()))
                assert until(lambda: ask(gateway).status == 429)
                time.sleep(5)  # more than two deadlines
                assert ask(gateway).status == 429
                go.set()
                assert [read_answer(call).status for call in (first, second)] == [200] * 2
            assert until(lambda: ask(gateway).status == 200)

    def test_a_connection_for_clients_that_left_is_closed_as_a_kept_one_is(self, tmp_path: Path) -> None:
        with between(tmp_path, forward="keep_alive = 1\n") as (gateway, provider):

            def left_one_unused() -> bool:
                with gateway.connect() as client:
                    client.sendall(post(chat()))
                return provider.connections > len({request.connection for request in provider.requests})

            assert until(left_one_unused, 60)
            assert until(lambda: not provider.open)

    def test_a_call_whose_client_left_while_it_waited_is_never_sent(self, tmp_path: Path) -> None:
        go = threading.Event()
        with between(tmp_path, waits(go), "connections = 1\n") as (gateway, provider):
            with gateway.connect() as first:
                first.sendall(post(chat()))
                assert until(lambda: len(provider.requests) == 1)
                with gateway.connect() as second:
                    second.sendall(post(chat(text="never sent")))
                    assert until(lambda: held_to(gateway.port) == 2)
                assert until(lambda: held_to(gateway.port) == 1)
                third = gateway.connect()
                third.sendall(post(chat(text="sent")))
                go.set()
                assert read_answer(first)[0] == 200
            with third:
                assert read_answer(third)[0] == 200
            assert [b"never sent" in request.body for request in provider.requests] == [False, False]

    def test_a_failed_dial_gives_its_place_to_who_waits(self, tmp_path: Path) -> None:
        with deaf() as port:
            settings = "[forward]\nconnections = 1\nconnect_timeout = 0.5\nwait_timeout = 60\n"
            with running(tmp_path, settings + integration(port)) as gateway, contextlib.ExitStack() as stack:
                calls = [stack.enter_context(gateway.connect()) for _ in range(2)]
                for call in calls:
                    call.sendall(post(chat()))
                answers = [read_answer(call) for call in calls]
        assert [(each.status, each.code) for each in answers] == [(504, "upstream_timeout")] * 2

    def test_a_connection_that_closed_while_it_was_kept_is_not_used(self, tmp_path: Path) -> None:
        with between(tmp_path) as (gateway, provider):
            for _ in range(5):
                assert ask(gateway).status == 200
                provider.drop()
                assert until(lambda: held_to(provider.port) == 0)
            assert (len(provider.requests), provider.connections) == (5, 5)

    def test_a_kept_connection_on_which_something_came_is_not_used(self, tmp_path: Path) -> None:
        with between(tmp_path) as (gateway, provider):
            assert ask(gateway).status == 200
            for connection in list(provider.open):
                connection.sendall(reply(b'{"smuggled":1}'))
            assert until(lambda: held_to(provider.port) == 0)
            assert ask(gateway).body == b"{}"

    def test_a_kept_connection_is_let_go_after_a_while(self, tmp_path: Path) -> None:
        with between(tmp_path, forward="keep_alive = 0.5\n") as (gateway, provider):
            assert ask(gateway).status == 200
            assert until(lambda: held_to(provider.port) == 0)
            assert ask(gateway).status == 200

    def test_a_slow_reader_of_a_finished_answer_does_not_stop_the_connection_that_brought_it(
        self, tmp_path: Path
    ) -> None:
        with between(tmp_path, always(reply(b"x" * 1_000_000)), "connections = 1\n") as (gateway, provider):
            for answers in range(1, 4):  # several, because the sockets' own buffers take some
                slow = socket.socket()
                slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                with slow:
                    slow.connect(("127.0.0.1", gateway.port))
                    slow.sendall(post(chat()) * 8)  # pipelined, and none of it read
                    assert until(lambda answers=answers: len(provider.requests) >= 2 * answers)  # type: ignore[misc]
                    assert ask(gateway).status == 200

    @pytest.mark.parametrize("calls", [40])
    def test_an_upstream_that_hangs_up_at_once_leaves_no_call_without_an_answer(
        self, tmp_path: Path, calls: int
    ) -> None:
        with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
            closer = threading.Thread(target=hang_up, args=(listener,))
            closer.start()
            port = listener.getsockname()[1]
            try:
                with running(tmp_path, integration(port)) as gateway:
                    answers = [ask(gateway) for _ in range(calls)]
            finally:
                listener.shutdown(socket.SHUT_RDWR)
                closer.join()
        assert {each.status for each in answers} == {502}


def waits(go: threading.Event) -> Answer:
    """Answers once it may."""

    def answer(connection: socket.socket, request: Received) -> None:
        assert go.wait(20)
        connection.sendall(reply())

    return answer


def hang_up(listener: socket.socket) -> None:
    """Takes every connection and closes it."""
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        connection.close()


@contextlib.contextmanager
def deaf() -> Iterator[int]:
    """A port whose queue of connections is full, so that nobody answers a new one."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


class TestSentOnce:
    @pytest.mark.parametrize("kept", [False, True], ids=["on a new connection", "on a kept connection"])
    @pytest.mark.parametrize("stream", [False, True])
    def test_a_call_whose_connection_closes_after_it_was_written_is_not_sent_again(
        self, tmp_path: Path, kept: bool, stream: bool
    ) -> None:
        def answer(connection: socket.socket, request: Received) -> None:
            if b"good" not in request.body:
                raise StopIteration
            connection.sendall(reply())

        with between(tmp_path, answer) as (gateway, provider):
            before = [ask(gateway, chat(text="good")).status for _ in range(kept)]
            told = ask(gateway, chat(stream=stream))
            assert (told.status, told.code) == (502, "upstream_truncated")
            assert len(provider.requests) == len(before) + 1
            assert ask(gateway, chat(text="good")).status == 200

    @pytest.mark.parametrize("status", ["301 Moved Permanently", "302 Found", "307 Temporary Redirect", "308 Gone"])
    def test_a_redirect_is_passed_on_and_not_followed(self, behind: tuple[Gateway, RawProvider], status: str) -> None:
        gateway, provider = behind
        with RawProvider() as elsewhere:
            location = f"Location: http://127.0.0.1:{elsewhere.port}/v1/chat/completions\r\n"
            provider.answer = always(reply(b"moved", status, location))
            before = len(provider.requests)
            told = ask(gateway)
            assert (told.status, told.body) == (int(status[:3]), b"moved")
            assert "location" not in told.fields  # the client would take its key there
            assert (len(provider.requests), elsewhere.connections) == (before + 1, 0)


@pytest.fixture(scope="module")
def behind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Gateway, RawProvider]]:
    with between(tmp_path_factory.mktemp("broken"), forward=QUICK) as both:
        yield both


class TestBrokenAnswers:
    @pytest.mark.parametrize(
        ("answer", "note"),
        [
            (reply(fields="Transfer-Encoding: chunked\r\n"), "two lengths"),
            (reply(fields="Content-Length: 2\r\n"), "the length twice, though the same"),
            (reply(fields="Content-Length: 3\r\n"), "two different lengths"),
            (reply().replace(b"Length: 2", b"Length: -2"), "a length below zero"),
            (reply().replace(b"Length: 2", b"Length: 2, 2"), "a list of lengths"),
            (reply().replace(b"Length: 2", b"Length: 0x2"), "a length that is no number"),
            (reply().replace(b"Content-Length: 2", b"Transfer-Encoding: gzip, chunked"), "an unknown coding"),
            (reply().replace(b"Content-Length: 2", b"Content-Encoding: gzip\r\nContent-Length: 2"), "compressed"),
            (reply().replace(b"Content-Length", b"Content-Length "), "a blank before the colon"),
            (reply().replace(b"HTTP/1.1", b"HTTP/2.0"), "another version"),
            (reply().replace(b"HTTP/1.1", b"ICY"), "another protocol"),
            (reply().replace(b"200 OK", b"20 OK"), "a status of two digits"),
            (reply().replace(b"200 OK", b"099 OK"), "a status below 100"),
            (reply().replace(b"\r\n", b"\n"), "bare line feeds"),
            (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n", "a switch"),
            (b"HTTP/1.1 100 Continue\r\n\r\n" * 20 + reply(), "interim answers without end"),
            (reply(fields="x: " + "y" * 70_000 + "\r\n"), "a head above the bound"),
            (reply(b"{}surplus").replace(b"Length: 9", b"Length: 2"), "more than the length says"),
            (reply(b"surplus").replace(b"Length: 7", b"Length: 0"), "more than nothing"),
            (
                STREAM_HEAD.replace(b"text/event-stream", b"application/json") + b"zz\r\n{}\r\n0\r\n\r\n",
                "no chunk size",
            ),
            (STREAM_HEAD.replace(b"text/event-stream", b"application/json") + b"2\r\n{}0\r\n\r\n", "a chunk too long"),
            (
                STREAM_HEAD.replace(b"text/event-stream", b"application/json") + b"2\n{}\n0\n\n",
                "chunks with line feeds",
            ),
            (
                STREAM_HEAD.replace(b"text/event-stream", b"application/json") + b"-2\r\n{}\r\n0\r\n\r\n",
                "a signed size",
            ),
            (b"\x15\x03\x01\x00\x02\x02\x46" * 3, "an alert of TLS"),
        ],
        ids=noted,
    )
    def test_a_broken_answer_is_a_502_and_its_connection_is_not_used_again(
        self, behind: tuple[Gateway, RawProvider], answer: bytes, note: str
    ) -> None:
        gateway, provider = behind
        provider.answer = always(answer)
        before = provider.connections
        told = ask(gateway)
        assert (told.status, told.code) == (502, "upstream_malformed"), note
        assert until(lambda: held_to(provider.port) == 0), note
        provider.answer = always(reply())
        assert ask(gateway).status == 200, note
        assert provider.connections - before <= 2, note

    def test_so_is_one_whose_head_came_in_two_reads(self, behind: tuple[Gateway, RawProvider]) -> None:
        gateway, provider = behind

        def answer(connection: socket.socket, request: Received) -> None:
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-")
            time.sleep(0.1)
            connection.sendall(b"Length: 0\r\n\r\nsurplus")

        provider.answer = answer
        told = ask(gateway)
        assert (told.status, told.code) == (502, "upstream_malformed")
        assert until(lambda: held_to(provider.port) == 0)

    @pytest.mark.parametrize("rest", [b"zz\r\n", b"5\r\ndata:\r\n-1\r\n", b"3\r\ndatax\r\n"])
    def test_a_broken_stream_ends_in_an_error_event(self, behind: tuple[Gateway, RawProvider], rest: bytes) -> None:
        gateway, provider = behind
        go = threading.Event()

        def answer(connection: socket.socket, request: Received) -> None:
            connection.sendall(STREAM_HEAD + CHUNK)
            assert go.wait(20)
            connection.sendall(rest)

        provider.answer = answer
        with gateway.connect() as connection:
            connection.sendall(post(chat(stream=True), fields="Connection: close\r\n"))
            begun = b""
            while EVENT not in begun:
                begun += connection.recv(65536)
            go.set()
            head, _, events = (begun + read_all(connection)).partition(CHUNK)
        assert head.startswith(b"HTTP/1.1 200 OK")
        size, event, last = events.split(b"\r\n", 2)
        assert int(size, 16) == len(event)
        assert json.loads(event.removeprefix(b"data: "))["error"]["code"] == "upstream_malformed"
        assert last == b"0\r\n\r\n"


class TestDeadlines:
    def test_a_port_that_refuses(self, tmp_path: Path) -> None:
        with running(tmp_path, integration(free_port())) as gateway:
            for path in ("/v1/chat/completions", "/v1/embeddings"):
                body = chat() if "chat" in path else b'{"model":"m","input":"x"}'
                told = ask(gateway, body, path)
                assert (told.status, told.code) == (502, "upstream_unreachable")

    def test_a_name_that_does_not_resolve(self, tmp_path: Path) -> None:
        with running(tmp_path, integration(1, base_url="http://nowhere.invalid")) as gateway:
            told = ask(gateway)
            assert (told.status, told.code) == (502, "upstream_unreachable")

    @pytest.mark.parametrize("scheme", ["http", "https"])
    def test_a_port_that_does_not_take_the_connection(self, tmp_path: Path, scheme: str) -> None:
        """Over https the port takes it and is silent in the handshake."""
        place: contextlib.AbstractContextManager[int] = deaf()
        if scheme == "https":
            place = silent()
        with place as port:
            base = f"{scheme}://127.0.0.1:{port}"
            settings = "[forward]\nconnect_timeout = 0.5\n" + integration(port, base_url=base)
            with running(tmp_path, settings) as gateway:
                told = ask(gateway)
        assert (told.status, told.code) == (504, "upstream_timeout")

    @pytest.mark.parametrize(
        ("answer", "stream", "note"),
        [
            (always(), False, "never answered"),
            (always(), True, "never answered, and events were asked for"),
            (always(b"HTTP/1.1 200 OK\r\nContent-"), False, "half a head"),
            (always(reply(b'{"a":1}')[:-3]), False, "half a body"),
        ],
    )
    def test_silence_before_the_client_has_anything_is_a_504(
        self, tmp_path: Path, answer: Answer, stream: bool, note: str
    ) -> None:
        with between(tmp_path, answer, QUICK) as (gateway, provider):
            told = ask(gateway, chat(stream=stream))
            assert (told.status, told.code) == (504, "upstream_timeout"), note
            assert until(lambda: held_to(provider.port) == 0), note
            assert len(provider.requests) == 1

    def test_silence_in_mid_stream_is_an_error_event(self, tmp_path: Path) -> None:
        with between(tmp_path, always(STREAM_HEAD + CHUNK * 2), QUICK) as (gateway, provider):
            assert self.broken_after(EVENT * 2, ask(gateway, chat(stream=True)))
            assert until(lambda: held_to(provider.port) == 0)

    def test_an_answer_that_never_ends_is_ended(self, tmp_path: Path) -> None:
        def drip(connection: socket.socket, request: Received) -> None:
            connection.sendall(STREAM_HEAD)
            for _ in range(100):  # never, as far as a second is concerned
                connection.sendall(CHUNK)
                time.sleep(0.1)
            connection.sendall(b"0\r\n\r\n")

        with between(tmp_path, drip, "total_timeout = 1\n") as (gateway, provider):
            told = ask(gateway, chat(stream=True))
            events = told.body.count(EVENT)
            assert events > 1
            assert self.broken_after(EVENT * events, told)
            assert until(lambda: held_to(provider.port) == 0)

    def test_a_large_plain_answer_that_stops_is_seen_as_broken(self, tmp_path: Path) -> None:
        """Its head is with the client already: only the end of the connection can say it."""
        large = reply(b"x" * 3_000_000)
        with between(tmp_path, always(large[:-1]), QUICK) as (gateway, _):
            with gateway.connect() as connection:
                connection.sendall(post(chat()))
                answer = read_all(connection)
            assert answer.startswith(b"HTTP/1.1 200 OK")
            head, _, body = answer.partition(b"\r\n\r\n")
            assert b"Content-Length: 3000000" in head
            assert len(body) < 3_000_000

    def broken_after(self, good: bytes, told: Told) -> bool:
        event = told.body.removeprefix(good)
        return told.body.startswith(good) and json.loads(event[6:])["error"]["code"] == "upstream_timeout"


@contextlib.contextmanager
def silent() -> Iterator[int]:
    """A port that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


class TestAddresses:
    @pytest.mark.parametrize(
        ("host", "note"),
        [
            ("localhost", "a name"),
            ("127.0.0.1", "an address"),
            ("[::1]", "the same in IPv6"),
            ("[::ffff:127.0.0.1]", "and mapped"),
        ],
    )
    def test_a_loopback_address_is_not_dialled_unless_private(self, tmp_path: Path, host: str, note: str) -> None:
        with RawProvider() as provider:
            base = f"http://{host}:{provider.port}"
            with running(tmp_path, integration(provider.port, base_url=base, private=False)) as gateway:
                told = ask(gateway)
            assert (told.status, told.code, provider.connections) == (502, "address_refused", 0), note

    def test_private_opens_it(self, tmp_path: Path) -> None:
        with RawProvider() as provider:
            base = f"http://localhost:{provider.port}"
            with running(tmp_path, integration(provider.port, base_url=base)) as gateway:
                assert ask(gateway).status == 200
            assert provider.requests[0].fields["host"] == f"localhost:{provider.port}"


class Certificate(NamedTuple):
    """A self-signed certificate of `names`: its file for clients, and a context that serves it."""

    file: Path
    context: ssl.SSLContext
    asked: list[str | None]  # the names that clients asked for (SNI)


def certificate(folder: Path, *names: str, days: int = 1) -> Certificate:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    now = datetime.datetime.now(datetime.UTC)
    alternatives: list[x509.GeneralName] = []
    for name in names:
        try:
            alternatives.append(x509.IPAddress(ipaddress.ip_address(name)))
        except ValueError:
            alternatives.append(x509.DNSName(name))
    made = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=9))
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    file, secret = folder / "certificate.pem", folder / "key.pem"
    file.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    secret.write_bytes(key.private_bytes(*form))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file, secret)
    asked: list[str | None] = []
    context.sni_callback = lambda _socket, name, _context: asked.append(name)
    return Certificate(file, context, asked)


class TestTls:
    @pytest.mark.parametrize(
        ("names", "host", "days", "trusted", "note"),
        [
            (["localhost"], "localhost", 1, False, "nobody vouches for it"),
            (["other.test"], "localhost", 1, True, "another name"),
            (["127.0.0.1"], "localhost", 1, True, "its address is not its name"),
            (["localhost"], "127.0.0.1", 1, True, "nor its name its address"),
            (["localhost"], "localhost", -1, True, "expired"),
        ],
    )
    def test_a_certificate_that_does_not_hold_is_refused_before_anything_is_said(
        self, tmp_path: Path, names: list[str], host: str, days: int, trusted: bool, note: str
    ) -> None:
        cert = certificate(tmp_path, *names, days=days)
        with RawProvider(tls=cert.context) as provider:
            with self.gateway(tmp_path, host, provider.port, cert.file if trusted else None) as gateway:
                told = ask(gateway)
            assert (told.status, told.code, provider.requests) == (502, "upstream_unreachable", []), note
            assert "certificate" in json.loads(told.body)["error"]["message"], note

    @pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
    def test_a_certificate_that_holds(self, tmp_path: Path, host: str) -> None:
        cert = certificate(tmp_path, host)
        with RawProvider(tls=cert.context) as provider:
            with self.gateway(tmp_path, host, provider.port, cert.file) as gateway:
                assert [ask(gateway).status for _ in range(3)] == [200] * 3
                provider.answer = always(STREAM_HEAD + CHUNK * 9, b"0\r\n\r\n")
                assert ask(gateway, chat(stream=True)).body == EVENT * 9
                provider.answer = always(reply(b"x" * 2_000_000))
                assert ask(gateway, chat(text="y" * 2_000_000)).body == b"x" * 2_000_000
            assert provider.connections == 1
            assert cert.asked == ["localhost" if host == "localhost" else None]  # an address is no server name

    @contextlib.contextmanager
    def gateway(self, folder: Path, host: str, port: int, trust: Path | None) -> Iterator[Gateway]:
        env = {} if trust is None else {"SSL_CERT_FILE": str(trust)}
        with running(folder, integration(port, base_url=f"https://{host}:{port}"), env=env) as gateway:
            yield gateway
