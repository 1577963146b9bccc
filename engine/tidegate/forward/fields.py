"""The header fields of an answer that a client may see, as an allow-list.

Framing, hop-by-hop fields and everything unknown stay behind (RFC 9110 7.6.1); cookies and server banners too.
"""

from typing import Final

KEPT: Final = frozenset(
    (
        b"content-type",
        b"date",
        b"request-id",
        b"x-request-id",
        b"retry-after",
        b"retry-after-ms",
        b"x-should-retry",
        b"openai-organization",
        b"openai-processing-ms",
        b"openai-version",
    )
)
KEPT_PREFIXES: Final = (b"x-ratelimit-", b"anthropic-ratelimit-")
