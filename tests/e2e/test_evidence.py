"""Every call is on record: what left, how it ended, what it used; nothing of what was said, and nothing twice."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.ledgers import Said
from tests.gateway import Gateway, Told, chat, children, post, read_answer, running
from tests.providers import integration, simulated, until
from tidegate.record import layout
from tidegate.record.records import Aborted, Gap, Intent, Outcome, PolicyLoaded, Refusals
from tidegate.record.subject_service import key_of
from tidegate.record.subjects import Subject, identity

RUN = "x-tidegate-run-id"
PATHS: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"messages": [{"role": "user", "content": "how high is the tide"}], "max_tokens": 20},
    "/v1/completions": {"prompt": "how high is the tide", "max_tokens": 20},
    "/v1/responses": {"input": "how high is the tide"},
    "/v1/messages": {"messages": [{"role": "user", "content": "how high is the tide"}], "max_tokens": 20},
    "/v1/embeddings": {"input": "how high is the tide"},
}
POLICY = """
package tidegate.admission

deny contains {"code": "no_blue", "message": "not blue"} if input.request.model == "blue"

evidence := input.request.metadata.evidence
"""


ONE_CALL = """
package tidegate.admission

limit contains {"name": "one", "measure": "requests", "max": 1, "per": "total"}
"""


def call(path: str, model: str = "simulated", **more: object) -> bytes:
    return post(json.dumps(PATHS[path] | {"model": model} | more).encode(), path)


@pytest.mark.parametrize("evidence", ["async", "response", "strict"])
def test_every_call_is_on_record_with_what_it_used(tmp_path: Path, evidence: str) -> None:
    told: dict[str, tuple[str, bool, Told]] = {}
    with simulated() as provider:
        settings = f'[record]\nevidence = "{evidence}"\n' + integration(provider.port, "simulated")
        with running(tmp_path, settings, workers=2) as gateway:
            for path in PATHS:
                for stream in (False, True):
                    if stream and path == "/v1/embeddings":
                        continue
                    answer = gateway.ask(call(path, **({"stream": True} if stream else {})))
                    assert answer.status == 200
                    told[answer.fields[RUN]] = path, stream, answer
        billed = provider.ledger.prompt_tokens, provider.ledger.output_tokens
    said = Said(tmp_path / ".tidegate")
    used = [0, 0]
    for run, (path, stream, _) in told.items():
        assert said.kinds(run) == ["Intent", "Outcome"], path
        outcome = said.outcome(run)
        assert (outcome.status, outcome.error, outcome.stream) == (200, "", stream)
        assert outcome.evidence == evidence
        assert outcome.provider is not None
        assert (outcome.counted is not None) == stream  # a whole answer is counted only where nobody reports
        assert outcome.cost > 0
        used[0] += outcome.provider.input
        used[1] += outcome.provider.output
    assert tuple(used) == billed


@pytest.fixture
def policies(tmp_path: Path) -> Path:
    folder = tmp_path / "policies"
    folder.mkdir()
    (folder / "p.rego").write_text(POLICY)
    return folder


def test_refusals_are_outcomes_and_decisions_say_which_evidence(tmp_path: Path, policies: Path) -> None:
    settings = f'[policy]\npath = "{policies}"\n'
    with running(tmp_path, settings) as gateway:
        denied = gateway.ask(post(chat("blue")))
        strict = gateway.ask(post(chat(metadata={"evidence": "strict"})))
        unserved = gateway.ask(post(chat("x" * 300)))
        broken = gateway.ask(post(chat("simulated-error-500")))
    assert (denied.status, strict.status, unserved.status) == (403, 200, 400)
    said = Said(tmp_path / ".tidegate")
    assert said.kinds(denied.fields[RUN]) == ["Outcome"]
    outcome = said.outcome(denied.fields[RUN])
    assert (outcome.status, outcome.error, outcome.decision.action) == (403, "policy_denied", "block")
    assert [reason.code for reason in outcome.decision.reasons] == ["no_blue"]
    assert len(outcome.decision.policy) == 32
    assert said.outcome(strict.fields[RUN]).evidence == "strict"
    assert said.outcome(strict.fields[RUN]).decision.policy == outcome.decision.policy
    assert said.outcome(broken.fields[RUN]).status == broken.status
    assert said.kinds(unserved.fields[RUN]) == []  # nobody was known yet: it is one of a number


def test_a_flood_of_nobody_s_requests_is_a_number(tmp_path: Path) -> None:
    with running(tmp_path) as gateway:
        for _ in range(200):
            assert gateway.ask(post(chat(), "/v1/nowhere")).status == 404
        for _ in range(3):
            assert gateway.ask(post(b"{", "/v1/chat/completions")).status == 400
    said = Said(tmp_path / ".tidegate")
    assert not said.of
    counts: dict[str, int] = {}
    refused = [record for record in said.records if isinstance(record, Refusals)]
    for record in refused:
        for code, count in record.counts:
            counts[code] = counts.get(code, 0) + count
    assert counts == {"not_found": 200, "bad_body": 3}
    assert len(refused) <= 3


def test_nothing_that_a_caller_wrote_stands_in_the_ledger(tmp_path: Path) -> None:
    canaries = ["canary-user", "canary-session", "canary-text", "canary-tag", "canary-model", "canary-tool"]
    fields = "X-Session-ID: canary-session\r\nx-tidegate-tags: canary-tag\r\n"
    tools = [{"type": "function", "function": {"name": "canary-tool"}}]
    with running(tmp_path) as gateway:
        for model in ("gpt-4o", "canary-model"):
            body = chat(model, "canary-text", user="canary-user", tools=tools)
            assert gateway.ask(post(body, fields=fields)).status == 200
    said = Said(tmp_path / ".tidegate")
    assert len(said.of) == 2
    for path in (tmp_path / ".tidegate" / "ledger").rglob("*"):
        if path.is_file():
            written = path.read_bytes()
            assert not [canary for canary in canaries if canary.encode() in written], path
    models = {outcome.model for run in said.of for outcome in [said.outcome(run)]}
    assert models == {"gpt-4o", ""}


def test_what_passed_can_be_shown_to_be_what_is_on_record(tmp_path: Path) -> None:
    asked = chat("gpt-4o", stream=True, user="u1")
    with simulated() as provider:
        settings = integration(provider.port, "simulated")
        with running(tmp_path, settings) as gateway:
            answer = gateway.ask(post(asked))
            place = layout.find(tmp_path / ".tidegate" / "ledger")
            whose = identity("default", "user", "u1")
            subject = Subject(whose, key_of(place.socket, whose))
    run = answer.fields[RUN]
    bodies = Said(tmp_path / ".tidegate").outcome(run).bodies
    raw = bytes.fromhex(run)
    assert bodies.client_request == sha256(subject.salt(raw, "client_request") + asked).digest()
    assert bodies.client_response == sha256(subject.salt(raw, "client_response") + answer.body).digest()
    asked_above = asked.replace(b"{", b'{"stream_options":{"include_usage":true},', 1)
    assert bodies.upstream_request == sha256(subject.salt(raw, "upstream_request") + asked_above).digest()
    assert bodies.upstream_response not in (b"", bodies.client_response)


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_that_is_held_back_is_not_on_record_as_one_that_the_client_got(tmp_path: Path, stream: bool) -> None:
    rules = tmp_path / "rules"
    rules.mkdir()
    (rules / "all.rego").write_text("package tidegate.admission\n")
    (rules / "no.rego").write_text(
        "package tidegate.response\n\nimport rego.v1\n\n"
        'deny contains {"code": "no", "message": "no"} if startswith(input.output.text, "")\n'
    )
    settings = f'[policy]\npath = "{rules}"\n'
    with running(tmp_path, settings) as gateway:
        answer = gateway.ask(post(chat("simulated-pace-40+words-20", stream=stream, user="u1")))
        place = layout.find(tmp_path / ".tidegate" / "ledger")
        whose = identity("default", "user", "u1")
        subject = Subject(whose, key_of(place.socket, whose))
    assert b"response_denied" in answer.body
    outcome = Said(tmp_path / ".tidegate").outcome(answer.fields[RUN])
    assert outcome.error == "response_denied"
    assert outcome.bodies.upstream_response
    expected = sha256(subject.salt(bytes.fromhex(answer.fields[RUN]), "client_response") + answer.body).digest()
    assert outcome.bodies.client_response == (expected if stream else b"")


def test_calls_of_a_killed_worker_are_aborted_and_no_other(tmp_path: Path) -> None:
    with running(tmp_path) as gateway:
        done = gateway.ask(post(chat())).fields[RUN]
        with gateway.connect() as slow:
            slow.sendall(post(chat("simulated-pace-50+words-400", stream=True)))
            head = b""
            while b"\r\n\r\n" not in head:
                head += slow.recv(4096)
            run = next(line for line in head.decode("latin-1").lower().split("\r\n") if line.startswith(RUN))
            (victim,) = gateway.worker_pids()
            os.kill(victim, signal.SIGKILL)
        assert until(lambda: gateway.worker_pids() not in ([], [victim]))
        assert until(lambda: gateway.ask_admin("/readyz")[0] == 200)
        after = gateway.ask(post(chat())).fields[RUN]
    said = Said(tmp_path / ".tidegate")
    assert said.kinds(run.split(": ")[1]) == ["Intent", "Aborted"]
    assert said.kinds(done) == said.kinds(after) == ["Intent", "Outcome"]


def test_a_client_that_leaves_is_on_record(tmp_path: Path) -> None:
    with running(tmp_path) as gateway:
        with gateway.connect() as client:
            client.sendall(post(chat("simulated-pace-20+words-400", stream=True)))
            head = b""
            while head.count(b"data:") < 5:
                head += client.recv(4096)
        time.sleep(0.2)
    (outcome,) = [record for record in Said(tmp_path / ".tidegate").records if isinstance(record, Outcome)]
    assert outcome.client_left
    assert outcome.counted is not None
    assert outcome.counted.output > 0


def test_the_writer_of_the_ledger_may_be_killed(tmp_path: Path) -> None:
    """Its successor goes on where the log is; calls do not notice."""
    runs = []
    with running(tmp_path) as gateway:
        for _ in range(4):
            runs += [gateway.ask(post(chat())).fields[RUN] for _ in range(5)]
            (victim,) = children(gateway.process.pid, "tidegate-ledger")
            os.kill(victim, signal.SIGKILL)
            runs += [gateway.ask(post(chat())).fields[RUN] for _ in range(5)]
            assert until(lambda: children(gateway.process.pid, "tidegate-ledger") not in ([], [victim]))
    said = Said(tmp_path / ".tidegate")
    assert [said.kinds(run) for run in runs] == [["Intent", "Outcome"]] * len(runs)


def test_a_gateway_leaves_nothing_in_shared_memory(tmp_path: Path) -> None:
    before = set(Path("/dev/shm").iterdir())
    with running(tmp_path, workers=2) as gateway:
        assert gateway.ask(post(chat())).status == 200
        (place,) = [each for each in set(Path("/dev/shm").iterdir()) - before if rings_of(each, tmp_path)]
    assert not place.exists()


def rings_of(place: Path, folder: Path) -> bool:
    """Whether this is where the gateway of a folder has its workers' rings."""
    whose = sha256(str(folder / ".tidegate" / "ledger").encode()).hexdigest()[:16]
    return place.name == f"tidegate-{os.getuid()}-{whose}"


def test_a_gateway_that_was_killed_goes_on_with_its_ledger(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path, workers=2).start()
    first = gateway.ask(post(chat())).fields[RUN]
    pids = [gateway.process.pid, *gateway.worker_pids(), *children(gateway.process.pid, "tidegate-ledger")]
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    gateway.process.wait()
    with running(tmp_path, workers=2) as successor:
        second = successor.ask(post(chat())).fields[RUN]
    said = Said(tmp_path / ".tidegate")
    assert said.kinds(first) == said.kinds(second) == ["Intent", "Outcome"]


@pytest.mark.parametrize("counter", [None, "0\n"])
def test_no_call_hides_behind_the_number_of_an_earlier_life(tmp_path: Path, counter: str | None) -> None:
    """Whoever sets the counter of lives back does not make records pass for such as the log has."""
    file, runs = tmp_path / ".tidegate" / "ledger" / "journal" / "epoch", []
    for count in (9, 5):
        with running(tmp_path) as gateway:
            runs += [gateway.ask(post(chat())).fields[RUN] for _ in range(count)]
        file.unlink() if counter is None else file.write_text(counter)
    said = Said(tmp_path / ".tidegate")
    assert [said.kinds(run) for run in runs] == [["Intent", "Outcome"]] * 14


@pytest.mark.parametrize("by", ["serve", "ledger init"])
def test_a_gateway_that_was_killed_and_whose_data_is_gone_begins_anew(tmp_path: Path, by: str) -> None:
    """What it has left in shared memory is not its successor's: no damage, no worker lost over it, nothing spent."""
    (tmp_path / "policy").mkdir()
    (tmp_path / "policy" / "a.rego").write_text(ONE_CALL)
    settings = f'[policy]\npath = "{tmp_path}/policy"\n'
    gateway = Gateway(tmp_path, settings, workers=2).start()
    assert [gateway.ask(post(chat())).status for _ in range(2)] == [200, 429]
    for pid in [gateway.process.pid, *gateway.worker_pids(), *children(gateway.process.pid, "tidegate-ledger")]:
        os.kill(pid, signal.SIGKILL)
    gateway.process.wait()
    assert list(gateway.memory.iterdir())
    shutil.rmtree(tmp_path / ".tidegate")
    before = len(gateway.log)
    if by == "ledger init":
        origin = ["--origin", "localhost/tidegate"]
        command = [sys.executable, "-m", "tidegate", "ledger", "init", "--config", str(gateway.file), *origin]
        subprocess.run(command, env=gateway.env, check=True)
    with running(tmp_path, settings, workers=2) as successor:
        assert [successor.ask(post(chat())).status for _ in range(2)] == [200, 429]
    assert "damaged" not in gateway.log[before:]
    assert "ended by" not in gateway.log[before:]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(place)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("a small disk cannot be mounted here; that needs root")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def fill(disk: Path) -> Path:
    """A file that takes all that is left of a disk."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(bytes(1 << 16)):
            pass
    return filler


def test_nothing_passes_unrecorded_while_the_disk_is_full(tmp_path: Path, small_disk: Path) -> None:
    settings = f'data = "{small_disk / "data"}"\n'
    gateway = Gateway(tmp_path)
    gateway.file.write_text(settings + gateway.file.read_text())
    gateway.start()
    try:
        answered = {gateway.ask(post(chat())).fields[RUN]}
        filler = fill(small_disk)
        refused = 0

        def ask(_: int) -> Told:
            return gateway.ask(post(chat()))

        with ThreadPoolExecutor(8) as pool:
            for _ in range(400):
                for told in pool.map(ask, range(32)):
                    if told.status == 200:
                        answered.add(told.fields[RUN])
                    else:
                        assert (told.status, told.code) == (503, "unrecorded")
                        refused += 1
                if refused > 50:
                    break
        assert refused > 50
        filler.unlink()
        assert until(lambda: gateway.ask(post(chat())).status == 200), gateway.log
        answered.add(gateway.ask(post(chat())).fields[RUN])
    finally:
        code = gateway.stop()
    assert code == 0, gateway.log
    said = Said(small_disk / "data")
    kinds = Counter(tuple(said.kinds(run)) for run in answered)
    assert kinds == {("Intent", "Outcome"): len(answered)}, gateway.log
    outcomes = [record for record in said.records if isinstance(record, Outcome)]
    assert len({outcome.run for outcome in outcomes}) == len(outcomes)
    assert not [record for record in said.records if isinstance(record, Aborted)]
    assert len([record for record in said.records if isinstance(record, Intent)]) >= len(answered)


def test_loaded_policies_are_on_record(tmp_path: Path, policies: Path) -> None:
    with running(tmp_path, f'[policy]\npath = "{policies}"\n') as gateway:
        first = gateway.ask(post(chat("blue"))).fields[RUN]
        (policies / "p.rego").write_text(POLICY.replace("blue", "green"))
        assert until(lambda: gateway.ask(post(chat("green"))).status == 403)
        time.sleep(1.2)  # what is in force is looked at once a second
        last = gateway.ask(post(chat("green"))).fields[RUN]
    said = Said(tmp_path / ".tidegate")
    loaded = [record for record in said.records if isinstance(record, PolicyLoaded)]
    digests = [said.outcome(run).decision.policy for run in (first, last)]
    assert [(record.before, record.policy) for record in loaded] == [(b"", digests[0]), tuple(digests)]


def tracing(pid: int, what: str = "error=EIO") -> subprocess.Popen[str]:
    """Every flush of a process fails until this is ended, or what else is to happen to it."""
    command = ["strace", "-f", "-p", str(pid), "-e", "trace=fdatasync,io_submit"]
    command += ["-e", "inject=io_submit:error=EAGAIN", "-e", f"inject=fdatasync:{what}"]
    traced = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert traced.stderr is not None
    line = traced.stderr.readline()
    if "attached" not in line:
        traced.wait()
        pytest.skip(f"tracing is not allowed here: {line}")
    return traced


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is absent")
def test_an_answer_whose_record_fails_ends_as_an_error(tmp_path: Path) -> None:
    with running(tmp_path) as gateway:
        assert gateway.ask(post(chat())).status == 200
        with gateway.connect(30) as client:
            client.sendall(post(chat("simulated-pace-40+words-40", stream=True)))
            came = client.recv(4096)
            (worker,) = gateway.worker_pids()
            traced = tracing(worker)
            try:
                told = gateway.ask(post(chat()))
                assert (told.status, told.code) == (503, "unrecorded")
                while b"0\r\n\r\n" not in came[-16:]:
                    came += client.recv(4096)
                refused = gateway.ask(post(chat()))
                assert (refused.status, refused.code) == (503, "unrecorded")
            finally:
                traced.terminate()
                traced.wait()
                assert traced.stderr is not None
                traced.stderr.close()
        assert b'"code":"unrecorded"' in came
        assert b"[DONE]" not in came
        assert until(lambda: gateway.ask(post(chat())).status == 200)
    said = Said(tmp_path / ".tidegate")
    assert all(kinds == ["Intent", "Outcome"] for kinds in map(said.kinds, said.of))


SMALL_BUFFER = """
import functools
from tidegate.serve import worker
worker.Journal = functools.partial(worker.Journal, buffer=1 << 16)
"""


def with_small_buffer(folder: Path) -> dict[str, str]:
    """The environment of a gateway whose workers' journals have a buffer for some eighty calls."""
    path = folder / "path"
    path.mkdir()
    (path / "sitecustomize.py").write_text(SMALL_BUFFER)
    return {"PYTHONPATH": os.pathsep.join([str(path), *filter(None, [os.environ.get("PYTHONPATH")])])}


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is absent")
def test_a_disk_that_pauses_delays_calls_and_refuses_none(tmp_path: Path) -> None:
    """In each pause come more calls than the buffer has room for."""
    gateway = Gateway(tmp_path, '[record]\nevidence = "async"\n', env=with_small_buffer(tmp_path)).start()
    runs = set()

    def ask(_: int) -> None:
        told = gateway.ask(post(chat()))
        assert told.status == 200, told
        runs.add(told.fields[RUN])

    try:
        assert gateway.ask(post(chat())).status == 200
        (worker,) = gateway.worker_pids()
        traced = tracing(worker, "delay_enter=250000")
        try:
            with ThreadPoolExecutor(16) as pool:
                list(pool.map(ask, range(500)))
        finally:
            traced.terminate()
            traced.wait()
            assert traced.stderr is not None
            traced.stderr.close()
    finally:
        assert gateway.stop() == 0, gateway.log
    said = Said(tmp_path / ".tidegate")
    assert len(runs) == 500
    assert all(said.kinds(run) == ["Intent", "Outcome"] for run in runs)


def test_best_effort_lets_pass_and_says_what_is_missing(tmp_path: Path, small_disk: Path) -> None:
    settings = '[record]\naudit = "best_effort"\nevidence = "async"\n'
    gateway = Gateway(tmp_path, settings, env=with_small_buffer(tmp_path))
    gateway.file.write_text(f'data = "{small_disk / "data"}"\n' + gateway.file.read_text())
    gateway.start()
    callers, calls = 8, 1500
    try:
        assert gateway.ask(post(chat())).status == 200  # whom it has not met yet, it could not name
        filler = fill(small_disk)

        def ask(_: int) -> None:
            with gateway.connect() as kept:
                for _ in range(calls):
                    kept.sendall(post(chat()))
                    assert read_answer(kept).status == 200

        with ThreadPoolExecutor(callers) as pool:
            list(pool.map(ask, range(callers)))
        filler.unlink()
        time.sleep(3)
    finally:
        code = gateway.stop()
    assert code == 0, gateway.log
    place = layout.find(small_disk / "data" / "ledger")
    said = Said(small_disk / "data", complete=False)
    assert place.log.exists()
    there = sum(isinstance(record, Intent | Outcome) for record in said.records)
    missing = sum(record.count for record in said.records if isinstance(record, Gap))
    assert there + missing == 2 * (callers * calls + 1)
    assert missing > 0


def test_words_are_committed_to(tmp_path: Path, policies: Path) -> None:
    with running(tmp_path, f'[policy]\npath = "{policies}"\n') as gateway:
        told = gateway.ask(post(chat("blue", user="u1")))
        place = layout.find(tmp_path / ".tidegate" / "ledger")
        whose = identity("default", "user", "u1")
        subject = Subject(whose, key_of(place.socket, whose))
    words = b'{"model":"blue","reasons":["not blue"],"error":"`no_blue`: not blue"}'
    run = bytes.fromhex(told.fields[RUN])
    document = Said(tmp_path / ".tidegate").outcome(told.fields[RUN]).bodies.document
    assert document == sha256(subject.salt(run, "document") + words).digest()
