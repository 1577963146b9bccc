"""`tidegate version`: what a bug report needs to name."""

import platform
from collections.abc import Iterator
from importlib.metadata import version

from tidegate import __version__

PARTS = ("uvloop", "httptools", "msgspec")


def versions() -> Iterator[tuple[str, str]]:
    """Tidegate, Python, and the parts whose version changes what it does."""
    yield "tidegate", __version__
    yield "python", platform.python_version()
    for name in PARTS:
        yield name, version(name)
