"""What JSON Schema's `format` means, as gojsonschema has it: Go's own parsers, and a few regular expressions.

The patterns here read every character once, so that no text takes long.
"""

import re
from collections.abc import Callable
from datetime import date
from ipaddress import ip_address
from typing import Final

from tidegate.rego.builtins.regex import is_valid as is_valid_pattern

_ATOM: Final = r"[^\x00-\x20()<>\[\]:;@\\,.\"\x7f]+"
_MAILBOX: Final = re.compile(
    rf'(?:{_ATOM}(?:\.{_ATOM})*|"(?:[^"\\\x00-\x1f]|\\.)*")@(?:{_ATOM}(?:\.{_ATOM})*|\[[^\]\[\\]*\])'
)
_NAMED_MAILBOX: Final = re.compile(r"[^<>@,;:\\]*<([^<>]*)>")
_DATE: Final = re.compile("[0-9]{4}-[0-9]{2}-[0-9]{2}")
_TIME: Final = re.compile("[0-9]{1,2}:[0-5][0-9]:[0-5][0-9](?:[.,][0-9]+)?(?:Z|[+-](?:[01][0-9]|2[0-4]):[0-5][0-9])?")
_LABEL: Final = "[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"
_HOST_NAME: Final = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_LONGEST_HOST_NAME: Final = 255
_UUID: Final = re.compile("[a-fA-F0-9]{8}(?:-[a-fA-F0-9]{4}){3}-[a-fA-F0-9]{12}")
_POINTER: Final = re.compile("(?:/(?:[^~/]|~[01])*)*")
_RELATIVE_POINTER: Final = re.compile("(?:0|[1-9][0-9]*)(?:#|(?:/(?:[^~/]|~[01])*)*)")
_TEMPLATE: Final = re.compile(r"[^{]*(?:\{[^}]*\}[^{]*)*")
_SCHEME: Final = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]*):")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_BAD_ESCAPE: Final = re.compile("%(?![0-9a-fA-F]{2})")
_AUTHORITY: Final = re.compile(r"(?:[^@]*@)?(?:\[[^\]]*\]|[^\x00-\x20#\\^`{|}\[\]:]*)(?::[0-9]*)?")


def _is_email(text: str) -> bool:
    named = _NAMED_MAILBOX.fullmatch(text.strip())
    return bool(_MAILBOX.fullmatch(named[1] if named else text.strip()))


def _is_address(mark: str) -> Callable[[str], bool]:
    def is_address(text: str) -> bool:
        try:
            return mark in text and "%" not in text and bool(str(ip_address(text)))
        except ValueError:
            return False

    return is_address


def _is_date(text: str) -> bool:
    try:
        return bool(_DATE.fullmatch(text)) and bool(date.fromisoformat(text))
    except ValueError:
        return False


def _is_time(text: str) -> bool:
    return bool(_TIME.fullmatch(text)) and int(text.partition(":")[0]) < 24


def _is_moment(text: str) -> bool:
    """A date, a time, or both with an offset."""
    day, separator, hour = text.partition("T")
    if not separator:
        return _is_date(text) or _is_time(text)
    return _is_date(day) and _is_time(hour) and (hour.endswith("Z") or "+" in hour or "-" in hour)


def is_url(text: str) -> bool:
    """Whether Go's net/url can read it."""
    return _path(text) is not None


def _path(text: str) -> str | None:
    """The path of a URI or a relative reference; None if it is neither."""
    rest, _, fragment = text.partition("#")
    if _CONTROL.search(text) or _BAD_ESCAPE.search(fragment):
        return None
    scheme = _SCHEME.match(rest)
    if rest.startswith(":"):
        return None
    path = (rest[scheme.end() :] if scheme else rest).partition("?")[0]
    if scheme and not path.startswith("/"):
        return ""  # an opaque one, like mailto:a@b
    if path.startswith("//"):
        authority, slash, path = path[2:].partition("/")
        if not _AUTHORITY.fullmatch(authority) or _BAD_ESCAPE.search(authority):
            return None
        path = slash + path
    elif not scheme and ":" in path.partition("/")[0]:
        return None
    return None if _BAD_ESCAPE.search(path) else path


def _is_reference(text: str) -> bool:
    return "\\" not in text and is_url(text)


def _is_uri(text: str) -> bool:
    return _is_reference(text) and bool(_SCHEME.match(text))


def _is_template(text: str) -> bool:
    path = _path(text)
    return "\\" not in text and path is not None and bool(_TEMPLATE.fullmatch(path))


FORMATS: Final[dict[str, Callable[[str], bool]]] = {
    "date": _is_date,
    "time": _is_time,
    "date-time": _is_moment,
    "hostname": lambda text: len(text) <= _LONGEST_HOST_NAME and bool(_HOST_NAME.fullmatch(text)),
    "email": _is_email,
    "idn-email": _is_email,
    "ipv4": _is_address("."),
    "ipv6": _is_address(":"),
    "uri": _is_uri,
    "uri-reference": _is_reference,
    "iri": _is_uri,
    "iri-reference": _is_reference,
    "uri-template": _is_template,
    "uuid": lambda text: bool(_UUID.fullmatch(text)),
    "regex": is_valid_pattern,
    "json-pointer": lambda text: bool(_POINTER.fullmatch(text)),
    "relative-json-pointer": lambda text: bool(_RELATIVE_POINTER.fullmatch(text)),
}
