"""`tidegate runs show`: one run as it is recorded, wherever its records are by now, and the proof of it."""

import contextlib
import io
import json
import os
import re
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.gateway import Gateway, chat, children, post, running
from tests.record.journals import sequenced, write
from tidegate import Ledger
from tidegate.cli import runs as cli_runs
from tidegate.cli.app import main
from tidegate.record import layout
from tidegate.record.leaves import encode
from tidegate.record.records import (
    Aborted,
    Attempt,
    Because,
    Bodies,
    Cut,
    Decided,
    Draw,
    Intent,
    Outcome,
    Record,
    Seen,
    Spans,
    Used,
    Who,
)

RUN = bytes(range(13))


def ran(*arguments: str, code: int = 0) -> str:
    """What the command prints, or its error."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        patch.setattr(sys, "argv", ["tidegate", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
    assert (ended.value.code or 0) == code, out.getvalue() + err.getvalue()
    return err.getvalue() if code else out.getvalue()


def show(place: Path | Gateway, run: str, *more: str, code: int = 0) -> str:
    where = ("--config", str(place.file)) if isinstance(place, Gateway) else ("--ledger", str(place))
    return ran("runs", "show", run, *where, *more, code=code)


def document(place: Path | Gateway, run: str) -> dict[str, object]:
    found: dict[str, object] = json.loads(show(place, run, "--json"))
    return found


def sections(text: str) -> dict[str, list[str]]:
    """The lines of a run by section; those before the first under `run`."""
    found: dict[str, list[str]] = {}
    name = "run"
    for line in text.splitlines():
        if line.startswith("  "):
            found.setdefault(name, []).append(" ".join(line.split()))
        else:
            name = line.split()[0]
    return found


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    folder = tmp_path_factory.mktemp("gateway")
    (folder / "policy").mkdir()
    (folder / "policy" / "a.rego").write_text(
        "package tidegate.admission\n\n"
        'deny contains {"code": "not_here", "message": "m"} if input.request.model == "no"\n\n'
        'warn contains {"code": "late", "message": "m"} if input.request.model == "late"\n\n'
        'limit contains {"name": "purse", "measure": "requests", "max": 1, "per": "total"} if {\n'
        '\tinput.request.model == "spent"\n}\n'
    )
    (folder / "shadow").mkdir()
    (folder / "shadow" / "a.rego").write_text(
        'package tidegate.admission\n\ndeny contains {"code": "soon_not", "message": "m"} if true\n'
    )
    settings = f'[policy]\npath = "{folder}/policy"\nshadow = "{folder}/shadow"\n'
    with running(folder / "gateway", settings) as started:
        yield started


def asked(gateway: Gateway, **fields: object) -> str:
    return gateway.ask(post(chat(**fields))).fields["x-tidegate-run-id"]  # type: ignore[arg-type]


def proved(gateway: Gateway, run: str) -> str:
    """What is shown of a run when the log has all of it."""
    until = time.monotonic() + 20
    while "not in the log yet" in (said := show(gateway, run)):
        assert time.monotonic() < until, said
        time.sleep(0.1)
    return said


def test_a_call_is_shown_with_its_steps_and_its_proof(gateway: Gateway) -> None:
    run = asked(gateway, model="late", stream=True)
    found = sections(proved(gateway, run))
    assert found["run"][0].startswith("state ended, 200, after ")
    assert found["run"][1].startswith("tenant default (")
    assert [line.split(" +")[0].split(" 20")[0] for line in found["steps"]] == [
        "accepted",
        "decided",
        "sent",
        "first byte",
        "last byte",
    ]
    assert found["decision"][0].startswith("warn by policy ")
    assert found["decision"][1] == "late by tidegate.admission.warn"
    assert found["shadow"][0].startswith("block by policy ")
    assert found["shadow"][1] == "soon_not by tidegate.admission.deny"
    assert [line.split()[0] for line in found["usage"]] == ["provider", "counted", "estimated", "cost"]
    assert found["attempts"] == ["simulated 200"]
    assert found["edits"] == ["include_usage"]
    assert [line.split()[0] for line in found["commitments"]] == [
        "client_request",
        "upstream_request",
        "upstream_response",
        "client_response",
        "document",
    ]
    assert [line.split(" entry ")[0] for line in found["proof"]] == ["intent", "outcome"]
    assert all("included; signed by localhost/tidegate+" in line for line in found["proof"])


def test_a_refused_call_is_shown_with_the_rule(gateway: Gateway) -> None:
    found = sections(show(gateway, asked(gateway, model="no")))
    assert found["run"][0].startswith("state refused, 403, policy_denied")
    assert found["decision"][1] == "not_here by tidegate.admission.deny"
    assert "attempts" not in found
    assert [line.split()[0] for line in found["proof"]] == ["outcome"]


def test_a_limit_is_shown_where_it_is_drawn_from_and_named_where_it_refuses(gateway: Gateway) -> None:
    [drawn] = sections(show(gateway, asked(gateway, model="spent")))["limits"]
    assert re.fullmatch("requests [0-9a-f]{32} held 1, settled 1", drawn)  # without an end, as it is for ever
    run = asked(gateway, model="spent")
    assert sections(show(gateway, run))["decision"][1] == 'budget_exceeded by tidegate.admission.limit["purse"]'
    told = ran("tail", "--no-follow", "-n", "1", "--config", str(gateway.file))
    assert re.search(f"{run} block    429 default chat.completions - budget_exceeded\\(purse\\) [0-9.]+ ms", told)


def test_json_has_every_field_and_the_proof(gateway: Gateway) -> None:
    run = asked(gateway)
    proved(gateway, run)
    found = document(gateway, run)
    assert (found["run"], found["state"], found["tenant"], found["key"]) == (run, "ended", "default", None)
    intent, outcome = found["records"]  # type: ignore[misc]
    assert (intent["kind"], outcome["kind"]) == ("intent", "outcome")
    assert outcome["proof"]["entry"] == intent["proof"]["entry"] + 1 < outcome["proof"]["size"]
    assert outcome["spans"]["last_byte"] > outcome["spans"]["sent"] > 0


def test_a_run_is_shown_before_the_log_has_it(gateway: Gateway) -> None:
    """Also where the sequencer stands still: the journal has it."""
    asked(gateway)
    [sequencer] = children(gateway.process.pid, "tidegate-ledger")
    os.kill(sequencer, signal.SIGSTOP)
    try:
        run = asked(gateway)
        found = sections(show(gateway, run))
        assert found["run"][0].startswith("state ended, 200")
        assert found["proof"] == ["intent in a journal; not in the log yet", "outcome in a journal; not in the log yet"]
        assert [each["proof"] for each in document(gateway, run)["records"]] == [None, None]  # type: ignore[attr-defined]
    finally:
        os.kill(sequencer, signal.SIGCONT)
    assert "included" in proved(gateway, run)


def test_a_run_that_is_under_way_and_one_that_was_aborted(tmp_path: Path) -> None:
    with running(tmp_path) as gateway, gateway.connect(20) as connection:
        connection.sendall(post(chat("simulated-pace-100+words-200", stream=True)))
        run = connection.recv(65536).split(b"x-tidegate-run-id: ")[1][:26].decode()
        found = sections(show(gateway, run))
        assert found["run"][0] == "state under way: it has begun and not ended"
        assert found["attempts"] == ["simulated begun"]
        [worker] = gateway.worker_pids()
        os.kill(worker, signal.SIGKILL)
        until = time.monotonic() + 20
        while (found := sections(show(gateway, run)))["run"][0].startswith("state under way"):
            assert time.monotonic() < until
            time.sleep(0.05)
        assert found["run"][0].startswith("state aborted, worker_died, found at ")
        assert [line.split()[0] for line in sections(proved(gateway, run))["proof"]] == ["intent", "aborted"]


def test_a_run_of_a_stopped_gateway(tmp_path: Path) -> None:
    with running(tmp_path) as gateway:
        run = asked(gateway)
    assert "included" in show(gateway, run)


@pytest.mark.parametrize(
    ("note", "run", "said"),
    [
        ("nobody has it", "0" * 26, "there is no record of the run `00000000000000000000000000`, neither in the log"),
        ("too short", "abc", "a run is 26 hexadecimal digits, found `abc`"),
        ("not digits", "z" * 26, "a run is 26 hexadecimal digits"),
    ],
)
def test_a_run_that_does_not_exist_is_said(gateway: Gateway, note: str, run: str, said: str) -> None:
    assert said in show(gateway, run, code=2), note


def test_a_log_that_does_not_prove_a_run_is_said(tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger", origin="example.org/x") as ledger:
        run = ledger.new_run()
        ledger.append(Outcome(run=run, status=200))
        ledger.prove(run)
    path = next((tmp_path / "ledger/log/tile/entries").rglob("000.p/*"))
    data = path.read_bytes()
    path.write_bytes(data.replace(run, run[:-1] + bytes([run[-1] ^ 1])))
    assert "is not proved" in show(tmp_path / "ledger", run.hex(), code=2)


# records of every shape, in a ledger of their own


FULL = Outcome(
    run=RUN,
    who=Who(b"t" * 16, b"k" * 16, b"u" * 16, b"s" * 16, b"p" * 16),
    evidence="strict",
    endpoint="chat.completions",
    model="gpt-4o",
    status=200,
    error="limit_reached",
    client_left=True,
    decision=Decided("warn", b"p" * 32, (Because("late", "tidegate.admission.warn"),)),
    shadow=Decided("block", b"q" * 32),
    draws=(Draw(b"b" * 16, "usd", 100_000_000, 250_000_000, 1_800_000_000), Draw(b"c" * 16, "concurrent", 1, 0)),
    overdraft=True,
    shared=True,
    provider=Used("provider", 10, 20, cached=5, service="flex"),
    counted=Used("exact", 10, 21),
    estimated=Used("exact", 10, 100),
    cost=250_000_000,
    began=1_790_000_000_000_000_000,
    spans=Spans(1000, 2000, 3000, 1_500_000_000),
    attempts=(Attempt("one", 503, "upstream_failed"), Attempt("two", 200)),
    edits=("include_usage", "max_tokens"),
    capture="digest",
    bodies=Bodies(b"1" * 32),
    cut=Cut(reasons=3),
    seen=(Seen("budget", 5, 7, 2_500_000_000), Seen("other", 1, -1, 0)),
)


def kept(folder: Path, *records: Record) -> Path:
    """A ledger whose one journal has these records and is in no log yet."""
    Ledger(folder, origin="example.org/x").close()
    leaves = []
    for seq, record in enumerate(records, 1):
        leaves.append(encode(replace(record, worker=7, epoch=99, seq=seq, time=1_790_000_002 * 10**9)))
    write(folder / "journal", 7, 99, leaves)
    return folder


def test_everything_of_an_outcome_is_said(tmp_path: Path) -> None:
    intents = Intent(run=RUN, integration="one"), Intent(run=RUN, integration="two")
    found = sections(show(kept(tmp_path, *intents, FULL), RUN.hex()))
    assert found["run"][0] == "state ended, 200, limit_reached, client_left, overdraft, after 1.50 s"
    assert [line.split()[0] for line in found["run"][1:6]] == ["tenant", "key", "user", "session", "parent"]
    assert "evidence strict, capture digest" in found["run"]
    assert found["limits"] == [
        f"usd {(b'b' * 16).hex()} held $1.000000, settled $2.500000, overdraft, until 2027-01-15 08:00:00 UTC",
        f"concurrent {(b'c' * 16).hex()} held 1, settled 0",
        "shared from this machine's share, the fleet's server being away",
    ]
    assert found["usage"][0] == "provider 10 + 20 tokens, provider, cached 5, service flex"
    assert found["usage"][3].startswith("cost $2.500000 by the prices of nobody")
    assert found["attempts"] == ["one 503 upstream_failed", "two 200"]
    assert found["edits"] == ["include_usage", "max_tokens"]
    assert found["left"] == ["reasons 3"]
    assert found["told"] == [
        "budget used 5, remaining 7, in its unit; all of it again in 2.50 s",
        "other used 1, remaining unknown, in its unit; all of it again in 0.00 ms",
    ]
    assert len(found["proof"]) == 3


def test_what_a_run_that_is_under_way_holds(tmp_path: Path) -> None:
    draw = Draw(b"b" * 16, "tokens", 500)
    intent = Intent(run=RUN, integration="one", draws=(draw,), cost=1_000_000, estimated=Used("exact", 1, 2))
    found = sections(show(kept(tmp_path, intent), RUN.hex()))
    assert found["limits"] == [f"tokens {draw.bucket.hex()} held 500, not settled yet"]
    assert found["usage"][-1] == "cost at most $0.010000"


def test_a_run_whose_journal_ended_without_its_end_is_not_under_way(tmp_path: Path) -> None:
    found = sections(show(kept(tmp_path, Intent(run=RUN, integration="one")), RUN.hex()))
    assert found["run"][0] == "state lost: its journal has ended without its end"
    assert document(tmp_path, RUN.hex())["state"] == "lost"


def test_what_an_aborted_run_was_charged(tmp_path: Path) -> None:
    drawn = Draw(b"b" * 16, "requests", 1, 1)
    aborted = Aborted(run=RUN, reason="worker_died", draws=(drawn,))
    found = sections(show(kept(tmp_path, Intent(run=RUN, integration="one"), aborted), RUN.hex()))
    assert found["limits"] == [f"requests {drawn.bucket.hex()} held 1, settled 1"]
    assert found["steps"][0].endswith("for one")


def test_a_run_that_moves_into_the_log_while_it_is_looked_for_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its segment goes before it was read, which happens only when the log has it."""
    place = kept(tmp_path, FULL)

    def gone(*_: object) -> list[Record]:
        sequenced(layout.find(place))
        return []

    monkeypatch.setattr(cli_runs, "waiting", gone)
    assert "outcome entry" in " ".join(sections(show(place, RUN.hex()))["proof"])
