"""Heads of answers that the plain scanner leaves alone, read by httptools.

What is read here and refused: heads above the bound, transfer codings other than `chunked`, both lengths at once,
protocol switches, and more than a few interim answers.
"""

from typing import Final

import httptools

from tidegate.errors import UpstreamMalformed
from tidegate.forward._answer import AnswerHead, scan
from tidegate.forward.fields import KEPT, LIMITS

DIGITS: Final = 18  # of a length
INTERIM_LIMIT: Final = 8  # 1xx answers before the answer; 103 is the only one a provider would send


class HeadReader:
    """Reads one answer's head from as many reads as it takes."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._buffer = b""
        self._interim = 0

    def read(self, data: bytes) -> tuple[AnswerHead, bytes, int] | None:
        """The head, the bytes it stands in and where the body begins; None while it is not whole."""
        if self._buffer:
            data = self._buffer + data
            self._buffer = b""
        while True:
            if not b"HTTP/1.".startswith(data[:7]):
                raise UpstreamMalformed("the upstream does not speak HTTP/1.1")
            size = data.find(b"\r\n\r\n", 0, self._limit) + 4
            if size < 4:
                if len(data) >= self._limit:
                    raise UpstreamMalformed(f"the upstream's head is larger than {self._limit} bytes")
                if b"\n\n" in data:
                    raise UpstreamMalformed("the upstream does not speak HTTP/1.1")
                self._buffer = data
                return None
            head = scan(data[:size]) or _parse(data[:size])
            if head.status >= 200:
                return head, data, size
            self._interim += 1
            if head.status == 101 or self._interim > INTERIM_LIMIT:
                raise UpstreamMalformed("the upstream sent interim answers only")
            data = data[size:]


class _Fields:
    """httptools' callbacks for a head."""

    def __init__(self) -> None:
        self.fields: list[tuple[bytes, bytes]] = []

    def on_header(self, name: bytes, value: bytes) -> None:
        self.fields.append((name, value.strip(b" \t")))


def _parse(head: bytes) -> AnswerHead:
    collected = _Fields()
    parser = httptools.HttpResponseParser(collected)
    try:
        parser.feed_data(head)
        status = parser.get_status_code()
        if not 100 <= status <= 599 or parser.get_http_version() not in ("1.0", "1.1"):
            raise UpstreamMalformed("the upstream's status line is not HTTP/1.1")
    except httptools.HttpParserUpgrade:
        raise UpstreamMalformed("the upstream switched protocols") from None
    except httptools.HttpParserError as error:
        raise UpstreamMalformed(f"the upstream's head is malformed: {str(error).lower()}") from None
    return _head(status, parser.get_http_version() == "1.0", collected.fields, len(head))


def _head(status: int, http10: bool, fields: list[tuple[bytes, bytes]], size: int) -> AnswerHead:
    length, chunked, events, coded = -1, False, False, False
    keep_alive = not http10
    kept, limits = [], []
    for spelt, value in fields:
        name = spelt.lower()
        if name == b"content-length":
            if len(value) > DIGITS:
                raise UpstreamMalformed("the upstream's answer has no length that could be")
            length = int(value)
        elif name == b"transfer-encoding":
            if value.lower() != b"chunked" or chunked:
                raise UpstreamMalformed("the upstream uses an unknown transfer coding")
            chunked = True
        elif name == b"connection":
            options = [option.strip() for option in value.lower().split(b",")]
            keep_alive = b"close" not in options and (keep_alive or b"keep-alive" in options)
        elif name == b"content-encoding":
            coded = coded or value.lower() != b"identity"
        elif name in KEPT:
            events = events or (name == b"content-type" and value[:17].lower() == b"text/event-stream")
            kept.append(b"%b: %b\r\n" % (spelt, value))
        elif name.startswith(LIMITS):
            limits.append(b"%b: %b\r\n" % (spelt, value))
    if chunked and length >= 0:
        raise UpstreamMalformed("the upstream's answer has two lengths")
    if status < 200 or status in (204, 304):
        length, chunked = 0, False
    return AnswerHead(status, length, chunked, keep_alive, events, coded, b"".join(kept), b"".join(limits), size)
