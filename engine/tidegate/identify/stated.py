"""A call that a program makes by itself gets its caller: whose it is, is the program's word.

The forms are those that a gateway takes, so that policies and records mean the same. A caller with a key has the mode
`key`, one without is `anonymous` to policies.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final, TypedDict, TypeVar

import msgspec

from tidegate.errors import BadField
from tidegate.identify.caller import LONGEST_USER, PARENT, SESSION, TAG, TAGS
from tidegate.identify.keys import Label, Labels, Tenant
from tidegate.model import Call, Caller


class About(TypedDict, total=False):
    """What a program may say of whose call it is, and where it goes."""

    key: str | None  # a name that the program has for what proved the caller; never a secret
    user: str | None  # without it, whom the body names
    roles: Sequence[str]
    session: str | None
    parent: str | None  # the id of the run that this one comes from
    tags: Sequence[str]
    integration: str  # where it is going to be sent; empty: named as the provider
    provider: str  # whose tokens and prices are meant; empty: the integration's, else the dialect's


Form = TypeVar("Form", str, tuple[str, ...])
UNPRINTED: Final = frozenset(map(chr, (*range(0x20), *range(0x7F, 0xA0))))


def caller_of(call: Call, tenant: str, about: About) -> Caller:
    """The caller; raises BadField for what is not of its form, which is not shown."""
    key = about.get("key") or None
    said: str | None = call.fields.end_user if call.fields is not None else None
    tags = tuple(dict.fromkeys(about.get("tags", ())))
    if len(tags) > TAGS:
        raise BadField(f"there are more than {TAGS} `tags`")
    return Caller(
        _typed("tenant", tenant, Tenant),
        "key" if key else "anonymous",
        _typed("key", key, Label) if key else None,
        _user(about.get("user") or said),
        _typed("roles", tuple(about.get("roles", ())), Labels),
        None,
        _matching("session", about.get("session"), SESSION),
        _matching("parent", about.get("parent"), PARENT),
        tuple([_matching("tags", tag, TAG) or "" for tag in tags]),
    )


def _typed(name: str, value: Form, form: Any) -> Form:
    try:
        made: Form = msgspec.convert(value, form)
    except msgspec.ValidationError:
        raise BadField(f"`{name}` is not of its form") from None
    return made


def _user(user: str | None) -> str | None:
    if not user:
        return None
    if len(user) > LONGEST_USER or not UNPRINTED.isdisjoint(user) or not _is_text(user):
        raise BadField(f"`user` is longer than {LONGEST_USER} characters, or has characters that are not printed")
    return user


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # half a character
        return False
    return True


def _matching(name: str, text: str | None, form: Callable[[bytes], object]) -> str | None:
    if not text:
        return None
    if not text.isascii() or form(text.encode()) is None:
        raise BadField(f"`{name}` is not of its form")
    return text
