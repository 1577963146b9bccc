"""What a caller is told about its limits: header lines as OpenAI's and Anthropic's APIs write them.

Each API has one line of requests and one of tokens. Where a call draws from several buckets of a measure, the lines
speak of the one that is nearest to its end. Money and concurrent calls have no lines there.

The official clients obey `x-should-retry` before anything else, then `retry-after-ms`, then `retry-after`. How long
they wait differs: 120 seconds in OpenAI's, any time in the newest of Anthropic's, and 60 seconds in many versions of
them, which come back too early and in vain when they are told to wait longer. So beyond 60 seconds they are told not to
come.
Times are rounded up: who waits for so long, passes if nobody else was faster.
"""

from typing import Final, Literal, get_args

from tidegate.limit.refusal import Exceeded, Refusal

Form = Literal["openai", "anthropic"]

MILLISECOND: Final = 1_000_000
SECOND: Final = 1_000_000_000
LONGEST_WAIT: Final = 60 * SECOND
MEASURES: Final = ("requests", "tokens")
NAMES: Final = {"openai": "x-ratelimit-{word}-{measure}", "anthropic": "anthropic-ratelimit-{measure}-{word}"}


def _template(form: Form, measure: str) -> bytes:
    name = NAMES[form]
    values = {"limit": "%d", "remaining": "%d", "reset": "%b"}
    return "".join(f"{name.format(word=word, measure=measure)}: {value}\r\n" for word, value in values.items()).encode()


LINES: Final = {
    (form, measure): _template(form, measure) for form in get_args(Form) for measure in MEASURES
}  # fmt: skip


def again(refused: Refusal) -> bool:
    """Whether a client that comes again by itself may pass, which `x-should-retry` says."""
    return refused.action == "throttle" and all(map(_comes_back, refused.exceeded))


def _comes_back(exceeded: Exceeded) -> bool:
    if exceeded.retry is None:  # calls end, a total does not begin anew
        return exceeded.limit.measure == "concurrent"
    return exceeded.retry <= LONGEST_WAIT


def refusal(refused: Refusal) -> bytes:
    """The lines that say when the same call passes, if nobody else is faster; none where that cannot be known."""
    retry = refused.retry
    if retry is None:
        return b""
    return b"retry-after: %d\r\nretry-after-ms: %d\r\n" % (_up(retry, SECOND), _up(retry, MILLISECOND))


def duration(nanoseconds: int) -> bytes:
    """A time as Go writes it, in whole milliseconds: `0s`, `12ms`, `1.5s`, `6m0s`, `24h0m0s`."""
    milliseconds = _up(nanoseconds, MILLISECOND)
    if milliseconds < 1000:
        return b"%dms" % milliseconds if milliseconds else b"0s"
    seconds, fraction = divmod(milliseconds, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    text = b"%d" % seconds + (b".%03d" % fraction).rstrip(b"0") if fraction else b"%d" % seconds
    if hours:
        return b"%dh%dm%bs" % (hours, minutes, text)
    return b"%dm%bs" % (minutes, text) if minutes else text + b"s"


def _up(time: int, unit: int) -> int:
    return -(-time // unit)
