"""The header fields of an answer that a client may see, as an allow-list.

Framing, hop-by-hop fields and everything unknown stay behind (RFC 9110 7.6.1); cookies and server banners too. What a
provider says of its own limits is kept apart: beside what the gateway says of the caller's it would be read for those.
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
LIMITS: Final = (b"x-ratelimit-", b"anthropic-ratelimit-")  # how the names of those begin
