"""What the official clients make of a governed gateway: one call where another cannot help, a finish that says why.

The calls are counted where they leave the client. Each test has a session of its own, and so limits of its own.
"""

import json
import logging
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import anthropic
import openai
import pytest

from tests.e2e.governed import CHAT, MESSAGES, RUN, Governed, body, governed
from tests.e2e.ledgers import Said
from tests.gateway import Gateway, chat, post, running
from tests.providers import integration, simulated, until
from tidegate.decide.bundle import load
from tidegate.record.records import Outcome
from tidegate.serve.policies import shipped

NODE = Path(__file__).parent / "node"
QUESTION: Any = [{"role": "user", "content": "how high is the tide"}]
LONG, TOOL = "simulated-pace-2+words-400", "simulated-pace-9"
PLACES = {f"a-rather-long-name-of-a-place-{letter}": {"type": "string"} for letter in "abc"}
SCHEMA = {"type": "object", "properties": PLACES, "required": list(PLACES)}
TOOLS: dict[str, Any] = {
    "openai": [{"type": "function", "function": {"name": "tide", "parameters": SCHEMA}}],
    "anthropic": [{"name": "tide", "input_schema": SCHEMA}],
}


def one(measure: str, per: str | None, exceed: str = "block", most: float = 1) -> dict[str, Any]:
    """The policy of a case that has one limit."""
    return {
        "limits": [{"name": "it", "measure": measure, "max": most, "exceed": exceed} | ({"per": per} if per else {})]
    }


POLICIES: dict[str, dict[str, Any]] = {
    "denied": {"deny": [{"code": "not_here", "message": "not here"}]},
    "blocked": one("requests", "1h"),
    "budget": one("requests", "total"),
    "never": one("tokens", "1m", "throttle", 9),
    "throttled": one("requests", "2s", "throttle"),
    "throttled-long": one("requests", "10m", "throttle"),
    "at-once": one("concurrent", None),
    "held-back": {"hold_back": True},
    "thirteen": {"limits": [one("requests", "1h")["limits"][0] | {"name": f"n{number}"} for number in range(13)]},
    "limited": one("tokens", "total", most=200),
    "words": {"words": 12},
    "open": {},
}


class Told(NamedTuple):
    """A refusal: the status, our code, the rule; OpenAI's type and Anthropic's."""

    status: int
    code: str
    rule: str
    openai: str
    anthropic: str


REFUSALS = {
    "denied": Told(403, "policy_denied", "not_here", "permission_error", "permission_error"),
    "blocked": Told(429, "limit_exceeded", "it", "requests", "rate_limit_error"),
    "budget": Told(429, "budget_exceeded", "it", "insufficient_quota", "rate_limit_error"),
    "never": Told(429, "limit_exceeded", "it", "tokens", "rate_limit_error"),
    "throttled-long": Told(429, "limit_throttled", "it", "requests", "rate_limit_error"),
    "held-back": Told(403, "response_denied", "not_to_be_said", "permission_error", "permission_error"),
    "thirteen": Told(403, "policy_error", "", "permission_error", "permission_error"),
}
SPENT = ("blocked", "budget", "throttled-long", "throttled")  # cases whose limit a first call uses up


class Client:
    """An official client that counts what it sends."""

    def __init__(self, place: Governed, kind: str, tag: str, session: str) -> None:
        self.kind = kind
        self.sent = 0
        self.statuses: list[int] = []
        hooks: dict[str, list[Any]] = {"request": [self._count], "response": [self._note]}
        options: dict[str, Any] = {"api_key": "any", "timeout": 30}
        options["default_headers"] = {"x-tidegate-tags": tag, "X-Session-ID": session}
        self.own: Any
        if kind == "openai":
            http = openai.DefaultHttpxClient(event_hooks=hooks)
            self.own = openai.OpenAI(base_url=f"{place.gateway.url}/v1", http_client=http, **options)
        else:
            other = anthropic.DefaultHttpxClient(event_hooks=hooks)
            self.own = anthropic.Anthropic(base_url=place.gateway.url, http_client=other, **options)

    def _count(self, request: object) -> None:
        self.sent += 1

    def _note(self, response: Any) -> None:
        self.statuses.append(response.status_code)

    def ask(self, model: str = "simulated", stream: bool = False, **more: Any) -> Any:
        """As many calls as the client makes by itself; a stream is read to its end."""
        asked: dict[str, Any] = {"model": model, "messages": QUESTION, "stream": stream} | more
        if self.kind == "openai":
            made = self.own.chat.completions.create(**asked)
        else:
            made = self.own.messages.create(**{"max_tokens": 60} | asked)
        return list(made) if stream else made

    def refused(self, **asked: Any) -> Any:
        """The error that a call ends in."""
        module = openai if self.kind == "openai" else anthropic
        with pytest.raises(module.APIError) as raised:
            self.ask(**asked)
        return raised.value


def finish(kind: str, came: Any) -> str:
    """Why a stream says that it ended."""
    if kind == "openai":
        return str(came[-1].choices[0].finish_reason)
    return str(next(event.delta.stop_reason for event in came if event.type == "message_delta"))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Governed]:
    with governed(tmp_path_factory.mktemp("clients"), POLICIES) as made:
        yield made


@pytest.fixture(params=["openai", "anthropic"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize("tag", REFUSALS)
def test_a_refusal_is_one_call(place: Governed, kind: str, tag: str) -> None:
    client, told = Client(place, kind, tag, f"{kind}-{tag}"), REFUSALS[tag]
    with client.own:
        if tag in SPENT:
            client.ask()
        before = client.sent
        error = client.refused()
    assert client.sent == before + 1
    fields, said = error.response.headers, error.body if kind == "openai" else error.body["error"]
    assert (error.status_code, said["code"], said.get("rule", "")) == (told.status, told.code, told.rule)
    assert said["type"] == getattr(told, kind)
    assert said["run"] == fields[RUN]
    assert fields.get("x-tidegate-rule", "") == told.rule
    assert fields["x-should-retry"] == "false"


def test_a_throttled_call_passes_when_it_is_told_to_come(
    place: Governed, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    client = Client(place, kind, "throttled", f"{kind}-throttled")
    calls = 0
    with client.own, caplog.at_level(logging.INFO, logger=kind):
        while client.sent == calls < 20:  # the second one comes too soon, but on a slow machine a later one
            assert client.ask().id
            calls += 1
    assert client.statuses == [200] * (calls - 1) + [429, 200]
    [wait] = re.findall(r"Retrying request (?:to \S+ )?in ([0-9.]+) seconds", caplog.text)
    assert 0 < float(wait) <= 2


@pytest.mark.parametrize(
    ("tag", "openai_says", "anthropic_says"),
    [("limited", "length", "max_tokens"), ("words", "content_filter", "refusal")],
)
def test_a_stream_that_is_stopped_is_a_finished_one(
    place: Governed, kind: str, tag: str, openai_says: str, anthropic_says: str
) -> None:
    left = place.sim.ledger.streams_abandoned
    client = Client(place, kind, tag, f"{kind}-{tag}")
    with client.own:
        came = client.ask(LONG, stream=True)
    assert finish(kind, came) == (openai_says if kind == "openai" else anthropic_says)
    assert client.sent == 1
    assert until(lambda: place.sim.ledger.streams_abandoned == left + 1), "the provider still writes"


@pytest.mark.parametrize(
    ("tag", "model", "code"), [("words", TOOL, "policy_stopped"), ("held-back", "simulated", "response_denied")]
)
def test_a_stream_that_must_not_be_taken_for_whole_raises(
    place: Governed, kind: str, tag: str, model: str, code: str
) -> None:
    client = Client(place, kind, tag, f"{kind}-{tag}-{model}")
    with client.own:
        error = client.refused(model=model, stream=True, **({"tools": TOOLS[kind]} if model == TOOL else {}))
    assert code in str(error.body)
    assert client.sent == 1


def test_one_call_at_once(place: Governed, kind: str) -> None:
    """While a stream goes on another call is refused; when it has ended, or its client has left, it passes."""
    client = Client(place, kind, "at-once", f"{kind}-at-once")
    path = CHAT if kind == "openai" else MESSAGES
    fields = f"x-tidegate-tags: at-once\r\nX-Session-ID: {kind}-at-once\r\n"
    with client.own:
        with place.gateway.connect(30) as stream:
            stream.sendall(post(body(path, 4711, model=LONG, stream=True), path, fields=fields))
            assert stream.recv(4096).startswith(b"HTTP/1.1 200")
            error = client.refused()
            assert (error.status_code, client.sent) == (429, 1)
        assert until(lambda: place.ask("at-once", path, body(path, 1), f"{kind}-at-once").status == 200)
        assert client.ask().id


def test_many_at_once_are_never_more_than_allowed(place: Governed) -> None:
    """Over both workers: of sixteen slow calls that come together those pass for whose fifty tokens there is room."""
    barrier = threading.Barrier(16)
    passed: list[int] = []

    def call(number: int) -> None:
        sent = body(CHAT, number, model="simulated-pace-300", max_tokens=50)
        barrier.wait()
        passed.append(place.ask("limited", CHAT, sent, "together").status)

    threads = [threading.Thread(target=call, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 1 <= passed.count(200) <= 200 // 50
    assert set(passed) == {200, 429}


NODE_CASES = [
    ("open", "simulated", False),
    *((tag, "simulated", False) for tag in REFUSALS),
    ("limited", LONG, True),
    ("words", LONG, True),
    ("held-back", "simulated", True),
]


def test_the_node_clients_do_the_same(place: Governed, kind: str) -> None:
    if shutil.which("node") is None:
        pytest.skip("`node` is absent: apt-get install nodejs npm")
    if not all((NODE / "node_modules" / name).is_dir() for name in ("openai", "@anthropic-ai")):
        pytest.skip("an npm package is absent: cd tests/e2e/node && npm install --no-package-lock")
    cases = [{"tag": tag, "model": model, "stream": stream, "first": tag in SPENT} for tag, model, stream in NODE_CASES]
    command = ["node", "governed.mjs", place.gateway.url, kind, json.dumps(cases)]
    ended = subprocess.run(command, cwd=NODE, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stderr
    for (tag, _, stream), seen in zip(NODE_CASES, json.loads(ended.stdout), strict=True):
        assert seen["calls"] == 1, (tag, seen)
        if tag == "open":
            assert seen["answered"], seen
        elif stream and tag == "held-back":
            assert "response_denied" in json.dumps(seen["told"]), seen
        elif stream:
            says = {"limited": ("length", "max_tokens"), "words": ("content_filter", "refusal")}[tag]
            assert seen["finish"] == says[kind == "anthropic"], seen
        else:
            told = REFUSALS[tag]
            assert (seen["status"], seen["told"]["code"]) == (told.status, told.code), seen
            assert seen["told"]["type"] == getattr(told, kind), seen


def test_the_shipped_policies_are_in_force_where_nobody_says_otherwise(tmp_path: Path) -> None:
    with simulated() as provider:
        ways = integration(provider.port, "simulated", models=["simulated*", "m"])
        gateway = Gateway(tmp_path, ways)
        gateway.file.write_text(gateway.file.read_text().partition("\n[policy]")[0])
        assert "policy" not in gateway.file.read_text()
        try:
            gateway.start()
            passed = gateway.ask(post(chat("m")))
            listed = gateway.ask(b"GET /v1/models HTTP/1.1\r\nHost: g\r\n\r\n")
            many = gateway.ask(post(chat("m", n=5)))
            long = gateway.ask(post(chat("m", max_tokens=40_000)))
        finally:
            code = gateway.stop()
        assert code == 0, gateway.log
        assert provider.ledger.calls == 1
    said = Said(tmp_path / ".tidegate")
    assert [passed.status, listed.status] == [200, 200]
    for told, reason in ((many, "too_many_answers"), (long, "max_tokens_too_high")):
        assert (told.status, told.fields["x-tidegate-rule"]) == (403, reason)
        assert [each.code for each in said.outcome(told.fields[RUN]).decision.reasons] == [reason]
    outcome = said.outcome(passed.fields[RUN])
    assert {draw.measure for draw in outcome.draws} == {"requests", "tokens", "usd", "concurrent"}
    assert outcome.decision.policy.hex() == load(shipped()).digest.removeprefix("sha256:")
    assert "max_tokens" in outcome.edits
    assert [each.name for each in outcome.seen] == ["budget"]
    assert said.kinds(listed.fields[RUN]) == ["Outcome"]  # answered by the gateway, and drawn all the same
    assert {draw.measure: draw.settled for draw in said.outcome(listed.fields[RUN]).draws}["requests"] == 1


WRONG = [
    ('capture := "full"', "`capture` cannot be carried out here as `full`"),
    ('capture := "redacted"', "`capture` cannot be carried out here as `redacted`"),
    ('guard contains {"detector": "d", "action": "stop", "window": 9}', "`guard` cannot be carried out here"),
    ('redact contains {"detector": "d", "with": "x"}', "`redact` cannot be carried out here"),
]


@pytest.mark.parametrize(("rule", "says"), WRONG, ids=[rule.split()[0] + rule.split()[-1] for rule, _ in WRONG])
def test_what_cannot_be_carried_out_is_refused_at_the_start(tmp_path: Path, rule: str, says: str) -> None:
    folder = tmp_path / "policy"
    folder.mkdir()
    (folder / "p.rego").write_text(f"package tidegate.admission\n\n{rule}\n")
    gateway = Gateway(tmp_path / "gateway", f'[policy]\npath = "{folder}"\n')
    with pytest.raises(AssertionError, match=re.escape(says)):
        gateway.start()


def test_each_error_of_a_stream_and_each_head_has_the_run_of_its_record(tmp_path: Path) -> None:
    """Who is told a run finds it in the ledger, whatever became of the call."""
    with running(tmp_path) as gateway:
        runs = [
            gateway.ask(post(chat(model, stream=stream))).fields[RUN]
            for model in (
                "simulated",
                "simulated-status-500",
                "simulated-close-0",
                "simulated-error-2",
                "simulated-reset-2",
            )
            for stream in (False, True)
        ]
    said = Said(tmp_path / ".tidegate")
    assert all(isinstance(said.of[run][-1], Outcome) for run in runs)
