"""Checks a build of the meter against the oracle; each gives the streams on which they differ.

The tests want no difference of Tidegate's own build, and one at least of every build with a fault.
"""

from collections.abc import Callable, Iterable, Iterator
from random import Random
from typing import Any

from tests.count import documents, wire
from tidegate.count._meter import Meter
from tidegate.count.vocabulary import published

MakeMeter = Callable[..., Meter]
Difference = tuple[str, bytes]
LIMIT = 1 << 20


def state(meter: Meter) -> dict[str, Any]:
    return {
        "tokens": meter.tokens,
        "finish": meter.finish,
        "choices": meter.choices,
        "done": meter.done,
        "error": meter.error,
        "calling": meter.calling,
        "of choices": [meter.tokens_of(choice) for choice in range(4)],
    }


def expected_state(expected: wire.Expected) -> dict[str, Any]:
    return {
        "tokens": expected.tokens,
        "finish": dict(expected.finish),
        "choices": expected.choices,
        "done": expected.done,
        "error": expected.error,
        "calling": expected.calling,
        "of choices": [expected.tokens_of(choice) for choice in range(4)],
    }


def difference(make: MakeMeter, endpoint: str, stream: bytes, reads: Iterable[bytes]) -> str | None:
    """What is wrong after some read of the stream, or at its end."""
    framed, expected = wire.Events(stream), wire.Expected(endpoint)
    meter = make(endpoint, published("o200k_base"), limit=LIMIT)
    fed = events = 0
    passed = b""
    for read in reads:
        went = meter.feed(read)
        fed, passed = fed + len(read), passed + went
        before = events
        while events < len(framed.boundaries) and boundary_seen(stream, framed.boundaries[events], fed):
            expected.event(framed.events[events])
            events += 1
        if stream[: len(passed)] != passed:
            return "bytes have changed"
        if not ends_there(stream, len(passed), framed.boundaries[events - 1] if events else 0):
            return f"{len(passed)} bytes have gone on"
        if before != events and state(meter) != expected_state(expected):
            return f"{state(meter)} and not {expected_state(expected)}"
    passed += meter.rest()
    expected.event(framed.tail)
    if passed != stream:
        return "the rest has not gone on"
    if state(meter) != expected_state(expected):
        return f"at the end {state(meter)} and not {expected_state(expected)}"
    return None


def boundary_seen(stream: bytes, boundary: int, fed: int) -> bool:
    """An event ends with the CR of its last line: whether an LF follows is not waited for."""
    return boundary <= fed or (boundary == fed + 1 and stream[fed - 1 : boundary] == b"\r\n")


def ends_there(stream: bytes, passed: int, boundary: int) -> bool:
    return passed == boundary or (passed == boundary - 1 and stream[passed - 1 : boundary] == b"\r\n")


def streams(make: MakeMeter, seed: int, wanted: int, odd: float) -> Iterator[Difference]:
    """Random streams of all endpoints in random reads."""
    random = Random(seed)
    for number in range(wanted):
        endpoint = documents.ENDPOINTS[number % len(documents.ENDPOINTS)]
        stream = documents.stream(endpoint, random, random.randrange(1, 12), odd)
        if wrong := difference(make, endpoint, stream, documents.reads(stream, random)):
            yield f"{endpoint}: {wrong}", stream


def single(make: MakeMeter, seed: int, wanted: int) -> Iterator[Difference]:
    """Documents in odd spellings, each as the second event of a stream of its own, after one that begins alike."""
    random = Random(seed)
    for number in range(wanted):
        endpoint = documents.ENDPOINTS[number % len(documents.ENDPOINTS)]
        line = documents.data(endpoint, random, 1.0).replace(b"\n", b" ").replace(b"\r", b" ")
        first = line if random.random() < 0.5 else documents.data(endpoint, random, 0.0)
        stream = b"data: %b\n\ndata: %b\n\n" % (first, line)
        if wrong := difference(make, endpoint, stream, [stream]):
            yield f"{endpoint}: {wrong}", stream


def cut_everywhere(make: MakeMeter, seed: int, wanted: int) -> Iterator[Difference]:
    """Streams cut once at every byte, and into single bytes."""
    random = Random(seed)
    for number in range(wanted):
        endpoint = documents.ENDPOINTS[number % len(documents.ENDPOINTS)]
        stream = documents.stream(endpoint, random, random.randrange(1, 4), 0.7)
        cuts = [[stream[:at], stream[at:]] for at in range(1, len(stream))]
        for reads in [*cuts, [stream[at : at + 1] for at in range(len(stream))]]:
            if wrong := difference(make, endpoint, stream, reads):
                yield f"{endpoint}: {wrong}", stream
                break


def stripped(make: MakeMeter, seed: int, wanted: int) -> Iterator[Difference]:
    """Streams of a provider that was asked for usage, without it: those of one that was not asked."""
    random = Random(seed)
    for _ in range(wanted):
        unasked, asked = [], []
        for _ in range(random.randrange(1, 6)):
            if not unasked or random.random() < 0.5:
                members = documents.members(documents.chat(random), random)
                line, with_null = "".join(members), documents.with_null(members, random)
            end = random.choice((b"\n", b"\r\n", b"\r"))
            before = random.choice((b"", b": comment" + end))
            unasked.append(before + b"data: {%b}" % line.encode() + end + end)
            asked.append(before + b"data: {%b}" % with_null.encode() + end + end)
        usage = b'data: {"id":"x","choices":%b,"usage":{"prompt_tokens":3,"completion_tokens":5}}\n\n'
        asked.append(usage % random.choice((b"[]", b"[ ]")))
        for stream in (unasked, asked):
            stream.append(b"data: [DONE]\n\n")
        meter = make("chat.completions", published("o200k_base"), limit=LIMIT, strip_usage=True)
        passed = b"".join(meter.feed(read) for read in documents.reads(b"".join(asked), random)) + meter.rest()
        if passed != b"".join(unasked):
            yield f"{passed!r} and not {b''.join(unasked)!r}", b"".join(asked)
        if meter.usage is None or meter.usage.output_tokens != 5:
            yield f"{meter.usage}", b"".join(asked)


def alike(make: MakeMeter, seed: int, wanted: int) -> Iterator[Difference]:
    """Streams whose events differ in their texts and in little else."""
    random = Random(seed)
    for number in range(wanted):
        endpoint = documents.ENDPOINTS[number % len(documents.ENDPOINTS)]
        stream = documents.alike(endpoint, random)
        if wrong := difference(make, endpoint, stream, documents.reads(stream, random)):
            yield f"{endpoint}: {wrong}", stream


def rare(make: MakeMeter) -> Iterator[Difference]:
    """What chance seldom finds, in one read and in small ones."""
    for note, stream in documents.RARE.items():
        for size in (len(stream), 7):
            if wrong := difference(make, "chat.completions", stream, cut(stream, size)):
                yield f"{note}: {wrong}", stream


def cut(stream: bytes, size: int) -> Iterator[bytes]:
    return (stream[at : at + size] for at in range(0, len(stream), size))


def watched(make: MakeMeter, seed: int, wanted: int) -> Iterator[Difference]:
    """Streams that are asked about as often as chance wants, and stopped at one of the questions, or never."""
    random = Random(seed)
    for number in range(wanted):
        endpoint = documents.ENDPOINTS[number % len(documents.ENDPOINTS)]
        stream = documents.stream(endpoint, random, random.randrange(1, 24), random.choice((0.0, 0.3)))
        steps = [random.choice((0, 0, 1, 2, 5, 10, 30)) for _ in range(40)]
        last = random.choice((0, 1, 2, 5, 39))
        if wrong := stopped_otherwise(make, endpoint, stream, documents.reads(stream, random), steps, last):
            yield f"{endpoint}, {steps[: last + 1]}: {wrong}", stream


def stopped_otherwise(
    make: MakeMeter, endpoint: str, stream: bytes, reads: Iterable[bytes], steps: list[int], last: int
) -> str | None:
    """What is wrong with a stream that is stopped at the question of this number."""
    framed, expected = wire.Events(stream), wire.Expected(endpoint)
    threshold, wanted, asked, at = steps[0], list[int](), list[int](), len(stream)
    before = expected_state(expected)
    for start, event in zip([0, *framed.boundaries], [*framed.events, framed.tail], strict=True):
        before, size = expected_state(expected), sum(map(len, expected.texts.values()))
        expected.event(event)
        if sum(map(len, expected.texts.values())) == size or expected.tokens <= threshold:
            continue
        wanted.append(expected.tokens)
        if len(wanted) > last:
            at = start
            break
        threshold = expected.tokens + steps[len(wanted)]

    def reached(tokens: int) -> int:
        asked.append(tokens)
        return -1 if len(asked) > last else tokens + steps[len(asked)]

    meter = make(endpoint, published("o200k_base"), limit=LIMIT)
    meter.watch(steps[0], reached)
    passed = b"".join(meter.feed(read) for read in reads) + meter.rest()
    if asked != wanted:
        return f"it asked at {asked} and not at {wanted}"
    if meter.stopped != (len(wanted) > last):
        return f"stopped: {meter.stopped}"
    if passed != stream[:at]:
        return f"{len(passed)} bytes have gone on and not {at}"
    after = expected_state(expected)
    counts = {"tokens": after["tokens"], "of choices": after["of choices"]}
    right = before | counts if meter.stopped else after
    return None if state(meter) == right else f"{state(meter)} and not {right}"


def tails(make: MakeMeter, seed: int, wanted: int) -> Iterator[Difference]:
    """Streams whose last text is kept; no event of theirs has more than one."""
    random = Random(seed)
    for number in range(wanted):
        endpoint = documents.ENDPOINTS[number % len(documents.ENDPOINTS)]
        stream = documents.stream(endpoint, random, random.randrange(1, 12), random.choice((0.0, 0.3)))
        framed, expected, limit = wire.Events(stream), wire.Expected(endpoint), random.choice((1, 2, 5, 20, 64, 1000))
        meter = make(endpoint, published("o200k_base"), limit=LIMIT)
        meter.keep_text(limit)
        for event in [*framed.events, framed.tail]:
            texts = len(expected.said)
            expected.event(event)
            if len(expected.said) > texts + 1:
                break
        else:
            for read in documents.reads(stream, random):
                meter.feed(read)
            meter.rest()
            text = "".join(expected.said)
            exact = text.encode()[-limit:].decode("utf-8", "ignore")
            spoilt = "\ufffd" in text  # in place of bytes that may have been fewer than it has
            if not text.endswith(meter.tail) if spoilt else meter.tail != exact:
                yield f"{endpoint}, {limit}: {meter.tail!r} and not {exact!r}", stream


CHECKS: tuple[Callable[[MakeMeter], Iterator[Difference]], ...] = (
    rare,
    lambda make: alike(make, seed=5, wanted=300),
    lambda make: streams(make, seed=1, wanted=100, odd=0.5),
    lambda make: stripped(make, seed=3, wanted=50),
    lambda make: single(make, seed=2, wanted=3_000),
    lambda make: cut_everywhere(make, seed=4, wanted=2),
    lambda make: watched(make, seed=6, wanted=400),
    lambda make: tails(make, seed=7, wanted=400),
)
