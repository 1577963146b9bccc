"""The supervisor from outside: one gateway to a data directory, its processes, its signals, what it says."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.gateway import Gateway, chat, children, free_port, post, read_answer, running
from tests.providers import until


def start(file: Path, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """A gateway that is expected not to start."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith("TIDEGATE_")} | (env or {})
    command = [sys.executable, "-m", "tidegate", "serve", "--config", str(file)]
    return subprocess.run(command, capture_output=True, text=True, timeout=20, env=clean)


def refusal(ended: subprocess.CompletedProcess[str]) -> str:
    """The one line with which it ended."""
    assert ended.returncode == 2, ended
    (line,) = ended.stderr.splitlines()
    assert line.startswith("tidegate: ")
    return line


def write(folder: Path, text: str) -> Path:
    """A settings file of its own."""
    folder.mkdir(exist_ok=True)
    file = folder / "tidegate.toml"
    file.write_text(text)
    return file


def addresses(listen: int | None = None, admin: int | None = None) -> str:
    """A [serve] table."""
    return f'[serve]\nlisten = ["127.0.0.1:{listen or free_port()}"]\nadmin = "127.0.0.1:{admin or free_port()}"\n'


# the data directory


def test_a_data_directory_belongs_to_one_gateway(tmp_path: Path) -> None:
    with running(tmp_path) as gateway:
        second = write(tmp_path / "second", f'data = "{tmp_path}/.tidegate"\n{addresses()}')
        line = refusal(start(second))
        assert f"the data directory `{tmp_path}/.tidegate` is held by another gateway" in line
        assert f"(pid {gateway.process.pid})" in line
    with running(tmp_path):
        pass  # free again


def test_it_is_held_also_after_a_worker_was_replaced(tmp_path: Path) -> None:
    with running(tmp_path) as gateway:
        (worker,) = gateway.worker_pids()
        os.kill(worker, signal.SIGKILL)
        while gateway.worker_pids() in ([worker], []):
            time.sleep(0.01)
        second = write(tmp_path / "second", f'data = "{tmp_path}/.tidegate"\n{addresses()}')
        assert "is held by another gateway" in refusal(start(second))


def test_what_is_left_of_a_lock_holds_nobody_up(tmp_path: Path) -> None:
    (tmp_path / ".tidegate").mkdir()
    (tmp_path / ".tidegate" / "lock").write_text(f"{os.getpid()}\n")
    with running(tmp_path) as gateway:
        assert (tmp_path / ".tidegate" / "lock").read_text() == f"{gateway.process.pid}\n"


def test_a_data_directory_that_cannot_be_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    line = refusal(start(write(tmp_path, f'data = "file/data"\n{addresses()}')))
    assert f"cannot use the data directory `{tmp_path}/file/data`: not a directory" in line


def test_nobody_else_may_look_into_the_data_directory(tmp_path: Path) -> None:
    with running(tmp_path):
        assert (tmp_path / ".tidegate").stat().st_mode & 0o777 == 0o700
        assert (tmp_path / ".tidegate" / "lock").stat().st_mode & 0o777 == 0o600


def test_a_ledger_of_another_name_or_with_its_checkpoints_elsewhere_is_not_gone_on_with(tmp_path: Path) -> None:
    with running(tmp_path):
        pass
    kept = tmp_path / ".tidegate" / "ledger" / "checkpoints"
    file = write(tmp_path, f'{addresses()}[record]\norigin = "example.org/other"\n')
    assert "is that of `localhost/tidegate`, and `record.origin` is `example.org/other`" in refusal(start(file))
    file = write(tmp_path, f'{addresses()}[record]\ncheckpoints = "apart"\n')
    assert f"keeps its checkpoints in `{kept}`, and `record.checkpoints` is `{tmp_path}/apart`" in refusal(start(file))
    with running(tmp_path, f'[record]\ncheckpoints = "{kept}"\n'):
        pass  # it says where they are, and no more


# ports


@pytest.mark.parametrize("which", ["listen", "admin"])
def test_a_port_that_is_taken_is_named(tmp_path: Path, which: str) -> None:
    with running(tmp_path / "first") as gateway:
        for taken in (gateway.port, gateway.admin_port):
            second = write(tmp_path / "second", addresses(**{which: taken}))
            line = refusal(start(second))
            assert f"cannot listen on `127.0.0.1:{taken}`: address already in use" in line


def test_one_port_for_two_purposes_is_refused(tmp_path: Path) -> None:
    port = free_port()
    assert f"127.0.0.1:{port}" in refusal(start(write(tmp_path, addresses(port, port))))


def test_an_address_that_is_not_of_this_machine_is_named(tmp_path: Path) -> None:
    file = write(tmp_path, f'[serve]\nlisten = ["192.0.2.1:{free_port()}"]\n[identify]\nanonymous = false\n')
    line = refusal(start(file))
    assert "192.0.2.1" in line


# processes


@pytest.mark.parametrize("count", [1, 3])
def test_there_are_as_many_workers_as_the_settings_say(tmp_path: Path, count: int) -> None:
    with running(tmp_path, workers=count) as gateway:
        assert len(gateway.worker_pids()) == count
        assert gateway.ask_admin("/readyz") == (200, {"status": "ready", "workers": count})


def test_without_a_number_there_is_a_worker_for_each_usable_core(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path, workers=0)
    gateway.file.write_text(gateway.file.read_text().replace("workers = 0\n", ""))
    gateway.workers = len(os.sched_getaffinity(0))
    try:
        gateway.start()
        assert len(gateway.worker_pids()) == gateway.workers
        assert gateway.stop() == 0
    finally:
        gateway.process.kill()
        gateway.process.wait()


def test_every_worker_gets_connections(tmp_path: Path) -> None:
    with running(tmp_path, workers=2) as gateway:
        tags = set()
        for _ in range(40):
            with gateway.connect() as connection:
                connection.sendall(post(chat()))
                tags.add(read_answer(connection)[1]["x-tidegate-run-id"][-8:])
        assert len(tags) == 2


def test_a_worker_sees_the_environment_and_keeps_no_descriptor_of_its_supervisor(tmp_path: Path) -> None:
    settings = '[integration.x]\nprovider = "openai"\ncredential = "env://CANARY"\n'
    with running(tmp_path, settings, workers=2, env={"CANARY": "secret-canary"}) as gateway:
        assert "secret-canary" not in gateway.log
        for pid in gateway.worker_pids():
            environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
            assert b"CANARY=secret-canary" in environment
            assert listening(pid) == {gateway.port}
        assert listening(gateway.process.pid) == {gateway.port, gateway.admin_port}


def listening(pid: int) -> set[int]:
    """The TCP ports on which a process listens."""
    held = set()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        held.add(os.readlink(link).removeprefix("socket:[").removesuffix("]"))
    rows = [line.split() for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]]
    return {int(row[1].split(":")[1], 16) for row in rows if row[3] == "0A" and row[9] in held}


def test_it_opens_as_many_files_as_it_may(tmp_path: Path) -> None:
    with running(tmp_path) as gateway:
        limits = Path(f"/proc/{gateway.worker_pids()[0]}/limits").read_text().splitlines()
        (soft, hard) = next(line.split()[3:5] for line in limits if line.startswith("Max open files"))
        assert soft == hard


def test_it_takes_as_many_clients_as_it_has_files_for(tmp_path: Path) -> None:
    most = 600 - 64 - 20  # files, those that are no connections, and those of calls to the provider
    with running(tmp_path, "[forward]\nconnections = 20\n", under=["prlimit", "--nofile=600"]) as gateway:
        with contextlib.ExitStack() as open_ones:
            clients = [open_ones.enter_context(gateway.connect()) for _ in range(most)]
            for client in clients:
                client.sendall(post(chat()))
            assert {read_answer(client).status for client in clients} == {200}
            with gateway.connect() as one_more:
                assert read_answer(one_more).status == 503
            clients[0].sendall(post(chat()))
            assert read_answer(clients[0]).status == 200
        until(lambda: gateway.ask(post(chat())).status == 200)


def test_calls_go_before_the_ledger_and_most_before_a_ledger_that_keeps_up(tmp_path: Path) -> None:
    with running(tmp_path) as gateway:
        assert gateway.ask(post(chat())).status == 200
        (ledger,) = children(gateway.process.pid, "tidegate-ledger")
        [worker] = gateway.worker_pids()
        assert os.getpriority(os.PRIO_PROCESS, worker) == 0
        threads = {int(each): os.getpriority(os.PRIO_PROCESS, int(each)) for each in os.listdir(f"/proc/{ledger}/task")}
        assert threads.pop(ledger) == 5
        assert sorted(threads.values()) == [0, 12]  # callers wait for subjects' keys


# signals


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_with_exit_code_zero(tmp_path: Path, number: signal.Signals) -> None:
    with running(tmp_path, workers=2) as gateway:
        workers = gateway.worker_pids()
        gateway.process.send_signal(number)
        assert gateway.process.wait(20) == 0
        assert not any(Path(f"/proc/{pid}").exists() for pid in workers)


def test_an_interrupt_from_the_terminal_drains_too(tmp_path: Path) -> None:
    """It goes to the workers as well, and they leave it to the supervisor."""
    with running(tmp_path, "drain = 10\n#rest\n", workers=2) as gateway, gateway.connect(20) as connection:
        connection.sendall(post(chat("simulated-pace-100+words-10", stream=True)))
        for pid in (*gateway.worker_pids(), gateway.process.pid):
            os.kill(pid, signal.SIGINT)
        assert read_answer(connection)[2].endswith(b"data: [DONE]\n\n")
        assert gateway.process.wait(20) == 0
        assert "Traceback" not in gateway.log


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_worker_ignores_the_signals_of_its_supervisor(tmp_path: Path, number: signal.Signals) -> None:
    with running(tmp_path) as gateway, gateway.connect() as connection:
        (worker,) = gateway.worker_pids()
        os.kill(worker, number)
        connection.sendall(post(chat()))
        assert read_answer(connection)[0] == 200
        assert gateway.worker_pids() == [worker]


def test_a_signal_in_its_first_instant_ends_it_too(tmp_path: Path) -> None:
    """Whatever the moment: no traceback, no process left behind."""
    for delay in (0.0, 0.1, 0.2, 0.3, 0.4):
        gateway = subprocess.Popen(
            [sys.executable, "-m", "tidegate", "serve", "--config", str(write(tmp_path, addresses()))],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        time.sleep(delay)
        gateway.send_signal(signal.SIGTERM)
        said, _ = gateway.communicate(timeout=20)
        assert gateway.returncode in (0, -signal.SIGTERM), said
        assert "Traceback" not in said
    with running(tmp_path):
        pass  # the data directory is free


def test_it_says_where_it_is_and_how_to_try_it(tmp_path: Path) -> None:
    with running(tmp_path, workers=2) as gateway:
        lines = gateway.log.splitlines()
        assert sum("curl " in line for line in lines) == 1
        assert sum(f"OPENAI_BASE_URL={gateway.url}/v1" in line for line in lines) == 1
        (curl,) = [line.strip() for line in lines if "curl " in line]
        done = subprocess.run(["sh", "-c", f"{curl} -s"], capture_output=True, text=True, timeout=20)
        assert '"choices"' in done.stdout, done


def policy(folder: Path, code: str, further: int = 0) -> Path:
    """Policies that deny every call for one reason, with so many rules that take time to compile."""
    folder.mkdir()
    deny = 'deny contains {{"code": "{}", "message": "m"}} if {}'
    rules = [deny.format(code, "true")]
    rules += [deny.format(f"a{n}", f'startswith(input.request.model, "a{n}")') for n in range(further)]
    (folder / "p.rego").write_text("\n\n".join(["package tidegate.admission", *rules, ""]))
    return folder


def denied_by(gateway: Gateway) -> set[str]:
    """The rules that a few calls, of all workers, are denied by."""
    answers = [json.loads(gateway.ask(post(chat())).body) for _ in range(8)]
    return {answer["error"]["rule"] for answer in answers}


def heard(gateway: Gateway, words: str) -> None:
    assert until(lambda: words in gateway.log), gateway.log


def test_of_settings_that_follow_each_other_the_last_are_in_force(tmp_path: Path) -> None:
    first, second = policy(tmp_path / "first", "first"), policy(tmp_path / "second", "second", further=300)
    with running(tmp_path / "gateway", f'[policy]\npath = "{first}"\n', workers=2) as gateway:
        gateway.write(f'[policy]\npath = "{second}"\n')
        gateway.process.send_signal(signal.SIGHUP)
        assert until(lambda: len(children(gateway.process.pid, "")) > 3)  # beside the workers and the sequencer
        gateway.write(f'[policy]\npath = "{first}"\n')
        gateway.process.send_signal(signal.SIGHUP)
        heard(gateway, "settings reloaded by 2 of 2 workers")
        assert denied_by(gateway) == {"first"}
        gateway.write(f'[policy]\npath = "{second}"\n')
        gateway.process.send_signal(signal.SIGHUP)
        assert until(lambda: denied_by(gateway) == {"second"})
        assert gateway.log.count("settings reloaded") == 2


def test_settings_whose_policies_cannot_be_in_force_are_refused_as_a_whole(tmp_path: Path) -> None:
    good, wrong = policy(tmp_path / "good", "good"), policy(tmp_path / "wrong", "wrong")
    (wrong / "p.rego").write_text("package tidegate.admission\n\ndeny contains {")
    with running(tmp_path / "gateway", f'[policy]\npath = "{good}"\n', workers=2) as gateway:
        gateway.write(f'[policy]\npath = "{wrong}"\n\n[accept]\nbody = 1000\n')
        gateway.process.send_signal(signal.SIGHUP)
        heard(gateway, f"settings not reloaded: {wrong}/p.rego:3:")
        assert denied_by(gateway) == {"good"}
        large = post(chat(text="x" * 2000))
        assert gateway.ask(large).status == 403
        gateway.write(f'[policy]\npath = "{good}"\n\n[accept]\nbody = 1000\n')
        gateway.process.send_signal(signal.SIGHUP)
        assert until(lambda: gateway.ask(large).status == 413)


def test_a_worker_that_begins_without_policies_blocks_every_call(tmp_path: Path) -> None:
    place = policy(tmp_path / "policy", "good")
    with running(tmp_path / "gateway", f'[policy]\npath = "{place}"\n') as gateway:
        (place / "p.rego").write_text("package tidegate.admission\n\ndeny contains {")
        heard(gateway, "was refused")
        assert denied_by(gateway) == {"good"}
        (worker,) = gateway.worker_pids()
        os.kill(worker, signal.SIGKILL)
        heard(gateway, "there is none in force")
        assert json.loads(gateway.ask(post(chat())).body)["error"]["code"] == "policy_error"
        (place / "p.rego").write_text('package tidegate.admission\n\ndeny contains {"code": "new", "message": "m"}\n')
        heard(gateway, "is in force")


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is absent")
def test_it_stays_when_no_process_can_be_made_for_a_while(tmp_path: Path) -> None:
    with running(tmp_path, workers=2) as gateway:
        command = ["strace", "-p", str(gateway.process.pid), "-e", "trace=clone,clone3,vfork"]
        command += ["-e", "inject=clone,clone3,vfork:error=EAGAIN"]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as traced:
            assert traced.stderr is not None
            if "attached" not in (line := traced.stderr.readline()):
                pytest.skip(f"tracing is not allowed here: {line}")
            os.kill(gateway.worker_pids()[0], signal.SIGKILL)
            heard(gateway, "worker 0 cannot start: resource temporarily unavailable")
            assert gateway.process.poll() is None
            traced.terminate()
        assert until(lambda: len(gateway.worker_pids()) == 2)
        assert gateway.ask(post(chat())).status == 200


def test_a_reader_of_its_output_may_leave(tmp_path: Path) -> None:
    """`tidegate serve | head -1` must not end the gateway, whatever it has to say later."""
    port = free_port()
    file = write(tmp_path, f"{addresses(port)}workers = 1\n")
    command = [sys.executable, "-m", "tidegate", "serve", "--config", str(file)]
    env = {**os.environ, "PYTHONUNBUFFERED": ""}  # as a user has it, whatever the tests run with
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=env) as gateway:
        assert gateway.stdout is not None
        gateway.stdout.readline()
        gateway.stdout.close()
        gateway.send_signal(signal.SIGHUP)
        for _ in range(2):
            assert replaces_its_worker(gateway.pid)
            with socket.create_connection(("127.0.0.1", port), 10) as connection:
                connection.sendall(post(chat()))
                assert read_answer(connection)[0] == 200
        gateway.send_signal(signal.SIGTERM)
        assert gateway.wait(20) == 0


@pytest.mark.parametrize("output", [">/dev/full 2>&1", ">&- 2>&-"], ids=["a full disk", "closed"])
def test_what_it_says_may_be_lost(tmp_path: Path, output: str) -> None:
    under = ["sh", "-c", f'exec "$@" {output}', "sh"]
    with running(tmp_path, env={"PYTHONUNBUFFERED": ""}, under=under) as gateway:
        assert replaces_its_worker(gateway.process.pid)
        gateway.process.send_signal(signal.SIGHUP)
        assert gateway.ask(post(chat())).status == 200


def replaces_its_worker(gateway: int) -> bool:
    """Whether there is another one when the only one was killed."""
    (worker,) = children(gateway, "tidegate-w")
    os.kill(worker, signal.SIGKILL)
    return until(lambda: children(gateway, "tidegate-w") not in ([worker], []))
