"""What /metrics says of calls is what the ledger says of them, also when workers were killed meanwhile."""

import os
import shutil
import signal
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.e2e.ledgers import Said
from tests.e2e.test_evidence import tracing
from tests.gateway import Gateway, chat, post, read_answer, running
from tests.serve.test_metrics import Samples, eventually, scrape, value
from tidegate.record.records import Outcome

POLICY = """package tidegate.admission

deny contains {"code": "not_here", "message": "m"} if input.request.model == "gpt-4o"

warn contains {"code": "late", "message": "m"} if input.request.model == "gpt-4.1"
"""


def policy(folder: Path) -> str:
    (folder / "policy").mkdir()
    (folder / "policy" / "a.rego").write_text(POLICY)
    return f'[policy]\npath = "{folder}/policy"\n'


def total(samples: Samples, name: str, **chosen: str) -> float:
    return sum(
        count
        for (each, labels), count in samples.items()
        if each == f"tidegate_{name}" and chosen.items() <= dict(labels).items()
    )


def outcome_of(record: Outcome) -> str:
    """By the words of docs/operations.md, from the record alone."""
    if record.client_left:
        return "client_left"
    if record.error:
        return "failed" if record.spans.sent else "refused"
    return "complete" if record.status < 400 else "provider_error"


def test_counts_are_those_of_the_ledger(tmp_path: Path) -> None:
    with running(tmp_path / "gateway", policy(tmp_path), workers=2) as gateway:
        for number in range(12):
            for model in ("gpt-4o", "gpt-4.1", "gpt-4o-mini", "simulated-status-429", "simulated-cut"):
                gateway.ask(post(chat(model, stream=number % 2 == 0)))
        gateway.ask(post(b"{"))
        with gateway.connect() as connection:
            connection.sendall(post(chat("simulated-pace-100+words-50", stream=True)))
            connection.recv(4096)
            samples = eventually(gateway, "calls_under_way", 1)
            assert value(samples, "open_streams") == 1
        samples = eventually(gateway, "calls_under_way", 0)
        assert value(samples, "open_streams") == 0
        assert value(samples, "refused_requests_total", code="bad_body") == 1
    said = Said(tmp_path / "gateway" / ".tidegate")
    outcomes = [record for record in said.records if isinstance(record, Outcome)]
    assert len(outcomes) == 61
    assert total(samples, "calls_total") == 61
    found = Counter((record.endpoint, record.decision.action, outcome_of(record)) for record in outcomes)
    assert {each for _, _, each in found} >= {"complete", "refused", "client_left", "provider_error"}
    for (endpoint, action, outcome), count in found.items():
        assert total(samples, "calls_total", endpoint=endpoint, action=action, outcome=outcome) == count
    for code, count in Counter(record.error for record in outcomes if record.error).items():
        assert value(samples, "errors_total", code=code) == count
    for status, count in Counter(record.status // 100 for record in outcomes).items():
        assert total(samples, "answers_total", **{"class": f"{status}xx"}) == count
    assert round(total(samples, "cost_usd_total") * 1e8) == sum(record.cost for record in outcomes)
    assert total(samples, "duration_seconds_count") == 61
    assert total(samples, "decided_seconds_count") == sum(1 for record in outcomes if record.spans.decided)
    assert total(samples, "sent_seconds_count") == sum(1 for record in outcomes if record.spans.sent)
    assert total(samples, "first_byte_seconds_count") == sum(1 for record in outcomes if record.spans.first_byte)
    spent = sum(record.spans.last_byte for record in outcomes) / 1e9
    assert abs(total(samples, "duration_seconds_sum") - spent) < 1e-6


def test_who_leaves_while_a_long_prompt_is_counted_is_counted_and_on_record(tmp_path: Path) -> None:
    with running(tmp_path) as gateway:
        assert gateway.ask(post(chat())).status == 200  # its caller is known from now on
        with gateway.connect() as connection:
            connection.sendall(post(chat(text="tide ocean " * 500_000)))
        left = {"endpoint": "chat.completions", "integration": "", "action": "none", "outcome": "client_left"}
        samples = eventually(gateway, "calls_total", 1, **left)
        assert total(samples, "answers_total", **{"class": "other"}) == 1
        assert gateway.ask(post(chat())).status == 200
    outcomes = [record for record in Said(tmp_path / ".tidegate").records if isinstance(record, Outcome)]
    assert [(each.status, each.client_left) for each in outcomes] == [(200, False), (499, True), (200, False)]
    assert outcomes[1].attempts == ()


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is absent")
def test_a_known_caller_s_calls_that_cannot_be_recorded_are_calls_that_failed(tmp_path: Path) -> None:
    with running(tmp_path) as gateway:
        assert gateway.ask(post(chat())).status == 200
        (worker,) = gateway.worker_pids()
        traced = tracing(worker)
        try:
            told = [gateway.ask(post(chat())) for _ in range(6)]
        finally:
            traced.terminate()
            traced.communicate()
        assert {(each.status, each.code) for each in told} == {(503, "unrecorded")}
        samples = eventually(gateway, "unrecorded_answers_total", 1)  # the first, which nothing stood against yet
        assert value(samples, "errors_total", code="unrecorded") == 5
        assert total(samples, "calls_total") == 7
        assert total(samples, "refused_requests_total") == 0


def counters(samples: Samples) -> Samples:
    """What must never go back."""
    return {key: count for key, count in samples.items() if key[0].endswith(("_total", "_count", "_sum", "_bucket"))}


def test_counts_never_go_back_while_workers_are_killed(tmp_path: Path) -> None:
    with running(tmp_path, workers=2) as gateway:
        stop = threading.Event()
        load = [threading.Thread(target=keep_calling, args=(gateway, stop)) for _ in range(3)]
        for each in load:
            each.start()
        before: Samples = {}
        kills = 0
        until = time.monotonic() + 6
        while time.monotonic() < until:
            now = counters(scrape(gateway))
            assert all(now.get(key, -1) >= count for key, count in before.items())
            before = now
            pids = gateway.worker_pids()
            if len(pids) == 2 and time.monotonic() < until - 1:
                os.kill(pids[kills % 2], signal.SIGKILL)
                kills += 1
            time.sleep(0.3)
        stop.set()
        for each in load:
            each.join()
        samples = eventually(gateway, "restarts_total", kills, process="worker")
        samples = eventually(gateway, "calls_under_way", 0)
    said = Said(tmp_path / ".tidegate")
    kinds = Counter(type(record).__name__ for record in said.records)
    assert kills > 3
    assert total(samples, "calls_total") > 20
    # a kill between a record and its count, a few instructions, is one call that one of them does not have
    assert abs(total(samples, "calls_total") - kinds["Outcome"]) <= kills
    assert abs(value(samples, "aborted_calls_total") - kinds["Aborted"]) <= kills


def keep_calling(gateway: Gateway, stop: threading.Event) -> None:
    while not stop.is_set():
        try:
            with gateway.connect(5) as connection:
                connection.sendall(post(chat("simulated-pace-5+words-10", stream=True)))
                read_answer(connection)
        except Exception:
            time.sleep(0.02)
