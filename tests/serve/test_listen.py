"""The listeners: TCP of both families, unix sockets, TLS."""

import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import ssl
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.gateway import Gateway, chat, free_port, post, read_all, read_answer, running
from tests.providers import until
from tests.serve.test_supervisor import addresses, refusal, start, write


def listen(gateway_folder: Path, *places: str, more: str = "") -> Gateway:
    """A gateway that listens on all of these places, and on none else."""
    gateway = Gateway(gateway_folder)
    text = gateway.file.read_text().replace(f'["127.0.0.1:{gateway.port}"]', json.dumps(places))
    gateway.file.write_text(text.replace("#rest", "") + more)
    return gateway


@pytest.fixture
def gateways() -> Iterator[list[Gateway]]:
    """Whatever a test starts ends with it, and well."""
    started: list[Gateway] = []
    yield started
    for gateway in started:
        assert gateway.stop() == 0, gateway.log


def ask(connection: socket.socket) -> int:
    """One call."""
    connection.sendall(post(chat()))
    return read_answer(connection)[0]


# unix sockets


def over_unix(path: Path) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(10)
    connection.connect(str(path))
    return connection


def test_a_unix_socket_is_served_and_removed_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    gateway = listen(tmp_path, f"unix:{path}").start()
    try:
        with over_unix(path) as connection:
            assert ask(connection) == 200
            assert ask(connection) == 200
        assert stat.S_IMODE(path.stat().st_mode) == 0o660
        assert f"listening on unix:{path}" in gateway.log
    finally:
        assert gateway.stop() == 0
    assert not path.exists()


def test_curl_speaks_to_a_unix_socket(tmp_path: Path, gateways: list[Gateway]) -> None:
    if shutil.which("curl") is None:
        pytest.skip("curl is absent")
    path = tmp_path / "socket"
    gateways.append(listen(tmp_path, f"unix:{path}").start())
    command = ["curl", "-sS", "--unix-socket", str(path), "http://gateway/v1/chat/completions", "--json", chat()]
    said = subprocess.run(command, capture_output=True, timeout=20)
    assert json.loads(said.stdout)["choices"], said


def test_all_workers_share_a_unix_socket_beside_a_port(tmp_path: Path, gateways: list[Gateway]) -> None:
    path, port = tmp_path / "socket", free_port()
    gateway = listen(tmp_path, f"unix:{path}", f"127.0.0.1:{port}")
    gateway.file.write_text(gateway.file.read_text().replace("workers = 1", "workers = 2"))
    gateway.workers, gateway.port = 2, port
    gateways.append(gateway.start())
    for _ in range(10):
        with over_unix(path) as connection:
            assert ask(connection) == 200
        with gateway.connect() as connection:
            assert ask(connection) == 200


def test_a_socket_file_that_a_dead_gateway_left_is_replaced(tmp_path: Path, gateways: list[Gateway]) -> None:
    path = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    assert path.exists()
    gateways.append(listen(tmp_path, f"unix:{path}").start())
    with over_unix(path) as connection:
        assert ask(connection) == 200


def test_a_socket_of_a_living_server_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as living:
        living.bind(str(path))
        living.listen()
        file = write(tmp_path / "second", f'[serve]\nlisten = ["unix:{path}"]\nadmin = "127.0.0.1:{free_port()}"\n')
        assert f"cannot listen on `unix:{path}`: address already in use" in refusal(start(file))
        living.accept()[0].close()  # the question whether it lives
        with over_unix(path):
            pass


def test_a_file_that_is_no_socket_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "precious"
    path.write_text("not a socket")
    file = write(tmp_path / "gateway", f'[serve]\nlisten = ["unix:{path}"]\nadmin = "127.0.0.1:{free_port()}"\n')
    assert f"cannot listen on `unix:{path}`" in refusal(start(file))
    assert path.read_text() == "not a socket"


def test_a_start_that_fails_leaves_the_socket_of_a_living_gateway(tmp_path: Path, gateways: list[Gateway]) -> None:
    path = tmp_path / "socket"
    gateways.append(listen(tmp_path / "first", f"unix:{path}").start())
    file = write(tmp_path / "second", f'[serve]\nlisten = ["unix:{path}"]\nadmin = "127.0.0.1:{free_port()}"\n')
    assert "address already in use" in refusal(start(file))
    with over_unix(path) as connection:
        assert ask(connection) == 200


# TCP


def test_a_free_port_is_chosen_and_said_once_for_all_workers(tmp_path: Path, gateways: list[Gateway]) -> None:
    gateway = listen(tmp_path, "127.0.0.1:0")
    gateway.file.write_text(gateway.file.read_text().replace("workers = 1", "workers = 2"))
    gateway.workers = 2
    gateways.append(gateway.start())
    (said,) = [line for line in gateway.log.splitlines() if line.startswith("listening on ")]
    port = int(said.split("127.0.0.1:")[1].split(";")[0])
    for _ in range(10):
        with socket.create_connection(("127.0.0.1", port), 10) as connection:
            assert ask(connection) == 200


def test_version_six_of_the_internet_protocol(tmp_path: Path, gateways: list[Gateway]) -> None:
    if not socket.has_ipv6 or not Path("/proc/net/if_inet6").exists():
        pytest.skip("IPv6 is absent")
    port = free_port()
    gateways.append(listen(tmp_path, f"[::1]:{port}").start())
    with socket.create_connection(("::1", port), 10) as connection:
        assert ask(connection) == 200
    assert f"http://[::1]:{port}" in gateways[0].log


# TLS


@pytest.fixture(scope="module")
def identity(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for localhost and its key."""
    folder = tmp_path_factory.mktemp("tls")
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    command += ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-days", "2"]
    try:
        subprocess.run([*command, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("openssl is absent")
    return certificate, key


def tls(identity: tuple[Path, Path]) -> str:
    """The key in [serve]."""
    return f'tls = {{ certificate = "{identity[0]}", key = "{identity[1]}" }}\n#rest\n'


def secure(gateway: Gateway, certificate: Path) -> ssl.SSLSocket:
    """A verified connection."""
    context = ssl.create_default_context(cafile=str(certificate))
    context.set_alpn_protocols(["h2", "http/1.1"])
    return context.wrap_socket(gateway.connect(), server_hostname="localhost")


def test_tls_is_served(tmp_path: Path, identity: tuple[Path, Path]) -> None:
    with running(tmp_path, tls(identity)) as gateway:
        with secure(gateway, identity[0]) as connection:
            assert connection.selected_alpn_protocol() == "http/1.1"
            assert ask(connection) == 200
            connection.sendall(post(chat("simulated-pace-2+words-50", stream=True)))
            assert read_answer(connection)[2].endswith(b"data: [DONE]\n\n")
        assert f"https://127.0.0.1:{gateway.port}/v1" in gateway.log


STRICT = [
    ("a length and a coding", post(b"{}").replace(b"\r\n\r\n", b"\r\nTransfer-Encoding: chunked\r\n\r\n", 1), 400),
    ("no Host", post(chat()).replace(b"Host: gateway\r\n", b""), 400),
    ("HTTP/0.9", b"GET /v1/models\r\n\r\n", 400),
    ("a large header section", post(chat(), fields=f"X-Large: {'x' * 40_000}\r\n"), 431),
    ("compressed", post(chat(), fields="Content-Encoding: gzip\r\n"), 415),
    ("a repeated key", post(b'{"model":"a","model":"b","messages":[]}'), 400),
]


@pytest.mark.parametrize(("note", "request_bytes", "status"), STRICT, ids=[row[0] for row in STRICT])
@pytest.mark.parametrize("piece", [1 << 20, 7])
def test_the_strict_layer_stands_behind_tls_too(
    tmp_path: Path, identity: tuple[Path, Path], note: str, request_bytes: bytes, status: int, piece: int
) -> None:
    with running(tmp_path, tls(identity)) as gateway, secure(gateway, identity[0]) as connection:
        for at in range(0, len(request_bytes), piece):
            connection.sendall(request_bytes[at : at + piece])
        assert read_answer(connection)[0] == status, note


def test_a_large_body_and_a_large_answer_pass_through_tls(tmp_path: Path, identity: tuple[Path, Path]) -> None:
    with running(tmp_path, tls(identity)) as gateway, secure(gateway, identity[0]) as connection:
        connection.sendall(post(chat("simulated-bytes-5000000", text="x" * 3_000_000), fields="Connection: close\r\n"))
        status, _, body = read_answer(connection)
        assert (status, len(body)) == (200, 5_000_000)
        assert connection.recv(1) == b""


def test_plain_text_to_a_tls_port_is_cut_off_and_harms_nobody(tmp_path: Path, identity: tuple[Path, Path]) -> None:
    with running(tmp_path, tls(identity)) as gateway:
        with gateway.connect() as plain:
            plain.sendall(post(chat()))
            assert b"HTTP/1.1 200" not in read_all(plain)
        with gateway.connect() as silent, secure(gateway, identity[0]) as connection:
            assert ask(connection) == 200
            silent.close()
        assert "Traceback" not in gateway.log
        assert len(gateway.worker_pids()) == 1


def test_a_handshake_that_never_ends_is_given_up(tmp_path: Path, identity: tuple[Path, Path]) -> None:
    settings = tls(identity) + "[accept]\nheader_timeout = 1\nidle_timeout = 1\n"
    with running(tmp_path, settings) as gateway, gateway.connect(20) as silent:
        assert read_all(silent) == b""


@pytest.mark.parametrize("sent", [b"rubbish\r\n\r\n", b""], ids=["fail", "never end"])
def test_handshakes_that_do_not_succeed_hold_up_no_drain(
    tmp_path: Path, identity: tuple[Path, Path], sent: bytes
) -> None:
    """Of clients that have connected when it begins, and that no worker has accepted yet."""
    settings = "drain = 600\nhang = 60\n" + tls(identity) + "[accept]\nheader_timeout = 600\n"
    with running(tmp_path, settings) as gateway, contextlib.ExitStack() as open_ones:
        idle, busy = (open_ones.enter_context(secure(gateway, identity[0])) for _ in range(2))
        assert ask(idle) == 200
        busy.sendall(post(chat("simulated-pace-50+words-60", stream=True)))
        begun = busy.recv(65536)
        (worker,) = gateway.worker_pids()
        os.kill(worker, signal.SIGSTOP)
        for _ in range(8):
            open_ones.enter_context(gateway.connect()).sendall(sent)
        gateway.process.send_signal(signal.SIGTERM)
        assert until(lambda: gateway.ask_admin("/readyz")[1]["status"] == "draining")
        os.kill(worker, signal.SIGCONT)
        assert read_all(idle) == b""
        assert (begun + read_all(busy)).endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")
        assert gateway.process.wait(20) == 0
        assert "failed" not in gateway.log


def test_the_official_library_of_python_speaks_to_it(tmp_path: Path, identity: tuple[Path, Path]) -> None:
    with running(tmp_path, tls(identity)) as gateway:
        context = ssl.create_default_context(cafile=str(identity[0]))
        connection = http.client.HTTPSConnection("localhost", gateway.port, timeout=10, context=context)
        try:
            connection.request("POST", "/v1/chat/completions", chat(), {"Content-Type": "application/json"})
            assert connection.getresponse().status == 200
        finally:
            connection.close()


def test_files_that_make_no_identity_are_told_at_the_start(tmp_path: Path, identity: tuple[Path, Path]) -> None:
    certificate, key = identity
    other = tmp_path / "other.pem"
    subprocess.run(["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-out", other], check=True)
    (tmp_path / "rubbish.pem").write_text("rubbish")
    cases = [
        ("no certificate", tmp_path / "none.pem", key, "none.pem"),
        ("no key", certificate, tmp_path / "none.pem", "none.pem"),
        ("rubbish", tmp_path / "rubbish.pem", key, "rubbish.pem"),
        ("a key of another certificate", certificate, other, "other.pem"),
    ]
    for note, one, two, named in cases:
        file = write(tmp_path / "gateway", addresses() + f'tls = {{ certificate = "{one}", key = "{two}" }}\n')
        assert named in refusal(start(file)), note


def test_a_file_descriptor_is_not_left_for_every_connection(tmp_path: Path, identity: tuple[Path, Path]) -> None:
    with running(tmp_path, tls(identity)) as gateway:
        (worker,) = gateway.worker_pids()
        with secure(gateway, identity[0]) as connection:
            assert ask(connection) == 200
        before = len(os.listdir(f"/proc/{worker}/fd"))
        for _ in range(30):
            with gateway.connect() as plain:
                plain.sendall(b"rubbish\r\n\r\n")
                read_all(plain)
            with secure(gateway, identity[0]) as connection:
                assert ask(connection) == 200
        assert len(os.listdir(f"/proc/{worker}/fd")) <= before + 5
