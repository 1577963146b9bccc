"""Strict HTTP/1.1 over httptools: every message has exactly one meaning, or it is refused and the connection closes.

httptools (llhttp) frames messages well and refuses most smuggling by itself. What it leaves open is closed here:

* a version other than 1.0 and 1.1 (it reads a bare `GET /x` as HTTP/0.9 *with* headers and a body);
* transfer codings other than `chunked`, and any in HTTP/1.0;
* a missing, repeated or malformed Host; targets that are not a path (absolute form, CONNECT, `*`);
* fields that must stand once and stand twice; trailer fields, which arrive like headers and are dropped;
* Upgrade: llhttp ends such a message at its head, and the body would be read as a second request. RFC 9110 7.8 lets
  a server ignore Upgrade, so the head is read again without it (JDK clients send `Upgrade: h2c` on every POST);
* sizes: the parser has no limit on line, fields or body.

No I/O happens here. A connection feeds bytes and takes whole requests from `requests`; after an error the requests
before it are still good and are answered first.
"""

import re
from collections import deque
from typing import Final

import httptools

from tidegate.accept._head import Request
from tidegate.accept.fields import KNOWN, LISTS
from tidegate.accept.routes import admit
from tidegate.errors import (
    BadMessage,
    BodyTooLarge,
    CallerError,
    CodingRefused,
    HeadersTooLarge,
    LineTooLong,
    TooManyPipelined,
)
from tidegate.settings import Accept

HOST: Final = re.compile(rb"(?:[A-Za-z0-9.\-]{1,253}|\[[0-9a-fA-F:.]{2,45}\])(?::[0-9]{1,5})?").fullmatch
TARGET: Final = re.compile(rb"/[\x21\x22\x24-\x3e\x40-\x7e]*(?:\?[\x21\x22\x24-\x7e]*)?").fullmatch


class StrictParser:
    """Bytes in, whole requests out, in order."""

    def __init__(self, limits: Accept) -> None:
        self.limits = limits
        self.requests: deque[Request] = deque()
        self.request: Request | None = None  # its head is read, its body is not whole
        self.error: CallerError | None = None
        self.received = 0  # bytes of the unfinished body
        self.awaits_continue = False  # the client holds its body back until it is asked for it, once
        self._parser = httptools.HttpRequestParser(self)
        self.inside = False  # llhttp has seen the first byte of a message and not its last
        self._unfinished = 0  # bytes fed since the last message ended, empty lines before the next one among them

    @property
    def held(self) -> int:
        """Bytes of bodies that wait here."""
        return self.received + sum(len(request.body) for request in self.requests)

    @property
    def begun(self) -> bool:
        """Part of a message has arrived, if only an empty line before it."""
        return self.inside or self._unfinished > 0

    def feed(self, data: bytes) -> None:
        """Reads on. After an error nothing more is read: where the next message would start is in doubt."""
        if self.error is not None:
            return
        if self.request is None:
            self._unfinished += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._ignore_upgrade(data[upgrade.args[0] :])
        except httptools.HttpParserError as error:
            reason = error.__context__
            self.error = reason if isinstance(reason, CallerError) else BadMessage(_explain(error))
        if self.request is None and self._unfinished > self.limits.headers + self.limits.line:
            self.error = self.error or self._too_large()

    # httptools' callbacks, in the order of a message

    def on_message_begin(self) -> None:
        self.inside = True
        self._in_head = True
        self._target = b""
        self._headers: dict[bytes, bytes] = {}
        self._size = 0
        self._count = 0

    def on_url(self, piece: bytes) -> None:
        self._target += piece
        if len(self._target) > self.limits.line:
            raise LineTooLong(f"the request line is longer than {self.limits.line} bytes")

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._in_head:
            return  # a trailer field: it must not override what was decided from the head
        self._count += 1
        self._size += len(name) + len(value) + 4
        if self._size > self.limits.headers or self._count > self.limits.header_count:
            raise self._too_large()
        name = name.lower()
        if name not in KNOWN:
            return
        value = value.strip(b" \t")
        standing = self._headers.get(name)
        if standing is not None:
            if name not in LISTS:
                raise BadMessage(f"header field `{name.decode()}` stands twice")
            value = standing + b", " + value
        self._headers[name] = value

    def on_headers_complete(self) -> None:
        self._in_head = False
        parser, headers = self._parser, self._headers
        version = parser.get_http_version()
        if version not in ("1.0", "1.1"):
            raise BadMessage("only HTTP/1.0 and HTTP/1.1 are spoken here")
        coding = headers.get(b"transfer-encoding")
        if coding is not None:
            if version == "1.0":
                raise BadMessage("HTTP/1.0 has no transfer codings")
            if coding.lower() != b"chunked":
                raise CodingRefused("the only transfer coding spoken here is `chunked`")
        host = headers.get(b"host")
        if host is None and version == "1.1":
            raise BadMessage("a request needs a Host field")
        if host is not None and not HOST(host):
            raise BadMessage("the Host field is not a host name or an address")
        if not TARGET(self._target) or parser.get_method() == b"CONNECT":  # which is an upgrade, whatever its target
            raise BadMessage("the request target must be a path")
        if int(headers.get(b"content-length", 0)) > self.limits.body:
            raise BodyTooLarge(f"the body is larger than {self.limits.body} bytes")
        path, _, query = self._target.partition(b"?")
        http11 = version == "1.1"  # HTTP/1.0 is answered and closed: its keep-alive was never standardised
        request = Request(parser.get_method(), path, query, headers, http11, http11 and parser.should_keep_alive())
        admit(request)
        self.awaits_continue = http11 and headers.get(b"expect", b"").lower() == b"100-continue"
        self._parts: list[bytes] = []
        self.received = 0
        self.request = request

    def on_chunk_header(self) -> None:
        self.awaits_continue = False

    def on_body(self, piece: bytes) -> None:
        self.awaits_continue = False
        self.received += len(piece)
        if self.received > self.limits.body:
            raise BodyTooLarge(f"the body is larger than {self.limits.body} bytes")
        self._parts.append(piece)

    def on_message_complete(self) -> None:
        request = self.request
        assert request is not None
        if self._parser.should_upgrade():
            return  # not complete at all: see _ignore_upgrade
        if len(self.requests) == self.limits.pipeline:
            raise TooManyPipelined(f"more than {self.limits.pipeline} requests wait on this connection")
        self.awaits_continue = False
        request.body = b"".join(self._parts)
        self.requests.append(request)
        self.request = None
        self.inside = False
        self.received = 0
        self._unfinished = 0

    def _too_large(self) -> CallerError:
        most, count = self.limits.headers, self.limits.header_count
        return HeadersTooLarge(f"the header section is larger than {most} bytes or {count} fields")

    def _ignore_upgrade(self, rest: bytes) -> None:
        request = self.request
        assert request is not None
        options = [option.strip().lower() for option in request.headers.get(b"connection", b"").split(b",")]
        fields = {n: v for n, v in request.headers.items() if n not in (b"upgrade", b"connection")}
        if b"close" in options:
            fields[b"connection"] = b"close"
        head = b"".join(b"%b: %b\r\n" % field for field in fields.items())
        self.request = None
        self._parser = httptools.HttpRequestParser(self)
        self.feed(b"%b %b HTTP/1.%d\r\n%b\r\n" % (request.method, self._target, request.http11, head) + rest)


def _explain(error: httptools.HttpParserError) -> str:
    reason = str(error) or "not an HTTP request"
    return reason[0].lower() + reason[1:]
