"""Processes that stand still or cannot start, and a supervisor that dies."""

import asyncio
import itertools
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.load import connected
from tests.faults.test_kill import kill_and_wait, replaced
from tests.gateway import Gateway, chat, post, read_answer, running

HANG = "hang = 1\n#rest\n"
PLAIN = post(chat())


def wait_for(what: str, happened: Callable[[], bool], patience: float = 20.0) -> None:
    """Until it has happened."""
    deadline = time.monotonic() + patience
    while not happened():
        assert time.monotonic() < deadline, f"in {patience:g} s it did not happen that {what}"
        time.sleep(0.02)


def ask(gateway: Gateway) -> int:
    """The status of one plain call."""
    with gateway.connect(20) as connection:
        connection.sendall(PLAIN)
        return read_answer(connection)[0]


# a worker that hangs


def test_a_hung_worker_is_replaced_and_its_successor_answers_whoever_waits(tmp_path: Path) -> None:
    with running(tmp_path, HANG, workers=1) as gateway:
        (hung,) = gateway.worker_pids()
        os.kill(hung, signal.SIGSTOP)
        with gateway.connect(20) as waiting:  # the kernel takes the connection, nobody accepts it yet
            waiting.sendall(PLAIN)
            assert read_answer(waiting)[0] == 200
        asyncio.run(replaced(gateway, hung))
        assert f"(pid {hung}) hangs: killed" in gateway.log


def test_a_hung_worker_does_not_disturb_the_others(tmp_path: Path) -> None:
    with running(tmp_path, HANG, workers=2) as gateway, connected(gateway, 12) as kept:
        for connection in kept:
            connection.sendall(PLAIN)
        served_by = {connection: read_answer(connection)[1]["x-tidegate-run-id"][-8:] for connection in kept}
        assert len(set(served_by.values())) == 2
        hung, other = gateway.worker_pids()
        os.kill(hung, signal.SIGSTOP)
        asyncio.run(replaced(gateway, hung))
        assert other in gateway.worker_pids()
        survivors = [connection for connection in kept if not ended(connection)]
        assert len({served_by[connection] for connection in survivors}) == 1
        for connection in survivors:
            connection.sendall(PLAIN)
            assert read_answer(connection)[0] == 200


def ended(connection: socket.socket) -> bool:
    """The other side has closed it."""
    patience = connection.gettimeout()
    connection.setblocking(False)
    try:
        return not connection.recv(1)
    except BlockingIOError:
        return False
    except ConnectionError:
        return True
    finally:
        connection.settimeout(patience)


def test_a_worker_that_works_hard_is_not_taken_for_hung(tmp_path: Path) -> None:
    """Its heart beats between callbacks, however many calls it has."""
    with running(tmp_path, HANG, workers=1) as gateway, connected(gateway, 8) as connections:
        (pid,) = gateway.worker_pids()
        for connection in connections:
            connection.sendall(post(chat("simulated-fast+words-60000", stream=True)))
        statuses = [read_answer(connection)[0] for connection in connections]
        assert statuses == [200] * 8
        assert gateway.worker_pids() == [pid]


def test_a_gateway_that_was_paused_as_a_whole_goes_on_as_it_was(tmp_path: Path) -> None:
    """A paused container or virtual machine: no worker hangs more than its supervisor did."""
    with running(tmp_path, HANG, workers=2) as gateway:
        pids = gateway.worker_pids()
        everyone = [gateway.process.pid, *pids]
        for pid in everyone:
            os.kill(pid, signal.SIGSTOP)
        time.sleep(1.5)
        for pid in everyone:  # the supervisor wakes first, as the worst case
            os.kill(pid, signal.SIGCONT)
        time.sleep(0.5)
        assert ask(gateway) == 200
        assert gateway.worker_pids() == pids, gateway.log


# workers that cannot start


@pytest.fixture
def pair_of_files(tmp_path: Path) -> tuple[Path, Path]:
    """A certificate and its key."""
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    command += ["-subj", "/CN=localhost", "-days", "2", "-keyout", str(key), "-out", str(certificate)]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("openssl is absent")
    return certificate, key


def test_a_crash_loop_backs_off_and_ends_when_its_cause_does(tmp_path: Path, pair_of_files: tuple[Path, Path]) -> None:
    certificate, key = pair_of_files
    tls = f'tls = {{ certificate = "{certificate}", key = "{key}" }}\n#rest\n'
    with running(tmp_path / "gateway", tls, workers=1) as gateway:
        away = key.rename(tmp_path / "away.pem")
        (pid,) = gateway.worker_pids()
        os.kill(pid, signal.SIGKILL)
        wait_for("five starts failed", lambda: gateway.log.count("replaced in") >= 5)
        delays = [float(delay) for delay in re.findall(r"replaced in ([\d.]+) s", gateway.log)]
        assert all(later >= 1.9 * sooner for sooner, later in itertools.pairwise(delays)), delays
        assert gateway.ask_admin("/healthz")[0] == 200
        assert gateway.ask_admin("/readyz") == (503, {"status": "starting", "workers": 0})
        reasons = [line for line in gateway.log.splitlines() if str(key) in line]
        assert reasons, f"nobody says which file is missing:\n{gateway.log}"
        assert "Traceback" not in gateway.log
        assert "this is a bug" not in gateway.log
        away.rename(key)
        wait_for("a worker is ready", lambda: gateway.ask_admin("/readyz")[0] == 200)


def test_a_worker_killed_again_and_again_in_its_first_instants_is_started_ever_more_slowly(tmp_path: Path) -> None:
    with running(tmp_path, workers=1) as gateway:
        time.sleep(0.3)  # the first one has lived long enough not to be part of it
        for _ in range(4):
            wait_for("there is a worker", lambda: len(gateway.worker_pids()) == 1)
            kill_and_wait(gateway.worker_pids()[0])
            time.sleep(0.01)
        wait_for("a worker is ready", lambda: gateway.ask_admin("/readyz")[0] == 200)
        delays = [float(delay) for delay in re.findall(r"replaced in ([\d.]+) s", gateway.log)]
        assert delays == sorted(set(delays)), delays
        assert delays, gateway.log
        assert ask(gateway) == 200


def test_a_drain_during_a_crash_loop_ends(tmp_path: Path, pair_of_files: tuple[Path, Path]) -> None:
    certificate, key = pair_of_files
    tls = f'tls = {{ certificate = "{certificate}", key = "{key}" }}\n#rest\n'
    with running(tmp_path / "gateway", tls, workers=1) as gateway:
        key.unlink()
        os.kill(gateway.worker_pids()[0], signal.SIGKILL)
        wait_for("a start failed", lambda: "replaced in" in gateway.log)
        assert gateway.stop() == 0


# the supervisor dies


def alive(pid: int) -> bool:
    """And not only waiting to be reaped."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


def test_when_the_supervisor_is_killed_its_workers_finish_and_the_next_gateway_waits_for_them(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path, "drain = 10\n#rest\n", workers=2).start()
    workers = gateway.worker_pids()
    with gateway.connect(20) as streaming:
        streaming.sendall(post(chat("simulated-pace-50+words-60", stream=True)))
        begun = streaming.recv(65536)
        gateway.process.kill()
        gateway.process.wait()
        successor = Gateway(tmp_path, workers=2)
        try:
            successor.start()  # on the same data directory
            assert f"waiting for the workers of a dead gateway (pid {gateway.process.pid}) to drain" in successor.log
            assert not any(alive(pid) for pid in workers)
            rest = begun
            while piece := streaming.recv(65536):
                rest += piece
            assert rest.endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")
            assert b"error" not in rest
            assert ask(successor) == 200
            assert successor.stop() == 0
        finally:
            successor.process.kill()
            successor.process.wait()


def test_orphaned_workers_end_a_stream_that_outlasts_the_drain(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path, "drain = 1\n#rest\n", workers=1).start()
    (worker,) = gateway.worker_pids()
    with gateway.connect(20) as streaming:
        streaming.sendall(post(chat("simulated-stall-3", stream=True)))
        streaming.recv(65536)
        gateway.process.kill()
        gateway.process.wait()
        answer = b""
        while piece := streaming.recv(65536):
            answer += piece
        assert b'"code":"draining"' in answer
        assert answer.endswith(b"\r\n0\r\n\r\n")
        assert b"[DONE]" not in answer
    wait_for("the worker is gone", lambda: not alive(worker))


def test_the_admin_port_is_free_at_once_when_the_supervisor_is_gone(tmp_path: Path) -> None:
    """Orchestrators must see a dead gateway as dead, not as one that takes their question and never answers."""
    gateway = Gateway(tmp_path, "drain = 3\n#rest\n", workers=1).start()
    (worker,) = gateway.worker_pids()
    with gateway.connect(20) as streaming:
        streaming.sendall(post(chat("simulated-stall-3", stream=True)))
        streaming.recv(65536)
        gateway.process.kill()
        gateway.process.wait()
        with socket.socket() as question:
            question.settimeout(5)
            with pytest.raises(ConnectionRefusedError):
                question.connect(("127.0.0.1", gateway.admin_port))
    wait_for("the worker is gone", lambda: not alive(worker))
