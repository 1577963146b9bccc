"""What providers bill teaches what their vocabularies are like; what was learnt outlives the worker."""

import json
import os
import pydoc_data.topics
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import NamedTuple

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.count import texts
from tidegate.count import calibration_file as files
from tidegate.count.calibration import SMALL, Calibration, teaches_input, teaches_output
from tidegate.count.evidence import (
    ENOUGH_CALLS,
    ENOUGH_TOKENS,
    ERRORS,
    GREATEST,
    LEAST,
    Evidence,
    Learnt,
    Rate,
    assumed,
    prior,
    rates,
)
from tidegate.count.features import BUCKETS, Features, features
from tidegate.count.tokens import count_tokens
from tidegate.model import Usage

UNTIMED = settings(deadline=None)  # the machine may be busy
MODEL = "acme", "acme-1"
PROSE = Features("prompt", 0)
OUTPUT = Features("output", 0)


@pytest.fixture
def calibration(tmp_path: Path) -> Calibration:
    return Calibration(tmp_path, 0)


@pytest.fixture(scope="module")
def nothing(tmp_path_factory: pytest.TempPathFactory) -> Calibration:
    """That nobody teaches."""
    return Calibration(tmp_path_factory.mktemp("nothing"), 0)


class Estimate(NamedTuple):
    tokens: int
    margin: int  # that 95 % of the bills are within, where it is calibrated
    kind: str


def estimate(calibration: Calibration, provider: str, model: str, counted: int, of: Features) -> Estimate:
    """What so many tokens, counted here, are for a model."""
    rate = calibration.rates(provider, model, of.side)[of.bucket]
    tokens = rate.of(counted)
    return Estimate(tokens, -(-(tokens + SMALL) * rate.error // 100), rate.kind)


def learn(calibration: Calibration, provider: str, model: str, of: Features, counted: int, billed: int) -> None:
    calibration.teach(provider, model, of.side, of.bucket, counted, billed)


def taught(calibration: Calibration, ratio: float, calls: int = 60, of: Features = PROSE) -> Calibration:
    for call in range(calls):
        counted = 500 + 10 * call
        learn(calibration, *MODEL, of, counted, round(counted * ratio))
    return calibration


# a vocabulary that nobody here knows, played by another that is public


def samples(random: Random) -> Iterator[str]:
    """Prose, code, tables, and other scripts, as they come."""
    prose = "".join(pydoc_data.topics.topics.values())
    code = Path(json.__file__).with_name("decoder.py").read_text() + Path(os.__file__).read_text()
    table = json.dumps([{"id": n, "name": f"user{n}", "score": n * 1.37, "ok": n % 3 == 0} for n in range(3000)])
    foreign = [word for word in texts.WORDS if not word.isascii() and word.isalpha()]
    while True:
        kind = random.choice((prose, prose, code, table, None))
        size = int(10 ** random.uniform(2.5, 4))
        if kind is None:
            yield " ".join(random.choices(foreign, k=size // 8))
        else:
            start = random.randrange(len(kind) - size)
            yield kind[start : start + size]


def described(text: str, tokens: int) -> Features:
    utf8 = text.encode()
    return features("prompt", tokens, len(text), len(utf8), sum(byte > 127 for byte in utf8))


def test_estimates_for_an_unknown_vocabulary_get_well_better_with_calls(calibration: Calibration) -> None:
    stream = samples(Random(4))
    before, after, within = [], [], 0
    for call in range(400):
        text = next(stream)
        counted, billed = count_tokens(text, "gpt-4o"), count_tokens(text, "gpt-4")
        kind = described(text, counted)
        expected = estimate(calibration, *MODEL, counted, kind)
        if call >= 150:
            before.append(abs(counted - billed) / billed)
            after.append(abs(expected.tokens - billed) / billed)
            within += abs(expected.tokens - billed) <= expected.margin
        learn(calibration, *MODEL, kind, counted, billed)
    assert sum(after) < 0.6 * sum(before), (sum(before), sum(after))
    assert within >= 0.9 * len(after), "the margin holds for about 95 of 100"


def test_scripts_have_ratios_of_their_own(calibration: Calibration) -> None:
    ratios = {0: 1.05, 1: 1.3, 2: 1.6, 3: 2.2}
    random = Random(5)
    for _ in range(400):
        bucket = random.randrange(BUCKETS)
        counted = random.randrange(50, 3000)
        learn(calibration, *MODEL, Features("prompt", bucket), counted, round(counted * ratios[bucket]))
    for bucket, ratio in ratios.items():
        expected = estimate(calibration, *MODEL, 10_000, Features("prompt", bucket))
        assert abs(expected.tokens - 10_000 * ratio) < 0.02 * 10_000 * ratio, bucket
        assert expected.kind == "calibrated"
        assert expected.margin <= 0.05 * expected.tokens + 10


def test_a_change_of_vocabulary_is_followed(calibration: Calibration) -> None:
    taught(taught(calibration, 1.0), 1.4, calls=150)
    assert abs(estimate(calibration, *MODEL, 1000, PROSE).tokens - 1400) <= 20


def test_what_is_read_and_what_is_written_are_learnt_apart(calibration: Calibration) -> None:
    taught(calibration, 2.0, of=OUTPUT)
    assert estimate(calibration, *MODEL, 1000, PROSE) == Estimate(1000, 661, "estimated")
    assert estimate(calibration, *MODEL, 1000, OUTPUT).tokens > 1950


def test_one_model_says_nothing_of_another_or_of_another_provider(calibration: Calibration) -> None:
    taught(calibration, 2.0)
    untaught = Estimate(1000, 661, "estimated")
    assert estimate(calibration, "acme", "acme-2", 1000, PROSE) == untaught
    assert estimate(calibration, "other", "acme-1", 1000, PROSE) == untaught


PRIORS = [
    ("gpt-4o", 1.0),
    ("claude-3-5-sonnet-20241022", 1.15),
    ("claude-sonnet-4-20250514", 1.15),
    ("claude-sonnet-4-5", 1.15),
    ("us.anthropic.claude-opus-4-1-20250805-v1:0", 1.15),
    ("claude-opus-4-7", 1.4),
    ("claude-opus-4.8", 1.4),
    ("claude-sonnet-5", 1.4),
    ("claude-opus-5-5", 1.4),
    ("claude-latest", 1.4),
    ("gemini-3-pro", 1.1),
    ("meta-llama/llama-3.3-70b", 1.05),
]


@pytest.mark.parametrize(("model", "ratio"), PRIORS)
def test_without_evidence_a_model_is_like_its_family(calibration: Calibration, model: str, ratio: float) -> None:
    assert prior(model) == ratio
    found = estimate(calibration, "any", model, 1000, PROSE)
    assert abs(found.tokens - 1000 * ratio) <= 1
    assert (found.kind, found.margin) == ("estimated", -(-(found.tokens + 32) * 64 // 100))


def test_a_number_is_calibrated_only_after_enough_calls_of_enough_tokens(calibration: Calibration) -> None:
    def kind() -> str:
        return estimate(calibration, *MODEL, 100, PROSE).kind

    for call in range(40):
        learn(calibration, *MODEL, PROSE, 20, 30)
        assert kind() == "estimated", "short texts say little, however many"
    for _ in range(4):
        learn(calibration, *MODEL, PROSE, 400, 600)
    assert kind() == "calibrated"
    for call in range(12):
        assert estimate(calibration, "acme", "big", 100, PROSE).kind == "estimated", call
        learn(calibration, "acme", "big", PROSE, 100_000, 150_000)
    assert estimate(calibration, "acme", "big", 100, PROSE).kind == "calibrated"


def test_a_kind_of_text_that_was_not_seen_leans_on_those_that_were(calibration: Calibration) -> None:
    taught(calibration, 1.5)
    unseen = estimate(calibration, *MODEL, 1000, Features("prompt", 3))
    assert unseen.kind == "estimated"
    assert 1450 < unseen.tokens <= 1500


def test_one_odd_bill_does_little(calibration: Calibration) -> None:
    taught(calibration, 1.0)
    learn(calibration, *MODEL, PROSE, 1000, 1_000_000)
    assert estimate(calibration, *MODEL, 1000, PROSE).tokens < 1110


@pytest.mark.parametrize(("counted", "billed"), [(0, 10), (10, 0), (-1, 5), (0, 0)])
def test_nothing_is_learnt_from_nothing(calibration: Calibration, counted: int, billed: int) -> None:
    learn(calibration, *MODEL, PROSE, counted, billed)
    calibration.save()
    assert estimate(calibration, *MODEL, 1000, PROSE).tokens == 1000


def test_the_margin_is_what_95_of_100_errors_stay_within(calibration: Calibration) -> None:
    random = Random(6)
    for _ in range(200):
        learn(calibration, *MODEL, PROSE, 5000, round(5000 * random.uniform(0.9, 1.1)))
    margin = estimate(calibration, *MODEL, 5000, PROSE).margin
    assert 0.08 * 5000 <= margin <= 0.13 * 5000


def test_nothing_has_no_tokens(calibration: Calibration) -> None:
    assert estimate(calibration, *MODEL, 0, PROSE).tokens == 0


# which calls teach


def usage(**more: int | str) -> Usage:
    return msgspec.structs.replace(Usage(1000, 100, "provider"), **more)


LESSONS = [
    ("texts", "acme", usage(), True),
    ("audio that was reported", "acme", usage(input_audio_tokens=5), False),
    ("what was found on the way", "acme", usage(web_searches=1), False),
    ("nothing reported", "acme", usage(kind="estimated"), False),
    ("a cache, in the input or beside it", "acme", usage(cached_tokens=500), False),
    ("a cache that was written", "acme", usage(cache_write_tokens=500), False),
    ("a cache as documented", "anthropic", usage(cached_tokens=500, cache_write_tokens=5), True),
]


@pytest.mark.parametrize(("note", "provider", "reported", "expected"), LESSONS)
def test_which_prompts_teach(note: str, provider: str, reported: Usage, expected: bool) -> None:
    assert teaches_input(provider, reported) is expected


@pytest.mark.parametrize(
    ("more", "expected"),
    [({}, True), ({"kind": "exact"}, False), ({"reasoning_tokens": 1}, False), ({"output_audio_tokens": 1}, False),
     ({"output_image_tokens": 1}, False), ({"web_searches": 1}, False), ({"cached_tokens": 9}, True)],
)  # fmt: skip
def test_which_outputs_teach(more: dict[str, int | str], expected: bool) -> None:
    assert teaches_output(usage(**more)) is expected


# evidence adds up

CALLS = st.tuples(st.integers(1, 10**6), st.floats(0.1, 10), st.floats(0, 5)).map(
    lambda call: Evidence().after(call[0], round(call[0] * call[1]), call[2])
)
EVIDENCE = st.lists(CALLS, max_size=6).map(lambda calls: sum_of(calls))


def sum_of(calls: list[Evidence]) -> Evidence:
    evidence = Evidence()
    for call in calls:
        evidence = evidence.faded() + call
    return evidence


def close(one: Evidence, other: Evidence) -> bool:
    pairs = zip((one.counted, one.billed, *one.errors), (other.counted, other.billed, *other.errors), strict=True)
    return all(mine == pytest.approx(theirs) for mine, theirs in pairs)


@UNTIMED
@given(EVIDENCE, EVIDENCE, EVIDENCE)
def test_evidence_adds_up_in_any_order(one: Evidence, other: Evidence, third: Evidence) -> None:
    assert one + other == other + one
    assert close((one + other) + third, one + (other + third))
    assert one + Evidence() == one
    assert Learnt([one] * 4) + Learnt([other] * 4) == Learnt([one + other] * 4)


@UNTIMED
@given(st.lists(CALLS, min_size=1, max_size=40))
def test_old_calls_fade(calls: list[Evidence]) -> None:
    evidence = sum_of(calls)
    assert evidence.calls <= 1 / (1 - 0.97)
    assert evidence.calls == pytest.approx((1 - 0.97 ** len(calls)) / (1 - 0.97))
    assert evidence.counted == pytest.approx(sum(c.counted * 0.97**age for age, c in enumerate(reversed(calls))))


ANY_SUMS = st.tuples(st.floats(0, 1e15), st.floats(0, 1e15)).map(lambda sums: Evidence(*sums))  # as files may have them


@UNTIMED
@given(st.lists(EVIDENCE | ANY_SUMS, min_size=4, max_size=4), st.sampled_from(["acme", "claude-opus-5", "gemini-3"]))
def test_a_ratio_is_never_beyond_those_of_vocabularies(every: list[Evidence], model: str) -> None:
    for evidence, rate in zip(every, rates(model, every), strict=True):
        assert LEAST <= rate.ratio <= GREATEST
        assert rate.error in ERRORS
        enough = evidence.counted >= ENOUGH_TOKENS and evidence.calls >= ENOUGH_CALLS
        assert rate.kind == ("calibrated" if enough else "estimated")


@UNTIMED
@given(st.floats(0, 10))
def test_an_error_is_never_taken_for_a_smaller_one(error: float) -> None:
    assert Evidence().after(100, 100, error).error >= min(error * 100, ERRORS[-1])


@UNTIMED
@given(st.integers(0, 10**9), st.integers(0, 3))
def test_estimates_are_whole_and_rounded_up(nothing: Calibration, tokens: int, bucket: int) -> None:
    found = estimate(nothing, "any", "claude-opus-5", tokens, Features("output", bucket))
    ratio = assumed("claude-opus-5")[bucket].ratio
    assert tokens * ratio <= found.tokens < tokens * ratio + 1
    assert type(found.tokens) is int


@pytest.mark.parametrize(
    ("text", "bucket"),
    [("An ordinary English sentence, with ordinary words in it.", 0), ("x=1;y=[0]*3;z={7:8}", 1),
     ("Обычное предложение на русском языке, в котором есть слова.", 2), ("ཐོག་མར་བོད་ཡིག", 3)],
)  # fmt: skip
def test_the_four_kinds_of_text(text: str, bucket: int) -> None:
    assert described(text, count_tokens(text, "gpt-4o")).bucket == bucket


# files


def test_what_was_learnt_outlives_the_worker(tmp_path: Path) -> None:
    first = taught(Calibration(tmp_path, 3), 1.7)
    first.save()
    second = Calibration(tmp_path, 3)
    assert second.flaws == []
    assert estimate(second, *MODEL, 1000, PROSE) == estimate(first, *MODEL, 1000, PROSE)
    second.save()
    assert estimate(Calibration(tmp_path, 3), *MODEL, 1000, PROSE) == estimate(first, *MODEL, 1000, PROSE)
    [kept] = tmp_path.iterdir()
    assert (kept.name, kept.stat().st_mode & 0o777) == ("calibration-3.json", 0o600)


def test_workers_learn_from_one_another_once(tmp_path: Path) -> None:
    for worker, ratio in enumerate((1.2, 1.6)):
        taught(Calibration(tmp_path / str(worker), worker), ratio).save()
        (tmp_path / str(worker) / f"calibration-{worker}.json").rename(tmp_path / f"calibration-{worker}.json")
    both = [estimate(Calibration(tmp_path, worker), *MODEL, 10_000, PROSE).tokens for worker in (0, 1, 2)]
    assert len(set(both)) == 1
    assert both[0] == pytest.approx(14_000, rel=0.02)
    for _ in range(5):  # whoever restarts and saves adds nothing
        for worker in (0, 1, 2):
            Calibration(tmp_path, worker).save()
    assert estimate(Calibration(tmp_path, 0), *MODEL, 10_000, PROSE).tokens == both[0]


def test_what_others_knew_fades_as_a_worker_learns(tmp_path: Path) -> None:
    for worker in range(4):
        taught(Calibration(tmp_path, worker), 1.0).save()
    last = Calibration(tmp_path, 9)
    taught(last, 2.0, calls=150)
    assert estimate(last, *MODEL, 1000, PROSE).tokens > 1900


BROKEN = [
    ("cut short", lambda text: text[: len(text) // 2]),
    ("empty", lambda text: b""),
    ("no JSON", lambda text: b"\x00\xff" * 100),
    ("another format", lambda text: text.replace(b'"format":1', b'"format":2')),
    ("no format", lambda text: b'{"models":[]}'),
    ("a negative sum", lambda text: text.replace(b'"counted":', b'"counted":-1,"x":')),
    ("a sum beyond all", lambda text: text.replace(b'"counted":', b'"counted":1e300,"x":')),
    ("too few errors", lambda text: text.replace(b'"errors":[', b'"errors":[],"x":[')),
    ("very deep", lambda text: b"[" * 100_000),
    ("much too large", lambda text: text + b" " * (files.LARGEST + 1)),
]


@pytest.mark.parametrize(("note", "breaking"), BROKEN, ids=[note for note, _ in BROKEN])
@pytest.mark.parametrize("mine", [True, False])
def test_a_broken_file_is_set_aside_and_nothing_else_is_lost(
    tmp_path: Path, note: str, breaking: object, mine: bool
) -> None:
    for worker in (0, 1):
        taught(Calibration(tmp_path, worker), 1.5).save()
    path = tmp_path / "calibration-0.json"
    broken = breaking(path.read_bytes())  # type: ignore[operator]
    path.write_bytes(broken)
    opened = Calibration(tmp_path, 0 if mine else 1)
    [flaw] = opened.flaws
    assert f"cannot be read from `{path}`" in flaw
    assert flaw.endswith("it is set aside as `calibration-0.json.broken`")
    assert (tmp_path / "calibration-0.json.broken").read_bytes() == broken
    assert estimate(opened, *MODEL, 1000, PROSE).tokens > 1400, "what the other knew"
    opened.save()
    assert Calibration(tmp_path, 0).flaws == []


def test_a_file_that_may_not_be_read_is_named_and_stays(tmp_path: Path) -> None:
    (tmp_path / "calibration-5.json").mkdir()
    assert Calibration(tmp_path, 0).flaws == [
        f"what was learnt of vocabularies cannot be read from `{tmp_path / 'calibration-5.json'}`: Is a directory"
    ]


def test_a_worker_that_is_killed_while_it_saves_loses_no_more_than_its_last_words(tmp_path: Path) -> None:
    taught(Calibration(tmp_path, 0), 1.5).save()
    child = os.fork()
    if child == 0:
        dying = Calibration(tmp_path, 0)
        while True:
            taught(dying, 1.5, calls=3)
            dying.save()
    time.sleep(0.1)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    survivor = Calibration(tmp_path, 0)
    assert survivor.flaws == []
    assert estimate(survivor, *MODEL, 1000, PROSE).tokens == pytest.approx(1500, rel=0.02)


def test_a_save_that_fails_leaves_what_was_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calibration = taught(Calibration(tmp_path, 0), 1.5)
    calibration.save()
    kept = (tmp_path / "calibration-0.json").read_bytes()
    taught(calibration, 2.0)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left"):
            calibration.save()
    assert (tmp_path / "calibration-0.json").read_bytes() == kept
    calibration.save()
    assert (tmp_path / "calibration-0.json").read_bytes() != kept


def test_the_number_of_models_is_bounded_and_the_idle_ones_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MODELS", 3)
    calibration = Calibration(tmp_path, 0)
    for model in ("a", "b", "c", "a", "d"):
        estimate(calibration, "acme", model, 10, PROSE)
        for _ in range(20):
            learn(calibration, "acme", model, PROSE, 1000, 2000)
    known = [model for model in "abcd" if estimate(calibration, "acme", model, 1000, PROSE).kind == "calibrated"]
    assert known == ["a", "c", "d"]
    calibration.save()
    assert [model for _, model in files.read(tmp_path / "calibration-0.json")] == ["c", "a", "d"]


def test_the_largest_file_can_be_read_again(tmp_path: Path) -> None:
    crowded = Evidence(1 / 3 * 1e14, 1 / 7 * 1e15, (1 / 3,) * len(ERRORS))
    models = {(f"{n:0>60}", f"{n:0>256}"): Learnt([crowded] * 4, [crowded] * 4) for n in range(files.MODELS)}
    files.write(tmp_path / "calibration-0.json", models)
    assert (tmp_path / "calibration-0.json").stat().st_size < files.LARGEST // 2
    assert Calibration(tmp_path, 0).flaws == []


@UNTIMED
@given(st.floats(LEAST, GREATEST), st.integers(-5, 10**9))
def test_the_way_back_is_the_least_number_that_leads_there(ratio: float, tokens: int) -> None:
    rate = Rate(ratio, 10, "calibrated")
    back = rate.back(tokens)
    assert back >= 0
    assert rate.of(back) >= tokens
    assert back == 0 or rate.of(back - 1) < tokens
