"""SIGHUP: other settings are in force from the next request on, and no call notices."""

import asyncio
import http.client
import json
import os
import signal
import urllib.request
from base64 import b64encode
from pathlib import Path

import pytest

from tests.faults.load import Caller, Tally, calling
from tests.faults.test_hang import wait_for
from tests.faults.test_kill import kill_and_wait
from tests.gateway import Gateway, chat, children, free_port, post, read_all, read_answer, running
from tests.serve.test_supervisor import policy

DONE = b"data: [DONE]\n\n\r\n0\r\n\r\n"


def integration(*models: str, name: str = "built-in", more: str = "") -> str:
    """A simulated provider that serves these models."""
    return f'[integration.{name}]\nprovider = "simulated"\nmodels = {json.dumps(models)}\n{more}'


def reload(gateway: Gateway, settings: str, says: str = "settings reloaded by") -> None:
    """SIGHUP with other settings, until the supervisor has said so."""
    said = gateway.log.count(says)
    gateway.write(settings)
    gateway.process.send_signal(signal.SIGHUP)
    wait_for(f"the log says `{says}`", lambda: gateway.log.count(says) > said)


def ask(gateway: Gateway, model: str) -> tuple[int, dict[str, object]]:
    """One plain call."""
    with gateway.connect() as connection:
        connection.sendall(post(chat(model)))
        status, _, body = read_answer(connection)
        return status, json.loads(body)


def served(gateway: Gateway) -> list[str]:
    """The models that a worker lists."""
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=10)
    try:
        connection.request("GET", "/v1/models")
        return [row["id"] for row in json.loads(connection.getresponse().read())["data"]]
    finally:
        connection.close()


def everywhere(gateway: Gateway, expected: list[str]) -> bool:
    """Whether all workers have these settings, as far as a number of new connections can tell."""
    return all(served(gateway) == expected for _ in range(8 * gateway.workers))


def test_another_limit_of_bodies_is_in_force_for_the_next_request_of_a_connection(tmp_path: Path) -> None:
    """Also where its bodies come in chunks."""
    body = chat("one", text="x" * 5000)
    chunked = post(body).replace(b"Content-Length: %d" % len(body), b"Transfer-Encoding: chunked")
    request = chunked.replace(body, b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body))
    settings = integration("one") + "[accept]\nbody = "
    with running(tmp_path, settings + "10000") as gateway, gateway.connect() as connection:
        connection.sendall(request)
        assert read_answer(connection).status == 200
        reload(gateway, settings + "1000")
        wait_for("it is in force", lambda: gateway.ask(post(body)).status == 413)
        connection.sendall(request)
        assert read_answer(connection).status == 413


def test_changed_integrations_are_in_force_for_the_next_request(tmp_path: Path) -> None:
    with running(tmp_path, integration("one"), workers=2) as gateway:
        assert ask(gateway, "one")[0] == 200
        assert ask(gateway, "two")[0] == 404
        reload(gateway, integration("two"))
        wait_for("the new settings are in force", lambda: everywhere(gateway, ["two"]))
        assert ask(gateway, "one")[0] == 404
        assert ask(gateway, "two")[0] == 200


def test_a_kept_connection_follows(tmp_path: Path) -> None:
    with running(tmp_path, integration("one")) as gateway, gateway.connect() as connection:
        connection.sendall(post(chat("one")))
        assert read_answer(connection)[0] == 200
        reload(gateway, integration("two"))
        wait_for("the new settings are in force", lambda: everywhere(gateway, ["two"]))
        connection.sendall(post(chat("one")))
        assert read_answer(connection)[0] == 404
        connection.sendall(post(chat("two")))
        assert read_answer(connection)[0] == 200


def test_limits_change_too_also_for_connections_that_were_open(tmp_path: Path) -> None:
    with running(tmp_path) as gateway, gateway.connect() as connection:
        connection.sendall(post(chat(text="x" * 5000)))
        assert read_answer(connection)[0] == 200
        reload(gateway, "[accept]\nbody = 2000\n")
        wait_for("the new limit is in force", lambda: ask(gateway, "m" * 200 + "x" * 2000)[0] == 413)
        connection.sendall(post(chat(text="x" * 5000)))
        assert read_answer(connection)[0] == 413


def test_a_stream_under_way_ends_as_it_began(tmp_path: Path) -> None:
    """Though its integration is gone."""
    with running(tmp_path, integration("simulated-*")) as gateway, gateway.connect(20) as connection:
        connection.sendall(post(chat("simulated-pace-20+words-60", stream=True), fields="Connection: close\r\n"))
        begun = connection.recv(65536)
        reload(gateway, integration("other"))
        wait_for("the new settings are in force", lambda: everywhere(gateway, ["other"]))
        assert (begun + read_all(connection)).endswith(DONE)


WRONG = [
    ("not TOML", "[serve\n", "tidegate.toml:6:7"),
    ("an unknown key", "[accept]\nbodyy = 5\n", "did you mean `body`"),
    ("a value out of range", "[accept]\nbody = 0\n", "accept.body"),
    ("a credential that is nowhere", '[integration.x]\nprovider = "openai"\ncredential = "env://NOWHERE"\n', "NOWHERE"),
    ("an unknown provider", '[integration.x]\nprovider = "opnai"\n', "openai"),
]


def test_a_broken_file_leaves_the_last_good_settings_in_force_and_says_why(tmp_path: Path) -> None:
    with running(tmp_path, integration("one")) as gateway:
        for note, settings, reason in WRONG:
            printed = len(gateway.log)
            reload(gateway, settings, "settings not reloaded: ")
            assert reason in gateway.log[printed:], note
            assert "Traceback" not in gateway.log, note
            assert everywhere(gateway, ["one"]), note
        gateway.file.unlink()
        reload_without_file = gateway.log.count("settings not reloaded: ")
        gateway.process.send_signal(signal.SIGHUP)
        wait_for("it says so", lambda: gateway.log.count("settings not reloaded: ") > reload_without_file)
        assert ask(gateway, "one")[0] == 200
        reload(gateway, integration("two"))
        wait_for("the new settings are in force", lambda: everywhere(gateway, ["two"]))


def spent(gateway: Gateway) -> float:
    """What all calls cost, in dollars."""
    with urllib.request.urlopen(f"http://127.0.0.1:{gateway.admin_port}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith("tidegate_cost_usd_total{"))


def test_settings_that_a_worker_cannot_load_leave_nothing_behind(tmp_path: Path) -> None:
    """The supervisor could load them: the file of a vocabulary is broken afterwards, while policies are compiled."""

    def settings(model: str, price: int, more: str = "") -> str:
        costs = f'[prices.override]\ntwo = "input=0 output=0 request={price}"\n'
        return integration(model) + costs + more

    vocabulary = tmp_path / "own.tiktoken"
    vocabulary.write_bytes(b"".join(b"%b %d\n" % (b64encode(bytes([value])), value) for value in range(256)))
    rules = policy(tmp_path / "policy", "never", further=300)
    more = f'[vocabulary.own]\npath = "{vocabulary}"\nshape = "llama3"\nmodels = ["own"]\n[policy]\npath = "{rules}"\n'
    with running(tmp_path / "gateway", settings("one", 1)) as gateway:
        before = set(children(gateway.process.pid, ""))
        gateway.write(settings("one", 2, more))
        gateway.process.send_signal(signal.SIGHUP)
        wait_for("policies are compiled", lambda: set(children(gateway.process.pid, "")) - before)
        (compiling,) = set(children(gateway.process.pid, "")) - before
        os.kill(compiling, signal.SIGSTOP)
        vocabulary.write_bytes(b"rubbish")
        os.kill(compiling, signal.SIGCONT)
        wait_for("they are checked", lambda: "settings reloaded by 1 of 1 workers" in gateway.log)
        wait_for("the worker says so", lambda: "a worker keeps the settings that it has: " in gateway.log)
        reload(gateway, settings("two", 1))
        wait_for("the new settings are in force", lambda: everywhere(gateway, ["two"]))
        assert ask(gateway, "two")[0] == 200
        wait_for("the call is counted", lambda: spent(gateway))
        assert spent(gateway) == 1


def test_a_worker_that_is_replaced_after_a_reload_has_the_new_settings(tmp_path: Path) -> None:
    with running(tmp_path, integration("one"), workers=1) as gateway:
        reload(gateway, integration("two"))
        (victim,) = gateway.worker_pids()
        kill_and_wait(victim)
        assert served(gateway) == ["two"]


FIXED = [
    ("data", lambda g: 'data = "elsewhere"\n' + g.file.read_text()),
    ("serve.listen", lambda g: g.file.read_text().replace(f":{g.port}", f":{free_port()}")),
    ("serve.admin", lambda g: g.file.read_text().replace(f":{g.admin_port}", f":{free_port()}")),
    ("serve.workers", lambda g: g.file.read_text().replace("workers = 1", "workers = 2")),
]


@pytest.mark.parametrize(("key", "change"), FIXED, ids=[key for key, _ in FIXED])
def test_keys_that_need_a_restart_are_named_and_the_others_still_apply(tmp_path: Path, key: str, change) -> None:  # type: ignore[no-untyped-def]
    with running(tmp_path, integration("one")) as gateway:
        gateway.write(integration("two"))
        gateway.file.write_text(change(gateway))
        gateway.process.send_signal(signal.SIGHUP)
        wait_for("it is reloaded", lambda: "settings reloaded by" in gateway.log)
        (line,) = [line for line in gateway.log.splitlines() if "need a restart" in line or "needs a restart" in line]
        named = {name for name, _ in FIXED if f"`{name}`" in line}
        assert named == {key}, f"exactly what changed is named: {line}"
        wait_for("the rest is in force", lambda: everywhere(gateway, ["two"]))
        assert len(gateway.worker_pids()) == 1
        assert gateway.ask_admin("/readyz")[0] == 200


def test_settings_of_any_size_reach_the_workers(tmp_path: Path) -> None:
    """A company's table of aliases can be long."""
    aliases = "[integration.built-in.aliases]\n" + "".join(f'"team-{n}/model-{n}" = "one"\n' for n in range(60_000))
    with running(tmp_path, integration("one")) as gateway:
        reload(gateway, integration("one", more=aliases))
        wait_for("the last alias is served", lambda: ask(gateway, "team-59999/model-59999")[0] == 200)


async def reload_under_load(gateway: Gateway, times: int) -> Tally:
    tally = Tally()
    plain, stream = post(chat("kept")), post(chat("simulated-pace-5+words-30", stream=True))
    callers = [
        *(Caller(gateway.port, plain, tally) for _ in range(4)),
        *(Caller(gateway.port, plain, tally, fresh=True) for _ in range(4)),
        *(Caller(gateway.port, stream, tally, ending=DONE) for _ in range(4)),
    ]
    async with calling(callers):
        for number in range(times):
            await asyncio.sleep(0.2)
            await asyncio.to_thread(reload, gateway, integration("kept", "simulated-*", f"only-{number}"))
    return tally


@pytest.mark.parametrize("times", [10, pytest.param(300, marks=pytest.mark.long)])
def test_reloads_under_load_fail_no_call(tmp_path: Path, times: int) -> None:
    with running(tmp_path, integration("kept", "simulated-*"), workers=2) as gateway:
        tally = asyncio.run(reload_under_load(gateway, times))
        print(f"{times} reloads: {tally}")
        assert tally.clean, str(tally)
        assert not tally.refused
        assert not tally.stale, "a reload closed connections"
        assert everywhere(gateway, ["kept", f"only-{times - 1}"])


def test_a_reload_leaves_no_connection_to_a_provider_behind(tmp_path: Path) -> None:
    """Kept connections of settings that are no longer in force close, busy ones when their answer ends."""
    with running(tmp_path, integration("simulated-*")) as gateway:
        (worker,) = gateway.worker_pids()
        at_first = open_sockets(worker)
        with gateway.connect(20) as connection:
            connection.sendall(post(chat("simulated-pace-10+words-100", stream=True), fields="Connection: close\r\n"))
            begun = connection.recv(65536)
            for number in range(3):
                assert ask(gateway, "simulated-fast")[0] == 200
                reload(gateway, integration("simulated-*", f"only-{number}"))
                wait_for("it is in force", lambda number=number: everywhere(gateway, [f"only-{number}"]))
            assert open_sockets(worker) >= at_first + 3  # the client, and both ends of the call that is under way
            assert (begun + read_all(connection)).endswith(DONE)
        wait_for("nothing is left", lambda: open_sockets(worker) == at_first, 10)


def open_sockets(pid: int) -> int:
    """How many sockets a process has open."""
    links = []
    for link in Path(f"/proc/{pid}/fd").iterdir():
        try:
            links.append(str(link.readlink()))
        except FileNotFoundError:
            continue  # closed meanwhile
    return sum(link.startswith("socket:") for link in links)
