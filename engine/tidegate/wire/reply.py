"""The head of an answer to a client, the same for a provider's answer and for our own.

Every answer says which run it belongs to and that it was tracked.
"""

from http import HTTPStatus
from typing import Final

STATUS_LINES: Final = {
    status: b"HTTP/1.1 %d %b\r\n" % (status, HTTPStatus(status).phrase.encode() if status in set(HTTPStatus) else b"-")
    for status in range(100, 600)
}
JSON: Final = b"Content-Type: application/json\r\n"
RUN: Final = b"x-tidegate-run-id: "
TRACKED: Final = b"\r\nx-tidegate-tracked: true\r\n"
CLOSE: Final = TRACKED + b"Connection: close\r\n"
END_OF_LINE: Final = b"\r\n"
EMPTY_LINE: Final = b"\r\n\r\n"
LENGTH: Final = b"Content-Length: "
END_OF_CHUNKS: Final = b"0\r\n\r\n"
CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


def whole(status: int, fields: bytes, run: bytes, body: bytes, close: bool) -> bytes:
    """An answer whose body is at hand."""
    length = str(len(body)).encode()
    end = CLOSE if close else TRACKED
    return b"".join((STATUS_LINES[status], fields, RUN, run, end, LENGTH, length, EMPTY_LINE, body))


def head(status: int, fields: bytes, run: bytes, framing: bytes, close: bool) -> bytes:
    """The head of an answer whose body follows in pieces."""
    return b"".join((STATUS_LINES[status], fields, RUN, run, CLOSE if close else TRACKED, framing, END_OF_LINE))
