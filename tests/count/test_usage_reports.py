"""What providers report is read in one meaning, whatever they leave in or out; genai-prices is asked for the same."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from msgspec import structs

from tidegate.count.usage_reports import REPORTS, Report, report, settled
from tidegate.model import Usage
from tidegate.wire import anthropic, openai


class Case(NamedTuple):
    """A case of usage.txt."""

    note: str
    endpoint: str
    oracle: list[str]
    answer: list[str]
    usage: dict[str, int | str]


def cases() -> Iterator[Case]:
    """The cases of usage.txt; its own first lines say how they are written."""
    text = Path(__file__).with_name("usage.txt").read_text()
    for case in text.split("\n== ")[1:]:
        note, where, *answer, expected = case.strip().split("\n")
        endpoint, *oracle = where.removeprefix("@ ").split()
        words = expected.removeprefix("=> ")
        pairs = [word.split("=") for word in words.split()] if words != "nothing" else []
        yield Case(note, endpoint, oracle, answer, {name: int(v) if v.isdigit() else v for name, v in pairs})


CASES = list(cases())


def given(answer: list[str], to: Report) -> Usage | None:
    if answer[0].startswith("data: "):
        for line in answer:
            to.event(line.removeprefix("data: ").encode())
    else:
        to.plain("\n".join(answer).encode())
    return to.usage


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.note)
def test_a_report_is_read(case: Case) -> None:
    made = report(case.endpoint)
    assert made is not None
    assert made.usage is None
    usage = given(case.answer, made)
    if not case.usage:
        assert usage is None
        return
    assert usage is not None
    found = {name: value for name, value in structs.asdict(usage).items() if value or name in case.usage}
    assert found == {**case.usage, "kind": "provider"}


@pytest.mark.parametrize("case", [case for case in CASES if case.oracle], ids=lambda case: case.note)
def test_genai_prices_reads_the_same(case: Case) -> None:
    from genai_prices.data_snapshot import get_snapshot

    provider, flavor = case.oracle
    [sold] = [each for each in get_snapshot().providers if each.id == provider]
    _, theirs = sold.extract_usage(json.loads("\n".join(case.answer)), api_flavor=flavor)
    names = {
        "input_tokens": "input_tokens",
        "output_tokens": "output_tokens",
        "cached_tokens": "cache_read_tokens",
        "cache_write_tokens": "cache_write_tokens",
        "cache_write_1h_tokens": "cache_write_1h_tokens",
        "reasoning_tokens": "output_reasoning_tokens",
        "output_audio_tokens": "output_audio_tokens",
        "web_searches": "web_searches",
    }
    expected = {ours: vars(theirs).get(name, 0) for ours, name in names.items()}
    assert {name: case.usage.get(name, 0) for name in names} == expected


def test_every_endpoint_that_is_charged_has_a_report() -> None:
    endpoints = {route.endpoint for route in (*openai.ROUTES, *anthropic.ROUTES)}
    assert endpoints - REPORTS.keys() == {"models", "messages.count_tokens"}
    assert report("models") is None


@pytest.mark.parametrize(
    ("reported", "complete", "output", "kind"),
    [
        (None, True, 40, "exact"),
        (None, False, 40, "exact"),
        (42, True, 42, "provider"),
        (1, True, 1, "provider"),  # a complete answer's report is right, however much was counted
        (1, False, 40, "exact"),  # `message_start` alone
        (64, False, 64, "provider"),
    ],
)
def test_what_is_charged(reported: int | None, complete: bool, output: int, kind: str) -> None:
    said = Usage(25, reported, "provider", cached_tokens=5) if reported is not None else None
    usage = settled(said, Usage(24, 40, "exact"), complete)
    assert (usage.output_tokens, usage.kind) == (output, kind)
    assert (usage.input_tokens, usage.cached_tokens) == ((25, 5) if said else (24, 0))
