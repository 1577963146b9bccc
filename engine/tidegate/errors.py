"""The error tree. Every error has a stable `code`, an HTTP `status`, and a `side`: whose fault it is.

A message is written for whoever reads it next: lower case, no full stop, the reader's own words in backticks,
and never a secret. Dialects (`wire/`) give an error the shape their clients expect; the CLI prints it on one line.
"""

from typing import ClassVar, Literal

Side = Literal["caller", "upstream", "ours"]


class TidegateError(Exception):
    """Any failure that Tidegate explains itself."""

    code: ClassVar[str] = "internal"
    status: ClassVar[int] = 500
    side: ClassVar[Side] = "ours"
    retry: bool | None = None  # whether the same call may pass later; None: the client judges by the status

    def __init__(self, message: str, *, rule: str = "", remaining: int | str | None = None, lines: bytes = b"") -> None:
        super().__init__(message)
        self.message = message
        self.rule = rule  # what refused: the codes of a policy, or the name of a limit
        self.remaining = remaining  # of that limit: calls or tokens, or dollars as text
        self.lines = lines  # of the answer's header, each with its end
        self.run = ""  # of a call that a program makes: its id


class SettingsError(TidegateError):
    """`tidegate.toml` or the environment says something Tidegate cannot act on; every problem found is listed."""

    code = "settings"


class StartError(TidegateError):
    """The gateway cannot start: a port is taken, the data directory is in use, a bind would expose a credential."""

    code = "start"


class KeysError(TidegateError):
    """The file of virtual keys cannot be used or changed; nothing of it was lost."""

    code = "keys"


class CallerError(TidegateError):
    """The call cannot be served as it was sent."""

    side = "caller"
    status = 400
    code = "bad_request"
    retry: bool | None = False


class BadMessage(CallerError):
    """The bytes are not one HTTP message with one meaning; the connection closes after the answer."""

    code = "bad_message"


class BadBody(CallerError):
    """The body is not the JSON document its route takes, or a key in it could be read in two ways."""

    code = "bad_body"


class Unauthenticated(CallerError):
    """The route needs a key and the call carries none."""

    status = 401
    code = "unauthenticated"


class KeyInvalid(Unauthenticated):
    """No such virtual key: unknown, misspelt or with another secret, which are not told apart."""

    code = "key_invalid"


class KeyExpired(Unauthenticated):
    """The key was right, and its time is over; only who has the secret is told."""

    code = "key_expired"


class KeyRevoked(Unauthenticated):
    """The key was right, and was revoked; only who has the secret is told."""

    code = "key_revoked"


class ProviderKeyMissing(Unauthenticated):
    """The integration has no credential, and the caller sent none for it beside the virtual key."""

    code = "provider_key_missing"


class BadField(CallerError):
    """A field that says who calls, or what the call belongs to, is not of its form; the field is named, not shown."""

    code = "bad_field"


class Forbidden(CallerError):
    """The call is understood and refused; sending it again changes nothing."""

    status = 403
    code = "forbidden"


class PolicyDenied(Forbidden):
    """A policy says no; the message has the code and the words of each rule that does."""

    code = "policy_denied"


class ResponseDenied(CallerError):
    """A policy says no to the answer, which the caller does not get; it was made, and is charged."""

    status = 403
    code = "response_denied"


class PolicyStopped(CallerError):
    """A policy ended the stream where it was; what had passed by then stays with the caller."""

    status = 403
    code = "policy_stopped"


class PriceUnknown(Forbidden):
    """Nobody knows what the model costs, and `prices.unknown` refuses such calls: no call is free by mistake."""

    code = "price_unknown"


class NotFound(CallerError):
    """No such route (one that cannot be governed does not exist), or no integration of its dialect serves the model."""

    status = 404
    code = "not_found"


class MethodRefused(CallerError):
    """The path exists, the method does not; `allow` names the one that does."""

    status = 405
    code = "method_not_allowed"

    def __init__(self, message: str, allow: str = "") -> None:
        super().__init__(message, lines=b"Allow: %b\r\n" % allow.encode() if allow else b"")
        self.allow = allow


class RequestTimeout(CallerError):
    """The request did not arrive in the time it was given."""

    status = 408
    code = "request_timeout"
    retry = None


class BodyTooLarge(CallerError):
    """The body is larger than `accept.body`."""

    status = 413
    code = "body_too_large"


class LineTooLong(CallerError):
    """The request line is longer than `accept.line`."""

    status = 414
    code = "line_too_long"


class MediaRefused(CallerError):
    """The body is compressed, or not declared as JSON."""

    status = 415
    code = "media_refused"


class TooManyPipelined(CallerError):
    """More requests wait on one connection than `accept.pipeline` allows."""

    status = 429
    code = "too_many_pipelined"


class LimitExceeded(CallerError):
    """A limit has no room for the call, and does not want it to be tried again by itself."""

    status = 429
    code = "limit_exceeded"

    def __init__(
        self,
        message: str,
        *,
        rule: str = "",
        remaining: int | str | None = None,
        lines: bytes = b"",
        measure: str = "",
    ) -> None:
        super().__init__(message, rule=rule, remaining=remaining, lines=lines)
        self.measure = measure  # what the limit counts


class LimitThrottled(LimitExceeded):
    """A limit has no room for the call now; `retry` is False where that takes longer than clients wait."""

    code = "limit_throttled"
    retry = True


class BudgetExceeded(LimitExceeded):
    """What may be spent in this day, week or month, or at all, does not suffice for the call."""

    code = "budget_exceeded"


class LimitReached(LimitExceeded):
    """A limit ended the stream where it was; what had passed by then stays with the caller."""

    code = "limit_reached"


class HeadersTooLarge(CallerError):
    """The header section is larger than `accept.headers` or has more fields than `accept.header_count`."""

    status = 431
    code = "headers_too_large"


class CodingRefused(CallerError):
    """A transfer coding other than `chunked`."""

    status = 501
    code = "coding_refused"


class PolicyFailed(TidegateError):
    """The policy in force has no answer for this call, so that it does not pass; sending it again changes nothing."""

    status = 403
    code = "policy_error"
    retry = False


class Overloaded(TidegateError):
    """A bound of this gateway is reached (buffered bytes, connections, waiters); trying later helps."""

    status = 503
    code = "overloaded"


class KeysUnreadable(TidegateError):
    """The keys have changed and cannot be read: one of the changes may be a revocation, so no key is taken."""

    status = 503
    code = "keys_unreadable"


class Abandoned(TidegateError):
    """The program that made the call let go of it without ending it; what is known of its usage is charged."""

    code = "abandoned"


class Draining(TidegateError):
    """The gateway is shutting down."""

    status = 503
    code = "draining"


class UpstreamError(TidegateError):
    """The provider did not give a usable answer. The call may have been billed, so it was not sent twice."""

    side = "upstream"
    status = 502
    code = "upstream_failed"


class UpstreamUnreachable(UpstreamError):
    """No connection could be made: the name did not resolve, or every address refused."""

    code = "upstream_unreachable"


class AddressRefused(UpstreamError):
    """The upstream's name resolves to an address that may not be dialled (loopback, private, metadata...)."""

    code = "address_refused"


class UpstreamMalformed(UpstreamError):
    """The upstream's answer breaks HTTP framing or a bound; its connection is not used again."""

    code = "upstream_malformed"


class UpstreamTruncated(UpstreamError):
    """The upstream closed before its answer was complete."""

    code = "upstream_truncated"


class UpstreamTimeout(UpstreamError):
    """The upstream did not connect, answer or go on in time."""

    status = 504
    code = "upstream_timeout"
