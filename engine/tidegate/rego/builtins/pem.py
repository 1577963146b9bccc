"""PEM blocks, as Go's decoder finds them: what stands around a block is skipped, a malformed one too."""

import base64
import binascii
from collections.abc import Iterator

from msgspec import Struct

_BEGIN, _END, _DASHES = "-----BEGIN ", "-----END ", "-----"


class Block(Struct, frozen=True):
    kind: str  # CERTIFICATE, RSA PRIVATE KEY...
    octets: bytes
    rest: str  # what follows the block


def blocks(text: str) -> Iterator[Block]:
    found = first(text)
    while found is not None:
        yield found
        found = first(found.rest)


def first(text: str) -> Block | None:
    at = 0
    while (begin := text.find(_BEGIN, at)) >= 0:
        at = begin + len(_BEGIN)
        if begin and text[begin - 1] != "\n":
            continue
        line_end = text.find("\n", at)
        kind = text[at:line_end].rstrip()
        if not kind.endswith(_DASHES):
            continue
        kind = kind.removesuffix(_DASHES)
        end = text.find(_END, line_end)
        if line_end < 0 or end < 0:
            return None
        at = end + len(_END)
        if not text.startswith(kind + _DASHES, at):
            continue
        octets = _decoded(text[line_end + 1 : end])
        if octets is not None:
            return Block(kind, octets, _after_line(text, at + len(kind) + len(_DASHES)))
    return None


def _decoded(body: str) -> bytes | None:
    lines = [line.strip() for line in body.splitlines() if ":" not in line]
    try:
        return base64.b64decode("".join(lines), validate=True)
    except (binascii.Error, ValueError):
        return None


def _after_line(text: str, at: int) -> str:
    """What follows the line that ends here, after white space."""
    line_end = text.find("\n", at)
    trailing = text[at:] if line_end < 0 else text[at:line_end]
    if trailing.strip():
        return text[at:]
    return "" if line_end < 0 else text[line_end + 1 :]
