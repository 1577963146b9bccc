"""Requests and the one meaning each of them has, as data.

A case says what is sent on a fresh connection, which answers come back in order, and whether the gateway then closes.
An answer names its status and, where the request reached the provider, the body that arrived there: the provider of
these tests returns what it was sent. `/smuggled` stands for a request that must not run: a status 404 more than the
case expects would give it away.

The rules: RFC 9112 for framing, RFC 9110 for fields; where they leave a choice, what cannot be read in two ways wins.
"""

from typing import NamedTuple

from tidegate.settings import Accept

LIMITS = Accept()


class Answer(NamedTuple):
    """One answer: its status, what the provider got, and in whose error shape a refusal stands."""

    status: int
    arrived: bytes | None = None
    dialect: str = "openai"


class Case(NamedTuple):
    """What is sent and what it means."""

    note: str
    sent: bytes
    answers: tuple[Answer, ...]
    closes: bool = False


BODY = b'{"model":"m","messages":[]}'
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: b\r\n\r\n"
CHUNKED = "Transfer-Encoding: chunked\r\n"
CHUNKS = b"5\r\n" + BODY[:5] + b"\r\n16\r\n" + BODY[5:] + b"\r\n0\r\n\r\n"
JSON = "Content-Type: application/json\r\n"


def get(fields: str = "", target: str = "/v1/models", version: str = "1.1", host: str = "Host: a\r\n") -> bytes:
    """A request without a body."""
    return f"GET {target} HTTP/{version}\r\n{host}{fields}\r\n".encode("latin-1")


def head(fields: str = "", target: str = "/v1/chat/completions", version: str = "1.1", media: str = JSON) -> bytes:
    """The head of a request with a body, whose framing the fields state."""
    return f"POST {target} HTTP/{version}\r\nHost: a\r\n{media}{fields}\r\n".encode("latin-1")


def post(fields: str = "", body: bytes = BODY, **more: str) -> bytes:
    """A request with a body and its length."""
    return head(f"{fields}Content-Length: {len(body)}\r\n", **more) + body


def refused(note: str, sent: bytes, status: int = 400) -> Case:
    """One answer, then the connection closes: where the next message would start is in doubt."""
    return Case(note, sent, (Answer(status),), True)


def fine(note: str, sent: bytes, arrived: bytes = BODY) -> Case:
    """One call that reaches the provider; the connection stays."""
    return Case(note, sent, (Answer(200, arrived),))


def turned_down(note: str, sent: bytes, status: int, dialect: str = "openai") -> Case:
    """One call that is understood and not served; the connection stays."""
    return Case(note, sent, (Answer(status, None, dialect),))


OK, LIST = Answer(200, BODY), Answer(200, b"")

LENGTH_AND_CODING = [
    refused("content-length before transfer-encoding", head("Content-Length: 5\r\n" + CHUNKED) + CHUNKS + SMUGGLED),
    refused("transfer-encoding before content-length", head(CHUNKED + "Content-Length: 5\r\n") + CHUNKS + SMUGGLED),
    refused("two equal lengths", head("Content-Length: 27\r\nContent-Length: 27\r\n") + BODY),
    refused("two lengths that differ", head("Content-Length: 27\r\nContent-Length: 6\r\n") + BODY + SMUGGLED),
    refused("a list of lengths", head("Content-Length: 27, 27\r\n") + BODY),
    refused("a length with a plus", head("Content-Length: +27\r\n") + BODY),
    refused("a negative length", head("Content-Length: -1\r\n") + BODY),
    refused("a hexadecimal length", head("Content-Length: 0x1b\r\n") + BODY),
    fine("white space around a length", head("Content-Length:  27 \r\n") + BODY),
    refused("white space in a length", head("Content-Length: 2 7\r\n") + BODY),
    refused("an empty length", head("Content-Length: \r\n") + SMUGGLED),
    refused("a length of 2^64", head("Content-Length: 18446744073709551616\r\n") + SMUGGLED),
    refused("a length of 2^63", head("Content-Length: 9223372036854775808\r\n"), 413),
    fine("leading zeros in a length are decimal", head("Content-Length: 0027\r\n") + BODY),
    refused("a length above the limit", head(f"Content-Length: {LIMITS.body + 1}\r\n"), 413),
    refused("an unknown coding", head("Transfer-Encoding: xchunked\r\n") + CHUNKS, 501),
    refused("chunked is not last", head("Transfer-Encoding: chunked, identity\r\n") + CHUNKS + SMUGGLED),
    refused("a coding under chunked", head("Transfer-Encoding: gzip, chunked\r\n") + CHUNKS, 501),
    refused("an empty coding before chunked", head("Transfer-Encoding: ,chunked\r\n") + CHUNKS, 501),
    refused("identity is no longer a coding", head("Transfer-Encoding: identity\r\n") + SMUGGLED, 501),
    refused("chunked in two fields", head(CHUNKED + CHUNKED) + CHUNKS),
    refused("chunked twice in one field", head("Transfer-Encoding: chunked, chunked\r\n") + CHUNKS),
    refused("a control before the coding", head("Transfer-Encoding: \x0bchunked\r\n") + CHUNKS),
    refused("a coding in HTTP/1.0", head(CHUNKED, version="1.0") + CHUNKS),
    refused("white space before the colon", head("Transfer-Encoding : chunked\r\n") + CHUNKS),
    refused("a coding on a continued line", head("Transfer-Encoding:\r\n chunked\r\n") + CHUNKS),
    fine("chunked in capitals", head("TRANSFER-ENCODING: CHUNKED\r\n") + CHUNKS),
    turned_down("an underscore is no hyphen: there is no body", head("Content_Length: 5\r\n"), 400),
    turned_down("no length and no coding: an empty body", head(), 400),
    Case("a body on GET is read and dropped", get("Content-Length: 5\r\n") + b"hello" + get(), (LIST, LIST)),
    Case("a chunked body on GET is read and dropped", get(CHUNKED) + CHUNKS + get(), (LIST, LIST)),
]

CHUNK_GRAMMAR = [
    fine("a body in chunks", head(CHUNKED) + CHUNKS),
    Case("a request behind the last chunk", head(CHUNKED) + CHUNKS + get(), (OK, LIST)),
    fine("zeros before a size, capitals", head(CHUNKED) + b"0001B\r\n" + BODY + b"\r\n0\r\n\r\n"),
    fine("an extension is dropped", head(CHUNKED) + b"1b;a=b\r\n" + BODY + b"\r\n0;last\r\n\r\n"),
    refused("a line feed in an extension", head(CHUNKED) + b"1b;a\nb\r\n" + BODY + b"\r\n0\r\n\r\n"),
    refused("a line end in a quoted extension", head(CHUNKED) + b'1b;a="\r\n"\r\n' + BODY + b"\r\n0\r\n\r\n"),
    refused("a size with 0x", head(CHUNKED) + b"0x1b\r\n" + BODY + b"\r\n0\r\n\r\n"),
    refused("a size with a space", head(CHUNKED) + b"1b \r\n" + BODY + b"\r\n0\r\n\r\n"),
    refused("a size with a sign", head(CHUNKED) + b"+1b\r\n" + BODY + b"\r\n0\r\n\r\n"),
    refused("no size", head(CHUNKED) + b"\r\n" + BODY + b"\r\n0\r\n\r\n"),
    refused("a size above 64 bits", head(CHUNKED) + b"fffffffffffffffff\r\n" + BODY + b"\r\n0\r\n\r\n"),
    refused("a size line that ends with a line feed", head(CHUNKED) + b"1b\n" + BODY + b"\r\n0\r\n\r\n"),
    refused("no line end behind a chunk", head(CHUNKED) + b"1b\r\n" + BODY + b"0\r\n\r\n"),
    refused("a chunk longer than it says", head(CHUNKED) + b"1a\r\n" + BODY + b"\r\n0\r\n\r\n" + SMUGGLED),
    refused("a length in a trailer", head(CHUNKED) + CHUNKS[:-2] + b"Content-Length: 5\r\n\r\n" + SMUGGLED),
    fine("a trailer is dropped", head(CHUNKED) + CHUNKS[:-2] + b"X-Tenant: admin\r\n\r\n"),
    Case(
        "trailers do not override the head",
        head(CHUNKED, target="/v1/completions")
        + b"1a\r\n"
        + b'{"model":"m","prompt":"x"}'
        + b"\r\n0\r\nAuthorization: Bearer other\r\nContent-Type: text/plain\r\nOrigin: http://e\r\nHost: c/d\r\n\r\n"
        + get(),
        (Answer(200, b'{"model":"m","prompt":"x"}'), LIST),
    ),
    Case(
        "a trailer may repeat a field of the head",
        head("Authorization: Bearer first\r\n" + CHUNKED) + CHUNKS[:-2] + b"Authorization: Bearer second\r\n\r\n",
        (OK,),
    ),
    refused("a trailer without a colon", head(CHUNKED) + CHUNKS[:-2] + b"GET /smuggled HTTP/1.1\r\n\r\n"),
]

FIELD_GRAMMAR = [
    refused("a continued line", get("X: a\r\n b\r\n")),
    refused("white space before the first field", get(host=" Host: a\r\n")),
    refused("every line ends with a line feed", get().replace(b"\r\n", b"\n")),
    refused("one line ends with a line feed", get("X: a\nY: b\r\n")),
    refused("the head ends with a line feed", get()[:-2] + b"\n"),
    refused("a carriage return in a value", get("X: a\rY: b\r\n")),
    refused("NUL in a value", get("X: a\0b\r\n")),
    refused("NUL in a name", get("X\0Y: b\r\n")),
    refused("a control in a value", get("X: a\x01b\r\n")),
    refused("DEL in a value", get("X: a\x7fb\r\n")),
    fine("bytes above 127 in a value", get("X: \xff\xfe\r\n"), b""),
    refused("a line without a colon", get("Foo\r\n")),
    refused("an empty name", get(": x\r\n")),
    refused("a name that is no token", get("X(y): a\r\n")),
    refused("a name with a space", get("X y: a\r\n")),
    fine("tabs around a value", get("X:\ta\t\r\n"), b""),
    fine("every character of a token in a name", get("!#$%&'*+-.^_`|~09azAZ: a\r\n"), b""),
    refused("two authorizations", get("Authorization: Bearer a\r\nAuthorization: Bearer b\r\n")),
    refused("two keys", get("x-api-key: a\r\nX-API-KEY: a\r\n")),
    refused("two content types", post(JSON)),
    refused("two sessions", get("X-Session-ID: a\r\nx-session-id: b\r\n")),
    fine("a list field may stand twice", get("OpenAI-Beta: a\r\nOpenAI-Beta: b\r\n"), b""),
    fine("a nominated field is not passed on", get("Connection: X-Tenant\r\nX-Tenant: t1\r\n"), b""),
    fine("as many fields as allowed", get("X: 1\r\n" * (LIMITS.header_count - 1)), b""),
    refused("one field too many", get("X: 1\r\n" * LIMITS.header_count), 431),
    refused("100,000 fields", get("".join(f"X{i}: 1\r\n" for i in range(100_000))), 431),
    fine("a long value", get("X: " + "a" * (LIMITS.headers - 1024) + "\r\n"), b""),
    refused("a value above the limit", get("X: " + "a" * LIMITS.headers + "\r\n"), 431),
    refused("a value of 1 MiB", get("X: " + "a" * (1 << 20) + "\r\n"), 431),
    refused("a name of 1 MiB", get("a" * (1 << 20) + ": x\r\n"), 431),
]

FIRST_LINE = [
    refused("UTF-8 in the target", get(target="/\xc3\xa9")),
    refused("a space in the target", get(target="/a b")),
    refused("a fragment", get(target="/v1/models#x")),
    refused("absolute form", get(target="http://evil/v1/models")),
    refused("authority form", b"CONNECT evil:443 HTTP/1.1\r\nHost: a\r\n\r\nDATA"),
    refused("CONNECT with a path", b"CONNECT /v1/models HTTP/1.1\r\nHost: a\r\n\r\n" + b"x" * 2000),
    refused("asterisk form", b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n"),
    refused("HTTP/0.9 with fields and a body", b"GET /v1/models\nHost: a\r\nContent-Length: 5\r\n\r\nhello"),
    refused("HTTP/0.9", b"GET /v1/models\r\n\r\n"),
    refused("HTTP/1.2", get(version="1.2")),
    refused("the preface of HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    refused("HTTP/3.7", get(version="3.7")),
    refused("http/1.1 in small letters", get().replace(b"HTTP", b"http")),
    fine("two spaces before the target (RFC 9112 3 allows it)", get(target=" /v1/models"), b""),
    fine("two spaces behind the target", get(target="/v1/models "), b""),
    refused("a tab in the line", get().replace(b" HTTP", b"\tHTTP")),
    refused("an unknown method", b"FOO /v1/models HTTP/1.1\r\nHost: a\r\n\r\n"),
    refused("a method in small letters", b"get /v1/models HTTP/1.1\r\nHost: a\r\n\r\n"),
    refused("TLS on a plain port", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
    fine("empty lines before the first", b"\r\n\r\n" + get(), b""),
    fine("the longest line", get(target="/v1/models?" + "&" * (LIMITS.line - 40)), b""),
    refused("a line above the limit", get(target="/" + "a" * LIMITS.line), 414),
    refused("a target of 1 MiB", get(target="/" + "a" * (1 << 20)), 414),
    refused("no Host", get(host="")),
    refused("two Hosts", get("Host: b\r\n")),
    refused("two equal Hosts", get("Host: a\r\n")),
    refused("a Host with a path", get(host="Host: a/b?x#y\r\n")),
    refused("a Host with a user", get(host="Host: u@a\r\n")),
    refused("an empty Host", get(host="Host: \r\n")),
    refused("a list of Hosts", get(host="Host: a, b\r\n")),
    refused("a Host whose port is no number", get(host="Host: a:b\r\n")),
    fine("a Host with a port", get(host="Host: a.example:8080\r\n"), b""),
    fine("a Host of IPv6", get(host="Host: [::1]:8080\r\n"), b""),
]

PERSISTENCE = [
    Case("two requests at once", get() + get(), (LIST, LIST)),
    Case("calls and lists in turn", post() + get() + post() + get(), (OK, LIST, OK, LIST)),
    Case("an unknown path between two calls", post() + SMUGGLED + post(), (OK, Answer(404), OK)),
    Case("a refused body between two calls", post() + post(body=b"{") + post(), (OK, Answer(400), OK)),
    Case("garbage behind a good call", post() + b"\x00garbage\r\n\r\n", (OK, Answer(400)), True),
    Case("nothing runs behind garbage", post() + b"???\r\n\r\n" + SMUGGLED, (OK, Answer(400)), True),
    Case("close, and a request behind it", get("Connection: close\r\n") + SMUGGLED, (LIST,), True),
    Case("close among other options", post("Connection: x, Close\r\n") + SMUGGLED, (OK,), True),
    Case("keep-alive said aloud", get("Connection: Keep-Alive\r\n") + get(), (LIST, LIST)),
    Case("HTTP/1.0 closes", get(version="1.0") + SMUGGLED, (LIST,), True),
    Case("HTTP/1.0 needs no Host", get(version="1.0", host=""), (LIST,), True),
    Case("HTTP/1.0 with a body", post(version="1.0") + SMUGGLED, (OK,), True),
    Case("HTTP/1.0 with a bad Host", get(version="1.0", host="Host: a/b\r\n"), (Answer(400),), True),
    Case("an unknown path with close", get("Connection: close\r\n", "/x") + SMUGGLED, (Answer(404),), True),
]

H2C = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAAAAIAAAAB\r\n"
WEBSOCKET = "Connection: Upgrade\r\nUpgrade: websocket\r\n"

UPGRADES = [
    Case("h2c without a body", get(H2C) + get(), (LIST, LIST)),
    Case("h2c with a length", post(H2C) + get(), (OK, LIST)),
    Case("h2c with chunks", head(H2C + CHUNKED) + CHUNKS + get(), (OK, LIST)),
    Case("h2c on every pipelined call", post(H2C) + post(H2C) + post(H2C) + get(), (OK, OK, OK, LIST)),
    Case("h2c behind a plain call", post() + head(H2C + CHUNKED) + CHUNKS + post(), (OK, OK, OK)),
    Case("websocket with a length", post(WEBSOCKET) + get(), (OK, LIST)),
    Case("websocket with chunks", head(WEBSOCKET + CHUNKED) + CHUNKS + get(), (OK, LIST)),
    Case("the body of an upgrade looks like a request", post(H2C, body=SMUGGLED), (Answer(400),)),
    Case("upgrade and close", post("Connection: close, Upgrade\r\nUpgrade: h2c\r\n") + SMUGGLED, (OK,), True),
    Case("Upgrade that is not nominated", post("Upgrade: h2c\r\n") + get(), (OK, LIST)),
    Case("upgrade and keep-alive", post("Connection: keep-alive, Upgrade\r\nUpgrade: h2c\r\n") + get(), (OK, LIST)),
    Case("HTTP/1.0 has no upgrades", post(WEBSOCKET, version="1.0") + SMUGGLED, (OK,), True),
    Case("HTTP/1.0 upgrade without Host", get(WEBSOCKET, version="1.0", host=""), (LIST,), True),
    refused("an upgrade with two lengths", post(H2C + "Content-Length: 27\r\n")),
    refused("an upgrade without Host", get(H2C, host="")),
    refused("an upgrade with a length and chunks", post(H2C + CHUNKED) + SMUGGLED),
    turned_down("an upgrade on an unknown path", get(WEBSOCKET, "/ws"), 404),
]

ANTHROPIC = "anthropic-version: 2023-06-01\r\n"

ROUTES = [
    fine("chat completions", post()),
    fine("messages", post(ANTHROPIC, target="/v1/messages")),
    fine("messages of the beta interface", post(ANTHROPIC, target="/v1/messages?beta=true")),
    fine("count_tokens", post(target="/v1/messages/count_tokens?beta=true")),
    fine("responses", post(body=b'{"model":"m","input":"x"}', target="/v1/responses"), b'{"model":"m","input":"x"}'),
    fine("embeddings", post(body=b'{"model":"m","input":"x"}', target="/v1/embeddings"), b'{"model":"m","input":"x"}'),
    fine("Anthropic's list of models", get(ANTHROPIC, "/v1/models?limit=20"), b""),
    turned_down("an unknown path", get(target="/v1/files"), 404),
    turned_down("an unknown path of Anthropic's", get(target="/v1/messages/batches"), 404, "anthropic"),
    turned_down("an unknown path, from Anthropic's client", get(ANTHROPIC, "/v1/files"), 404, "anthropic"),
    turned_down("paths are not normalised", post(target="/v1/../v1/chat/completions"), 404),
    turned_down("paths are not decoded", post(target="/v1/chat%2fcompletions"), 404),
    turned_down("no slash is forgiven", post(target="/v1/chat/completions/"), 404),
    turned_down("two slashes are not one", post(target="//v1/chat/completions"), 404),
    turned_down("paths have one case", post(target="/V1/chat/completions"), 404),
    turned_down("an unknown parameter", post(target="/v1/chat/completions?api-version=1"), 404),
    turned_down("an unknown parameter of Anthropic's", post(target="/v1/messages?x=1"), 404, "anthropic"),
    turned_down("a parameter of the other dialect", get(target="/v1/models?limit=20"), 404),
    turned_down("GET where POST stands", get(target="/v1/chat/completions"), 405),
    turned_down("GET where POST stands, Anthropic's", get(target="/v1/messages"), 405, "anthropic"),
    turned_down("POST where GET stands", post(target="/v1/models"), 405),
    turned_down("DELETE", b"DELETE /v1/models HTTP/1.1\r\nHost: a\r\n\r\n", 405),
    turned_down(
        "a preflight", get("Origin: http://e\r\n", "/v1/messages").replace(b"GET", b"OPTIONS"), 405, "anthropic"
    ),
    turned_down("a page in a browser", post("Origin: http://e\r\n"), 403),
    turned_down("a page in a browser, Anthropic's", post("Origin: null\r\n", target="/v1/messages"), 403, "anthropic"),
    turned_down("a compressed body", post("Content-Encoding: gzip\r\n"), 415),
    turned_down("a doubly compressed body", post("Content-Encoding: identity, br\r\n"), 415),
    fine("identity is no compression", post("Content-Encoding: identity\r\n")),
    turned_down("no content type", post(media=""), 415),
    turned_down("a form", post(media="Content-Type: application/x-www-form-urlencoded\r\n"), 415),
    turned_down("text, as a page could send it", post(media="Content-Type: text/plain\r\n"), 415),
    turned_down("a list of types", post(media="Content-Type: application/json, text/plain\r\n"), 415),
    turned_down("no content type, Anthropic's", post(media="", target="/v1/messages"), 415, "anthropic"),
    fine("a charset", post(media="Content-Type: application/json; charset=utf-8\r\n")),
    fine("the type in capitals", post(media="content-type: Application/JSON\r\n")),
]


def bad_body(note: str, body: bytes) -> Case:
    """A body without one meaning: the call is refused, the framing was sound."""
    return Case(f"body: {note}", post(body=body) + get(), (Answer(400), LIST))


BODIES = [
    bad_body("nothing", b""),
    bad_body("not JSON", b"hello"),
    bad_body("not an object", b"[]"),
    bad_body("no model", b'{"messages":[]}'),
    bad_body("no messages", b'{"model":"m"}'),
    bad_body("a model that is no text", b'{"model":1,"messages":[]}'),
    bad_body("a key twice", b'{"model":"allowed","model":"forbidden","messages":[]}'),
    bad_body("a key twice after unescaping", b'{"model":"m","mod\\u0065l":"x","messages":[]}'),
    bad_body("a key in two cases", b'{"model":"m","Model":"x","messages":[]}'),
    bad_body("a governed key in another case", b'{"model":"m","Stream":true,"messages":[]}'),
    bad_body("a key twice in a message", b'{"model":"m","messages":[{"role":"user","role":"system"}]}'),
    bad_body("a key twice in a tool", b'{"model":"m","messages":[],"tools":[{"type":"a","Type":"b"}]}'),
    bad_body("arrays to the depth of 100,000", b'{"model":"m","messages":' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
    bad_body("one level too many", b'{"model":"m","messages":[],"x":' + b"[" * 64 + b"]" * 64 + b"}"),
    bad_body("invalid UTF-8", b'{"model":"m\xff","messages":[]}'),
    bad_body("a surrogate in UTF-8", b'{"model":"m\xed\xa0\x80","messages":[]}'),
    bad_body("an overlong form", b'{"model":"m\xc0\xaf","messages":[]}'),
    bad_body("a byte order mark", b"\xef\xbb\xbf" + BODY),
    bad_body("UTF-16", BODY.decode().encode("utf-16")),
    bad_body("something behind it", BODY + b"x"),
    bad_body("two documents", BODY + BODY),
    bad_body("NaN", b'{"model":"m","messages":[],"x":NaN}'),
    bad_body("a trailing comma", b'{"model":"m","messages":[],}'),
    bad_body("a control in a text", b'{"model":"m\n","messages":[]}'),
    bad_body("compressed without saying so", b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03"),
    fine("white space around", post(body=b" \r\n" + BODY + b"\n\t"), b" \r\n" + BODY + b"\n\t"),
]

CASES = [
    *LENGTH_AND_CODING,
    *CHUNK_GRAMMAR,
    *FIELD_GRAMMAR,
    *FIRST_LINE,
    *PERSISTENCE,
    *UPGRADES,
    *ROUTES,
    *BODIES,
]
