"""A call gets its caller.

A virtual key proves whose call it is. It comes in the field where the dialect's clients put their key, or in
`x-tidegate-key` beside the caller's own provider key, which then passes through. Without one a caller is anonymous, or
calls with a provider key of its own in nobody's name; both only where the settings allow it.

An unknown key and a wrong one cost the same work and get the same words. That a key has expired or was revoked is told
only to who has its secret.
"""

import re
from collections.abc import Callable
from hmac import compare_digest
from time import time
from typing import Final

from tidegate.errors import BadField, KeyExpired, KeyInvalid, KeyRevoked, KeysUnreadable, Unauthenticated
from tidegate.identify.held import Keys
from tidegate.identify.keys import NOBODY, Key
from tidegate.model import Call, Caller
from tidegate.settings import Identify
from tidegate.wire.keys import ID, LENGTH, presented

TENANT: Final = "default"  # of callers who prove nothing
SCHEME: Final = b"bearer"
NO_KEY: Final = frozenset((b"", SCHEME))
OURS: Final = b"x-tidegate-key"
TAGS: Final = 16
LONGEST_USER: Final = 256  # characters
INVALID: Final = "the key is not valid here"
SESSION: Final = re.compile(rb"[\x21-\x7e]{1,128}").fullmatch
PARENT: Final = re.compile(rb"[0-9a-f]{26}").fullmatch
USER: Final = re.compile(rb"[\x21-\x7e]{1,256}").fullmatch
TAG: Final = re.compile(rb"[0-9A-Za-z][0-9A-Za-z_.:/=@+-]{0,63}").fullmatch


def identify(call: Call, ip: str | None, keys: Keys, settings: Identify) -> Caller:
    """The caller; raises Unauthenticated where a key is needed and none came, or a key is not good."""
    headers = call.headers
    given = headers.get(OURS)
    own = spent = False
    for field in call.route.dialect.key_fields:
        value = headers.get(field)
        if value is None or (len(value) <= len(SCHEME) and value.lower() in NO_KEY):
            continue
        key = presented(value)
        if key is None:
            own = True
        elif given is None or key == given:
            given = key
            spent = True
        else:
            raise KeyInvalid("two different keys came in two fields; send one of them")
    session = parent = None
    tags: tuple[str, ...] = ()
    user = _user(call)
    if b"x-session-id" in headers:
        session = _text(b"x-session-id", headers, SESSION)
    if b"x-tidegate-parent-run" in headers:
        parent = _text(b"x-tidegate-parent-run", headers, PARENT)
    if b"x-tidegate-tags" in headers:
        tags = _tags(headers[b"x-tidegate-tags"])
    if given is None:
        if not settings.anonymous:
            raise Unauthenticated("this gateway needs a virtual key, and the call carries none")
        return Caller(TENANT, "byok" if own else "anonymous", None, user, (), ip, session, parent, tags, ())
    if spent and own:
        raise KeyInvalid("a virtual key and a provider's key came in the dialect's fields; move one to x-tidegate-key")
    made = prove(given, keys).made
    if made.tags:
        tags = made.tags + tags
    return Caller(
        made.tenant,
        "byok" if own else "key",
        made.id,
        made.user or user,
        made.roles,
        ip,
        session,
        parent,
        tags,
        made.integrations,
    )


def prove(given: bytes, keys: Keys) -> Key:
    """The key that was given, if it is good now."""
    if keys.words[0] != keys.seen:
        keys.refresh()
    if keys.failed:
        raise KeysUnreadable("the keys of this gateway cannot be read, so none is taken")
    if len(given) != LENGTH:
        raise KeyInvalid(INVALID)
    key = keys.keys.get(given[:ID], NOBODY)
    digest = keys.digest(given)
    new = compare_digest(digest, key.digest)
    old = compare_digest(digest, key.old_digest)
    if not (new or old) or key is NOBODY:
        raise KeyInvalid(INVALID)
    if key.revoked:
        raise KeyRevoked(f"the key `{key.made.id}` was revoked")
    if key.expires and time() >= key.expires:
        raise KeyExpired(f"the key `{key.made.id}` has expired")
    if not new and time() >= key.old_until:
        raise KeyExpired(f"the key `{key.made.id}` was rotated, and this secret of it has expired")
    return key


def _user(call: Call) -> str | None:
    """Whom the client says it acts for: the field of ours, or else the body."""
    if b"x-tidegate-user" in call.headers:
        user = _text(b"x-tidegate-user", call.headers, USER)
        if user is not None:
            return user
    if call.fields is None:
        return None
    said: str | None = call.fields.end_user
    if said is not None and len(said) > LONGEST_USER:
        raise BadField(f"the user that the body names is longer than {LONGEST_USER} characters")
    return said or None


def _text(name: bytes, headers: dict[bytes, bytes], form: Callable[[bytes], object]) -> str | None:
    """A field of ours; an empty one counts as absent."""
    value = headers[name]
    if not value:
        return None
    if form(value) is None:
        raise BadField(f"the field `{name.decode()}` is not of its form")
    return value.decode("ascii")


def _tags(value: bytes) -> tuple[str, ...]:
    """The tags of a list, each once."""
    tags = [tag.strip(b" \t") for tag in value.split(b",")] if value else []
    if len(tags) > TAGS or not all(TAG(tag) for tag in tags):
        raise BadField(f"the field `x-tidegate-tags` is not a list of at most {TAGS} tags")
    return tuple(dict.fromkeys(tag.decode("ascii") for tag in tags))
