"""Which dialects a provider speaks, by the kind of its integration."""

from typing import Final

from tidegate.wire import anthropic, openai
from tidegate.wire.dialect import Dialect

SPOKEN: Final[dict[str, tuple[Dialect, ...]]] = {
    "openai": (openai.DIALECT,),
    "anthropic": (anthropic.DIALECT,),
    "simulated": (openai.DIALECT, anthropic.DIALECT),
}
