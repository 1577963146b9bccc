"""What /metrics says of calls is what the ledger says of them, also when workers were killed meanwhile."""

import contextlib
import os
import shutil
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.governed import CHAT, body, governed
from tests.e2e.ledgers import Said
from tests.e2e.test_evidence import tracing, with_small_buffer
from tests.gateway import Gateway, chat, post, read_answer, running
from tests.providers import until
from tests.serve.test_metrics import Samples, eventually, scrape, value
from tidegate.record.records import Gap, Intent, Outcome

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


TOKENS = {"name": "tokens", "measure": "tokens", "per": "total"}
CASES: dict[str, dict[str, Any]] = {
    "limited": {"limits": [TOKENS | {"max": 200}]},
    "words": {"words": 12},
    "overdrawn": {"limits": [TOKENS | {"max": 9000}]},
    "helped": {"route": {"integration": "sick", "fallback": ["other"]}},
    "lost": {"route": {"integration": "sick", "fallback": ["dead"]}},
}
STREAM = {"model": "simulated-pace-2+words-400", "stream": True}
ASKED: list[tuple[str, int, dict[str, Any], int]] = [  # a case, how often, what is asked, the status of each answer
    ("limited", 2, STREAM, 200),
    ("words", 3, STREAM, 200),
    ("overdrawn", 4, {"model": "simulated-words-100"}, 200),
    ("helped", 5, {}, 200),
    ("lost", 1, {}, 502),
]


def test_what_was_stopped_overdrawn_or_given_up_is_counted_as_the_ledger_has_it(tmp_path: Path) -> None:
    with governed(tmp_path, CASES) as place:
        for tag, count, more, status in ASKED:
            for number in range(count):
                told = place.ask(tag, CHAT, body(CHAT, number, **more), f"{tag}-{number}")
                assert told.status == status, (tag, told)
        samples = eventually(place.gateway, "calls_under_way", 0)
    said = Said(tmp_path / "gateway" / ".tidegate")
    outcomes = [record for record in said.records if isinstance(record, Outcome)]
    stopped = Counter(record.stopped for record in outcomes if record.stopped)
    assert stopped == {"limit": 2, "policy": 3}
    given_up = Counter(
        each.integration
        for record in outcomes
        for number, each in enumerate(record.attempts, 1)
        if number < len(record.attempts) or each.error.startswith("upstream")
    )
    assert given_up == {"sick": 6, "dead": 1}
    overdrawn = sum(record.overdraft for record in outcomes)
    assert overdrawn == 4 + 2  # whole answers, and the events in whose place two streams were stopped
    assert {why: value(samples, "stopped_streams_total", why=why) for why in stopped} == stopped
    assert {name: value(samples, "failed_attempts_total", integration=name) for name in given_up} == given_up
    assert value(samples, "overdrafts_total") == overdrawn
    for name, count in (("stopped_streams_total", 5), ("failed_attempts_total", 7)):
        assert total(samples, name) == count  # and nobody else has any


@contextlib.contextmanager
def no_flush(gateway: Gateway) -> Iterator[None]:
    """The one worker's disk takes nothing meanwhile."""
    [worker] = gateway.worker_pids()
    traced = tracing(worker)
    try:
        yield
    finally:
        traced.terminate()
        traced.communicate()


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is absent")
def test_answers_that_waited_for_a_record_in_vain_are_counted(tmp_path: Path) -> None:
    with running(tmp_path) as gateway:
        assert gateway.ask(post(chat())).status == 200
        assert value(eventually(gateway, "calls_under_way", 0), "unrecorded_answers_total") == 0
        with contextlib.ExitStack() as streams:
            clients = [streams.enter_context(gateway.connect(30)) for _ in range(3)]
            for client in clients:
                client.sendall(post(chat("simulated-pace-40+words-40", stream=True)))
                assert client.recv(4096).startswith(b"HTTP/1.1 200")
            with no_flush(gateway):
                for client in clients:
                    came = b""
                    while not came.endswith(b"0\r\n\r\n"):
                        came += client.recv(4096)
                    assert b'"code":"unrecorded"' in came
                told = gateway.ask(post(chat()))
                assert (told.status, told.code) == (503, "unrecorded")  # it has not waited
        assert until(lambda: gateway.ask(post(chat())).status == 200)
        eventually(gateway, "unrecorded_answers_total", 3)


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is absent")
def test_records_that_found_no_room_are_counted(tmp_path: Path) -> None:
    calls = 400
    settings = '[record]\naudit = "best_effort"\nevidence = "async"\n'
    with running(tmp_path / "gateway", settings, env=with_small_buffer(tmp_path)) as gateway:
        assert gateway.ask(post(chat())).status == 200  # whom it has not met yet, it could not name
        assert value(scrape(gateway), "dropped_records_total") == 0
        began = time.monotonic()
        with no_flush(gateway), gateway.connect() as kept:
            for _ in range(calls):
                kept.sendall(post(chat()))
                assert read_answer(kept).status == 200
        seconds = time.monotonic() - began
        time.sleep(3)  # until there is room, and it is said what is missing
        dropped = value(scrape(gateway), "dropped_records_total")
    said = Said(tmp_path / "gateway" / ".tidegate", complete=False)
    there = sum(isinstance(record, Intent | Outcome) for record in said.records)
    missing = sum(record.count for record in said.records if isinstance(record, Gap))
    assert there + missing == 2 * (calls + 1)
    assert 0 < missing <= dropped <= missing + seconds + 1  # what says so each second finds no room either


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
