"""A call gets its caller.

A virtual key proves whose call it is. It comes in the field where the dialect's clients put their key, or in
`x-tidegate-key` beside the caller's own provider key, which then passes through. Without one a caller is anonymous, or
calls with a provider key of its own in nobody's name; both only where the settings allow it.

An unknown key and a wrong one cost the same work and get the same words. That a key has expired or was revoked is told
only to who has its secret.

A connection mostly brings one caller. `Met` is what is remembered of its last call, for as long as the connection
lives: the key that was proved last is compared and not hashed again, and where the head and the body say nothing else
the caller is the same object. Neither outlives a change of the keys, nor the moment at which the key expires.
"""

import re
from collections.abc import Callable
from hmac import compare_digest
from time import time
from typing import Any, Final, Literal

from tidegate.errors import BadField, KeyExpired, KeyInvalid, KeyRevoked, KeysUnreadable, Unauthenticated
from tidegate.identify.held import Keys
from tidegate.identify.keys import NOBODY, Key
from tidegate.model import Call, Caller
from tidegate.settings import Identify
from tidegate.wire.dialect import Route
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


class Met:
    """Whom a connection has brought last, and by what."""

    def __init__(self) -> None:
        self.caller: Caller | None = None
        self.known: Any = None  # whatever else was made of this caller; None for another one
        self._headers: dict[bytes, bytes] | None = None  # of that call; calls with the same head share one
        self._route: Route | None = None
        self._said: str | None = None  # whom the body named
        self._settings: Identify | None = None
        self._given = b""  # the virtual key that was proved last
        self._key: Key | None = None  # which that is; None where the last call had none
        self._version = 0  # of the keys then
        self._until = 0.0  # so long it is good; 0: for ever

    def again(self, call: Call, keys: Keys, settings: Identify) -> bool:
        """Whether a call says of its caller what the last one said, and that still holds."""
        if call.headers is not self._headers or call.route is not self._route or settings is not self._settings:
            return False
        if _said(call) != self._said:
            return False
        return self._key is None or (keys.words[0] == keys.seen and self.proves(keys))

    def proves(self, keys: Keys) -> bool:
        """Whether the key that was proved last is good now."""
        return self._version == keys.version and not keys.failed and (not self._until or time() < self._until)

    def of(self, call: Call, settings: Identify, key: Key | None, caller: Caller) -> Caller:
        """Remembers a call and its caller."""
        if caller is not self.caller:
            self.caller = caller
            self.known = None
        self._headers = call.headers
        self._route = call.route
        self._said = _said(call)
        self._settings = settings
        self._key = key
        return caller

    def proved(self, given: bytes, key: Key, version: int, until: float) -> None:
        """Remembers a key; whose call it proves is said next."""
        self.caller = self.known = self._headers = None
        self._given = given
        self._key = key
        self._version = version
        self._until = until


def identify(call: Call, ip: str | None, keys: Keys, settings: Identify, met: Met | None = None) -> Caller:
    """The caller; raises Unauthenticated where a key is needed and none came, or a key is not good.

    `met` belongs to the connection that the call came over; its `ip` is always the same.
    """
    if met is None:
        met = Met()
    elif met.again(call, keys, settings):
        assert met.caller is not None
        return met.caller
    headers = call.headers
    given = headers.get(OURS)
    own = spent = False
    for field in call.route.dialect.key_fields:
        value = headers.get(field)
        if value is None or (len(value) <= len(SCHEME) and value.lower() in NO_KEY):
            continue
        found = presented(value)
        if found is None:
            own = True
        elif given is None or found == given:
            given = found
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
        nobody = Caller(TENANT, "byok" if own else "anonymous", None, user, (), ip, session, parent, tags, ())
        return met.of(call, settings, None, nobody)
    if spent and own:
        raise KeyInvalid("a virtual key and a provider's key came in the dialect's fields; move one to x-tidegate-key")
    key = prove(given, keys, met)
    made = key.made
    if made.tags:
        tags = made.tags + tags
    mode: Literal["byok", "key"] = "byok" if own else "key"
    user = made.user or user
    caller = met.caller
    if caller is None or not _is(caller, mode, user, session, parent, tags):
        caller = Caller(made.tenant, mode, made.id, user, made.roles, ip, session, parent, tags, made.integrations)
    return met.of(call, settings, key, caller)


def _is(
    caller: Caller, mode: str, user: str | None, session: str | None, parent: str | None, tags: tuple[str, ...]
) -> bool:
    """Whether a caller that was known by the same key is this one."""
    return bool(
        caller.user == user
        and caller.session == session
        and caller.parent == parent
        and caller.tags == tags
        and caller.mode == mode
    )


def prove(given: bytes, keys: Keys, met: Met | None = None) -> Key:
    """The key that was given, if it is good now."""
    if keys.words[0] != keys.seen:
        keys.refresh()
    if keys.failed:
        raise KeysUnreadable("the keys of this gateway cannot be read, so none is taken")
    if len(given) != LENGTH:
        raise KeyInvalid(INVALID)
    if met is not None and met._key is not None and compare_digest(given, met._given) and met.proves(keys):
        return met._key
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
    if met is not None:
        ends = [end for end in (key.expires, 0 if new else key.old_until) if end]
        met.proved(given, key, keys.version, min(ends, default=0))
    return key


def _user(call: Call) -> str | None:
    """Whom the client says it acts for: the field of ours, or else the body."""
    if b"x-tidegate-user" in call.headers:
        user = _text(b"x-tidegate-user", call.headers, USER)
        if user is not None:
            return user
    said = _said(call)
    if said is not None and len(said) > LONGEST_USER:
        raise BadField(f"the user that the body names is longer than {LONGEST_USER} characters")
    return said or None


def _said(call: Call) -> str | None:
    """Whom the body names."""
    return call.fields.end_user if call.fields is not None else None


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
