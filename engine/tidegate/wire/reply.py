"""The head of an answer to a client, the same for a provider's answer and for our own.

Every answer says which run it belongs to and that it was tracked. A refusal also says in its header whether to come
again, and by which rule it was refused, so that a log of headers explains it.
"""

from http import HTTPStatus
from typing import Final

from tidegate.errors import TidegateError
from tidegate.wire._written import answer

PHRASES: Final = {int(each): each.phrase.encode() for each in HTTPStatus}
STATUS_LINES: Final = [b"HTTP/1.1 %d %b\r\n" % (status, PHRASES.get(status, b"-")) for status in range(600)]
JSON: Final = b"Content-Type: application/json\r\n"
RUN: Final = b"x-tidegate-run-id: "
TRACKED: Final = b"\r\nx-tidegate-tracked: true\r\n"
CLOSE: Final = TRACKED + b"Connection: close\r\n"
END_OF_LINE: Final = b"\r\n"
END_OF_CHUNKS: Final = b"0\r\n\r\n"
CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
AGAIN: Final = {None: b"", True: b"x-should-retry: true\r\n", False: b"x-should-retry: false\r\n"}  # clients obey it
RULE: Final = b"x-tidegate-rule: %b\r\n"
REMAINING: Final = b"x-tidegate-remaining: %b\r\n"
LONGEST: Final = 256  # bytes of a field's value that somebody else has chosen
PRINTABLE: Final = bytes(byte if 0x20 <= byte < 0x7F else ord("?") for byte in range(256))


def told(error: TidegateError) -> bytes:
    """The header lines of an error answer."""
    lines = JSON + AGAIN[error.retry] + error.lines
    if error.rule:
        lines += RULE % printable(error.rule)
    if error.remaining is not None:
        lines += REMAINING % printable(str(error.remaining))
    return lines


def headers(lines: bytes) -> list[tuple[str, str]]:
    """Header lines as pairs, their names in lower case."""
    pairs = [line.partition(b":") for line in lines.split(b"\r\n") if line]
    return [(name.decode("ascii").lower(), value.strip().decode("latin-1")) for name, _, value in pairs]


def printable(text: str) -> bytes:
    """A text as the value of a header field, whatever it holds: cut, with `?` for all but printable ASCII."""
    return text[:LONGEST].encode("ascii", "replace").translate(PRINTABLE)


def whole(status: int, fields: bytes, run: bytes, body: bytes, close: bool, more: bytes = b"") -> bytes:
    """An answer whose body is at hand; `more` stands behind `fields`."""
    return answer(STATUS_LINES[status], fields, more, run, CLOSE if close else TRACKED, body)


def head(status: int, fields: bytes, run: bytes, framing: bytes, close: bool) -> bytes:
    """The head of an answer whose body follows in pieces."""
    return b"".join((STATUS_LINES[status], fields, RUN, run, CLOSE if close else TRACKED, framing, END_OF_LINE))
