"""/metrics as Prometheus reads it, from a gateway that runs: its own parser is the judge of the text."""

import os
import re
import signal
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.gateway import Gateway, chat, children, post, running
from tidegate.counters import Counters
from tidegate.serve.metrics import METRICS, Metrics, Text, blocks, rows, say_calls

parser = pytest.importorskip("prometheus_client.parser", reason="the prometheus client is absent")

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def parsed(text: str) -> Samples:
    """By name and labels, after checks of what the parser leaves to the reader."""
    samples: Samples = {}
    for family in parser.text_string_to_metric_families(text):
        assert family.documentation, family.name
        name = family.name.removeprefix("tidegate_")
        known = METRICS[name if name in METRICS else f"{name}_total"]
        assert family.type == known.kind
        assert family.samples
        for sample in family.samples:
            assert set(sample.labels) - {"le"} == set(known.labels), sample
            key = sample.name, tuple(sorted(sample.labels.items()))
            assert key not in samples, f"{key} stands twice"
            samples[key] = sample.value
    for (name, labels), value in samples.items():
        if name.endswith("_bucket") and dict(labels)["le"] == "+Inf":
            rest = tuple(each for each in labels if each[0] != "le")
            assert samples[name.replace("_bucket", "_count"), rest] == value
    return samples


def scrape(gateway: Gateway) -> Samples:
    address = f"http://127.0.0.1:{gateway.admin_port}/metrics"
    with urllib.request.urlopen(address, timeout=10) as answer:
        assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        return parsed(answer.read().decode())


def value(samples: Samples, name: str, **labels: str) -> float:
    return samples[f"tidegate_{name}", tuple(sorted(labels.items()))]


def eventually(gateway: Gateway, name: str, expected: float, **labels: str) -> Samples:
    until = time.monotonic() + 20
    while time.monotonic() < until:
        samples = scrape(gateway)
        if samples.get((f"tidegate_{name}", tuple(sorted(labels.items())))) == expected:
            return samples
        time.sleep(0.05)
    raise AssertionError(f"{name} {labels} is never {expected}: {samples}")


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with running(tmp_path_factory.mktemp("gateway"), workers=2) as started:
        yield started


def test_a_gateway_says_what_it_is_and_how_it_does(gateway: Gateway) -> None:
    for _ in range(6):
        assert gateway.ask(post(chat())).status == 200
    samples = eventually(gateway, "ledger_waiting_records", 0)
    assert value(samples, "workers") == 2
    assert ("tidegate_build_info", ()) not in samples
    [(_, labels)] = [key for key in samples if key[0] == "tidegate_build_info"]
    assert dict(labels).keys() == {"version", "python"}
    samples = eventually(gateway, "journal_records", 14)  # two a call, and which policy each worker has
    samples = eventually(gateway, "ledger_waiting_records", 0)
    assert value(samples, "ledger_entries") >= 1
    assert abs(value(samples, "start_time_seconds") - time.time()) < 120


def test_open_connections_are_those_of_all_workers(gateway: Gateway) -> None:
    connections = [gateway.connect() for _ in range(8)]
    try:
        eventually(gateway, "open_connections", 8)
    finally:
        for each in connections:
            each.close()
    eventually(gateway, "open_connections", 0)


def test_records_that_wait_for_the_ledger_are_counted(tmp_path: Path) -> None:
    with running(tmp_path) as gateway:
        [sequencer] = children(gateway.process.pid, "tidegate-ledger")
        assert gateway.ask(post(chat())).status == 200  # its caller is known from now on
        eventually(gateway, "journal_records", 3)  # the policy, and two of the call
        eventually(gateway, "ledger_waiting_records", 0)
        os.kill(sequencer, signal.SIGSTOP)
        try:
            for _ in range(3):
                assert gateway.ask(post(chat())).status == 200
            eventually(gateway, "ledger_waiting_records", 6)
        finally:
            os.kill(sequencer, signal.SIGCONT)
        eventually(gateway, "ledger_waiting_records", 0)


def test_processes_that_are_replaced_are_counted(tmp_path: Path) -> None:
    with running(tmp_path, workers=2) as gateway:
        before = scrape(gateway)
        assert value(before, "restarts_total", process="worker") == 0
        os.kill(gateway.worker_pids()[0], signal.SIGKILL)
        eventually(gateway, "restarts_total", 1, process="worker")
        eventually(gateway, "workers", 2)


def test_reloads_are_counted_and_policies_named(tmp_path: Path) -> None:
    policy = tmp_path / "policy"
    policy.mkdir()
    rule = 'package tidegate.admission\n\nwarn contains {{"code": "{}", "message": "m"}} if true\n'
    (policy / "a.rego").write_text(rule.format("first"))
    with running(tmp_path / "gateway", f'[policy]\npath = "{policy}"\n', workers=2) as gateway:
        samples = eventually(gateway, "policy_loads_total", 2, role="enforced")
        [first] = [labels for name, labels in samples if name == "tidegate_policy_info"]
        (policy / "a.rego").write_text(rule.format("second"))
        samples = eventually(gateway, "policy_loads_total", 4, role="enforced")
        [second] = [labels for name, labels in samples if name == "tidegate_policy_info"]
        assert first != second
        assert re.fullmatch(r"[0-9a-f]{64}", dict(second)["digest"])
        assert abs(value(samples, "policy_loaded_timestamp_seconds", role="enforced") - time.time()) < 60
        (policy / "a.rego").write_text("package tidegate.admission\n\nwarn contains")
        samples = eventually(gateway, "policy_problems", 1)
        assert second in [labels for name, labels in samples if name == "tidegate_policy_info"]
        gateway.process.send_signal(signal.SIGHUP)
        eventually(gateway, "reloads_total", 1, result="ok")
        gateway.file.write_text("wrong = 1\n")
        gateway.process.send_signal(signal.SIGHUP)
        eventually(gateway, "reloads_total", 1, result="refused")


def filled(count: int) -> list[memoryview]:
    made = blocks(2)
    for block in made:
        counters = Counters(block)
        for number in range(count):
            name = f"integration-{number}"
            counters.ended("chat.completions", name, "allow", 200, None, False, "", 1000, 2000, 10**6, 10**9)
            counters.used(name, "provider", 100, 10, 1_500_000)
            counters.ended("messages", "", "block", 403, "policy_denied", False, "", 1000, 0, 0, 5000)
    return made


def test_the_sums_are_those_of_all_workers() -> None:
    text = Text()
    say_calls(text, [row for block in filled(3) for row in rows(block)])
    samples = parsed(str(text))
    main = {"endpoint": "chat.completions", "integration": "integration-1", "action": "allow", "outcome": "complete"}
    assert value(samples, "calls_total", **main) == 2
    assert value(samples, "errors_total", code="policy_denied") == 6
    assert value(samples, "answers_total", endpoint="messages", **{"class": "4xx"}) == 6
    assert value(samples, "tokens_total", integration="integration-1", direction="input", kind="provider") == 200
    assert value(samples, "cost_usd_total", integration="integration-1") == 0.03
    assert value(samples, "duration_seconds_count", integration="integration-2") == 2
    assert value(samples, "duration_seconds_sum", integration="integration-2") == 2
    assert value(samples, "first_byte_seconds_bucket", integration="integration-2", le="0.001") == 2
    assert value(samples, "first_byte_seconds_count", integration="") == 0
    assert value(samples, "decided_seconds_bucket", le="1e-06") == 12


@pytest.mark.parametrize("label", ['a"b', "a\\b", "a\nb", "ä", ""])
def test_labels_are_read_as_they_were_written(label: str) -> None:
    text = Text()
    text.add("errors_total", 1, label)
    assert value(parsed(str(text)), "errors_total", code=label) == 1


def test_the_text_has_a_bound_and_no_run_is_in_it() -> None:
    text = Text()
    say_calls(text, [row for block in filled(1000) for row in rows(block)])
    assert len(parsed(str(text))) < 20_000


def test_limits_are_said_when_there_are_some() -> None:
    metrics = Metrics(1)
    assert "tidegate_limits" not in metrics.text(1, None)
    metrics.limits = lambda: {"full": 1, "expired": 2, "used": 3, "slots": 4}
    samples = parsed(metrics.text(1, None))
    assert value(samples, "limits_used") == 3
    assert value(samples, "limits_slots") == 4
    assert value(samples, "limits_events_total", event="expired") == 2


def test_what_was_under_way_on_a_worker_that_died_was_aborted() -> None:
    metrics = Metrics(2)
    counters = Counters(metrics.blocks[1])
    for _ in range(3):
        counters.under_way(1)
    metrics.ended(0)
    metrics.ended(1)
    metrics.ended(None)
    samples = parsed(metrics.text(1, None))
    assert value(samples, "aborted_calls_total") == 3
    assert value(samples, "restarts_total", process="worker") == 2
    assert value(samples, "restarts_total", process="sequencer") == 1
    Counters(metrics.blocks[1])
    assert value(parsed(metrics.text(1, None)), "calls_under_way") == 0
