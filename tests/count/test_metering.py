"""What a call is charged for: what its provider reports, else what was counted in what arrived of its answer."""

import json
from pathlib import Path

import msgspec
import pytest

from tidegate.count.calibration import Calibration
from tidegate.count.metering import Metering, Meters
from tidegate.count.prices import Prices
from tidegate.count.prices_table import shipped
from tidegate.count.registry import PUBLISHED
from tidegate.count.tokens import count_tokens
from tidegate.errors import PriceUnknown
from tidegate.model import Call, Usage
from tidegate.wire import anthropic, openai

ROUTES = {route.endpoint: route for route in (*openai.ROUTES, *anthropic.ROUTES)}
TEXT = "The tide comes in twice a day, and it goes out twice a day."
PROMPT = [{"role": "user", "content": "Tell me about tides."}]
REPORT = {"prompt_tokens": 30, "completion_tokens": 40, "total_tokens": 70}


@pytest.fixture
def meters(tmp_path: Path) -> Meters:
    return Meters(PUBLISHED, Calibration(tmp_path, 0), Prices(shipped(), unknown="input=1 output=2"), 1 << 20)


def call(endpoint: str, **body: object) -> Call:
    route = ROUTES[endpoint]
    assert route.body is not None
    data = json.dumps(body).encode()
    return Call(b"0" * 26, route, {}, b"", data, msgspec.json.decode(data, type=route.body))


def chat(model: str = "gpt-4o") -> Call:
    return call("chat.completions", model=model, messages=PROMPT)


def opened(meters: Meters, model: str = "gpt-4o", provider: str = "openai") -> Metering:
    return meters.open(chat(model), model, provider)


def charged(metering: Metering, *, complete: bool = True) -> Usage:
    return metering.settled(metering.counted(), complete)


def chunks(text: str, usage: dict[str, int] | None = None) -> list[bytes]:
    events: list[dict[str, object]] = [
        {"choices": [{"index": 0, "delta": {"content": text[i : i + 5]}}]} for i in range(0, len(text), 5)
    ]
    events += [{"choices": [], "usage": usage}] if usage else []
    return [b"data: %b\n\n" % json.dumps(event).encode() for event in events] + [b"data: [DONE]\n\n"]


def test_a_prompt_is_counted_before_the_call_leaves(meters: Meters) -> None:
    metering = opened(meters)
    text = count_tokens("Tell me about tides.", "gpt-4o")
    assert (metering.estimate.prompt_tokens, metering.estimate.prompt_kind) == (text + 1 + 3 + 3, "exact")


def test_a_stream_is_charged_as_reported(meters: Meters) -> None:
    metering = opened(meters)
    stream = metering.stream(True)
    passed = b"".join(map(stream.feed, chunks(TEXT, REPORT)))
    assert passed == b"".join(chunks(TEXT))
    assert charged(metering) == metering.reported
    assert metering.reported is not None
    assert (metering.reported.input_tokens, metering.reported.output_tokens) == (30, 40)
    assert metering.counted().output_tokens == count_tokens(TEXT, "gpt-4o")


def test_a_stream_without_a_report_is_charged_as_counted(meters: Meters) -> None:
    metering = opened(meters)
    stream = metering.stream(False)
    for chunk in chunks(TEXT):
        stream.feed(chunk)
    usage = charged(metering)
    assert msgspec.structs.asdict(usage) == msgspec.structs.asdict(
        Usage(metering.estimate.prompt_tokens, count_tokens(TEXT, "gpt-4o"), "exact")
    )


def test_a_client_that_leaves_early_is_charged_for_what_came(meters: Meters) -> None:
    metering = opened(meters)
    stream = metering.stream(False)
    half = TEXT[:30]
    for chunk in chunks(half)[:-1]:
        stream.feed(chunk)
    usage = charged(metering, complete=False)
    assert (usage.output_tokens, usage.kind) == (count_tokens(half, "gpt-4o"), "exact")


def test_a_report_of_the_beginning_is_not_the_end_s(meters: Meters) -> None:
    """Anthropic reports one token when a message starts; the client leaves before the last report."""
    asked = call("messages", model="claude-sonnet-4-5", max_tokens=99, messages=PROMPT)
    metering = meters.open(asked, asked.model, "anthropic")
    stream = metering.stream(False)
    start = {"type": "message_start", "message": {"usage": {"input_tokens": 20, "output_tokens": 1}}}
    delta = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": TEXT}}
    for event in (start, delta):
        stream.feed(b"event: %b\ndata: %b\n\n" % (str(event["type"]).encode(), json.dumps(event).encode()))
    usage = charged(metering, complete=False)
    assert usage.input_tokens == 20
    assert usage.output_tokens >= count_tokens(TEXT, "gpt-4o")
    assert usage.kind == "estimated"
    assert metering.reported is not None
    assert metering.reported.output_tokens == 1


def test_a_plain_answer(meters: Meters) -> None:
    told, silent = opened(meters), opened(meters)
    answer = {"choices": [{"message": {"content": TEXT}}]}
    told.plain(json.dumps(answer | {"usage": REPORT}).encode())
    silent.plain(json.dumps(answer).encode())
    assert charged(told) == told.reported
    assert told.counted() is None
    usage = charged(silent)
    assert (usage.output_tokens, usage.kind) == (count_tokens(TEXT, "gpt-4o"), "exact")


def test_an_answer_that_cannot_be_read_is_counted_as_it_is_written(meters: Meters) -> None:
    whole, pieces = opened(meters), opened(meters)
    whole.plain(TEXT.encode())
    for piece in (TEXT[:20], TEXT[20:]):
        pieces.piece(piece.encode())
    for metering in (whole, pieces):
        usage = charged(metering)
        assert (usage.output_tokens, usage.kind) == (count_tokens(TEXT, "gpt-4o"), "estimated")


def test_what_is_not_charged_is_not_counted(meters: Meters) -> None:
    asked = call("messages.count_tokens", model="claude-sonnet-4-5", messages=PROMPT)
    metering = meters.open(asked, asked.model, "anthropic")
    metering.plain(b'{"input_tokens":9}')
    metering.piece(b"{}")
    assert not metering.charged
    assert metering.cost(charged(metering)) == 0


def test_reports_teach_what_models_without_a_public_vocabulary_need(meters: Meters) -> None:
    asked = call("chat.completions", model="llama-3-70b", messages=[{"role": "user", "content": TEXT * 20}])
    before = meters.open(asked, asked.model, "house").estimate
    assert before.prompt_kind == "estimated"
    billed = {"prompt_tokens": 2 * before.prompt_tokens, "completion_tokens": 650}
    for _ in range(60):
        metering = meters.open(asked, asked.model, "house")
        stream = metering.stream(False)
        for chunk in chunks(TEXT * 20, billed):
            stream.feed(chunk)
        charged(metering)
    after = meters.open(asked, asked.model, "house")
    assert after.estimate.prompt_kind == "calibrated"
    assert after.estimate.prompt_tokens == pytest.approx(billed["prompt_tokens"], rel=0.05)
    stream = after.stream(False)
    for chunk in chunks(TEXT * 20):
        stream.feed(chunk)
    usage = after.counted()
    assert usage.kind == "calibrated"
    assert usage.output_tokens == pytest.approx(650, rel=0.05)


def test_a_broken_call_teaches_nothing(meters: Meters) -> None:
    for _ in range(60):
        metering = opened(meters, "llama-3-70b")
        stream = metering.stream(False)
        for chunk in chunks(TEXT, {"prompt_tokens": 900, "completion_tokens": 900}):
            stream.feed(chunk)
        charged(metering, complete=False)
    assert opened(meters, "llama-3-70b").estimate.prompt_kind == "estimated"


def test_models_that_callers_make_up_are_forgotten(meters: Meters) -> None:
    for number in range(5000):
        meters.vocabulary(f"made-up-{number}")
    assert meters.known <= 4096


def test_a_call_costs_what_it_is_charged_for(meters: Meters) -> None:
    metering = opened(meters)
    usage = Usage(input_tokens=1000, output_tokens=500, kind="provider")
    assert metering.cost(usage) == 750_000


def test_a_model_without_a_price_is_refused_or_costs_the_stated_maximum(meters: Meters, tmp_path: Path) -> None:
    usage = Usage(input_tokens=1_000_000, output_tokens=0, kind="provider")
    assert opened(meters, "nobody-s").cost(usage) == 100_000_000
    strict = Meters(PUBLISHED, Calibration(tmp_path, 1), Prices(shipped()), 1 << 20)
    with pytest.raises(PriceUnknown, match="nobody-s"):
        opened(strict, "nobody-s")
    assert opened(strict, "nobody-s", "simulated").cost(usage) == 100_000_000
