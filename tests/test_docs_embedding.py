"""The programs of docs/embedding.md are run, with real clients and the simulated provider."""

import asyncio
import contextlib
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.ledgers import Said
from tests.embedded import POLICY, chat, opened, write
from tests.providers import simulated, until
from tidegate import Engine
from tidegate.serve.simulated import Provider
from tidegate.settings import Integration

httpx2 = pytest.importorskip("httpx2", reason="httpx comes with the openai client, which is absent")
openai = pytest.importorskip("openai", reason="the openai client is absent")

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "docs" / "embedding.md").read_text()
_, README = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
FIRST, ROUTED, TRANSPORT, CLIENT, MIDDLEWARE = re.findall(r"```python\n(.*?)```", TEXT, re.S)
ASKED: list[Any] = [{"role": "user", "content": "how high is the tide"}]
PATH = "/v1/chat/completions"
ROUTE = """package tidegate.admission

route := {"integration": "other"} if input.request.model == "simulated-words-4"

route := {"integration": "spare", "fallback": ["main"]} if input.request.model == "gpt-4o-mini"

route := {"model": "simulated-words-3"} if input.request.model == "short"
"""


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    with simulated() as running:
        yield running


def test_the_first_program_is_true(tmp_path: Path, provider: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "policies", admission=POLICY)
    monkeypatch.chdir(tmp_path)
    program = FIRST.replace("https://api.openai.com", f"http://127.0.0.1:{provider.port}")
    printed = io.StringIO()
    names: dict[str, Any] = {}
    with contextlib.redirect_stdout(printed):
        exec(program, names)
    assert printed.getvalue().rstrip().endswith("data: [DONE]")
    assert names["usage"].kind == "provider"
    assert names["usage"].output_tokens > 0
    assert Said(tmp_path).outcome(names["run"].id).cost == names["cost"] > 0
    assert all(line in README for line in FIRST.splitlines() if "engine" in line or "run." in line)


def test_the_readme_s_program_is_true(tmp_path: Path, provider: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "policies", admission=POLICY)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENAI_BASE_URL", f"http://127.0.0.1:{provider.port}/v1")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    names: dict[str, Any] = {"app": application(provider), "about": lambda scope: {"tenant": "acme"}}
    for classes in (TRANSPORT, MIDDLEWARE, "from openai import OpenAI\nfrom tidegate import Engine"):
        exec(classes, names)
    names |= {"question": chat(model="gpt-4o-mini", stream=True), "fields": {"content-type": "application/json"}}
    names["url"] = f"http://127.0.0.1:{provider.port}{PATH}"

    async def through_the_application() -> None:
        async with client_of(names["app"]) as client:
            assert (await client.chat.completions.create(model="gpt-4o-mini", messages=ASKED)).choices

    def used() -> None:
        with names["client"] as client:
            assert client.chat.completions.create(model="gpt-4o-mini", messages=ASKED).choices
        asyncio.run(through_the_application())

    names["used"] = used
    with contextlib.redirect_stdout(io.StringIO()):
        exec(README + "    used()\n", names)
    found = Said(tmp_path)
    assert [found.outcome(run).status for run in found.of] == [200] * 3


def test_the_program_goes_where_its_calls_are_routed(
    tmp_path: Path, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "policies", admission=ROUTE)
    monkeypatch.chdir(tmp_path)
    sent, real = [], httpx2.post

    def post(url: str, *, content: bytes, headers: dict[str, str]) -> Any:
        sent.append((url, headers["Authorization"]))
        if url.startswith("https://api.example.com/"):
            return httpx2.Response(503, content=b"{}")
        url = url.replace("https://api.openai.com", f"http://127.0.0.1:{provider.port}")
        return real(url, content=content, headers=headers)

    monkeypatch.setattr(httpx2, "post", post)
    program = ROUTED.replace('("https://api.example.com", "sk-...")', '("https://api.example.com", "sk-spare")')
    names: dict[str, Any] = {}
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(program, names)
    assert '"choices"' in printed.getvalue()
    assert sent == [
        (f"https://api.example.com{PATH}", "Bearer sk-spare"),
        (f"https://api.openai.com{PATH}", "Bearer sk-..."),
    ]
    outcome = Said(tmp_path).outcome(names["run"].id)
    assert outcome.status == 200
    assert [(each.integration, each.status) for each in outcome.attempts] == [("spare", 503), ("main", 200)]


class Transports:
    """The classes of the page, around a client of the simulated provider."""

    def __init__(self, engine: Engine, provider: Provider) -> None:
        self.names: dict[str, Any] = {"engine": engine, "key": "sk-secret"}
        exec(TRANSPORT, self.names)
        exec(CLIENT, self.names)
        assert isinstance(self.names["client"], openai.OpenAI)
        assert isinstance(self.names["transport"], httpx2.BaseTransport)
        self.names["client"].close()
        self.engine = engine
        self.url = f"http://127.0.0.1:{provider.port}/v1"
        self.about = {"tenant": "acme", "integration": "simulated"}

    def client(self, tenant: str = "acme") -> Any:
        transport = self.names["Governed"](self.engine, httpx2.HTTPTransport(), **self.about | {"tenant": tenant})
        return openai.OpenAI(base_url=self.url, api_key="sk-secret", http_client=httpx2.Client(transport=transport))

    def async_client(self, tenant: str = "acme") -> Any:
        inner = httpx2.AsyncHTTPTransport()
        transport = self.names["AsyncGoverned"](self.engine, inner, **self.about | {"tenant": tenant})
        http = httpx2.AsyncClient(transport=transport)
        return openai.AsyncOpenAI(base_url=self.url, api_key="sk-secret", http_client=http)


def test_the_official_client_is_governed(tmp_path: Path, provider: Provider) -> None:
    before = provider.ledger.prompt_tokens, provider.ledger.output_tokens
    refused = provider.ledger.refused
    with opened(tmp_path) as engine, Transports(engine, provider).client() as client:
        asked = client.chat.completions
        plain = asked.with_raw_response.create(model="simulated", messages=ASKED, max_tokens=5)
        assert plain.parse().usage.completion_tokens == 5
        runs = [plain.headers["x-tidegate-run-id"]]
        assert "x-ratelimit-remaining-tokens" in plain.headers
        chunks = list(asked.create(model="simulated", messages=ASKED, max_tokens=6, stream=True))
        assert chunks[-1].choices[0].finish_reason == "length"
        with pytest.raises(openai.PermissionDeniedError) as denied:
            asked.create(model="forbidden", messages=ASKED)
        assert denied.value.body["code"] == "policy_denied"
        with pytest.raises(openai.NotFoundError):
            client.models.list()  # it cannot be governed
        with pytest.raises(openai.InternalServerError):
            client.with_options(max_retries=0).chat.completions.create(model="simulated-status-500", messages=ASKED)
        with asked.create(model="simulated-pace-20", messages=ASKED, max_tokens=50, stream=True) as left:
            next(iter(left))
        with pytest.raises(openai.APIConnectionError):
            client.with_options(max_retries=0).chat.completions.create(model="simulated-reset-0", messages=ASKED)
        assert until(lambda: not engine._open)
    found = Said(tmp_path)
    outcomes = {run: found.outcome(run) for run in found.of if "Outcome" in found.kinds(run)}
    assert outcomes[runs[0]].provider is not None
    ends = [(each.status, each.error, each.client_left) for each in outcomes.values()]
    assert ends == [
        (200, "", False),
        (200, "", False),
        (403, "policy_denied", False),
        (500, "", False),
        (200, "", True),
        (502, "upstream_failed", False),
    ]
    used = [each.provider for each in list(outcomes.values())[:2] if each.provider is not None]
    assert sum(each.output for each in used) == 11
    assert provider.ledger.refused == refused + 1  # what was denied has not left
    assert provider.ledger.prompt_tokens > before[0]


def test_the_asynchronous_client_is_governed(tmp_path: Path, provider: Provider) -> None:
    async def calls(client: Any) -> None:
        async with client:
            asked = client.chat.completions
            plain = await asked.create(model="simulated", messages=ASKED, max_tokens=5)
            assert plain.usage.completion_tokens == 5
            chunks = [chunk async for chunk in await asked.create(model="simulated", messages=ASKED, stream=True)]
            assert chunks[-1].choices[0].finish_reason == "stop"
            with pytest.raises(openai.PermissionDeniedError):
                await asked.create(model="forbidden", messages=ASKED)
            stream = await asked.create(model="simulated-pace-20", messages=ASKED, max_tokens=50, stream=True)
            async with stream:
                await anext(aiter(stream))

    with opened(tmp_path) as engine:
        asyncio.run(calls(Transports(engine, provider).async_client()))
    found = Said(tmp_path)
    ends = [(each.status, each.error, each.client_left) for run in found.of for each in [found.outcome(run)]]
    assert ends == [(200, "", False), (200, "", False), (403, "policy_denied", False), (200, "", True)]


OTHERS = {name: Integration(provider="simulated") for name in ("simulated", "other")}


def only_the_model_is_routed(folder: Path, provider: Provider, before: int) -> None:
    """What was routed to another model has left, and what was routed elsewhere has not, as the ledger says."""
    assert provider.ledger.calls == before + 1
    found = Said(folder)
    outcomes = [found.outcome(run) for run in found.of]
    assert [(each.status, each.error, each.client_left) for each in outcomes] == [
        (200, "", False),
        (403, "policy_error", False),
    ]
    assert (outcomes[1].provider, outcomes[1].counted, outcomes[1].cost) == (None, None, 0)


def test_a_call_of_the_official_client_that_is_routed_elsewhere_is_refused(tmp_path: Path, provider: Provider) -> None:
    before = provider.ledger.calls
    with opened(tmp_path, ROUTE, integration=OTHERS) as engine, Transports(engine, provider).client() as client:
        asked = client.chat.completions
        assert asked.create(model="short", messages=ASKED).choices[0].message.content
        with pytest.raises(openai.PermissionDeniedError, match="the call is routed to `other`") as refused:
            asked.create(model="simulated-words-4", messages=ASKED, stream=True)
        assert refused.value.body["code"] == "policy_error"
        assert refused.value.response.headers["x-tidegate-run-id"]
    only_the_model_is_routed(tmp_path, provider, before)


def test_a_call_of_the_asynchronous_client_that_is_routed_elsewhere_is_refused(
    tmp_path: Path, provider: Provider
) -> None:
    async def calls(client: Any) -> None:
        async with client:
            asked = client.chat.completions
            assert (await asked.create(model="short", messages=ASKED)).choices[0].message.content
            with pytest.raises(openai.PermissionDeniedError, match="the call is routed to `other`") as refused:
                await asked.create(model="simulated-words-4", messages=ASKED, stream=True)
            assert refused.value.body["code"] == "policy_error"
            assert refused.value.response.headers["x-tidegate-run-id"]

    before = provider.ledger.calls
    with opened(tmp_path, ROUTE, integration=OTHERS) as engine:
        asyncio.run(calls(Transports(engine, provider).async_client()))
    only_the_model_is_routed(tmp_path, provider, before)


def test_a_stream_of_the_official_client_ends_at_its_limit(tmp_path: Path, provider: Provider) -> None:
    with opened(tmp_path) as engine:
        governing = Transports(engine, provider)
        with governing.client("small") as client:
            chunks = list(client.chat.completions.create(model="simulated-words-60", messages=ASKED, stream=True))
            assert chunks[-1].choices[0].finish_reason == "length"
            assert 0 < sum(bool(chunk.choices and chunk.choices[0].delta.content) for chunk in chunks) < 40
            with pytest.raises(openai.RateLimitError) as spent:
                client.chat.completions.create(model="simulated", messages=ASKED)
            assert spent.value.body["code"] == "budget_exceeded"
    found = Said(tmp_path)
    stopped = [found.outcome(run).stopped for run in found.of]
    assert stopped == ["limit", ""]  # the client has not tried again


def application(provider: Provider) -> Any:
    """One that proxies the provider, in ASGI alone."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        body = (await receive())["body"]
        assert dict(scope["headers"])[b"content-length"] == b"%d" % len(body)
        url = f"http://127.0.0.1:{provider.port}{scope['path']}"
        fields = {"content-type": "application/json", "accept-encoding": "identity"}
        async with (
            httpx2.AsyncClient() as client,
            client.stream("POST", url, content=body, headers=fields) as answer,
        ):
            head = [(b"content-type", answer.headers["content-type"].encode())]
            await send({"type": "http.response.start", "status": answer.status_code, "headers": head})
            async for chunk in answer.aiter_raw():
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await send({"type": "http.response.body", "body": b""})

    return app


def governed(engine: Engine, provider: Provider, tenant: str = "acme") -> Any:
    names: dict[str, Any] = {}
    exec(MIDDLEWARE, names)
    return names["Govern"](application(provider), engine, {PATH}, "simulated", lambda scope: {"tenant": tenant})


def client_of(app: Any) -> Any:
    http = httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app))
    return openai.AsyncOpenAI(base_url="http://app/v1", api_key="anything", http_client=http, max_retries=0)


def test_an_application_s_route_is_governed(tmp_path: Path, provider: Provider) -> None:
    async def calls(engine: Engine) -> None:
        async with client_of(governed(engine, provider)) as client:
            asked = client.chat.completions
            plain = await asked.with_raw_response.create(model="simulated", messages=ASKED, max_tokens=5)
            assert plain.parse().usage.completion_tokens == 5
            assert plain.headers["x-tidegate-run-id"]
            chunks = [chunk async for chunk in await asked.create(model="simulated", messages=ASKED, stream=True)]
            assert chunks[-1].choices[0].finish_reason == "stop"
            with pytest.raises(openai.PermissionDeniedError):
                await asked.create(model="forbidden", messages=ASKED)
            with pytest.raises(openai.APIStatusError):
                await asked.create(model="simulated-status-529", messages=ASKED)
        async with client_of(governed(engine, provider, "small")) as client:
            stream = await client.chat.completions.create(model="simulated-words-60", messages=ASKED, stream=True)
            chunks = [chunk async for chunk in stream]
            assert chunks[-1].choices[0].finish_reason == "length"

    with opened(tmp_path) as engine:
        asyncio.run(calls(engine))
    found = Said(tmp_path)
    ends = [(each.status, each.error, each.stopped) for run in found.of for each in [found.outcome(run)]]
    assert ends == [
        (200, "", ""),
        (200, "", ""),
        (403, "policy_denied", ""),
        (529, "", ""),
        (200, "limit_reached", "limit"),
    ]


def test_a_call_of_an_application_that_is_routed_elsewhere_is_refused(tmp_path: Path, provider: Provider) -> None:
    async def calls(engine: Engine) -> None:
        async with client_of(governed(engine, provider)) as client:
            asked = client.chat.completions
            assert (await asked.create(model="short", messages=ASKED)).choices[0].message.content
            with pytest.raises(openai.PermissionDeniedError, match="the call is routed to `other`") as refused:
                await asked.create(model="simulated-words-4", messages=ASKED, stream=True)
            assert refused.value.body["code"] == "policy_error"

    before = provider.ledger.calls
    with opened(tmp_path, ROUTE, integration=OTHERS) as engine:
        asyncio.run(calls(engine))
    only_the_model_is_routed(tmp_path, provider, before)


@pytest.mark.parametrize("how", ["the server cancels", "the server's send fails", "the application gives up"])
def test_a_client_of_the_application_leaves(tmp_path: Path, provider: Provider, how: str) -> None:
    body = b'{"model":"simulated-pace-20","stream":true,"max_tokens":50,"messages":[{"role":"user","content":"x"}]}'
    requests = iter([{"type": "http.request", "body": body}])

    async def receive() -> Any:
        return next(requests, {"type": "http.disconnect"})

    async def call(engine: Engine) -> None:
        came = asyncio.Event()

        async def send(message: Any) -> None:
            if message.get("body"):
                came.set()
                if how == "the server's send fails":
                    raise ConnectionResetError

        app = governed(engine, provider)
        if how == "the application gives up":
            inner = app.app

            async def gives_up(scope: Any, receive: Any, send: Any) -> None:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(0.3):
                        await inner(scope, receive, send)

            app.app = gives_up
        scope = {"type": "http", "method": "POST", "path": PATH, "headers": []}
        task = asyncio.create_task(app(scope, receive, send))
        await came.wait()
        if how == "the server cancels":
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError, ConnectionResetError):
            await task

    with opened(tmp_path) as engine:
        asyncio.run(call(engine))
    (outcome,) = [Said(tmp_path).outcome(run) for run in Said(tmp_path).of]
    assert (outcome.client_left, outcome.error) == (True, "")
    assert outcome.counted is not None
