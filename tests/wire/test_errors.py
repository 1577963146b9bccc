"""The bytes of every error, in every dialect, as an answer and inside a stream."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate import errors
from tidegate.errors import BudgetExceeded, LimitExceeded, LimitThrottled, PolicyDenied, TidegateError
from tidegate.limit.limits import LimitsFull
from tidegate.record.unrecorded import Unrecorded
from tidegate.wire import anthropic, openai
from tidegate.wire.dialect import Route
from tidegate.wire.reply import printable, told, whole

RUN = b"01a1fe6b68f50000009d130576"
ROUTES = [route for route in (*openai.ROUTES, *anthropic.ROUTES) if route.endpoint != "models"]
STREAMS = [route for route in ROUTES if route.stream_error is not None]

# code -> (status, OpenAI's type, Anthropic's type, x-should-retry); the limits' own types are below
SHAPES = {
    "internal": (500, "server_error", "api_error", None),
    "settings": (500, "server_error", "api_error", None),
    "start": (500, "server_error", "api_error", None),
    "keys": (500, "server_error", "api_error", None),
    "bad_request": (400, "invalid_request_error", "invalid_request_error", "false"),
    "abandoned": (500, "server_error", "api_error", None),
    "bad_message": (400, "invalid_request_error", "invalid_request_error", "false"),
    "bad_body": (400, "invalid_request_error", "invalid_request_error", "false"),
    "bad_field": (400, "invalid_request_error", "invalid_request_error", "false"),
    "unauthenticated": (401, "authentication_error", "authentication_error", "false"),
    "key_invalid": (401, "authentication_error", "authentication_error", "false"),
    "key_expired": (401, "authentication_error", "authentication_error", "false"),
    "key_revoked": (401, "authentication_error", "authentication_error", "false"),
    "provider_key_missing": (401, "authentication_error", "authentication_error", "false"),
    "forbidden": (403, "permission_error", "permission_error", "false"),
    "policy_denied": (403, "permission_error", "permission_error", "false"),
    "policy_error": (403, "permission_error", "permission_error", "false"),
    "policy_stopped": (403, "permission_error", "permission_error", "false"),
    "response_denied": (403, "permission_error", "permission_error", "false"),
    "price_unknown": (403, "permission_error", "permission_error", "false"),
    "not_found": (404, "not_found_error", "not_found_error", "false"),
    "method_not_allowed": (405, "invalid_request_error", "invalid_request_error", "false"),
    "request_timeout": (408, "invalid_request_error", "invalid_request_error", None),
    "body_too_large": (413, "invalid_request_error", "request_too_large", "false"),
    "line_too_long": (414, "invalid_request_error", "invalid_request_error", "false"),
    "media_refused": (415, "invalid_request_error", "invalid_request_error", "false"),
    "too_many_pipelined": (429, "rate_limit_error", "rate_limit_error", "false"),
    "limit_exceeded": (429, "rate_limit_error", "rate_limit_error", "false"),
    "limit_throttled": (429, "rate_limit_error", "rate_limit_error", "true"),
    "limit_reached": (429, "rate_limit_error", "rate_limit_error", "false"),
    "budget_exceeded": (429, "insufficient_quota", "rate_limit_error", "false"),
    "headers_too_large": (431, "invalid_request_error", "invalid_request_error", "false"),
    "coding_refused": (501, "invalid_request_error", "invalid_request_error", "false"),
    "overloaded": (503, "server_error", "overloaded_error", None),
    "limits_full": (503, "server_error", "overloaded_error", None),
    "unrecorded": (503, "server_error", "overloaded_error", None),
    "keys_unreadable": (503, "server_error", "overloaded_error", None),
    "draining": (503, "server_error", "overloaded_error", None),
    "upstream_failed": (502, "server_error", "api_error", None),
    "upstream_unreachable": (502, "server_error", "api_error", None),
    "address_refused": (502, "server_error", "api_error", None),
    "upstream_malformed": (502, "server_error", "api_error", None),
    "upstream_truncated": (502, "server_error", "api_error", None),
    "upstream_timeout": (504, "server_error", "timeout_error", None),
}


def every_kind() -> Iterator[type[TidegateError]]:
    found = [each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, TidegateError)]
    yield from (*found, LimitsFull, Unrecorded)


def lines(block: bytes) -> list[tuple[str, str]]:
    """Header lines as a client sees them."""
    assert not block or block.endswith(b"\r\n")
    pairs = [line.split(b": ", 1) for line in block.split(b"\r\n")[:-1]]
    return [(name.decode("ascii"), value.decode("ascii")) for name, value in pairs]


def in_openai(error: TidegateError, kind: str) -> dict[str, Any]:
    return {"message": "why", "type": kind, "param": None, "code": error.code, "run": RUN.decode()}


def in_anthropic(error: TidegateError, kind: str) -> dict[str, Any]:
    inside = {"type": kind, "message": f"why ({error.code})", "code": error.code, "run": RUN.decode()}
    if error.code == "budget_exceeded":
        inside["details"] = {"error_code": "enforced_spend_limit_reached"}
    return {"type": "error", "error": inside, "request_id": RUN.decode()}


def test_the_table_has_every_error() -> None:
    assert {kind.code for kind in every_kind()} == SHAPES.keys()


@pytest.mark.parametrize("kind", list(every_kind()), ids=lambda kind: kind.code)
@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.endpoint)
def test_an_answer(kind: type[TidegateError], route: Route) -> None:
    error = kind("why")
    status, *types, retry = SHAPES[error.code]
    assert error.status == status
    assert dict(lines(told(error))) == {"Content-Type": "application/json"} | (
        {"x-should-retry": retry} if retry else {}
    )
    document = json.loads(route.dialect.error(error, RUN))
    if route.dialect.name == "openai":
        assert document == {"error": in_openai(error, str(types[0]))}
    else:
        assert document == in_anthropic(error, str(types[1]))


@pytest.mark.parametrize("kind", list(every_kind()), ids=lambda kind: kind.code)
@pytest.mark.parametrize("route", STREAMS, ids=lambda route: route.endpoint)
def test_an_event_of_a_stream(kind: type[TidegateError], route: Route) -> None:
    error = kind("why")
    _, *types, _ = SHAPES[error.code]
    assert route.stream_error is not None
    event = route.stream_error(error, RUN)
    named = route.endpoint in ("responses", "messages")
    start = b"event: error\ndata: " if named else b"data: "
    assert event.startswith(start)
    assert event.endswith(b"\n\n")
    assert event.count(b"\n") == 2 + named  # one event, in one line of data
    document = json.loads(event.removeprefix(start))
    match route.endpoint:
        case "messages":
            assert document == in_anthropic(error, str(types[1]))
        case "responses":
            shown = {"type": "error", "code": error.code, "message": "why", "param": None, "sequence_number": 0}
            assert document == shown | {"error": in_openai(error, str(types[0]))}
        case _:
            assert document == {"error": in_openai(error, str(types[0]))}


GOVERNED: list[tuple[TidegateError, bytes, bytes, bytes]] = [
    (
        LimitThrottled("later", rule="pace", remaining=0, measure="requests", lines=b"retry-after: 1\r\n"),
        b"Content-Type: application/json\r\nx-should-retry: true\r\nretry-after: 1\r\n"
        b"x-tidegate-rule: pace\r\nx-tidegate-remaining: 0\r\n",
        b'{"message":"later","type":"requests","param":null,"code":"limit_throttled","run":"%b","rule":"pace",'
        b'"remaining":0}' % RUN,
        b'{"type":"rate_limit_error","message":"later (limit_throttled)","code":"limit_throttled","run":"%b",'
        b'"rule":"pace","remaining":0}' % RUN,
    ),
    (
        LimitExceeded("no", rule="n", remaining=7, measure="tokens"),
        b"Content-Type: application/json\r\nx-should-retry: false\r\nx-tidegate-rule: n\r\nx-tidegate-remaining: 7\r\n",
        b'{"message":"no","type":"tokens","param":null,"code":"limit_exceeded","run":"%b","rule":"n","remaining":7}'
        % RUN,
        b'{"type":"rate_limit_error","message":"no (limit_exceeded)","code":"limit_exceeded","run":"%b","rule":"n",'
        b'"remaining":7}' % RUN,
    ),
    (
        BudgetExceeded("spent", rule="budget", remaining="0.0123", measure="usd"),
        b"Content-Type: application/json\r\nx-should-retry: false\r\n"
        b"x-tidegate-rule: budget\r\nx-tidegate-remaining: 0.0123\r\n",
        b'{"message":"spent","type":"insufficient_quota","param":null,"code":"budget_exceeded","run":"%b",'
        b'"rule":"budget","remaining":"0.0123"}' % RUN,
        b'{"type":"rate_limit_error","message":"spent (budget_exceeded)",'
        b'"details":{"error_code":"enforced_spend_limit_reached"},"code":"budget_exceeded","run":"%b",'
        b'"rule":"budget","remaining":"0.0123"}' % RUN,
    ),
    (
        PolicyDenied("`a`: no", rule="a, b"),
        b"Content-Type: application/json\r\nx-should-retry: false\r\nx-tidegate-rule: a, b\r\n",
        b'{"message":"`a`: no","type":"permission_error","param":null,"code":"policy_denied","run":"%b","rule":"a, b"}'
        % RUN,
        b'{"type":"permission_error","message":"`a`: no (policy_denied)","code":"policy_denied","run":"%b",'
        b'"rule":"a, b"}' % RUN,
    ),
]


@pytest.mark.parametrize(("error", "header", "gpt", "claude"), GOVERNED, ids=lambda each: getattr(each, "code", ""))
def test_what_refused_is_named_in_the_header_and_in_the_body(
    error: TidegateError, header: bytes, gpt: bytes, claude: bytes
) -> None:
    assert told(error) == header
    assert openai.DIALECT.error(error, RUN) == b'{"error":%b}' % gpt
    assert openai.chat_stream_error(error, RUN) == b'data: {"error":%b}\n\n' % gpt
    assert openai.responses_stream_error(error, RUN).endswith(b',"error":%b}\n\n' % gpt)
    document = b'{"type":"error","error":%b,"request_id":"%b"}' % (claude, RUN)
    assert anthropic.DIALECT.error(error, RUN) == document
    assert anthropic.stream_error(error, RUN) == b"event: error\ndata: %b\n\n" % document


def test_which_method_is_allowed_is_said() -> None:
    assert ("Allow", "POST") in lines(told(errors.MethodRefused("no", "POST")))


@given(st.text(max_size=400), st.none() | st.integers(0, 2**62) | st.text(max_size=300))
def test_no_name_can_break_out_of_its_line(rule: str, remaining: int | str | None) -> None:
    answer = whole(429, told(LimitExceeded("no", rule=rule, remaining=remaining)), RUN, b"{}", False)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert body == b"{}"
    names = [line.partition(b":")[0] for line in head.split(b"\r\n")[1:]]
    expected = [b"Content-Type", b"x-should-retry", b"x-tidegate-run-id", b"x-tidegate-tracked", b"Content-Length"]
    expected[2:2] = ([b"x-tidegate-rule"] if rule else []) + (
        [b"x-tidegate-remaining"] if remaining is not None else []
    )
    assert names == expected
    assert all(0x20 <= byte < 0x7F for line in head.split(b"\r\n") for byte in line)
    assert max(map(len, head.split(b"\r\n"))) <= 300


@given(st.text(alphabet=st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=256))
def test_a_plain_name_stays_as_it_is(name: str) -> None:
    assert printable(name) == name.encode()
