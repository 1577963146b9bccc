"""What the official clients make of a refusal: one call where another cannot help, else another when it can."""

import json
import logging
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import anthropic
import openai
import pytest

from tests.wire.refusing import Case, Server, refusing
from tidegate.errors import LimitReached, PolicyDenied, PolicyFailed, PolicyStopped, ResponseDenied
from tidegate.limit.units import MICRO_CENTS
from tidegate.model import Limit

NODE = Path(__file__).parent / "node"
CLIENTS = ("openai", "anthropic")
QUESTION: Any = [{"role": "user", "content": "how high is the tide"}]
ODD = "évening\r\nx-injected: 1"  # a policy may name its limits as it likes


def limit(name: str, measure: Any, most: float, per: str | None, exceed: Any) -> Limit:
    return Limit(name=name, measure=measure, max=most, per=per, exceed=exceed)


CASES = {
    "throttled": Case((limit("pace", "requests", 1, "2s", "throttle"),)),
    "throttled_long": Case((limit("pace", "requests", 1, "5m", "throttle"),)),
    "throttled_place": Case((limit("at once", "concurrent", 1, None, "throttle"),)),
    "blocked": Case((limit("pace", "requests", 1, "1m", "block"),)),
    "blocked_tokens": Case((limit("tokens", "tokens", 100, "1m", "throttle"),), amount=101),
    "blocked_money": Case((limit("dollars", "usd", 1, "1h", "block"),), amount=MICRO_CENTS // 2),
    "budget": Case((limit("budget", "usd", 20, "day", "block"),)),
    "budget_total": Case((limit("allowance", "tokens", 9, "total", "block"),)),
    "odd_name": Case((limit(ODD, "requests", 1, "1m", "block"),)),
    "denied": Case(error=lambda: PolicyDenied("`a`: no; `b`: never", rule="a, b")),
    "policy_failed": Case(error=lambda: PolicyFailed("`policy_error`: no policy could be loaded", rule="policy_error")),
    "response_denied": Case(error=lambda: ResponseDenied("`leak`: it names a customer", rule="leak")),
    "stream_limit": Case(error=lambda: LimitReached("the budget is used up", rule="budget", remaining="0")),
    "stream_policy": Case(error=lambda: PolicyStopped("`leak`: it names a customer", rule="leak")),
}


class Told(NamedTuple):
    """What a client is told: the status, OpenAI's type, our code, the rule and what is left; after so many calls."""

    status: int
    type: str
    code: str
    rule: str
    remaining: int | str | None = None
    calls: int = 1

    @property
    def kind(self) -> str:
        """The clients' class."""
        return {429: "RateLimitError", 403: "PermissionDeniedError", 200: "APIError"}[self.status]

    @property
    def anthropic_type(self) -> str:
        return "permission_error" if self.type == "permission_error" else "rate_limit_error"


EXPECTED = {
    "throttled_long": Told(429, "requests", "limit_throttled", "pace", 0),
    "throttled_place": Told(429, "rate_limit_error", "limit_throttled", "at once", 0, calls=3),
    "blocked": Told(429, "requests", "limit_exceeded", "pace", 0),
    "blocked_tokens": Told(429, "tokens", "limit_exceeded", "tokens", 0),
    "blocked_money": Told(429, "rate_limit_error", "limit_exceeded", "dollars"),
    "budget": Told(429, "insufficient_quota", "budget_exceeded", "budget", "0"),
    "budget_total": Told(429, "insufficient_quota", "budget_exceeded", "allowance", 0),
    "odd_name": Told(429, "requests", "limit_exceeded", ODD, 0),
    "denied": Told(403, "permission_error", "policy_denied", "a, b"),
    "policy_failed": Told(403, "permission_error", "policy_error", "policy_error"),
    "response_denied": Told(403, "permission_error", "response_denied", "leak"),
    "stream_limit": Told(200, "rate_limit_error", "limit_reached", "budget", "0"),
    "stream_policy": Told(200, "permission_error", "policy_stopped", "leak"),
}


@pytest.fixture
def server() -> Iterator[Server]:
    with refusing(CASES) as server:
        yield server


def ask(client: str, server: Server, model: str) -> Any:
    """As many calls as the client makes by itself."""
    url = f"http://127.0.0.1:{server.port}"
    asked: Any = {"model": model, "messages": QUESTION, "stream": model.startswith("stream_")}
    made: Any
    if client == "openai":
        with openai.OpenAI(base_url=f"{url}/v1", api_key="any", timeout=15) as gpt:
            made = gpt.chat.completions.create(**asked)
            return list(made) if asked["stream"] else made
    with anthropic.Anthropic(base_url=url, api_key="any", timeout=15) as claude:
        made = claude.messages.create(**asked, max_tokens=9)
        return list(made) if asked["stream"] else made


def judge(told: Told, client: str, error: Any, case: str) -> None:
    """The object `error` of an answer, as the client hands it over."""
    remaining = error.get("remaining")
    assert error["type"] == (told.type if client == "openai" else told.anthropic_type), case
    assert (error["code"], error["rule"]) == (told.code, told.rule), case
    assert re.fullmatch("[0-9a-f]{26}", error["run"]), case
    if case == "blocked_money":  # of an hour's rate a little comes back while the test runs
        assert 0 <= float(remaining) < 0.5
    else:
        assert remaining == told.remaining, case


@pytest.mark.parametrize("case", EXPECTED)
@pytest.mark.parametrize("client", CLIENTS)
def test_a_refusal_is_understood_and_tried_again_only_where_that_helps(server: Server, client: str, case: str) -> None:
    told, module = EXPECTED[case], {"openai": openai, "anthropic": anthropic}[client]
    with pytest.raises(getattr(module, told.kind)) as raised:
        ask(client, server, case)
    error: Any = raised.value
    body = error.body if client == "openai" else error.body["error"]
    judge(told, client, body, case)
    assert server.calls[case] == told.calls
    if client == "anthropic":
        assert error.type == told.anthropic_type
        assert error.body["request_id"] == body["run"]
        spent = told.code == "budget_exceeded"
        assert error.error_code == ("enforced_spend_limit_reached" if spent else None)
    elif case.startswith("stream_"):
        return
    fields = error.response.headers
    assert "x-injected" not in fields
    assert fields["x-tidegate-run-id"] == body["run"]
    if not case.startswith("stream_"):
        assert fields["x-should-retry"] == ("true" if told.calls > 1 else "false")
        assert fields["x-tidegate-rule"] == ("?vening??x-injected: 1" if case == "odd_name" else told.rule)


@pytest.mark.parametrize("client", CLIENTS)
def test_a_throttled_call_comes_again_at_the_time_it_is_told_and_passes(
    server: Server, client: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger=client):
        assert ask(client, server, "throttled").id
    [waited] = re.findall(r"Retrying request (?:to \S+ )?in ([0-9.]+) seconds", caplog.text)
    assert 1 < float(waited) <= 2  # the limit's own two seconds, not the half that the clients begin with
    assert server.calls["throttled"] == 2


@pytest.mark.parametrize("client", CLIENTS)
def test_the_node_clients_do_the_same(server: Server, client: str) -> None:
    if shutil.which("node") is None:
        pytest.skip("`node` is absent: apt-get install nodejs npm")
    if not all((NODE / "node_modules" / name).is_dir() for name in ("openai", "@anthropic-ai")):
        pytest.skip("an npm package is absent: cd tests/e2e/node && npm install --no-package-lock")
    command = ["node", "told.mjs", f"http://127.0.0.1:{server.port}", client, "throttled", *EXPECTED]
    ended = subprocess.run(command, cwd=NODE, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0, ended.stderr
    outcomes = json.loads(ended.stdout)
    assert outcomes.pop("throttled")["answered"]
    for case, told in EXPECTED.items():
        seen = outcomes[case]
        judge(told, client, seen["told"], case)
        if not case.startswith("stream_"):
            spent = client == "anthropic" and told.code == "budget_exceeded"
            kind = "EnforcedSpendLimitReachedError" if spent else told.kind  # which is a RateLimitError too
            assert (seen["kind"], seen["status"]) == (kind, told.status), case
            assert seen["rule"] == ("?vening??x-injected: 1" if case == "odd_name" else told.rule)
    assert server.calls == {"throttled": 2} | {case: told.calls for case, told in EXPECTED.items()}
