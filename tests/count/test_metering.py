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
    assert (metering.prompt_tokens, metering.prompt_kind) == (text + 1 + 3 + 3, "exact")


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
        Usage(metering.prompt_tokens, count_tokens(TEXT, "gpt-4o"), "exact")
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
    before = meters.open(asked, asked.model, "house")
    assert before.prompt_kind == "estimated"
    billed = {"prompt_tokens": 2 * before.prompt_tokens, "completion_tokens": 650}
    for _ in range(60):
        metering = meters.open(asked, asked.model, "house")
        stream = metering.stream(False)
        for chunk in chunks(TEXT * 20, billed):
            stream.feed(chunk)
        charged(metering)
    after = meters.open(asked, asked.model, "house")
    assert after.prompt_kind == "calibrated"
    assert after.prompt_tokens == pytest.approx(billed["prompt_tokens"], rel=0.05)
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
    assert opened(meters, "llama-3-70b").prompt_kind == "estimated"


IMAGE_PART = {"type": "image_url", "image_url": {"url": "https://a"}}
LESSONS: list[tuple[str, str, list[object], bool]] = [
    ("texts", "llama-3-70b", [], True),
    ("an exact count", "gpt-4o", [], False),
    ("an image", "llama-3-70b", [IMAGE_PART], False),
    ("a part that nobody knows", "llama-3-70b", [{"type": "smell", "smell": "salt"}], False),
]


@pytest.mark.parametrize(("note", "model", "parts", "teaches"), LESSONS, ids=[note for note, *_ in LESSONS])
def test_which_prompts_teach(meters: Meters, note: str, model: str, parts: list[object], teaches: bool) -> None:
    content = [{"type": "text", "text": TEXT * 20}, *parts]
    asked = call("chat.completions", model=model, messages=[{"role": "user", "content": content}])
    before = meters.calibration.rates("house", model, "prompt")
    for _ in range(12):
        metering = meters.open(asked, model, "house")
        metering.plain(json.dumps({"usage": {"prompt_tokens": 900, "completion_tokens": 1}}).encode())
        charged(metering)
    kinds = [rate.kind for rate in meters.calibration.rates("house", model, "prompt")]
    assert ("calibrated" in kinds) is teaches
    assert (meters.calibration.rates("house", model, "prompt") is before) is not teaches


def test_what_is_no_text_has_no_ratio(meters: Meters) -> None:
    model, parts = "llama-3-70b", [{"type": "text", "text": TEXT}]
    texts, image = (
        call("chat.completions", model=model, messages=[{"role": "user", "content": content}])
        for content in (parts, [*parts, IMAGE_PART])
    )
    media = meters.open(image, model, "house").prompt_tokens - meters.open(texts, model, "house").prompt_tokens
    assert media > 0
    for bucket in range(4):
        for _ in range(60):
            meters.calibration.teach("house", model, "prompt", bucket, 1000, 2000)
    alone, beside = meters.open(texts, model, "house"), meters.open(image, model, "house")
    assert (alone.prompt_kind, beside.prompt_kind) == ("calibrated", "estimated")
    assert beside.prompt_tokens == alone.prompt_tokens + media


def test_models_that_callers_make_up_are_forgotten(meters: Meters) -> None:
    for number in range(5000):
        meters.terms(f"made-up-{number}", "house")
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


def test_the_most_that_a_call_can_use(meters: Meters, tmp_path: Path) -> None:
    limited = Prices(shipped(), {"small": "input=1 output=2 max_output=50", "open": "input=1 output=2"})
    own = Meters(PUBLISHED, Calibration(tmp_path, 1), limited, 1 << 20)
    for model, stated, n, output, note in (
        ("small", 10, 1, 10, "the caller states less than the model can"),
        ("small", 70, 1, 50, "the model cannot write more"),
        ("small", None, 1, 50, "nothing is stated"),
        ("small", 10, 3, 30, "several answers"),
        ("small", None, 3, 150, "several answers of the model's own length"),
        ("small", 0, 1, 0, "no answer is asked for"),
        ("open", 70, 1, 70, "nobody knows what the model can"),
        ("open", None, 1, None, "nobody knows anything"),
    ):
        metering = opened(own, model)
        prompt = metering.prompt_tokens
        cost = None if output is None else 100 * prompt + 200 * output
        expected = metering.expected(stated, n)
        assert (expected.output_tokens, expected.cost) == (output, cost), note
        assert metering.most(stated, n) == output, note
    embedding = call("embeddings", model="text-embedding-3-small", input=TEXT)
    embedded = meters.open(embedding, embedding.model, "openai")
    assert embedded.most(None, 1) == 0
    assert embedded.expected(None, 1).cost == embedded.cost_of(embedded.prompt_tokens, 0) > 0
    free = call("messages.count_tokens", model="claude-sonnet-4-5", messages=PROMPT)
    counted = meters.open(free, free.model, "anthropic").expected(None, 1)
    assert (counted.output_tokens, counted.cost) == (0, 0)


LISTS: list[tuple[object, dict[str, int], int, str]] = [
    ("a", {}, 1, "one prompt"),
    ('of `"` and `[`, ["a", "b"]', {}, 1, "one prompt"),
    (["a"], {}, 1, "a list of one"),
    (["a", "b", "c"], {}, 3, "each is answered"),
    ([1, 2, 3], {}, 1, "tokens are one prompt"),
    ([[1, 2], [3], [4, 5]], {}, 3, "prompts of tokens"),
    (["a", [1, 2], 3], {}, 3, "of every kind"),
    ([], {}, 1, "none"),
    ("a", {"n": 2, "best_of": 5}, 5, "the best ones are wanted"),
    ("a", {"n": 5, "best_of": 2}, 5, "fewer are made than are wanted, which providers refuse"),
    (["a", "b"], {"n": 2, "best_of": 5}, 10, "the best ones for each"),
    (["a", "b"], {"n": 4}, 8, "several for each"),
    (["a", {"b": "c"}], {}, 2, "a list that cannot be read: no fewer than may be in it"),
    ([""] * (1 << 20), {}, 1 << 20, "a list that is not read because it is endless"),
    ([1] * ((1 << 20) + 1), {}, 1, "tokens without end"),
]


@pytest.mark.parametrize(("prompt", "more", "answers", "note"), LISTS, ids=[note for *_, note in LISTS])
def test_every_prompt_of_a_list_has_answers_of_its_own(
    meters: Meters, prompt: object, more: dict[str, int], answers: int, note: str
) -> None:
    asked = call("completions", model="gpt-3.5-turbo-instruct", prompt=prompt, max_tokens=10, **more)
    metering = meters.open(asked, asked.model, "openai")
    assert asked.most == 10
    most = metering.most(asked.most, asked.n or 1)
    assert most is not None
    assert 10 * answers <= most <= 10 * answers + (10 if "cannot be read" in note else 0)
    assert metering.expected(asked.most, asked.n or 1).output_tokens == most


def test_tokens_that_are_nothing_else_cost_what_their_usage_does(meters: Meters) -> None:
    for model in ("gpt-4o", "claude-sonnet-4-5", "gemini-2.5-pro", "deepseek-chat", "nobody-s"):
        metering = opened(meters, model, "")
        for read, said in ((0, 0), (1, 1), (1000, 500), (199_999, 7), (300_000, 9), (1_000_000_000_000, 10**12)):
            usage = Usage(input_tokens=read, output_tokens=said, kind="estimated")
            assert metering.cost_of(read, said) == metering.cost(usage), (model, read, said)
    asked = call("messages.count_tokens", model="claude-sonnet-4-5", messages=PROMPT)
    assert meters.open(asked, asked.model, "anthropic").cost_of(1000, 1000) == 0


@pytest.mark.parametrize("model", ["gpt-4o", "claude-sonnet-4-5", "llama-3-70b", "taught"])
def test_no_answer_grows_to_its_threshold_before_the_meter_has(meters: Meters, model: str) -> None:
    if model == "taught":
        for bucket, ratio in enumerate((0.7, 2.0, 1.3, 1.0)):
            for _ in range(40):
                meters.calibration.teach("openai", model, "output", bucket, 1000, round(1000 * ratio))
    for threshold in (1, 7, 50, 90):
        metering = opened(meters, model)
        stream, raw, before = metering.stream(False), metering.raw_for(threshold), 0
        for chunk in chunks(TEXT * 3 + "Прилив приходит и уходит. " * 3 + "{[(1,2),(3,4)]}" * 3)[:-1]:
            stream.feed(chunk)
            assert metering.so_far() < threshold or stream.tokens >= raw
            before = stream.tokens
        assert before > raw
        assert metering.so_far() == metering.counted().output_tokens
    exact = opened(meters)
    assert [exact.raw_for(tokens) for tokens in (-1, 0, 1, 5000)] == [0, 0, 1, 5000]


def test_what_is_learnt_meanwhile_changes_no_call_that_is_under_way(meters: Meters) -> None:
    metering = opened(meters, "llama-3-70b")
    stream = metering.stream(False)
    for chunk in chunks(TEXT * 20):
        stream.feed(chunk)
    before = metering.so_far()
    for bucket in range(4):
        for _ in range(40):
            meters.calibration.teach("openai", "llama-3-70b", "output", bucket, 1000, 2900)
    assert metering.so_far() == metering.counted().output_tokens == before
    later = opened(meters, "llama-3-70b")
    stream = later.stream(False)
    for chunk in chunks(TEXT * 20):
        stream.feed(chunk)
    assert later.so_far() > 2 * before


def test_a_prompt_is_counted_for_the_model_that_it_goes_to(meters: Meters) -> None:
    asked = call("chat.completions", model="our-favourite", messages=PROMPT)
    assert meters.open(asked, "gpt-4o", "openai").prompt_kind == "exact"
    assert meters.open(asked, "our-favourite", "openai").prompt_kind == "estimated"


IMAGE = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://a"}}]}]
TOOLS = [{"name": "f", "input_schema": {}}]


@pytest.mark.parametrize(
    ("note", "endpoint", "body", "models"),
    [
        ("the same in all", "chat.completions", {"messages": PROMPT}, ("gpt-4o", "gpt-4o-mini")),
        ("published and not", "chat.completions", {"messages": PROMPT}, ("gpt-4o", "gpt-4.1")),
        ("another vocabulary", "chat.completions", {"messages": PROMPT}, ("gpt-4o", "gpt-4")),
        ("another framing", "chat.completions", {"messages": PROMPT}, ("gpt-3.5-turbo", "gpt-3.5-turbo-0301")),
        ("images", "chat.completions", {"messages": IMAGE}, ("gpt-4o", "gpt-4o-mini")),
        ("a learnt ratio", "chat.completions", {"messages": PROMPT}, ("gpt-4o", "claude-sonnet-4-5")),
        ("another prompt for tools", "messages", {"messages": PROMPT, "tools": TOOLS, "max_tokens": 9},
         ("claude-3-opus-20240229", "claude-sonnet-4-5")),
    ],
)  # fmt: skip
def test_a_fallback_has_the_estimate_of_its_own_model(
    meters: Meters, note: str, endpoint: str, body: dict[str, object], models: tuple[str, str]
) -> None:
    asked = call(endpoint, model="any", **body)
    for one, other in (models, models[::-1]):
        before = meters.open(asked, one, "openai")
        shared, afresh = meters.open(asked, other, "openai", before), meters.open(asked, other, "openai")
        assert (shared.prompt_tokens, shared.prompt_kind) == (afresh.prompt_tokens, afresh.prompt_kind), note
        assert shared.price is afresh.price
