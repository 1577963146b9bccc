"""Keys for tests, made as the commands make them."""

import time
from pathlib import Path
from typing import Any

from tidegate.identify.keyfile import changing
from tidegate.identify.keys import Made, Revoked, Rotated, new_id, new_key


def make(folder: Path, tenant: str = "acme", **said: Any) -> str:
    """A new key of a data directory."""
    text = new_key(new_id())
    with changing(folder) as file:
        file.append([Made(id=id_of(text), digest=file.digest(text), at=now(), tenant=tenant, **said)])
    return text


def rotate(folder: Path, text: str, overlap: int, expires: int = 0) -> str:
    """The new secret of a key."""
    fresh = new_key(id_of(text))
    with changing(folder) as file:
        file.append([Rotated(id_of(text), file.digest(fresh), now(), now() + overlap, expires)])
    return fresh


def revoke(folder: Path, text: str) -> None:
    """Ends a key."""
    with changing(folder) as file:
        file.append([Revoked(id_of(text), now())])


def id_of(text: str) -> str:
    """The public part."""
    return text[:15]


def now() -> int:
    return int(time.time())
