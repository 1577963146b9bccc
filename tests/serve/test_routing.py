"""Where a call goes, what the provider sees of it, and what the client sees of the answer."""

import contextlib
import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.gateway import Gateway, Told, chat, free_port, post, running
from tests.providers import RawProvider, always, integration, reply, until

CHAT, MESSAGES, COUNT, MODELS = "/v1/chat/completions", "/v1/messages", "/v1/messages/count_tokens", "/v1/models"
HOUSE_KEY, VAULT_KEY, CALLER_KEY = "house-canary-1", "vault-canary-2", "caller-canary-3"
CANARIES = (HOUSE_KEY, VAULT_KEY, CALLER_KEY)
ANTHROPIC = "anthropic-version: 2023-06-01\r\n"
FIXED = {"host", "accept-encoding", "content-type", "content-length"}


class Estate(NamedTuple):
    """Four integrations, each with a provider of its own."""

    gateway: Gateway
    house: RawProvider  # OpenAI's dialect, with a credential, and with aliases
    byok: RawProvider  # OpenAI's dialect, the caller's own key
    vault: RawProvider  # Anthropic's dialect, with a credential
    claude: RawProvider  # Anthropic's dialect, the caller's own key

    def received(self) -> list[str]:
        """Who has got requests since this was last asked."""
        names = [name for name in ("house", "byok", "vault", "claude") for _ in getattr(self, name).requests]
        for provider in self[1:]:
            provider.requests.clear()
        return names


@pytest.fixture(scope="module")
def estate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Estate]:
    with contextlib.ExitStack() as stack:
        house, byok, vault, claude = (stack.enter_context(RawProvider()) for _ in range(4))
        settings = [
            integration(
                house.port,
                name="house",
                credential="env://HOUSE_KEY",
                models=["gpt-4o", "o3*"],
                aliases={"fast": "gpt-4o-mini", 'quick"': 'gpt-"mini"\u2603'},
            ),
            integration(byok.port, name="byok", models=["llama*", "o3-mini", "o4*"]),
            integration(
                vault.port, "anthropic", name="vault", credential="env://VAULT_KEY", models=["sonnet", "gpt-4o"]
            ),
            integration(claude.port, "anthropic", name="claude", models=["claude-*"], aliases={"best": "claude-opus"}),
        ]
        env = {"HOUSE_KEY": HOUSE_KEY, "VAULT_KEY": VAULT_KEY}
        folder = tmp_path_factory.mktemp("estate")
        gateway = stack.enter_context(running(folder, "".join(settings), env=env))
        yield Estate(gateway, house, byok, vault, claude)
        assert not [canary for canary in CANARIES if canary in gateway.log]


def errors_shape(told: Told, path: str) -> None:
    """An error of ours, in the shape of the path's dialect."""
    document = json.loads(told.body)
    if path.startswith(MESSAGES):
        assert document.keys() == {"type", "error", "request_id"}
        assert document["error"].keys() == {"type", "message", "code", "run"}
        assert document["request_id"] == told.fields["x-tidegate-run-id"]
    else:
        assert document.keys() == {"error"}
        assert document["error"].keys() == {"message", "type", "param", "code", "run"}


class TestWay:
    @pytest.mark.parametrize(
        ("path", "model", "way", "note"),
        [
            (CHAT, "gpt-4o", "house", "by name"),
            (CHAT, "o3", "house", "a pattern's own beginning"),
            (CHAT, "o3-mini", "house", "two serve it: the first in the file"),
            (CHAT, "o4-mini", "byok", "by pattern"),
            (CHAT, "fast", "house", "by alias"),
            (CHAT, "llama-3:8b", "byok", "by pattern"),
            (MESSAGES, "claude-x", "claude", "by pattern"),
            (MESSAGES, "best", "claude", "by alias"),
            (COUNT, "sonnet", "vault", "every route of the dialect"),
            (MESSAGES, "gpt-4o", "vault", "the same name in the other dialect"),
        ],
    )
    def test_the_first_that_speaks_the_dialect_and_serves_the_model(
        self, estate: Estate, path: str, model: str, way: str, note: str
    ) -> None:
        estate.received()
        assert estate.gateway.ask(post(chat(model), path)).status == 200, note
        assert estate.received() == [way], note

    @pytest.mark.parametrize(
        ("path", "model", "note"),
        [
            (CHAT, "gpt-4o-mini", "the name behind an alias is not served by itself"),
            (CHAT, "GPT-4O", "names are compared as they are"),
            (CHAT, "gpt-4o ", "and whole"),
            (CHAT, "claude-x", "served in the other dialect only"),
            (MESSAGES, "llama-3", "served in the other dialect only"),
            (COUNT, "nobody", "no one's"),
            ("/v1/embeddings", "nobody", "no one's"),
            ("/v1/responses", "nobody", "no one's"),
            ("/v1/completions", "nobody", "no one's"),
        ],
    )
    def test_a_model_that_nobody_serves_is_a_404(self, estate: Estate, path: str, model: str, note: str) -> None:
        estate.received()
        body = json.dumps({"model": model, "messages": [], "input": "", "prompt": ""}).encode()
        told = estate.gateway.ask(post(body, path))
        assert (told.status, told.code, told.fields["x-should-retry"]) == (404, "not_found", "false"), note
        errors_shape(told, path)
        dialect = "anthropic" if path.startswith(MESSAGES) else "openai"
        assert f"no integration that speaks the dialect of {dialect} serves" in told.body.decode()
        assert estate.received() == [], note

    @pytest.mark.parametrize(
        ("path", "method", "status"),
        [
            ("/v1/files", "POST", 404),
            ("/v1/messages/batches", "POST", 404),
            ("/v1/chat/completions/", "POST", 404),
            ("/v1/chat/../models", "GET", 404),
            ("/v1/Models", "GET", 404),
            ("/", "GET", 404),
            (CHAT, "GET", 405),
            (COUNT, "DELETE", 405),
            (MODELS, "POST", 405),
            (CHAT + "?model=x", "POST", 404),
            (MESSAGES + "?beta=true&x=y", "POST", 404),
        ],
    )
    def test_what_is_no_route_does_not_exist(self, estate: Estate, path: str, method: str, status: int) -> None:
        estate.received()
        told = estate.gateway.ask(post(chat("gpt-4o"), path).replace(b"POST", method.encode(), 1))
        assert (told.status, told.fields["x-should-retry"]) == (status, "false")
        errors_shape(told, path)
        assert ("allow" in told.fields) == (status == 405)
        assert estate.received() == []

    @pytest.mark.parametrize(
        ("base", "prefix"),
        [
            ("", ""),
            ("/", ""),
            ("/v1", ""),
            ("/v1/", ""),
            ("/openai", "/openai"),
            ("/a/b/v1", "/a/b"),
            ("/a/v1/b/", "/a/v1/b"),
            ("/xv1", "/xv1"),
        ],
    )
    def test_a_base_url_may_have_a_prefix_and_may_end_with_v1(self, tmp_path: Path, base: str, prefix: str) -> None:
        with RawProvider() as provider:
            url = f"http://127.0.0.1:{provider.port}{base}"
            ways = integration(provider.port, base_url=url)
            ways += integration(provider.port, "anthropic", name="two", base_url=url)
            with running(tmp_path, ways) as gateway:
                gateway.ask(post(chat()))
                gateway.ask(post(chat(), MESSAGES + "?beta=true"))
                gateway.ask(f"GET {MODELS} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            assert [request.line for request in provider.requests] == [
                f"POST {prefix}/v1/chat/completions HTTP/1.1",
                f"POST {prefix}/v1/messages?beta=true HTTP/1.1",
                f"GET {prefix}/v1/models HTTP/1.1",
            ]
            assert {request.fields["host"] for request in provider.requests} == {f"127.0.0.1:{provider.port}"}

    def test_one_variable_is_enough(self, tmp_path: Path) -> None:
        with RawProvider() as provider:
            env = {"TIDEGATE_PROVIDER": f"http://127.0.0.1:{provider.port}/v1", "OPENAI_API_KEY": HOUSE_KEY}
            with running(tmp_path, env=env) as gateway:
                assert gateway.ask(post(chat("any"), fields=f"Authorization: Bearer {CALLER_KEY}\r\n")).status == 200
                assert HOUSE_KEY not in gateway.log
            (request,) = provider.requests
            assert request.line == "POST /v1/chat/completions HTTP/1.1"
            assert request.fields["authorization"] == f"Bearer {CALLER_KEY}"  # the vendor's key is for the vendor


class TestBody:
    @pytest.mark.parametrize(
        ("body", "note"),
        [
            (b'{"model":NAME,"messages":[]}', "plain"),
            (b' \n{\t"messages" : [ ] ,\r\n "model"\t:  NAME  } \n', "blanks of every kind"),
            (
                b'{"messages":[{"role":"user","content":"fast"}],"x":"model","y":{"model":"fast"},"model":NAME}',
                "decoys",
            ),
            (b'{"mod\\u0065l":NAME,"messages":[]}', "an escaped key"),
            (b'{"messages":[],"n":1,"temperature":1.0e-0,"seed":12345678901234567890123,"model":NAME}', "odd numbers"),
            (b'{"model":NAME,"messages":[],"e":"\\u00e9\\/\xc3\xa9\\ud83d\\ude00","x":"\xe2\x98\x83"}', "characters"),
            (b'{"model":NAME,"messages":[],"pad":"' + b"x" * 200_000 + b'"}', "large, and many writes"),
        ],
        ids=lambda value: value if isinstance(value, str) else "",
    )
    @pytest.mark.parametrize(
        ("sent", "served"),
        [
            (b'"gpt-4o"', b'"gpt-4o"'),
            (b'"gpt\\u002d4o"', b'"gpt\\u002d4o"'),
            (b'"fast"', b'"gpt-4o-mini"'),
            (b'"f\\u0061st"', b'"gpt-4o-mini"'),
            (b'"quick\\""', '"gpt-\\"mini\\"\u2603"'.encode()),
        ],
    )
    def test_only_the_name_of_the_model_changes(
        self, estate: Estate, body: bytes, sent: bytes, served: bytes, note: str
    ) -> None:
        estate.received()
        assert estate.gateway.ask(post(body.replace(b"NAME", sent))).status == 200, note
        assert estate.house.requests[0].body == body.replace(b"NAME", served), note
        assert estate.house.requests[0].fields["content-length"] == str(len(body.replace(b"NAME", served)))

    def test_a_chunked_body_arrives_with_a_length(self, estate: Estate) -> None:
        estate.received()
        body = chat("fast")
        half = len(body) // 2
        chunks = b"%x;x=y\r\n%b\r\n%x\r\n%b\r\n0\r\nx-trailer: y\r\n\r\n" % (
            half,
            body[:half],
            len(body) - half,
            body[half:],
        )
        head = post(b"", fields="Transfer-Encoding: chunked\r\n").replace(b"Content-Length: 0\r\n", b"")
        assert estate.gateway.ask(head + chunks).status == 200
        (request,) = estate.house.requests
        assert request.body == body.replace(b"fast", b"gpt-4o-mini")
        assert request.fields.keys() >= {"content-length"}
        assert not request.fields.keys() & {"transfer-encoding", "trailer", "x-trailer"}


OPENAI_FIELDS = {
    "openai-organization": "org",
    "openai-project": "project",
    "openai-beta": "assistants=v2",
    "idempotency-key": "once",
    "x-client-request-id": "mine",
    "user-agent": "tests",
}
ANTHROPIC_FIELDS = {
    "anthropic-version": "2023-06-01",
    "anthropic-beta": "tools",
    "idempotency-key": "once",
    "user-agent": "tests",
}
KEPT_HERE = """\
Cookie: session=1
X-Forwarded-For: 10.0.0.1
X-Forwarded-Host: other
X-Forwarded-Proto: https
X-Real-IP: 10.0.0.1
Forwarded: for=10.0.0.1
Via: 1.1 somebody
X-Session-ID: session
X-Tidegate-User: ann
X-Tidegate-Tags: a, b
X-Tidegate-Parent-Run: 0123456789abcdef0123456789
x-tidegate-run-id: forged
X-Tidegate-Tracked: false
Api-Key: secret
Proxy-Authorization: Basic secret
Proxy-Connection: keep-alive
Keep-Alive: timeout=5
TE: trailers
Accept: text/plain
Accept-Encoding: gzip, br
Accept-Language: en
Referer: http://other/
X-Stainless-Lang: python
X-HTTP-Method-Override: DELETE
X-Original-URL: /admin
Host-Override: other
Authorization_: Bearer secret
OpenAI_Organization: other
Traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01
""".replace("\n", "\r\n")
STRICT = "Connection: x-nominated, keep-alive\r\nX-Nominated: yes\r\n"  # takes the head out of the plain scanner's hand


class TestRequestFields:
    @pytest.mark.parametrize("more", ["", STRICT], ids=["plain", "strict"])
    @pytest.mark.parametrize(
        ("path", "model", "passed", "authorization"),
        [
            (CHAT, "gpt-4o", OPENAI_FIELDS, {"authorization": f"Bearer {HOUSE_KEY}"}),
            (CHAT, "llama", OPENAI_FIELDS, {"authorization": f"Bearer {CALLER_KEY}"}),
            (MESSAGES, "sonnet", ANTHROPIC_FIELDS, {"x-api-key": VAULT_KEY}),
            (
                MESSAGES,
                "claude-x",
                ANTHROPIC_FIELDS,
                {"authorization": f"Bearer {CALLER_KEY}", "x-api-key": CALLER_KEY},
            ),
        ],
        ids=["house", "byok", "vault", "claude"],
    )
    def test_only_the_listed_ones_reach_the_provider(
        self, estate: Estate, path: str, model: str, passed: dict[str, str], authorization: dict[str, str], more: str
    ) -> None:
        estate.received()
        keys = f"Authorization: Bearer {CALLER_KEY}\r\nX-Api-Key: {CALLER_KEY}\r\n"
        theirs = "".join(f"{name.title()}: {value}\r\n" for name, value in passed.items())
        assert estate.gateway.ask(post(chat(model), path, fields=keys + KEPT_HERE + more + theirs)).status == 200
        (provider,) = (each for each in estate[1:] if each.requests)
        fields = provider.requests[0].fields
        ours = {name: fields.pop(name) for name in FIXED}
        assert fields == passed | authorization
        assert ours == {
            "host": f"127.0.0.1:{provider.port}",
            "accept-encoding": "identity",
            "content-type": "application/json",
            "content-length": str(len(chat(model))),
        }
        assert provider.requests[0].line == f"POST {path} HTTP/1.1"

    def test_without_a_key_none_is_made_up(self, estate: Estate) -> None:
        estate.received()
        for path, model in ((CHAT, "llama"), (MESSAGES, "claude-x")):
            assert estate.gateway.ask(post(chat(model), path)).status == 200
        for provider in (estate.byok, estate.claude):
            assert provider.requests[0].fields.keys() == FIXED

    @pytest.mark.parametrize(
        ("path", "model", "field"), [(CHAT, "llama", "openai-beta"), (MESSAGES, "claude-x", "anthropic-beta")]
    )
    def test_a_list_in_two_lines_stays_whole(self, estate: Estate, path: str, model: str, field: str) -> None:
        estate.received()
        assert estate.gateway.ask(post(chat(model), path, fields=f"{field}: a\r\n{field}: b\r\n")).status == 200
        (provider,) = (each for each in estate[1:] if each.requests)
        assert provider.requests[0].fields[field] in ("a, b", "a,b")

    def test_two_calls_on_one_connection_do_not_share_anything(self, estate: Estate) -> None:
        estate.received()
        first = post(chat("llama"), fields=f"Authorization: Bearer {CALLER_KEY}\r\nOpenAI-Project: mine\r\n")
        with estate.gateway.connect() as connection:
            connection.sendall(first + post(chat("llama")))
            answers = b""
            while answers.count(b"HTTP/1.1 200") < 2:
                answers += connection.recv(65536)
        assert [request.fields.keys() - FIXED for request in estate.byok.requests] == [
            {"authorization", "openai-project"},
            set(),
        ]


PASSED = {
    "Content-Type": "application/json; charset=utf-8",
    "Date": "Thu, 01 Jan 1970 00:00:00 GMT",
    "X-Request-Id": "req_1",
    "request-id": "req_2",
    "Retry-After": "7",
    "retry-after-ms": "7000",
    "x-should-retry": "true",
    "X-RateLimit-Remaining-Requests": "3",
    "x-ratelimit-reset-tokens": "6m0s",
    "anthropic-ratelimit-tokens-limit": "5",
    "OpenAI-Organization": "org",
    "openai-processing-ms": "12",
    "openai-version": "2020-10-01",
}
KEPT_BACK = {
    "Set-Cookie": "a=b",
    "Server": "cloud",
    "Via": "1.1 cloud",
    "Alt-Svc": 'h3=":443"',
    "Strict-Transport-Security": "max-age=1",
    "X-Powered-By": "them",
    "Access-Control-Allow-Origin": "*",
    "Location": "http://elsewhere/",
    "WWW-Authenticate": "Bearer",
    "Keep-Alive": "timeout=5",
    "x-tidegate-run-id": "forged",
    "x-tidegate-tracked": "false",
    "CF-Ray": "1",
    "Content-Encoding": "identity",
}


class TestAnswerFields:
    @pytest.mark.parametrize("status", ["200 OK", "404 Not Found", "429 Too Many Requests", "529 Overloaded"])
    @pytest.mark.parametrize("version", ["1.1", "1.0"])
    def test_only_the_listed_ones_reach_the_client(self, estate: Estate, status: str, version: str) -> None:
        told = self.ask(estate, "Content-Length: 2\r\n\r\n{}", status, version)
        assert told.fields.pop("content-length") == "2"
        self.check(told, int(status[:3]), b"{}")

    def test_nor_do_others_of_a_stream(self, estate: Estate) -> None:
        body = "Transfer-Encoding: chunked\r\n\r\nc\r\ndata: [DONE]\r\n2\r\n\n\n\r\n0\r\nSet-Cookie: c=d\r\n\r\n"
        told = self.ask(estate, body, events=True)
        assert told.fields.pop("transfer-encoding") == "chunked"
        assert told.fields.pop("content-type") == "text/event-stream"
        told.fields["content-type"] = PASSED["Content-Type"]
        self.check(told, 200, b"data: [DONE]\n\n")

    def ask(
        self, estate: Estate, rest: str, status: str = "200 OK", version: str = "1.1", events: bool = False
    ) -> Told:
        fields = PASSED | KEPT_BACK | ({"Content-Type": "text/event-stream"} if events else {})
        head = f"HTTP/{version} {status}\r\n" + "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        estate.byok.answer = always((head + rest).encode())
        try:
            return estate.gateway.ask(post(chat("llama", stream=events)))
        finally:
            estate.byok.answer = always(reply())

    def check(self, told: Told, status: int, body: bytes) -> None:
        fields = dict(told.fields)
        assert fields.pop("x-tidegate-run-id") != "forged"
        assert fields.pop("x-tidegate-tracked") == "true"
        assert fields == {name.lower(): value for name, value in PASSED.items()}
        assert (told.status, told.body) == (status, body)

    def test_every_answer_has_a_run_of_its_own(self, estate: Estate) -> None:
        asked = [post(chat("llama")), post(chat("nobody")), post(b"{"), b"GET / HTTP/1.1\r\n\r\n", post(chat("o4"))]
        runs = [told.fields["x-tidegate-run-id"] for told in map(estate.gateway.ask, asked * 2)]
        assert len(set(runs)) == len(runs)
        assert runs == sorted(runs)  # time-ordered


class TestModels:
    def get(self, gateway: Gateway, fields: str = "", query: str = "") -> Told:
        return gateway.ask(f"GET {MODELS}{query} HTTP/1.1\r\nHost: x\r\n{fields}\r\n".encode())

    def test_they_come_from_the_settings_where_these_list_all(self, estate: Estate) -> None:
        estate.received()
        openai = json.loads(self.get(estate.gateway).body)
        assert [row["id"] for row in openai["data"]] == ["gpt-4o", "fast", 'quick"', "o3-mini"]
        assert openai["object"] == "list"
        assert all(row["object"] == "model" and row["owned_by"] for row in openai["data"])
        anthropic = json.loads(self.get(estate.gateway, ANTHROPIC).body)
        assert [row["id"] for row in anthropic["data"]] == ["sonnet", "gpt-4o", "best"]
        assert (anthropic["has_more"], anthropic["first_id"], anthropic["last_id"]) == (False, "sonnet", "best")
        assert all(row["type"] == "model" and row["created_at"] for row in anthropic["data"])
        assert estate.received() == []

    @pytest.mark.parametrize("first", ["lists", "serves all"])
    def test_they_are_asked_of_an_integration_that_lists_none(self, tmp_path: Path, first: str) -> None:
        with RawProvider() as lists, RawProvider(always(reply(b'{"object":"list","data":[]}'))) as serves:
            ways = [integration(lists.port, name="lists", models=["a"]), integration(serves.port, name="serves")]
            with running(tmp_path, "".join(ways if first == "lists" else reversed(ways))) as gateway:
                told = self.get(gateway, f"Authorization: Bearer {CALLER_KEY}\r\n")
                missing = self.get(gateway, ANTHROPIC)
            assert (told.status, told.body) == (200, b'{"object":"list","data":[]}')
            assert (len(lists.requests), len(serves.requests)) == (0, 1)
            fields = serves.requests[0].fields
            assert serves.requests[0].line == "GET /v1/models HTTP/1.1"
            assert fields.keys() == {"host", "accept-encoding", "authorization"}
            assert (missing.status, json.loads(missing.body)["type"]) == (404, "error")

    def test_a_question_for_more_is_passed_on(self, tmp_path: Path) -> None:
        with RawProvider() as provider, running(tmp_path, integration(provider.port, "anthropic")) as gateway:
            assert self.get(gateway, ANTHROPIC, "?limit=2&after_id=x&beta=true").status == 200
            assert self.get(gateway, ANTHROPIC, "?key=x").status == 404
            assert [request.line for request in provider.requests] == [
                "GET /v1/models?limit=2&after_id=x&beta=true HTTP/1.1"
            ]


class TestKeys:
    @pytest.mark.parametrize(
        ("path", "fields", "status", "note"),
        [
            (CHAT, "", 401, "none"),
            (MESSAGES, "", 401, "none"),
            (COUNT, "", 401, "none"),
            (MODELS, "", 401, "none"),
            (CHAT, f"X-Api-Key: {CALLER_KEY}\r\n", 401, "the other dialect's field"),
            (CHAT, "Authorization:\r\n", 401, "empty"),
            (CHAT, "Authorization: Bearer\r\n", 401, "a scheme alone"),
            (MESSAGES, "X-Api-Key: \r\n", 401, "empty"),
            (CHAT, f"Authorization: Bearer {CALLER_KEY}\r\n", 401, "a provider's key proves nothing here"),
            (MESSAGES, f"X-Api-Key: {CALLER_KEY}\r\n", 401, "a provider's key"),
            (MESSAGES, f"Authorization: Bearer {CALLER_KEY}\r\n", 401, "a provider's token"),
            (MODELS, f"Authorization: Bearer {CALLER_KEY}\r\n", 401, "a provider's key"),
        ],
    )
    def test_a_call_without_a_key_is_refused_where_nobody_is_anonymous(
        self, guarded: tuple[Gateway, RawProvider], path: str, fields: str, status: int, note: str
    ) -> None:
        gateway, provider = guarded
        before = len(provider.requests)
        request = post(chat(), path, fields=fields)
        if path == MODELS:
            request = f"GET {path} HTTP/1.1\r\nHost: x\r\n{fields}\r\n".encode()
        told = gateway.ask(request)
        assert (told.status, len(provider.requests) - before) == (status, 0), note
        errors_shape(told, path)
        assert (told.code, told.fields["x-should-retry"]) == ("unauthenticated", "false")

    def test_no_secret_is_ever_said(self, tmp_path: Path) -> None:
        """Everything that can go wrong around a key goes wrong; neither the answers nor the log know it."""
        key = f"Authorization: Bearer {CALLER_KEY}\r\n"
        asked = [
            post(chat(), fields=key),
            post(chat(stream=True), fields=key),
            post(b'{"api_key":"' + CALLER_KEY.encode() + b'","model":[]}', fields=key),
            post(b"{" + CALLER_KEY.encode(), fields=key),
            post(chat(), fields=key * 2),
            post(chat(), fields=key.replace(":", " :")),
            post(chat(), fields=key.replace("canary", "can\x01ary")),
            post(chat(), fields=f"Authorization: Bearer\r\n {CALLER_KEY}\r\n"),
            post(chat(), fields=f"{CALLER_KEY}\r\n"),
            post(chat(), fields=f"Transfer-Encoding: {CALLER_KEY}\r\n"),
            post(chat(), f"{CHAT}?{'x' * 9000}{CALLER_KEY}", fields=key),
            post(chat(), f"{MESSAGES}?beta={CALLER_KEY}&x={CALLER_KEY}", fields=f"X-Api-Key: {CALLER_KEY}\r\n"),
            f"GET / {CALLER_KEY}\r\n\r\n".encode(),
        ]
        with RawProvider() as provider:
            there, nowhere = f"127.0.0.1:{provider.port}", f"127.0.0.1:{free_port()}"
            cases: list[tuple[str, dict[str, Any], bytes]] = [
                ("refuses", {"base_url": f"http://{nowhere}"}, b""),
                ("speaks no TLS", {"base_url": f"https://{there}"}, b""),
                ("may not be dialled", {"private": False}, b""),
                ("hangs up", {}, b""),
                ("repeats the key in a broken head", {}, f"HTTP/1.1 200 {HOUSE_KEY}\r\nx y: z\r\n\r\n".encode()),
                ("is cut", {}, b"HTTP/1.1 200 OK\r"),
            ]
            for note, keys, answer in cases:
                provider.answer = always(answer, close=True)
                way = integration(provider.port, credential="env://HOUSE_KEY", **keys)
                settings = "[forward]\nconnect_timeout = 0.2\n" + way
                with running(tmp_path / note, settings, env={"HOUSE_KEY": HOUSE_KEY}) as gateway:
                    said = b"".join(gateway.ask(each).body for each in asked).decode()
                    gateway.write(f"{settings}credentials = 1\n")
                    gateway.process.send_signal(signal.SIGHUP)
                    assert until(lambda gateway=gateway: "not reloaded" in gateway.log)  # type: ignore[misc]
                assert said.count('"error":') == len(asked), note
                assert not [canary for canary in CANARIES if canary in said + gateway.log], note


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Gateway, RawProvider]]:
    with RawProvider() as provider:
        ways = integration(provider.port) + integration(provider.port, "anthropic", name="two")
        folder = tmp_path_factory.mktemp("guarded")
        with running(folder, "[identify]\nanonymous = false\n" + ways) as gateway:
            yield gateway, provider
