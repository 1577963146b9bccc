"""DER, as far as X.509 needs it: elements read where they lie, so that their exact bytes can be shown.

Lengths are checked against what is there and depth is the caller's, so that any bytes end in elements or a ValueError.
"""

from collections.abc import Iterator

from msgspec import Struct

BOOLEAN, INTEGER, BIT_STRING, OCTET_STRING, OBJECT_IDENTIFIER = 0x01, 0x02, 0x03, 0x04, 0x06
SEQUENCE, SET = 0x30, 0x31
_LARGEST_ARC = 2**31  # as in Go; and reading takes linear time
_TEXT = {0x0C: "utf-8", 0x12: "ascii", 0x13: "ascii", 0x14: "latin-1", 0x16: "ascii", 0x1E: "utf-16-be"}


class Element(Struct, frozen=True):
    tag: int
    raw: bytes  # with its header
    content: bytes

    def children(self) -> list["Element"]:
        if not self.tag & 0x20:
            raise ValueError("asn1: structure error")
        return list(elements(self.content))


def elements(octets: bytes) -> Iterator[Element]:
    """The elements that stand one behind the other."""
    at = 0
    while at < len(octets):
        found = _element(octets, at)
        yield found
        at += len(found.raw)


def sole(octets: bytes) -> Element:
    """The one element that there must be."""
    found = list(elements(octets))
    if len(found) != 1:
        raise ValueError("asn1: trailing data")
    return found[0]


def _element(octets: bytes, at: int) -> Element:
    try:
        tag, length = octets[at], octets[at + 1]
    except IndexError:
        raise ValueError("asn1: syntax error: data truncated") from None
    start = at + 2
    if length & 0x80:
        size = length & 0x7F
        length = int.from_bytes(octets[start : start + size])
        start += size
        if not 1 <= size <= 4:
            raise ValueError("asn1: structure error: length is not in DER")
    end = start + length
    if tag & 0x1F == 0x1F or end > len(octets):
        raise ValueError("asn1: syntax error: data truncated")
    return Element(tag, octets[at:end], octets[start:end])


def identifier(octets: bytes) -> list[int]:
    """The numbers of an object identifier."""
    numbers, current = [], 0
    for octet in octets:
        current = current << 7 | octet & 0x7F
        if current >= _LARGEST_ARC:
            raise ValueError("asn1: structure error: base 128 integer too large")
        if not octet & 0x80:
            numbers.append(current)
            current = 0
    if not numbers or octets[-1] & 0x80:
        raise ValueError("asn1: structure error: invalid object identifier")
    first = min(numbers[0] // 40, 2)
    return [first, numbers[0] - 40 * first, *numbers[1:]]


def text(element: Element) -> str:
    """A character string of any of ASN.1's kinds."""
    if element.tag not in _TEXT:
        raise ValueError(f"asn1: structure error: {element.tag:#x} is no character string")
    return element.content.decode(_TEXT[element.tag])


def dotted(element: Element) -> str:
    """An object identifier as it is written."""
    return ".".join(map(str, identifier(element.content)))
