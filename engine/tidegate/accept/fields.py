"""The header fields of a request that mean something here. Every other field is read for its syntax and dropped.

A field of `ONCE` that stands twice is refused: two readers could each believe another one of them (RFC 9110 5.3
allows joining only lists). A name with an underscore is never one of ours, because CGI-like readers take `_` for `-`.
"""

from typing import Final

ONCE: Final = frozenset(
    (
        b"host",
        b"content-length",
        b"transfer-encoding",
        b"content-type",
        b"content-encoding",
        b"expect",
        b"origin",
        b"authorization",
        b"x-api-key",
        b"api-key",
        b"x-tidegate-key",
        b"x-tidegate-user",
        b"x-tidegate-parent-run",
        b"x-tidegate-tags",
        b"x-session-id",
        b"idempotency-key",
        b"openai-organization",
        b"openai-project",
        b"anthropic-version",
        b"x-client-request-id",
        b"user-agent",
    )
)
LISTS: Final = frozenset((b"connection", b"upgrade", b"openai-beta", b"anthropic-beta"))
KNOWN: Final = ONCE | LISTS

# Any of these takes the message out of the plain scanner's competence, into the strict parser's.
NOT_PLAIN: Final = frozenset((b"transfer-encoding", b"content-encoding", b"expect", b"origin", b"upgrade"))
