"""`tidegate keys`: virtual keys are made, listed, rotated and revoked.

The commands change the file in the data directory and need no running gateway; one that runs has the change in force
with the next request after the command has returned. A key is printed once, when it is made or rotated, and nowhere
else: neither lists nor messages hold one, also where a whole key was given in the place of its id.
"""

import errno
import os
import re
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec.structs import fields

from tidegate.cli.app import drop_output
from tidegate.configuration import unchecked
from tidegate.configuration.keys import meant
from tidegate.errors import KeysError
from tidegate.identify.keyfile import announced_size, changing, read
from tidegate.identify.keys import Key, Made, Revoked, Rotated, Words, new_id, new_key
from tidegate.settings import Settings

UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
LONGEST: Final = 100 * 366 * 86_400
LAST: Final = 253_402_300_799  # 9999-12-31T23:59:59Z: a calendar goes no further, a file of keys may
SPAN: Final = re.compile(r"([0-9]{1,9})([smhd])")
TAKES: Final = {
    "tenant": "at most 64 letters, digits, `_`, `.` and `-`, the first a letter or digit",
    "name": "at most 256 characters of UTF-8, none of them a control character",
    "user": "at most 256 characters of UTF-8, none of them a control character",
    "roles": "at most 16, each of at most 64 letters, digits and `_.:/=@+-`, the first a letter or digit",
    "tags": "at most 16, each of at most 64 letters, digits and `_.:/=@+-`, the first a letter or digit",
    "integrations": "at most 16",
}
OPTION: Final = {"roles": "role", "tags": "tag", "integrations": "integration"}
COLUMNS: Final = ("id", "state", "tenant", "name", "user", "roles", "tags", "integrations", "created", "expires")


def create(
    config: Path | None,
    environ: Mapping[str, str],
    said: Mapping[str, Any],
    expires: str,
) -> tuple[str, Key]:
    """Makes a key of these fields of Made; the key itself, which nobody can find out later, and what is kept."""
    settings = unchecked(config, environ)
    _check_integrations(said["integrations"], settings)
    now = int(time.time())
    until = moment(expires, now)
    _check(said)
    with changing(Path(settings.data)) as file:
        id = new_id()
        while id.encode() in file.keys:
            id = new_id()
        text = new_key(id)
        made = Made(id=id, digest=file.digest(text), at=now, expires=until, **said)
        file.append([made])
        return text, file.keys[id.encode()]


def rotate(
    config: Path | None, environ: Mapping[str, str], id: str, overlap: str, expires: str | None
) -> tuple[str, Key]:
    """A new secret for a key; the one before is good for the overlap, but not past the end that the key had or gets."""
    folder = Path(unchecked(config, environ).data)
    now = int(time.time())
    lasting = span(overlap, "--overlap")
    with changing(folder) as file:
        key = _known(file.keys, id)
        if key.revoked:
            raise KeysError(f"the key `{id}` was revoked, for ever: make another with `tidegate keys create`")
        until = key.expires if expires is None else moment(expires, now)
        if until and until <= now:
            raise KeysError(f"the key `{id}` has expired: say with --expires how long it is good from now on")
        text = new_key(id)
        over = min(end for end in (now + lasting, key.expires, until) if end)
        file.append([Rotated(id, file.digest(text), now, over, until)])
        return text, file.keys[id.encode()]


def say_once(text: str, key: Key) -> None:
    """Prints a secret, which stands nowhere else."""
    try:
        if sys.stdout is None:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        print(text, flush=True)
    except OSError as error:
        drop_output()
        id, why = key.made.id, (error.strerror or "unknown").lower()
        raise KeysError(
            f"nobody has seen the secret of the key `{id}`, which is in force ({why}):"
            f" `tidegate keys rotate {id} --overlap 0s` makes another, `tidegate keys revoke {id}` ends the key"
        ) from None


def revoke(config: Path | None, environ: Mapping[str, str], ids: Sequence[str]) -> list[str]:
    """Ends keys, all or none of them; what is to be told of each."""
    folder = Path(unchecked(config, environ).data)
    now = int(time.time())
    with changing(folder) as file:
        before = {id: _known(file.keys, id).revoked for id in ids}
        fresh = [Revoked(id, now) for id, revoked in before.items() if not revoked]
        if fresh:
            file.append(fresh)
    return [f"{id} {f'was revoked before, {shown(at)}' if at else 'is revoked'}" for id, at in before.items()]


def listed(config: Path | None, environ: Mapping[str, str], tenant: str | None) -> list[Key]:
    """The keys, oldest first."""
    folder = Path(unchecked(config, environ).data)
    if tenant is not None:
        _check({"tenant": tenant})
    return [key for key in read(folder, announced_size(folder)).keys.values() if tenant in (None, key.made.tenant)]


def _known(keys: Mapping[bytes, Key], id: str) -> Key:
    if not re.fullmatch(r"tg_[0-9A-Za-z]{12}", id):  # never repeated: it may be a whole key
        raise KeysError("expected the id of a key, which is its first 15 characters; `tidegate keys list` has them")
    key = keys.get(id.encode())
    if key is None:
        raise KeysError(f"there is no key `{id}`; `tidegate keys list` has all")
    return key


def _check(said: Mapping[str, Any]) -> None:
    kinds = {field.name: field.type for field in fields(Made)} | {"name": Words, "user": Words}
    for name, value in said.items():
        try:
            msgspec.convert(value, kinds[name])
        except msgspec.ValidationError:
            raise KeysError(f"--{OPTION.get(name, name)}: expected {TAKES[name]}") from None


def _check_integrations(names: Sequence[str], settings: Settings) -> None:
    for name in names:
        if name not in settings.integration:
            raise KeysError(f"--integration: there is no integration `{name[:63]}`{meant(name, settings.integration)}")


def span(text: str, option: str) -> int:
    """The seconds of a text such as `24h`."""
    found = SPAN.fullmatch(text)
    seconds = int(found[1]) * UNITS[found[2]] if found else LONGEST + 1
    if seconds > LONGEST:
        raise KeysError(f"{option}: expected a time such as `90d`, `24h`, `30m` or `0s`, at most 100 years")
    return seconds


def moment(text: str, now: int) -> int:
    """The moment of a text such as `90d` from now or `2027-01-31T00:00:00Z`; 0 for `never`."""
    if text == "never":
        return 0
    until = now + span(text, "--expires") if SPAN.fullmatch(text) else _stated(text)
    if until <= now:
        raise KeysError("--expires: the moment is past")
    if until > now + LONGEST:
        raise KeysError("--expires: the moment is more than 100 years away")
    return until


def _stated(text: str) -> int:
    try:
        stated = datetime.fromisoformat(text)
    except ValueError:
        stated = None
    if stated is None or stated.tzinfo is None:
        raise KeysError("--expires: expected `90d`, `24h`, `2027-01-31T00:00:00Z` or `never`")
    return int(stated.timestamp())


def shown(at: int) -> str:
    """A moment, in UTC; what is later than any calendar, as its last second."""
    return datetime.fromtimestamp(min(at, LAST), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def state(key: Key, now: float) -> str:
    """`active`, `rotating` (two secrets are good), `expired` or `revoked`."""
    if key.revoked:
        return "revoked"
    if key.expires and now >= key.expires:
        return "expired"
    return "rotating" if now < key.old_until else "active"


def document(key: Key) -> dict[str, Any]:
    """What may be told of a key."""
    made = key.made
    moments = {"created": made.at, "expires": key.expires, "rotated": key.rotated, "revoked": key.revoked}
    moments["overlap_until"] = key.old_until
    return {
        "id": made.id,
        "state": state(key, time.time()),
        **{name: getattr(made, name) for name in ("tenant", "name", "user", "roles", "tags", "integrations")},
        **{name: shown(at) if at else None for name, at in moments.items()},
    }


def as_json(value: object) -> str:
    """For programs."""
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()


def as_json_with(text: str, key: Key) -> str:
    """A new key for programs."""
    return as_json({"key": text, **document(key)})


def as_text(text: str, key: Key) -> str:
    """A new key for people."""
    made = key.made
    lines = [
        text,
        "",
        "This is shown once; what is kept of it cannot be turned back into it.",
        f"id {made.id}, tenant {made.tenant}, expires {shown(key.expires) if key.expires else 'never'}",
    ]
    if key.rotated:
        tense = "is" if key.old_until > key.rotated else "was"
        lines.append(f"the secret before it {tense} good until {shown(key.old_until)}")
    return "\n".join(lines)


def table(keys: Sequence[Key], tenant: str | None) -> str:
    """The keys for people, a line each."""
    if not keys and tenant is not None:
        return f"no keys of tenant `{tenant}`; `tidegate keys list` has all"
    if not keys:
        return "no keys; `tidegate keys create` makes one"
    rows = [COLUMNS, *(_row(document(key)) for key in keys)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(COLUMNS))]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)


def _row(told: Mapping[str, Any]) -> tuple[str, ...]:
    texts = {name: ",".join(value) if isinstance(value, tuple) else value for name, value in told.items()}
    return tuple(texts[name] or "-" for name in COLUMNS)
