"""Unix sockets in folders with long names: the kernel takes paths of 107 bytes, and a longer one goes by its folder."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

LONGEST: Final = 107


@contextmanager
def reachable(place: Path) -> Iterator[str]:
    """A path by which this process can bind or connect a socket while the context lasts."""
    if len(os.fsencode(place)) <= LONGEST:
        yield str(place)
        return
    folder = os.open(place.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{place.name}"
    finally:
        os.close(folder)
