"""The tables that calls are metered with, loaded before the workers are forked, who then share them."""

import ctypes
from collections.abc import Callable
from pathlib import Path

from tidegate.count.calibration import Calibration
from tidegate.count.prices import Prices
from tidegate.count.prices_table import read, shipped
from tidegate.count.registry import Registry, Supplied
from tidegate.settings import Settings


def registry_of(settings: Settings) -> Registry:
    """All vocabularies, loaded, so that no call waits for one. Raises SettingsError."""
    own = [
        Supplied(name=name, path=Path(each.path), shape=each.shape, models=each.models)
        for name, each in settings.vocabulary.items()
    ]
    registry = Registry(own)
    registry.load()
    _trim()
    return registry


def _trim() -> None:
    """What loading leaves behind goes back to the system: every worker would have it in its memory."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc has it
    if trim is not None:
        trim(0)


def prices_of(settings: Settings) -> Prices:
    """The prices in force. Raises SettingsError."""
    prices = settings.prices
    return Prices(read(Path(prices.file)) if prices.file else shipped(), prices.override, prices.unknown)


def keep(calibration: Calibration, say: Callable[[str], None]) -> None:
    """Keeps what was learnt of vocabularies; where that cannot be, it is said, and learnt again."""
    try:
        calibration.save()
    except OSError as error:
        say(f"what was learnt of vocabularies could not be kept: {(error.strerror or '').lower()}")
