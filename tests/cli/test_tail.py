"""`tidegate tail` beside a gateway that runs, is killed, restarts and stops."""

import contextlib
import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.test_ledger import environment
from tests.cli.test_runs import ran
from tests.gateway import Gateway, chat, post, running
from tidegate.cli.naming import Names
from tidegate.cli.tail import said
from tidegate.record.places import Places
from tidegate.record.records import Because, Decided, Outcome

RULES = """package tidegate.admission

deny contains {"code": "not_here", "message": "m"} if input.request.model == "gpt-4o"

warn contains {"code": "late", "message": "m"} if input.request.model == "gpt-4.1"
"""
ANSWERS = """package tidegate.response

deny contains {"code": "held_back", "message": "m"} if input.request.model == "gpt-5"
"""


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    folder = tmp_path_factory.mktemp("gateway")
    (folder / "policy").mkdir()
    (folder / "policy" / "a.rego").write_text(RULES)
    (folder / "policy" / "b.rego").write_text(ANSWERS)
    with running(folder / "gateway", f'[policy]\npath = "{folder}/policy"\n', workers=2) as started:
        yield started


def asked(gateway: Gateway, **fields: object) -> str:
    return gateway.ask(post(chat(**fields))).fields["x-tidegate-run-id"]  # type: ignore[arg-type]


def tailed(gateway: Gateway, *more: str, code: int = 0) -> str:
    return ran("tail", "--no-follow", "--config", str(gateway.file), *more, code=code)


def runs(said: str) -> list[str]:
    return [json.loads(line)["run"] for line in said.splitlines()]


class Following:
    """The command as it follows, with its output."""

    def __init__(self, gateway: Gateway, *more: str) -> None:
        command = [sys.executable, "-m", "tidegate", "tail", "--config", str(gateway.file), *more]
        self.process = subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self._patience = 20.0
        self._came = b""  # several lines may come at once

    def line(self) -> str:
        """The next line."""
        assert self.process.stdout is not None
        while b"\n" not in self._came:
            ready, _, _ = select.select([self.process.stdout], [], [], self._patience)
            assert ready, "nothing comes"
            new = os.read(self.process.stdout.fileno(), 65536)
            assert new, f"it ended: {self._came!r}"
            self._came += new
        line, _, self._came = self._came.partition(b"\n")
        return line.decode()

    def record(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.line())
        return found

    def end(self) -> str:
        """Interrupts it; what it said meanwhile."""
        self.process.send_signal(signal.SIGINT)
        said, _ = self.process.communicate(timeout=20)
        assert self.process.returncode == 130
        return (self._came + said).decode()


@contextlib.contextmanager
def following(gateway: Gateway, *more: str) -> Iterator[Following]:
    made = Following(gateway, *more)
    try:
        yield made
    finally:
        if made.process.poll() is None:
            made.process.kill()
            made.process.communicate()


def test_a_call_is_a_line(gateway: Gateway) -> None:
    run = asked(gateway, model="gpt-4.1")
    [line] = tailed(gateway, "-n", "1").splitlines()
    when, rest = line[:23], line[24:]
    assert time.strptime(when[:19], "%Y-%m-%d %H:%M:%S")
    words = rest.split()
    assert words[:6] == [run, "warn", "200", "default", "chat.completions", "gpt-4.1"]
    assert words[6] == "late"
    assert words[8:10] == ["tokens", "(provider)"]
    assert words[10].startswith("$0.")
    assert words[-1] == "ms"


def test_a_refusal_is_a_line_with_its_rule(gateway: Gateway) -> None:
    run = asked(gateway, model="gpt-4o")
    [line] = tailed(gateway, "-n", "1").splitlines()
    assert f"{run} block    403 default chat.completions gpt-4o not_here policy_denied" in line


def test_a_shell_without_the_provider_s_credential_may_look(gateway: Gateway) -> None:
    file = gateway.folder / "elsewhere.toml"
    more = "[integration.a]\nprovider = 'openai'\ncredential = 'env://NOT_IN_THIS_SHELL'\n"
    file.write_text(gateway.file.read_text() + more)
    run = asked(gateway)
    assert run in ran("tail", "--no-follow", "--config", str(file))
    assert run in ran("runs", "show", run, "--config", str(file))


def test_a_line_comes_as_its_call_ends(gateway: Gateway) -> None:
    before = asked(gateway)
    with following(gateway, "-n", "1", "--json") as tail:
        assert tail.record()["run"] == before  # it follows from here on
        for model in ("gpt-4o-mini", "gpt-4o"):
            run = asked(gateway, model=model)
            found = tail.record()
            assert (found["run"], found["model"], found["tenant"]) == (run, model, "default")
        assert tail.end() == ""


def test_the_last_ones_are_shown_first(gateway: Gateway) -> None:
    made = [asked(gateway) for _ in range(6)]
    assert runs(tailed(gateway, "-n", "4", "--json")) == made[-4:]
    assert tailed(gateway, "-n", "0") == ""
    time.sleep(1.5)  # the log has them by now
    assert runs(tailed(gateway, "-n", "4", "--json")) == made[-4:]


FILTERS = [
    ("refused", ("--blocked",), {"gpt-4o", "gpt-5"}),
    ("a model", ("--model", "gpt-4.1"), {"gpt-4.1"}),
    ("models", ("--model", "gpt-4o*"), {"gpt-4o", "gpt-4o-mini"}),
    ("both", ("--blocked", "--model", "gpt-4.1"), set()),
    ("a tenant", ("--tenant", "default"), {"gpt-4o", "gpt-4.1", "gpt-4o-mini", "gpt-5"}),
]


@pytest.mark.parametrize(("note", "options", "models"), FILTERS, ids=[row[0] for row in FILTERS])
def test_calls_are_chosen(gateway: Gateway, note: str, options: tuple[str, ...], models: set[str]) -> None:
    for model in ("gpt-4o", "gpt-4.1", "gpt-4o-mini", "gpt-5"):
        asked(gateway, model=model)
    asked(gateway, model="gpt-5", stream=True)
    found = [json.loads(line) for line in tailed(gateway, "-n", "100", "--json", *options).splitlines()]
    assert {each["model"] for each in found} == models
    if "gpt-5" in models:
        assert {each["stream"] for each in found if each["model"] == "gpt-5"} == {False, True}


def test_a_tenant_that_the_ledger_does_not_know_is_said_and_not_made(gateway: Gateway) -> None:
    for _ in range(2):
        assert "knows no tenant `nobody`" in tailed(gateway, "--tenant", "nobody", code=2)


def test_tenants_and_keys_have_their_names(tmp_path: Path) -> None:
    with running(tmp_path) as gateway:
        made = json.loads(ran("keys", "create", "--tenant", "acme", "--json", "--config", str(gateway.file)))
        fields = f"Authorization: Bearer {made['key']}\r\n"
        run = gateway.ask(post(chat(), fields=fields)).fields["x-tidegate-run-id"]
        [found] = [json.loads(line) for line in tailed(gateway, "--json", "--tenant", "acme").splitlines()]
        assert (found["run"], found["tenant"], found["key"]) == (run, "acme", made["id"])
        assert made["key"] not in tailed(gateway, "--json")
        ran("ledger", "erase", "--tenant", "acme", "--config", str(gateway.file))
        [found] = [json.loads(line) for line in tailed(gateway, "--json").splitlines() if run in line]
        assert found["tenant"] is None
        assert "knows no tenant `acme`" in tailed(gateway, "--tenant", "acme", code=2)


def test_requests_of_nobody_known_are_a_line_now_and_then(tmp_path: Path) -> None:
    with running(tmp_path) as gateway:
        for _ in range(3):
            gateway.ask(post(b"{"))
    assert "refused before a caller was known: 3 x bad_body" in tailed(gateway)


@contextlib.contextmanager
def ending(gateway: Gateway) -> Iterator[Gateway]:
    """A gateway that is started and stopped inside; nothing of it is left."""
    try:
        yield gateway
    finally:
        if gateway.process.poll() is None:
            gateway.process.kill()
            gateway.process.wait()


def test_it_goes_on_through_kills_and_restarts(tmp_path: Path) -> None:
    """Every call is there once, whatever process died meanwhile; a call that died with its worker is said too."""
    made = []
    with ending(Gateway(tmp_path)) as gateway, contextlib.ExitStack() as ends:
        gateway.start()
        made.append(asked(gateway))
        tail = ends.enter_context(following(gateway, "--json"))
        assert tail.record()["run"] == made[0]
        with gateway.connect(20) as connection:
            connection.sendall(post(chat("simulated-pace-100+words-200", stream=True)))
            aborted = connection.recv(65536).split(b"x-tidegate-run-id: ")[1][:26].decode()
            [worker] = gateway.worker_pids()
            os.kill(worker, signal.SIGKILL)
            made.append(aborted)
        while gateway.worker_pids() in ([], [worker]):
            time.sleep(0.05)
        made.append(asked(gateway))
        assert gateway.stop() == 0
        gateway.start()
        made.append(asked(gateway))
        gateway.process.kill()  # its workers see that and drain
        gateway.process.wait()
        gateway.start()
        made.append(asked(gateway))
        found = [tail.record() for _ in made[1:]]
        assert [each["run"] for each in found] == made[1:]
        assert [each["kind"] for each in found] == ["aborted", "outcome", "outcome", "outcome"]
        assert gateway.stop() == 0
        assert tail.end() == ""
    assert runs(tailed(gateway, "--json")) == made


def test_colours_are_for_terminals(gateway: Gateway) -> None:
    asked(gateway, model="gpt-4o")
    assert "\x1b[" not in tailed(gateway, "-n", "1")
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "tidegate", "tail", "-n", "1", "--no-follow", "--config", str(gateway.file)]
    environ = {**environment(), "TERM": "xterm-256color"}
    environ.pop("NO_COLOR", None)
    done = subprocess.run(command, env=environ, stdout=theirs, timeout=60)
    os.close(theirs)
    shown = os.read(ours, 65_536).decode()
    os.close(ours)
    assert done.returncode == 0
    assert "\x1b[31mblock" in shown


def test_a_folder_without_a_ledger_is_said(tmp_path: Path) -> None:
    assert "has no ledger" in ran("tail", "--ledger", str(tmp_path), code=2)


STOPPED = Because("enough", "tidegate.stream.stop")
DENIED = Because("not_this", "tidegate.response.deny")
FLAGGED = Because("long", "tidegate.response.flag")


@pytest.mark.parametrize(
    ("note", "shadow", "flags", "stopped", "shown"),
    [
        ("the shadow alone would block", "block", (), "", True),
        ("a flag is no block", "block", (FLAGGED,), "", True),
        ("both flag", "warn", (FLAGGED,), "", False),
        ("the shadow would not have flagged", "allow", (FLAGGED,), "", True),
        ("both stop", "block", (STOPPED,), "policy", False),
        ("both hold back", "block", (DENIED, FLAGGED), "", False),
        ("a policy without an answer stopped it", "block", (), "policy", False),
        ("a limit stopped it, no policy", "allow", (), "limit", False),
        ("the shadow would have let it go on", "allow", (STOPPED,), "policy", True),
    ],
)
def test_a_shadow_is_told_of_where_it_would_have_done_another_thing(
    tmp_path: Path, note: str, shadow: str, flags: tuple[Because, ...], stopped: str, shown: bool
) -> None:
    record = Outcome(run=bytes(13), decision=Decided("allow"), shadow=Decided(shadow), flags=flags, stopped=stopped)
    assert (f"shadow={shadow}" in str(said(record, Names(Places(tmp_path)), False))) is shown, note
