"""An answer becomes steps: what the connection waits for, writes and does, faults included.

Each fault is one generator over steps, so that they combine; the order is: the events, their encoding, what is put
between them, where they stop, how they are cut into pieces, how HTTP frames them, the head before them. One event is
one write; a plain answer is one write, head and all. Every script ends in a step with an `end`.
"""

from collections.abc import Iterable, Iterator
from enum import Enum, auto
from http import HTTPStatus
from itertools import cycle

from msgspec import Struct

from .answer import Answer, Document, Event, Failure, encode
from .faults import Plan

APART = 0.001  # seconds between two pieces of `split-utf8`, so that they arrive in reads of their own
AMISS = 10  # bytes by which a wrong content-length is wrong
LAST_CHUNK = b"0\r\n\r\n"
GARBAGE = (
    b": a comment\n\n",
    b"data: {not json\n\n",
    b'data{"no":"colon"}\n\n',
    b"\r\n: comment\r: comment\n\r\n",
    b"retry: soon\r\nunknown: field\r\rdata\n\n",
)
LINE_ENDS = (b"\n", b"\r\n", b"\r")

Fields = list[tuple[str, str]]


class End(Enum):
    """What happens to the connection after a step."""

    KEEP = auto()  # the answer is complete
    CLOSE = auto()  # FIN once everything is written
    RESET = auto()  # RST
    STALL = auto()  # nothing more until the client leaves


class Step(Struct, frozen=True, gc=False):
    """Wait, write, end; any of them may be nothing."""

    data: bytes = b""
    tokens: int = 0  # output tokens in `data`
    wait: float = 0.0  # seconds
    end: End | None = None


def play(answer: Answer, plan: Plan, fields: Fields, pace: float, failure: Failure, chunked: bool) -> Iterator[Step]:
    """The steps of an answer with its faults; `chunked` is false for a client that knows no chunks (HTTP/1.0)."""
    if plan.no_head:
        return iter([Step(end=End.STALL)])
    if answer.events is not None:
        steps = _steps(_failing(answer.events, plan, failure), plan, pace)
        return _stream(steps, plan, fields, chunked)
    body = encode(answer.document)
    if size := plan.pad or plan.huge_line:
        body = encode(_padded(answer.document or {}, size - len(body)))
    return _plain(200, body, answer.output, plan, fields, pace)


def refuse(status: int, document: Document, plan: Plan, fields: Fields, pace: float = 0.0) -> Iterator[Step]:
    """The steps of an error."""
    return _plain(status, encode(document), 0, plan, fields, pace)


def _plain(status: int, body: bytes, tokens: int, plan: Plan, fields: Fields, pace: float) -> Iterator[Step]:
    at, end = _strike(plan)
    if at == 0:
        yield Step(wait=pace, end=end)
        return
    if plan.bad_chunk:
        head = _head(status, [*fields, ("transfer-encoding", "chunked")])
        halves = [Step(body[: len(body) // 2], tokens), Step(body[len(body) // 2 :])]
        yield from _with_head(head, _chunks(halves, bad=True), plan, pace)
        return
    amiss, last = _lengths(plan)
    head = _head(status, [*fields, ("content-length", str(len(body) + amiss))])
    steps: Iterable[Step] = [Step(body, tokens, end=last)]
    if end is not None:
        steps = [Step(body[: len(body) // 2], tokens, end=end)]
    if plan.split_utf8:
        steps = _split(steps)
    yield from _with_head(head, steps, plan, pace)


def _with_head(head: bytes, steps: Iterable[Step], plan: Plan, pace: float) -> Iterator[Step]:
    """One write for the head and the first step, unless the head is slow."""
    steps = iter(steps)
    if plan.slow_head is not None:
        yield from _dripped(head, plan.slow_head / 1000)
        head = b""
    first = next(steps)
    yield Step(head + first.data, first.tokens, pace, first.end)
    yield from steps


def _stream(steps: Iterator[Step], plan: Plan, fields: Fields, chunked: bool) -> Iterator[Step]:
    amiss, last = _lengths(plan)
    if amiss:
        whole = list(steps)
        fields = [*fields, ("content-length", str(max(0, sum(len(step.data) for step in whole) + amiss)))]
        steps = _ended(whole, b"", last)
    elif chunked:
        fields = [*fields, ("transfer-encoding", "chunked")]
        steps = _ended(_chunks(steps, plan.bad_chunk), LAST_CHUNK, last)
    else:
        steps = _ended(steps, b"", last)
    head = _head(200, fields)
    yield from [Step(head)] if plan.slow_head is None else _dripped(head, plan.slow_head / 1000)
    yield from steps


def _strike(plan: Plan) -> tuple[int, End | None]:
    """The first event that is not sent, and what happens instead."""
    asked = ((plan.stall, End.STALL), (plan.reset, End.RESET), (plan.close, End.CLOSE))
    return min(((at, end) for at, end in asked if at is not None), key=lambda strike: strike[0], default=(-1, None))


def _lengths(plan: Plan) -> tuple[int, End]:
    """By how much content-length is wrong, and how an answer ends that nothing else ends."""
    if plan.truncate:
        return AMISS, End.CLOSE
    if plan.long_length:
        return AMISS, End.STALL
    return (-AMISS if plan.short_length else 0), End.KEEP


def _failing(events: Iterator[Event], plan: Plan, failure: Failure) -> Iterator[Event]:
    """`error-K`, `huge-line-N`."""
    for position, event in enumerate(events):
        if position == plan.error:
            yield failure(position)
            return
        if plan.huge_line and position == 1 and event.document is not None:
            yield Event(_padded(event.document, plan.huge_line - len(event.encoded())), event.name, event.tokens)
        else:
            yield event


def _padded(document: Document, missing: int) -> Document:
    """The document with so many bytes more; `obfuscation` is a field that clients know to ignore."""
    return {**document, "obfuscation": "x" * (missing - len(',"obfuscation":""'))}


def _steps(events: Iterator[Event], plan: Plan, pace: float) -> Iterator[Step]:
    steps: Iterator[Step] = (Step(event.encoded(), event.tokens, pace) for event in events)
    if plan.malformed_sse:
        steps = _malformed(steps)
    at, end = _strike(plan)
    if end is not None:
        steps = _struck(steps, at, end)
    return _split(steps) if plan.split_utf8 else steps


def _malformed(steps: Iterable[Step]) -> Iterator[Step]:
    """Rubbish before every event, in one write with it; the events stay valid, with every kind of line end."""
    for step, garbage, line_end in zip(steps, cycle(GARBAGE), cycle(LINE_ENDS)):
        yield Step(garbage + step.data.replace(b"\n", line_end), step.tokens, step.wait)


def _struck(steps: Iterable[Step], at: int, end: End) -> Iterator[Step]:
    """`stall-K`, `reset-K`, `close-K`."""
    for position, step in enumerate(steps):
        if position == at:
            yield Step(wait=step.wait, end=end)
            return
        yield step


def _split(steps: Iterable[Step]) -> Iterator[Step]:
    """Cut at half, inside every character of several bytes and before the last byte, which goes with what follows."""
    held = b""
    for step in steps:
        data, held = held + step.data, b""
        if step.end is None:
            data, held = data[:-1], data[-1:]
        cuts = [at for at in range(1, len(data)) if data[at] & 0xC0 == 0x80 or at == len(data) // 2]
        pieces = [data[start:stop] for start, stop in zip([0, *cuts], [*cuts, len(data)], strict=True)]
        yield Step(pieces[0], step.tokens, max(step.wait, APART), step.end if len(pieces) == 1 else None)
        for number, piece in enumerate(pieces[1:], 2):
            yield Step(piece, 0, APART, step.end if number == len(pieces) else None)
    if held:
        yield Step(held, wait=APART)


def _chunks(steps: Iterable[Step], bad: bool = False) -> Iterator[Step]:
    """Chunked transfer coding, without the last chunk; a bad one breaks it at the second chunk and closes."""
    for position, step in enumerate(steps):
        if bad and position == 1:
            yield Step(b"not-a-size\r\n%b\r\n" % step.data, step.tokens, step.wait, End.CLOSE)
            return
        data = b"%x\r\n%b\r\n" % (len(step.data), step.data) if step.data else b""
        yield Step(data, step.tokens, step.wait, step.end)


def _ended(steps: Iterable[Step], last: bytes, end: End) -> Iterator[Step]:
    """The steps, the last of which also writes `last` and ends, unless a fault ended them."""
    previous = None
    for step in steps:
        if previous is not None:
            yield previous
        previous = step
    if previous is not None and previous.end is None:
        previous = Step(previous.data + last, previous.tokens, previous.wait, end)
    yield previous or Step(last, end=end)


def _head(status: int, fields: Fields) -> bytes:
    reason = "Overloaded" if status == 529 else HTTPStatus(status).phrase
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields)
    return f"HTTP/1.1 {status} {reason}\r\n{lines}\r\n".encode("latin-1")


def _dripped(head: bytes, total: float) -> Iterator[Step]:
    """The head byte by byte."""
    return (Step(head[at : at + 1], wait=total / len(head)) for at in range(len(head)))
