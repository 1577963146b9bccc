"""What metering costs: `python -m bench.count [--rounds N] [--quick]`.

The yardstick of events is what a gateway in Python does with each: `orjson` for the document, `tiktoken` for its text;
the sum is inexact, because a chunk's tokens are not those of the whole text. Its framing is a slice, as here every read
is one event; `event_fused_framed` gives it a framing that could stand in a gateway. The yardstick of prices is
genai-prices' own calculation, that of whole prompts tiktoken; bench/calls.py has that of whole calls. What is compared
takes turns within every round, and a ratio is taken inside a round; CPU time is counted. The results are compared
first.

Exit codes: 0 every gate holds, 1 a gate is missed, 2 the run is void (the counts are not what they should be).
"""

import argparse
import gc
import pydoc_data.topics
import sys
import sysconfig
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

import orjson
import tiktoken
import tiktoken_ext.openai_public as openai_public

from bench import calls, prices
from bench.report import Line, finish, ratio_line
from tidegate.count import vocabulary
from tidegate.count._meter import Meter
from tidegate.count._tokens import Counter, Vocabulary
from tidegate.serve.simulated.text import WIDE

EVENTS = 3_000  # of a stream: a long answer, and more bytes than the caches next to a core hold
REPEATS = 5  # streams in a turn; their median counts, as in a gateway the tables are warm
STATE, STATE_LONG = 1_536, 12_288  # bytes
LIMIT = 1 << 20
SHORT, LONG = 1 << 16, 1 << 20  # bytes
SENTENCES = (
    "Прилив приходит и уходит, но берег остаётся тем же.",
    "潮が満ちて、また引いていく。海は静かだ。",
    "Η θάλασσα μετρά τον χρόνο με τα κύματά της.",
    "조수는 달을 따라 움직인다, 밤에도 낮에도.",
    "El límite de hoy no es el de mañana, señora Núñez.",
    "المد والجزر يتبعان القمر كل يوم.",
    "潮汐由月亮的引力引起，每天两次。",
    "Größere Schiffe warten draußen auf die Flut.",
)

Work = Callable[[], float]
Pairs = list[tuple[float, float]]


class Wrong(Exception):
    """The counts are not what they should be, so that nothing can be compared."""


def reference() -> tiktoken.Encoding:
    """tiktoken over the rank files of this package: by itself it would fetch them."""

    def ranks(url: str, expected_hash: str) -> dict[bytes, int]:
        return {token: rank for rank, token in enumerate(vocabulary.published_tokens("o200k_base"))}

    openai_public.load_tiktoken_bpe = ranks
    return tiktoken.Encoding(**openai_public.ENCODING_CONSTRUCTORS["o200k_base"]())


def prose() -> str:
    return "".join(pydoc_data.topics.topics.values())


def code() -> str:
    library = Path(sysconfig.get_path("stdlib"))
    return "".join((library / name).read_text() for name in ("argparse.py", "typing.py", "asyncio/base_events.py"))


def multilingual() -> str:
    """Sentences of eight languages and a few words among them, never in the same order."""
    lines = []
    for number in range(2_000):
        lines.append(SENTENCES[number * 7 % len(SENTENCES)])
        lines.append(WIDE[number * 5 % len(WIDE)])
        lines.append(SENTENCES[(number * number + 3) % len(SENTENCES)])
    return " ".join(lines)


def chunk(text: str, number: int) -> bytes:
    """An event as OpenAI sends it; its padding differs from event to event."""
    document = {
        "id": "chatcmpl-BvXkq3Jm1YhT0pQ8sR7uZcW2aLdEf",
        "object": "chat.completion.chunk",
        "created": 1763690000,
        "model": "gpt-4o-2024-08-06",
        "service_tier": "default",
        "system_fingerprint": "fp_a288987b44",
        "choices": [{"index": 0, "delta": {"content": text}, "logprobs": None, "finish_reason": None}],
        "usage": None,
        "obfuscation": "aB3xK9Qm2LpZ"[: 4 + number * 7 % 9],
    }
    return b"data: %b\n\n" % orjson.dumps(document)


class Framing:
    """Events of a stream, in Python: what is left of a read is kept for the next."""

    def __init__(self) -> None:
        self._left = b""

    def feed(self, read: bytes) -> list[bytes]:
        *events, self._left = (self._left + read).replace(b"\r\n", b"\n").split(b"\n\n")
        found = []
        for event in events:
            lines = event.split(b"\n")
            data = [line[5:].removeprefix(b" ") for line in lines if line.startswith(b"data:")]
            if data:
                found.append(b"\n".join(data))
        return found


def timed(work: Callable[[], object], calls: int) -> float:
    """CPU nanoseconds of one of the calls."""
    times = []
    for _ in range(REPEATS):
        start = time.process_time_ns()
        work()
        times.append((time.process_time_ns() - start) / calls)
    return median(times)


def rounds_of(ours: Work, theirs: Work, rounds: int) -> Pairs:
    """Each takes its turn; who goes first alternates."""
    pairs = []
    gc.disable()
    for number in range(rounds):
        if number % 2:
            mine = ours()
            pairs.append((mine, theirs()))
        else:
            other = theirs()
            pairs.append((ours(), other))
        gc.collect()
    gc.enable()
    return pairs


def events(o200k: Vocabulary, encoding: tiktoken.Encoding, rounds: int) -> Iterator[Line]:
    """A stream of one-token events, the running total asked for after each."""
    tokens = encoding.encode_ordinary(prose())[:EVENTS]
    parts = [encoding.decode_single_token_bytes(token) for token in tokens]
    texts = [part.decode() for part in parts]
    reads = [chunk(text, number) for number, text in enumerate(texts)]
    encode, loads = encoding.encode_ordinary, orjson.loads

    def counter() -> int:
        one = Counter(o200k)
        feed, total = one.feed, 0
        for part in parts:
            feed(part)
            total = one.count
        return total

    def chunks() -> int:
        total = 0
        for text in texts:
            total += len(encode(text))
        return total

    def meter() -> int:
        one = Meter("chat.completions", o200k, limit=LIMIT)
        feed, total = one.feed, 0
        for read in reads:
            feed(read)
            total = one.tokens
        return total

    def watched() -> int:
        """The total is asked for by the meter itself, every 64 tokens."""
        one = Meter("chat.completions", o200k, limit=LIMIT)
        one.watch(64, lambda tokens: tokens + 64)
        feed = one.feed
        for read in reads:
            feed(read)
        return one.tokens

    def parsed() -> int:
        total = 0
        for read in reads:
            total += len(encode(loads(read[6:])["choices"][0]["delta"]["content"]))
        return total

    def framed() -> int:
        feed, total = Framing().feed, 0
        for read in reads:
            for data in feed(read):
                total += len(encode(loads(data)["choices"][0]["delta"]["content"]))
        return total

    right = len(encode("".join(texts)))
    if not counter() == meter() == watched() == right or parsed() != framed() or parsed() != chunks():
        raise Wrong(f"{counter()}, {meter()} and not {right}")
    for name, ours, theirs, goal, gate in (
        ("event_count", counter, chunks, 1 / 4, 1 / 4),
        ("event_fused", meter, parsed, 1 / 10, 1 / 7),
        ("event_fused_framed", meter, framed, 1 / 10, None),
        ("event_watched", watched, parsed, 1 / 10, 1 / 7),
    ):
        pairs = rounds_of(lambda work=ours: timed(work, EVENTS), lambda work=theirs: timed(work, EVENTS), rounds)  # type: ignore[misc]
        yield ratio_line(name, pairs, goal=goal, gate=gate, unit="ns")


def prompts(o200k: Vocabulary, encoding: tiktoken.Encoding, rounds: int) -> Iterator[Line]:
    """Whole prompts of about 100 KB; as long as one is counted, others can use the GIL."""
    for name, text in (("prose", prose()), ("code", code()), ("multilingual", multilingual())):
        prompt = text[:100_000]
        if o200k.count(prompt) != len(encoding.encode_ordinary(prompt)):
            raise Wrong(name)
        pairs = rounds_of(
            lambda prompt=prompt: timed(lambda: o200k.count(prompt), 1_000),  # type: ignore[misc]
            lambda prompt=prompt: timed(lambda: encoding.encode_ordinary(prompt), 1_000),  # type: ignore[misc]
            rounds,
        )
        yield ratio_line(f"text_{name}", pairs, goal=1 / 4, gate=1 / 4, unit="us")


def sizes(o200k: Vocabulary) -> Iterator[Line]:
    """The bytes of a stream's state, the largest it has between reads."""
    for name, words, bound in (
        ("stream_state", prose()[:20_000].split(" "), STATE),
        ("stream_state_long", ["中A"] * 5_000, STATE_LONG),
    ):
        one = Meter("chat.completions", o200k, limit=LIMIT)
        one.watch(1 << 40, lambda tokens: -1)
        size = 0
        for number, word in enumerate(words):
            one.feed(chunk(word if name == "stream_state_long" else f"{word} ", number))
            size = max(size, sys.getsizeof(one))
        yield Line(name=name, value=size, unit="bytes", goal=bound, gate=bound)


def letters(o200k: Vocabulary, rounds: int) -> Line:
    """A text of one letter: nanoseconds a byte of the longer one to those of the shorter one."""

    def work(size: int) -> Work:
        reads = [chunk("a" * 4_096, number) for number in range(size // 4_096)]

        def stream() -> None:
            one = Meter("chat.completions", o200k, limit=LIMIT)
            for read in reads:
                one.feed(read)
            if one.tokens != size // 8:
                raise Wrong(f"{one.tokens} for {size} letters")

        return lambda: timed(stream, size)

    return ratio_line("one_letter", rounds_of(work(LONG), work(SHORT), rounds), goal=1.1, gate=1.25, unit="ns")


def cuts(o200k: Vocabulary, rounds: int) -> Line:
    """One event in reads of seven bytes: nanoseconds a byte of the longer one to those of the shorter one."""

    def work(size: int) -> Work:
        event = b'data: {"x":"%b"}\n\n' % (b"a" * size)
        reads = [event[at : at + 7] for at in range(0, len(event), 7)]

        def stream() -> None:
            one = Meter("chat.completions", o200k, limit=2 * size)
            passed = [one.feed(read) for read in reads]
            if b"".join(passed) != event:
                raise Wrong("an event has changed")

        return lambda: timed(stream, size)

    return ratio_line("one_event", rounds_of(work(LONG), work(SHORT), rounds), goal=1.1, gate=1.25, unit="ns")


def main() -> int:
    parser = argparse.ArgumentParser(description="What metering costs.")
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--quick", action="store_true", help="few rounds: does everything still work")
    options = parser.parse_args()
    rounds = 5 if options.quick else options.rounds
    o200k, encoding = vocabulary.published("o200k_base"), reference()
    try:
        lines = [
            *events(o200k, encoding, rounds),
            *prompts(o200k, encoding, max(rounds // 2, 5)),
            *calls.lines(prose(), encoding, max(rounds // 2, 5)),
            *prices.lines(max(rounds // 2, 5)),
            *sizes(o200k),
            letters(o200k, max(rounds // 6, 3)),
            cuts(o200k, max(rounds // 6, 3)),
        ]
    except Wrong as why:
        print(f"nothing was measured: {why}", file=sys.stderr)
        return 2
    facts = {"rounds": rounds, "tiktoken": tiktoken.__version__, "orjson": orjson.__version__}
    return finish(lines, "count", raw=None, facts=facts)


if __name__ == "__main__":
    sys.exit(main())
