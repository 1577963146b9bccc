"""A gateway whose one policy does what `data.json` says of the call's first tag: each case has a tag of its own.

Limits are keyed by the session, so that a case begins with limits that nobody has used; what is asked of one provider
can be compared with that provider's own ledger.
"""

import contextlib
import json
import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from tests.gateway import Gateway, Told, free_port, post, running
from tests.providers import RawProvider, Received, always, integration, reply, simulated
from tests.words import tokens, write_vocabulary
from tidegate.serve.simulated import Provider
from tidegate.serve.simulated.ledger import Bill
from tidegate.serve.simulated.text import Sampler
from tidegate.wire.openai import ask_usage
from tidegate.wire.splice import splice

RUN = "x-tidegate-run-id"
CHAT, COMPLETIONS, RESPONSES, MESSAGES = "/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/messages"
RESERVE, STEP, EVERY = 20, 8, 8
PROMPT = 5  # tokens of a prompt of completions

ADMISSION = """package tidegate.admission

asked := data.cases[input.run.tags[0]]

deny contains reason if some reason in asked.deny
warn contains reason if some reason in asked.warn
limit contains object.union(each, {"key": [input.run.session]}) if some each in asked.limits

warn contains {"code": "used_before", "message": sprintf("%v are used", [input.limits.watched.used])} if {
	asked.watch
	input.limits.watched.used > 0
}

route := asked.route
capture := asked.capture
evidence := asked.evidence
max_output := asked.max_output
"""
STREAM = """package tidegate.stream

stop contains {"code": "said_enough", "message": "these are words enough"} if {
	input.output.tokens >= data.cases[input.run.tags[0]].words
}
"""
RESPONSE = """package tidegate.response

asked := data.cases[input.run.tags[0]]

deny contains {"code": "not_to_be_said", "message": "this is not to be said"} if {
	asked.hold_back
	input.output.text != ""
}

flag contains {"code": "long", "message": sprintf("%v tokens", [input.output.usage.output_tokens])} if {
	input.output.usage.output_tokens > asked.long
}
"""
SHADOW = """package tidegate.admission

deny contains {"code": "not_yet", "message": "the next policy would not"} if input.run.tags[0] == "shadowed"
"""
WATCHED = {"key": ["run.session"], "measure": "requests", "max": 3, "per": "total"}
EVENT = b"""data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m",\
"choices":[{"index":0,"delta":{"content":"two"},"finish_reason":null}]}

"""
HALF = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n" % (
    len(EVENT),
    EVENT,
)
PLAIN = json.dumps(
    {
        "id": "chatcmpl-raw",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "two"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 5, "completion_tokens": 1, "total_tokens": 6},
    }
).encode()


def halfway(connection: socket.socket, request: Received) -> None:
    """Begins a stream, and closes when its first event has long been passed on."""
    connection.sendall(HALF)
    time.sleep(1)
    raise StopIteration


class Governed(NamedTuple):
    """The gateway, and those behind it. Calls go to `sim` unless a route says otherwise."""

    gateway: Gateway
    sim: Provider
    other: Provider
    raw: RawProvider
    half: RawProvider
    sick: RawProvider
    busy: RawProvider

    def ask(self, tag: str, path: str, body: bytes, session: str = "", fields: str = "") -> Told:
        """One call of a case."""
        return self.gateway.ask(post(body, path, fields=tagged(tag, session) + fields))


def tagged(tag: str, session: str = "") -> str:
    """The header fields of a case."""
    return f"x-tidegate-tags: {tag}\r\nX-Session-ID: {session or tag}\r\n"


@contextlib.contextmanager
def governed(folder: Path, cases: dict[str, dict[str, Any]], settings: str = "") -> Iterator[Governed]:
    """Two workers, and every kind of provider."""
    policy, shadow = folder / "policy", folder / "shadow"
    for place, files in (
        (policy, {"admission": ADMISSION, "stream": STREAM, "response": RESPONSE}),
        (shadow, {"admission": SHADOW}),
    ):
        place.mkdir(parents=True)
        for name, text in files.items():
            (place / f"{name}.rego").write_text(text)
    (policy / "data.json").write_text(json.dumps({"cases": cases, "limits": {"watched": WATCHED}}))
    with contextlib.ExitStack() as stack:
        sim, other = (stack.enter_context(simulated()) for _ in range(2))
        raw = stack.enter_context(RawProvider(always(reply(PLAIN))))
        half = stack.enter_context(RawProvider(halfway))
        sick = stack.enter_context(RawProvider(always(reply(b"{}", "503 Service Unavailable"))))
        busy = stack.enter_context(RawProvider(always(reply(b"{}", "429 Too Many Requests", "retry-after: 9\r\n"))))
        ways = integration(sim.port, "simulated", name="sim") + integration(other.port, "simulated", name="other")
        ways += integration(other.port, "simulated", name="dear", aliases={"simulated": "simulated-bytes-9"})
        for name, one in (("raw", raw), ("half", half), ("sick", sick), ("busy", busy)):
            ways += integration(one.port, name=name)
        ways += integration(free_port(), name="dead")
        text = (
            settings
            + f'[policy]\npath = "{policy}"\nshadow = "{shadow}"\nevery = {EVERY}\n'
            + f"[limits]\nreserve = {RESERVE}\nstep = {STEP}\n"
            + '[prices.override]\n"simulated-bytes-9" = "input=10 output=40"\n'
            + write_vocabulary(folder / "gateway")
            + ways
        )
        with running(folder / "gateway", text, workers=2) as gateway:
            workers = gateway.worker_pids()
            yield Governed(gateway, sim, other, raw, half, sick, busy)
            assert gateway.worker_pids() == workers


def body(path: str, number: int, **more: Any) -> bytes:
    """The body of a call that no other call has; for completions its prompt has PROMPT tokens."""
    asked: dict[str, Any] = {"model": "simulated"}
    if path == COMPLETIONS:
        asked["prompt"] = tokens(number, length=PROMPT)
    elif path == RESPONSES:
        asked["input"] = f"tide {number}"
    else:
        asked["messages"] = [{"role": "user", "content": f"tide {number}"}]
    if path == MESSAGES:
        asked["max_tokens"] = 60
    return json.dumps(asked | more).encode()


def bill_of(provider: Provider, path: str, sent: bytes, came: bytes = b"") -> Bill | None:
    """What a provider billed for a call, by the id in its answer, or by the body that it must have got."""
    found = re.search(rb'"id":"(?:chatcmpl-|cmpl-|msg_|resp_)([0-9a-f]{24})"', came)
    if found:
        return provider.ledger.billed(found[1].decode())
    document = json.loads(sent)
    if document.get("stream") and path in (CHAT, COMPLETIONS) and "stream_options" not in document:
        sent = splice(sent, [ask_usage(sent)])
    return provider.ledger.billed(Sampler(0, path.encode() + b"\0" + sent).key)


def events(came: bytes) -> list[dict[str, Any]]:
    """The documents of a stream."""
    lines = [line[5:].strip() for line in came.split(b"\n") if line.startswith(b"data:")]
    return [json.loads(line) for line in lines if line != b"[DONE]"]


def words(came: bytes) -> list[str]:
    """What a stream or a whole answer says, in words."""
    said = ""
    for event in events(came):
        for choice in event.get("choices", ()):
            said += choice.get("text") or choice.get("delta", {}).get("content") or ""
        delta = event.get("delta")
        if isinstance(delta, str):  # of the Responses API
            said += delta if event["type"] == "response.output_text.delta" else ""
        elif delta:
            said += delta.get("text", "")
    return said.split()
