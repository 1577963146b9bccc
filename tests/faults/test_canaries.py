"""Secrets in every place of a call, on every path that it can take: nowhere but in the caller's own answer.

Each call has a mark of its own in every header field, in every field of the body, in its path or query, in its keys and
in what the provider says to it. Afterwards, and while calls are under way and a worker is killed, everything that the
gateway writes or tells others is searched for every mark, as it is, in hexadecimal digits and in base64.
"""

import base64
import contextlib
import itertools
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.gateway import Gateway, read_all, running
from tests.identify.making import make, revoke
from tests.providers import RawProvider, Received, integration, reply, until
from tidegate.record import layout
from tidegate.serve.ledger import memory_of

HOUSE = "mark-house-credential-5d1f7c"
CHAT, COMPLETIONS, RESPONSES, MESSAGES = "/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/messages"
PATHS = (CHAT, COMPLETIONS, RESPONSES, MESSAGES, "/v1/embeddings", "/v1/messages/count_tokens")
POLICY = """package tidegate.admission

what := input.run.tags[0]
text := sprintf("%v", [input.request.messages])

deny contains {"code": "denied", "message": sprintf("%v %v %v", [text, input.caller.user, input.run.session])} if {
	what == "deny"
}
warn contains {"code": "warned", "message": text} if what != "deny"
deny contains {"code": input.request.model, "message": "its code is no code"} if what == "badcode"
deny contains {"code": "x", "message": lower(input.request.metadata.why)} if what == "broken"

limit contains {
	"name": "mine", "measure": "requests", "max": most, "per": "1h",
	"key": [input.caller.user, input.run.session, input.request.model, text],
} if {
	most := {"limited": 0, "plain": 9}[what]
}

evidence := "strict" if what == "strict"
evidence := "async" if what == "async"
"""
STREAM = """package tidegate.stream

stop contains {"code": "stopped", "message": input.output.tail} if input.run.tags[0] == "stop"
"""
RESPONSE = """package tidegate.response

deny contains {"code": "held_back", "message": input.output.text} if input.run.tags[0] == "hold"
flag contains {"code": "flagged", "message": input.output.text} if input.run.tags[0] == "flag"
"""
SHADOW = """package tidegate.admission

deny contains {"code": "shadow", "message": sprintf("%v", [input.request.messages])} if input.run.tags[0] != "x"
"""
SETTINGS = """[accept]
body = 60000
headers = 16000
[forward]
first_byte_timeout = 1
idle_timeout = 1
[policy]
path = "policy"
shadow = "shadow"
every = 1
"""
TAGS = ("plain", "deny", "badcode", "broken", "limited", "strict", "async", "stop", "hold", "flag")
FAULTS = (
    "good",
    "stream",
    "status-400",
    "status-429",
    "status-500",
    "close",
    "garbage",
    "short",
    "reset",
    "mute",
    "error",
)
KEPT = re.compile(rb"mark-[0-9a-z-]+")


@dataclass
class Marked:
    """A call, and the number that is in each of its marks."""

    number: int
    note: str
    request: bytes
    came: bytes = b""

    @property
    def mark(self) -> str:
        return mark(self.number)


def mark(number: int) -> str:
    """What all marks of a call begin with."""
    return f"mark-{number:04d}-{number * 2654435761 % 2**32:08x}"


@dataclass
class Maker:
    """Makes calls, each with marks of its own."""

    keys: dict[str, str]
    made: list[Marked] = field(default_factory=list)

    def call(
        self,
        note: str,
        path: str = CHAT,
        *,
        tag: str = "plain",
        fault: str = "good",
        key: str = "good",
        fields: str = "",
        body: bytes | None = None,
        method: str = "POST",
        query: str = "",
    ) -> None:
        number = len(self.made) + 1
        m = mark(number)
        own = self.keys.get(key, key)
        given = f"x-api-key: {m}-own\r\n" if "messages" in path else f"Authorization: Bearer {m}-own\r\n"
        target = (path + query).replace("MARK", m)
        head = (
            f"{method} {target} HTTP/1.1\r\nHost: {m}-host\r\n{given}Connection: close\r\n"
            f"x-tidegate-key: {own}\r\nX-Session-ID: {m}-session\r\nx-tidegate-tags: {tag},{m}-tag\r\n"
            f"x-tidegate-user: {m}-user\r\nCookie: a={m}-cookie\r\nUser-Agent: {m}-agent\r\nReferer: http://{m}-referer/\r\n"
            f"anthropic-beta: {m}-beta\r\nanthropic-version: {m}-version\r\nIdempotency-Key: {m}-idempotency\r\n"
            f"OpenAI-Organization: {m}-organization\r\nX-Forwarded-For: {m}-forwarded\r\nX-Anything: {m}-anything\r\n"
            f"traceparent: {m}-trace\r\n{fields.replace('MARK', m)}"
        )
        content = self.body(path, m, fault) if body is None else body.replace(b"MARK", m.encode())
        if "transfer-encoding" not in fields.lower():
            head += f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n"
        self.made.append(Marked(number, f"{note}: {path}", head.encode() + b"\r\n" + content))

    @staticmethod
    def body(path: str, m: str, fault: str) -> bytes:
        """A mark in every field that there is, and in some that nobody knows."""
        tool: dict[str, Any] = {"name": f"{m}-tool", "description": f"{m}-description"}
        document: dict[str, Any] = {
            "model": f"{m}-model+{fault}",
            "user": f"{m}-body-user",
            "stop": [f"{m}-stop"],
            "metadata": {f"{m}-name": f"{m}-value", "why": [f"{m}-why"]},
            f"{m}-unknown": {"deep": [f"{m}-deep"]},
            "tools": [{"type": "function", "function": tool}],
            "stream": fault in ("stream", "error", "short"),
        }
        if "messages" in path:
            document |= {"tools": [tool | {"input_schema": {}}], "metadata": {"user_id": f"{m}-user-id"}}
            document |= {"max_tokens": 99, "system": f"{m}-system"}
        if path in (COMPLETIONS,):
            document |= {"prompt": f"{m}-prompt", "suffix": f"{m}-suffix"}
        elif path in (RESPONSES, "/v1/embeddings"):
            document |= {"input": f"{m}-input", "instructions": f"{m}-instructions", "tools": []}
        else:
            document["messages"] = [{"role": "user", "content": f"{m}-text", "name": f"{m}-name"}]
        if path in ("/v1/embeddings", "/v1/messages/count_tokens"):
            del document["stream"]
        return json.dumps(document).encode()


def answer(connection: socket.socket, request: Received) -> None:
    """A provider that says the mark again, in its own words, in its head and in its errors."""
    document = json.loads(request.body) if request.body else {}
    model = document.get("model", "+good")
    m, _, fault = model.partition("+")
    m = f"{m.removesuffix('-model')}-provider"
    fields = f"x-request-id: {m}-id\r\nSet-Cookie: {m}-cookie\r\nX-Own: {m}-own\r\n"
    error = json.dumps({"error": {"message": f"{m}-error", "type": f"{m}-type", "code": f"{m}-code"}}).encode()
    chunk = {"id": f"{m}-id", "model": f"{m}-model", "choices": [{"index": 0, "delta": {"content": f"{m} words"}}]}
    event = b"data: " + json.dumps(chunk).encode() + b"\n\n"
    events = (
        f"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n{fields}Transfer-Encoding: chunked\r\n\r\n".encode()
    )
    framed = b"%x\r\n%b\r\n" % (len(event), event)
    if fault.startswith("status-"):
        connection.sendall(reply(error, f"{fault[7:]} {m}-reason", fields))
    elif fault == "close":
        raise StopIteration
    elif fault == "garbage":
        connection.sendall(f"HTTP/1.1 2OO {m}-garbage\r\n{m}: \x00{m}\r\n\r\n".encode())
        raise StopIteration
    elif fault == "reset":
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        raise StopIteration
    elif fault == "mute":
        connection.recv(1)  # until the gateway has had enough
    elif fault == "short":
        connection.sendall(events + framed)
        raise StopIteration
    elif fault == "error":
        wrong = b"data: " + error + b"\n\n"
        connection.sendall(events + framed + b"%x\r\n%b\r\n0\r\n\r\n" % (len(wrong), wrong))
    elif document.get("stream"):
        connection.sendall(events + framed * 3 + b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n")
        if fault == "slow":
            connection.recv(1)
    elif fault == "slow":
        connection.sendall(events + framed)
        connection.recv(1)
    else:
        usage = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7, "input_tokens": 3, "output_tokens": 4}
        choice = {
            "index": 0,
            "message": {"role": "assistant", "content": f"{m} words"},
            "text": m,
            "finish_reason": "stop",
        }
        connection.sendall(reply(json.dumps(chunk | {"choices": [choice], "usage": usage}).encode(), "200 OK", fields))


def calls(maker: Maker) -> None:
    """Every place, every dialect, every error that there is for a caller to cause."""
    for path, tag in itertools.product(PATHS, TAGS):
        maker.call(f"policy {tag}", path, tag=tag)
    for path, tag in itertools.product((CHAT, COMPLETIONS, RESPONSES, MESSAGES), ("stop", "hold", "flag", "strict")):
        maker.call(f"stream {tag}", path, tag=tag, fault="stream")
    for path, fault, tag in itertools.product((CHAT, RESPONSES, MESSAGES), FAULTS, ("plain", "strict")):
        maker.call(f"provider {fault} {tag}", path, fault=fault, tag=tag)
    for path in (CHAT, MESSAGES):
        maker.call("a list of models", "/v1/models", method="GET", body=b"")
        for key in ("wrong", "revoked", "broken", "tg_MARK"):
            maker.call(f"key {key}", path, key=key)
        for note, body in (
            ("not JSON", b'{"model": "MARK", MARK'),
            ("twice", b'{"model": "MARK", "model": "MARK", "MARK": 1, "MARK": 2, "messages": []}'),
            ("no model", b'{"messages": "MARK", "x": "MARK"}'),
            ("wrong types", b'{"model": ["MARK"], "messages": {"MARK": "MARK"}}'),
            ("not UTF-8", b'{"model": "MARK\xff", "messages": []}'),
            ("deep", b'{"model": "MARK", "messages": [' + b'{"MARK":' * 90 + b'"MARK"' + b"}" * 90 + b"]}"),
            ("long", b'{"model": "MARK", "messages": "' + b"MARK" * 20_000 + b'"}'),
            ("a long name", b'{"model": "' + b"MARK" * 40 + b'", "messages": []}'),
        ):
            maker.call(f"body {note}", path, body=body)
        maker.call("query", path, query="?api_key=MARK&beta=MARK")
        maker.call("method", path, method="PUT")
        maker.call("method of its own", path, method="MARK")
        maker.call("fields", path, fields="X-Long: " + "MARK" * 2000 + "\r\n")
        maker.call("field without name", path, fields=": MARK\r\n")
        maker.call("field with a control character", path, fields="X-Odd: MARK\x01\r\n")
        maker.call("user", path, fields="x-tidegate-parent-run: MARK\r\n")
        maker.call("coding", path, fields="Content-Encoding: MARK\r\n")
        maker.call("expectation", path, fields="Expect: MARK\r\n")
        maker.call("transfer", path, fields="Transfer-Encoding: MARK\r\n")
        maker.call("chunks", path, fields="Transfer-Encoding: chunked\r\n", body=b"MARK\r\nMARK\r\n")
    for path in (
        "/MARK",
        "/v1/MARK",
        "/v1/models/MARK",
        "//MARK/v1",
        "/v1/chat/completions/MARK",
        "http://MARK/",
        "MARK",
    ):
        maker.call("path", path)


def ask(gateway: Gateway, call: Marked) -> None:
    """Says it, and hears what there is to hear."""
    with gateway.connect(30) as client, contextlib.suppress(ConnectionError):
        client.sendall(call.request)
        if b"chunked" in call.request:
            client.shutdown(socket.SHUT_WR)
        call.came = read_all(client)


def forms(text: str) -> list[bytes]:
    """How a text may stand in a file that nobody meant it to be in."""
    raw = text.encode()
    encoded = [base64.b64encode(b"x" * pad + raw) for pad in range(3)]
    inner = [each[4 if pad else 0 : -4] for pad, each in enumerate(encoded)]  # without what neighbours change
    return [raw, raw.hex().encode(), raw.hex().upper().encode(), *(each for each in inner if each)]


COMMANDS = """
import contextlib, json, sys
from tidegate.cli.commands import app
for arguments in json.loads(sys.argv[1]):
    with contextlib.suppress(SystemExit):
        print(arguments[:2])
        try:
            app(arguments, prog_name="tidegate")
        except Exception as error:
            print(type(error).__name__, error)
"""


class Search:
    """Looks for all marks at once, where what they all begin with is found at all."""

    def __init__(self, texts: list[str]) -> None:
        self._starts = [start for text in {text[:6] for text in texts} for start in forms(text)]
        self._any = re.compile(b"|".join(re.escape(form) for text in texts for form in forms(text)))

    def found(self, where: bytes) -> list[bytes]:
        return self._any.findall(where) if any(start in where for start in self._starts) else []

    def files(self, *roots: Path) -> Iterator[str]:
        """The files that have one in their names or in them."""
        for root in roots:
            for path in [root, *root.rglob("*")]:
                try:
                    hits = self.found(str(path).encode()) + (self.found(path.read_bytes()) if path.is_file() else [])
                except FileNotFoundError:
                    continue  # it has just gone
                if hits:
                    yield f"{path}: {hits[0]!r}"


def of_others(made: list[Marked], keys: list[str]) -> Iterator[str]:
    """Answers that have the mark of another call, or a key that is nobody's to know."""
    for call in made:
        for found in set(KEPT.findall(call.came)):
            if not found.startswith(call.mark.encode()):
                yield f"{call.note}: the answer has {found!r}"
        for key in keys:
            if key.encode() in call.came:
                yield f"{call.note}: the answer has a key"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Gateway, RawProvider, dict[str, str]]]:
    folder = tmp_path_factory.mktemp("canaries")
    for name, text in (("policy/a", POLICY), ("policy/s", STREAM), ("policy/r", RESPONSE), ("shadow/a", SHADOW)):
        file = folder / f"{name}.rego"
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
    settings = SETTINGS.replace('"policy"', f'"{folder}/policy"').replace('"shadow"', f'"{folder}/shadow"')
    data = folder / ".tidegate"
    with RawProvider(answer) as provider:
        settings += integration(provider.port, name="house", credential="env://HOUSE")
        settings += integration(provider.port, "anthropic", name="own")
        with running(folder, settings, workers=2, env={"HOUSE": HOUSE}) as gateway:
            keys = {name: make(data, "acme") for name in ("good", "revoked")}
            revoke(data, keys["revoked"])
            keys["wrong"] = keys["good"][:-6] + "abcdef"
            keys["broken"] = keys["good"][:-1]
            yield gateway, provider, keys


def test_no_secret_is_anywhere_but_in_its_caller_s_own_answer(
    place: tuple[Gateway, RawProvider, dict[str, str]], capfd: pytest.CaptureFixture[str]
) -> None:
    gateway, provider, keys = place
    maker = Maker(keys)
    calls(maker)
    marks = [call.mark for call in maker.made]
    secrets = [key[16:] for key in keys.values()]
    search = Search([*marks, HOUSE, *secrets])
    data = gateway.folder / ".tidegate"
    memory = memory_of(layout.find(data / "ledger"))
    assert memory is not None
    with ThreadPoolExecutor(12) as pool:
        list(pool.map(lambda call: ask(gateway, call), maker.made))
    statuses = {call.came[9:12] for call in maker.made}
    expected = {b"200", b"400", b"401", b"403", b"404", b"405", b"413", b"415", b"429", b"500", b"502", b"504"}
    assert expected <= statuses, f"every error path was taken: {sorted(statuses)}"
    assert not list(of_others(maker.made, [HOUSE, *secrets]))

    sent = b"".join(request.head + request.body for request in provider.requests)
    assert sum(mark.encode() in sent for mark in marks) > 100, "the marks were under way"
    assert HOUSE.encode() in sent
    assert not [key for key in secrets if key.encode() in sent], "virtual keys stay here"

    # a worker dies with calls under way
    dying = Maker(keys)
    dying.made.extend(maker.made)
    for tag in ("plain", "strict", "flag"):
        dying.call("killed", tag=tag, fault="slow")
    begun = len(provider.requests)
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(gateway.connect(20)) for _ in range(3)]
        for client, call in zip(clients, dying.made[-3:], strict=True):
            client.sendall(call.request)
        assert until(lambda: len(provider.requests) == begun + 3)
        search = Search([*(call.mark for call in dying.made), HOUSE, *secrets])
        assert not list(search.files(data, memory, gateway.folder / "log"))
        for pid in gateway.worker_pids():
            os.kill(pid, signal.SIGKILL)
        for client, call in zip(clients, dying.made[-3:], strict=True):
            call.came = read_all(client)
    assert until(lambda: gateway.ask_admin("/readyz")[0] == 200, 30)
    assert not list(of_others(dying.made, [HOUSE, *secrets]))

    # what others see
    with socket.create_connection(("127.0.0.1", gateway.admin_port), 10) as admin:
        admin.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        metrics = read_all(admin)
    assert b"tidegate_calls_total" in metrics
    assert not search.found(metrics)
    runs = re.findall(rb"(?i)x-tidegate-run-id: (\w+)", b"".join(call.came for call in dying.made))
    assert len(runs) > 100
    ledger, config = ["--ledger", str(data / "ledger")], ["--config", str(gateway.file)]
    commands = [
        ["ledger", "tail", "-n", "500", *ledger],
        ["ledger", "stats", *ledger],
        ["ledger", "fsck", *ledger],
        ["tail", "-n", "500", "--no-follow", *config],
        *(["runs", "show", run.decode(), *config] for run in runs[:: len(runs) // 20]),
        *(["ledger", "prove", run.decode(), *ledger] for run in runs[:: len(runs) // 5]),
        ["keys", "list", *config],
        ["config", "show", *config],
    ]
    command = [sys.executable, "-c", COMMANDS, json.dumps(commands)]
    ended = subprocess.run(command, capture_output=True, env=gateway.env, timeout=120)
    printed = ended.stdout + ended.stderr
    assert b"Traceback" not in printed
    assert printed.count(b"\n") > 500
    assert not search.found(printed)
    assert not list(search.files(data, memory, gateway.folder / "log"))
    assert "Traceback" not in gateway.log
    place_of_records = next(iter(data.rglob("tile")), None)
    assert place_of_records is not None, "there were records to search"
    # and the search finds what is there
    (data / "planted").write_text(f"x{base64.b64encode(b'yz' + dying.made[7].mark.encode()).decode()}")
    assert len(list(search.files(data))) == 1
    (data / "planted").unlink()
