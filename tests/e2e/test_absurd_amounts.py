"""Amounts that nobody has, asked for by a client or reported by a provider: calls are answered, and charged."""

import contextlib
import json
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from tests.e2e.governed import PLAIN, RUN
from tests.gateway import Gateway, chat, post, running
from tests.providers import RawProvider, always, integration, reply

POLICY = """package tidegate.admission

limit contains {"name": "money", "key": [input.run.session], "measure": "usd", "max": 1e15, "per": "total"}

limit contains {"name": "at once", "key": [input.run.session], "measure": "concurrent", "max": 1}

limit contains {
	"name": "pace", "key": [input.run.session], "measure": "tokens", "max": 1e15, "per": "1m", "exceed": "warn",
}
"""
PRICES = '[prices.override]\ndear = "input=100 output=100"\ndearest = "input=900000 output=900000"\n'


class Ways(NamedTuple):
    gateway: Gateway
    raw: RawProvider


@pytest.fixture(scope="module")
def ways(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ways]:
    folder = tmp_path_factory.mktemp("absurd")
    (folder / "policy").mkdir()
    (folder / "policy" / "limits.rego").write_text(POLICY)
    with contextlib.ExitStack() as stack:
        raw = stack.enter_context(RawProvider())
        settings = f'[policy]\npath = "{folder / "policy"}"\n{PRICES}{integration(raw.port)}'
        yield Ways(stack.enter_context(running(folder / "gateway", settings)), raw)


def session(name: str) -> str:
    return f"x-session-id: {name}\r\n"


@pytest.mark.parametrize("model", ["dear", "dearest"])
@pytest.mark.parametrize("stream", [False, True])
def test_a_call_for_more_than_anybody_draws_is_refused(ways: Ways, model: str, stream: bool) -> None:
    body = chat(model, max_tokens=1_000_000_000, n=1024, stream=stream)
    asked = len(ways.raw.requests)
    told = ways.gateway.ask(post(body, fields=session(f"asks-{model}-{stream}")))
    assert (told.status, told.code) == (429, "budget_exceeded")
    assert told.fields["x-should-retry"] == "false"
    assert len(ways.raw.requests) == asked
    assert RUN in told.fields


@pytest.mark.parametrize("model", ["dear", "dearest"])
@pytest.mark.parametrize("tokens", [10**12, 10**12 + 1, 2**53, 2**63, 10**40], ids=str)
def test_what_a_provider_reports_is_charged_however_much_it_is(ways: Ways, model: str, tokens: int) -> None:
    usage = {"prompt_tokens": tokens, "completion_tokens": tokens, "total_tokens": 2 * tokens}
    answer = json.dumps(json.loads(PLAIN) | {"usage": usage}).encode()

    ways.raw.answer = always(reply(answer))
    name = session(f"told-{model}-{tokens % 10**18}")
    for _ in range(2):  # the place among concurrent calls is free again
        told = ways.gateway.ask(post(chat(model, max_tokens=10), fields=name))
        assert told.status == 200
        assert json.loads(told.body)["usage"] == usage
    assert ways.gateway.log.count("Traceback") == 0
