"""UUIDs: made, and taken apart."""

import re
from typing import Any, Final
from uuid import UUID, uuid4

from tidegate.rego.builtins import builtin
from tidegate.rego.builtins.operands import string
from tidegate.rego.evaluation import Evaluation
from tidegate.rego.values import UNDEFINED, Value

_FORM: Final = re.compile(
    r"(?:urn:uuid:)?[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|\{[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\}|[0-9a-f]{32}",
    re.IGNORECASE,
).fullmatch
_GREGORIAN: Final = 0x01B21DD213814000  # 100 ns from the start of the Gregorian calendar to 1970
_DOMAINS: Final = {0: "Person", 1: "Group", 2: "Org"}


@builtin("uuid.rfc4122", "k: string -> output: string", evaluation=True, pure=False)
def rfc4122(evaluation: Evaluation, k: Value) -> str:
    """One evaluation gets one UUID for the same operand."""
    made = evaluation.cache.setdefault(("uuid.rfc4122", string("uuid.rfc4122", 1, k)), str(uuid4()))
    assert isinstance(made, str)
    return made


@builtin("uuid.parse", "uuid: string -> result: object[string: any]")
def parse(written: Value) -> Value:
    """What a UUID says of itself; those made of time and place say when and where. Undefined where it is none."""
    if not _FORM(string("uuid.parse", 1, written)):
        return UNDEFINED
    uuid = UUID(written)
    result: dict[Any, Value] = {"version": uuid.bytes[6] >> 4, "variant": _variant(uuid)}
    if result["version"] in (1, 2):
        result |= {
            "time": (uuid.time - _GREGORIAN) * 100,
            "nodeid": "-".join(format(octet, "02x") for octet in uuid.bytes[10:]),
            "macvariables": _address(uuid.bytes[10]),
            "clocksequence": uuid.clock_seq,
        }
    if result["version"] == 2:
        domain = uuid.bytes[9]
        result |= {"id": uuid.time_low, "domain": _DOMAINS.get(domain, f"Domain{domain}")}
    return result


def _variant(uuid: UUID) -> str:
    octet = uuid.bytes[8]
    if octet & 0xC0 == 0x80:
        return "RFC4122"
    return {0xC0: "Microsoft", 0xE0: "Future"}.get(octet & 0xE0, "Reserved")


def _address(octet: int) -> str:
    """The two bits of a network card's address that say what kind it is."""
    return f"{'local' if octet & 2 else 'global'}:{'multicast' if octet & 1 else 'unicast'}"
