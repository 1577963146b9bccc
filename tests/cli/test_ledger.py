"""`tidegate ledger` as a user has it: a ledger made, filled by a program, proved elsewhere, and harmed."""

import contextlib
import io
import json
import os
import pty
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.record.journals import records, write
from tidegate import Ledger
from tidegate.cli.app import main
from tidegate.record.records import Because, Decided, Intent, Outcome, Used, Who

ENGINE = Path(__file__).parents[2] / "engine"


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def environment() -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("TIDEGATE_", "OPENAI_"))}
    return {**inherited, "PYTHONPATH": str(ENGINE), "COLUMNS": "200", "PYTHONUNBUFFERED": "1"}


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "tidegate", "ledger", *arguments]


def ran(*arguments: str, code: int = 0) -> str:
    """What the command prints; errors where it ends with code 2. In this process, which starts no interpreter."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        patch.setattr(sys, "argv", ["tidegate", "ledger", *arguments])
        patch.setenv("COLUMNS", "200")
        with pytest.raises(SystemExit) as ended:
            main()
    assert (ended.value.code or 0) == code, out.getvalue() + err.getvalue()
    return err.getvalue() if code == 2 else out.getvalue()


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A ledger of 400 calls, and the ids of their runs."""
    folder = tmp_path_factory.mktemp("filled") / "ledger"
    decision = Decided("warn", b"p" * 32, (Because("late", "tidegate.admission.warn"),))
    runs = []
    with Ledger(folder, origin="example.org/ledger") as ledger:
        for number in range(400):
            run = ledger.new_run()
            who = Who(user=ledger.subject("acme", "user", str(number % 7)).pseudonym)
            usage = Used("provider", 12, 34)
            ended = Outcome(
                run=run, who=who, status=200, model="gpt-4o", decision=decision, provider=usage, cost=1_500_000
            )
            ledger.append(Intent(run=run, who=who))
            ledger.append(ended)
            runs.append(run.hex())
    return folder, runs


@pytest.fixture
def runs(filled: tuple[Path, list[str]]) -> list[str]:
    """The ledger `.tidegate/ledger` with 400 calls."""
    shutil.copytree(filled[0], ".tidegate/ledger")
    return filled[1]


def test_a_new_ledger_says_what_to_do_with_its_keys() -> None:
    said = ran("init", "--origin", "example.org/ledger")
    assert ".tidegate/ledger: a new ledger, `example.org/ledger`" in said
    assert "same disk" in said
    assert "*.pub to whoever is to verify it" in said
    assert "PRIVATE" not in said
    assert "has a ledger already" in ran("init", "--origin", "example.org/ledger", code=2)
    assert "cannot be the origin" in ran("init", "--ledger", "other", "--origin", "a b", code=2)
    assert not Path("other").exists()


def test_a_ledger_goes_where_it_is_told() -> None:
    apart = str(Path("apart").absolute())
    said = ran("init", "--origin", "example.org/x", "--ledger", "here", "--checkpoints", apart)
    assert (Path("apart") / "checkpoint").exists(), said
    assert "0 entries" in ran("verify", "here")
    Path("tidegate.toml").write_text('data = "elsewhere"\n')
    ran("init", "--origin", "example.org/y")
    assert Path("elsewhere/ledger/ledger.json").exists()
    assert ran("stats", "--json").startswith("{")


def test_a_ledger_is_verified_here_and_a_copy_of_its_log_anywhere(runs: list[str]) -> None:
    assert "801 entries, signed by example.org/ledger+" in ran("verify")
    assert "801 entries" in ran("verify", ".tidegate/ledger")
    assert "801 entries, 0 records wait in journals: no faults" in ran("fsck")
    shutil.copytree(".tidegate/ledger/log", "copy")
    Path("public").mkdir()
    for file in Path(".tidegate/ledger/keys").glob("*.pub"):
        shutil.copy(file, "public")
    shutil.move(".tidegate", "gone")
    assert "801 entries" in ran("verify", "copy", "--key", "public")
    assert "no checkpoint store was given" in ran("verify", "copy", "--key", "public")
    assert "801 entries" in ran("verify", "copy", "--key", next(str(path) for path in Path("public").iterdir()))
    assert "801 entries" in ran("verify", "copy", "--key", "public", "--key", "public")
    assert "public keys" in ran("verify", "copy", code=2)
    assert "neither a ledger nor a log" in ran("verify", "public", "--key", "public", code=2)
    assert "has no ledger" in ran("fsck", code=2)


@contextlib.contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """A folder on a medium that nobody can write to: for root that takes a mount, for others its mode."""
    if os.geteuid():
        folder.chmod(0o500)
        yield
        folder.chmod(0o700)
        return
    for mount in (["mount", "--bind", str(folder), str(folder)], ["mount", "-o", "remount,bind,ro", str(folder)]):
        if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
            pytest.skip("a read-only folder cannot be mounted here")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_copy_that_cannot_be_written_to_is_checked_like_any_other(runs: list[str]) -> None:
    folder = Path(".tidegate/ledger")
    with read_only(folder):
        assert "801 entries, 0 records wait in journals: no faults" in ran("fsck")
        assert "801 entries" in ran("verify")
        assert json.loads(ran("stats", "--json"))["indexed"] == 801
        assert ran("prove", runs[7]).startswith("c2sp.org/tlog-proof@v1")


def test_what_may_not_be_read_is_said(runs: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    exists = Path.exists

    def refused(path: Path) -> bool:
        if "ledger" in path.parts:
            raise PermissionError(13, "Permission denied")
        return exists(path)

    monkeypatch.setattr(Path, "exists", refused)
    assert ran("verify", code=2).endswith("ledger` cannot be read: permission denied\n")


WRONG_KEYS = [
    ("nothing", None, "cannot be read as public keys: no such file or directory"),
    ("not text", b"\xff\xfe", "cannot be read as public keys: it is not text"),
    ("no key", b"root:x:0\n", "cannot be read as public keys: a verifier key is written"),
    ("empty", b"# none\n", "has no public key"),
]


@pytest.mark.parametrize(("note", "data", "said"), WRONG_KEYS, ids=[row[0] for row in WRONG_KEYS])
def test_a_file_without_public_keys_is_named(runs: list[str], note: str, data: bytes | None, said: str) -> None:
    if data is not None:
        Path("some.pub").write_bytes(data)
    assert ran("verify", "--key", "some.pub", code=2).startswith(f"tidegate: `some.pub` {said}")


def test_every_fault_is_named_and_ends_with_code_1(runs: list[str]) -> None:
    entries = Path(".tidegate/ledger/log/tile/entries/001")
    data = bytearray(entries.read_bytes())
    data[1000] ^= 1
    entries.write_bytes(data)
    said = ran("verify", code=1)
    assert "fault: tile/entries/001: entry 2" in said
    assert said.endswith("1 fault\n")
    found = json.loads(ran("verify", "--json", code=1))
    assert found["entries"] == 801
    assert found["faults"][0]["place"] == "tile/entries/001"
    assert "log/tile/entries/001" in ran("fsck", code=1)


def test_a_receipt_proves_a_run_to_whoever_has_a_public_key(runs: list[str]) -> None:
    receipt = ran("prove", runs[7])
    Path("receipt").write_text(receipt)
    Path("public").mkdir()
    shutil.copytree(".tidegate/ledger/keys", "public", dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.key"))
    assert "801 entries" in ran("verify", "--receipt", "receipt")
    shutil.move(".tidegate", "gone")
    said = ran("check-receipt", "receipt", "--key", "public")
    assert "entry 16 of 801 of the log `example.org/ledger`" in said
    assert runs[7] in said
    found = json.loads(ran("check-receipt", "receipt", "--key", "public", "--json"))
    assert (found["proved"], found["size"], found["record"]["kind"]) == (True, 801, "outcome")
    assert found["record"]["run"] == runs[7]
    assert found["record"]["decision"]["reasons"] == [{"code": "late", "rule": "tidegate.admission.warn"}]
    Path("receipt").write_text(receipt.replace("index 1", "index 2", 1))
    assert "proves nothing" in ran("check-receipt", "receipt", "--key", "public", code=1)
    assert json.loads(ran("check-receipt", "receipt", "--key", "public", "--json", code=1))["proved"] is False
    assert "cannot be read" in ran("check-receipt", "nothing", "--key", "public", code=2)


def test_a_receipt_is_for_the_record_that_was_asked_for(runs: list[str]) -> None:
    Path("receipt").write_text(ran("prove", runs[3], "--kind", "intent"))
    assert json.loads(ran("check-receipt", "receipt", "--json"))["record"]["kind"] == "intent"
    assert "no aborted of the run" in ran("prove", runs[3], "--kind", "aborted", code=2)
    assert "26 hexadecimal digits" in ran("prove", "xyz", code=2)
    assert "no record of the run" in ran("prove", "0" * 26, code=2)


def test_the_last_entries_are_shown_for_people_and_machines(runs: list[str]) -> None:
    lines = ran("tail", "-n", "3").splitlines()
    assert len(lines) == 3
    assert lines[-1].startswith("800 ")
    records = [json.loads(line) for line in ran("tail", "-n", "300", "--json").splitlines()]
    place = f"0/{records[-1]['epoch']}/800"
    assert f"outcome       {place} {runs[-1]} 200 warn late gpt-4o 12+34 tokens (provider) $0.015000" in lines[-1]
    assert [each["index"] for each in records] == list(range(501, 801))
    assert records[-1]["provider"]["output"] == 34
    assert len(records[-1]["who"]["user"]) == 32
    assert ran("tail", "-n", "0") == ""


def test_what_comes_is_followed(runs: list[str]) -> None:
    with subprocess.Popen(
        command("tail", "-n", "1", "--follow"),
        env={**environment(), "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        text=True,
    ) as following:
        assert following.stdout is not None
        assert following.stdout.readline().startswith("800 ")
        with Ledger(".tidegate/ledger") as ledger:
            run = ledger.new_run()
            ledger.wait(ledger.append(Outcome(run=run)))
        said = [following.stdout.readline() for _ in range(2)]
        following.send_signal(signal.SIGINT)
    assert any(run.hex() in line for line in said)
    assert following.returncode == 130


def test_the_parts_are_measured(runs: list[str]) -> None:
    found = json.loads(ran("stats", "--json"))
    assert (found["entries"], found["indexed"], found["intent"], found["outcome"], found["begun"]) == (
        801,
        801,
        400,
        400,
        0,
    )
    assert (found["segments"], found["same_disk"], found["origin"]) == (0, True, "example.org/ledger")
    assert "entries        801" in ran("stats")


def test_a_user_is_erased_by_the_process_that_holds_the_keys(runs: list[str]) -> None:
    assert "nobody answers" in ran("erase", "--tenant", "acme", "--user", "3", code=2)
    with Ledger(".tidegate/ledger"):
        assert "belongs to nobody any more" in ran("erase", "--tenant", "acme", "--user", "3")
        assert "has no key for this user" in ran("erase", "--tenant", "acme", "--user", "3", code=2)
        assert "either --user or --key" in ran("erase", "--tenant", "acme", "--user", "3", "--key", "x", code=2)
    assert "erasure" in ran("tail", "-n", "2")
    assert "no faults" in ran("fsck")


def test_keys_are_added_and_retired_while_old_signatures_stay_good(runs: list[str]) -> None:
    old = [line.split()[1] for line in ran("keys").splitlines()]
    assert len(old) == 2
    assert ran("keys", "--add").count("signs") == 4
    Ledger(".tidegate/ledger").close()
    for name in old:
        assert "retired" in ran("keys", "--retire", Path(name).stem)
    Ledger(".tidegate/ledger").close()
    said = ran("verify")
    assert said.count(", example.org/ledger+") == 1
    assert Path(old[0]).stem not in said
    assert "no faults" in said


def test_progress_is_shown_on_a_terminal_and_nowhere_else(runs: list[str]) -> None:
    ours, theirs = pty.openpty()
    done = subprocess.run(command("verify"), env=environment(), stdout=subprocess.PIPE, stderr=theirs, timeout=60)
    os.close(theirs)
    shown = os.read(ours, 65_536).decode()
    os.close(ours)
    assert done.returncode == 0
    assert "tree" in shown
    assert "statements" in shown


def test_help_says_what_the_exit_codes_mean() -> None:
    said = ran("--help")
    for words in (
        "Exit code 0",
        "1: a fault",
        "2: wrong",
        "init",
        "verify",
        "fsck",
        "prove",
        "check-receipt",
        "tail",
        "stats",
    ):
        assert words in said


PROCESS = """
import sys
from pathlib import Path
from tidegate.serve.sequencer import run
run(Path(sys.argv[1]), 0, print)
"""


def test_a_sequencer_process_takes_in_what_others_write_and_ends_cleanly(runs: list[str]) -> None:
    """The gateway's process, as its supervisor starts it: until the other end of its pipe is closed."""
    journal = Path(".tidegate/ledger/journal")
    start = [sys.executable, "-c", PROCESS, ".tidegate/ledger"]
    with subprocess.Popen(start, env=environment(), stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        write(journal, 3, 50, records(3, 50, 1000))
        until = time.monotonic() + 20
        while json.loads(ran("stats", "--json"))["entries"] < 1801 and time.monotonic() < until:
            time.sleep(0.1)
        second = subprocess.run(start, env=environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True)
        assert "written by another process" in second.stderr
        write(journal, 3, 51, records(3, 51, 10))
        process.stdin.close()
        assert process.wait(20) == 0
    assert json.loads(ran("stats", "--json"))["outcome"] == 400 + 505
    assert list(journal.glob("*.segment")) == []
    assert "no faults" in ran("fsck")
