"""Which encoding a model's tokens are counted in, and whether that count is exact.

Names are matched without what providers put before and after them (`openai/`, `ft:`, a date, a version). A model nobody
here knows is counted in o200k_base, and the count is an estimate: calibration turns it into a better one.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Final, Literal

from msgspec import Struct

from tidegate.count import vocabulary
from tidegate.count._tokens import Vocabulary

Kind = Literal["exact", "calibrated", "estimated"]

# families as tiktoken maps them; a name goes on with anything but a letter, a digit or a decimal
_FAMILIES: Final = (
    ("o200k_base", r"(?:chatgpt-|gpt-)4o|gpt-4\.[15]|gpt-5(?:\.\d+)?|gpt-oss|o1|o3|o4-mini|codex-mini"),
    ("cl100k_base", r"gpt-4|gpt-3\.5|gpt-35|text-embedding-3|text-embedding-ada-002|davinci-002|babbage-002"),
)
_KNOWN: Final = [(name, re.compile(rf"(?:.*/)?(?:ft:)?(?:{family})(?![\w.])")) for name, family in _FAMILIES]


class Encoding(Struct, frozen=True):
    """The name of a vocabulary, and what a count in it is for the model that was asked about."""

    name: str
    kind: Kind


UNKNOWN: Final = Encoding("o200k_base", "estimated")


class Supplied(Struct, frozen=True):
    """An operator's vocabulary: a .tiktoken or tekken file, how it cuts texts, and the models that use it."""

    name: str
    path: Path
    shape: str  # a name in vocabulary.SHAPES
    models: tuple[str, ...]  # names or `prefix*`; the longest that fits a model wins


@lru_cache(maxsize=1024)
def published_encoding(model: str) -> Encoding:
    """The encoding of a model by its name alone."""
    return next((Encoding(name, "exact") for name, family in _KNOWN if family.match(model)), UNKNOWN)


class Registry:
    """Models and their vocabularies: the operator's first, then the published ones."""

    def __init__(self, supplied: Sequence[Supplied] = ()) -> None:
        """Loads the supplied files; raises SettingsError where one cannot be used."""
        self._own = {each.name: vocabulary.supplied(each.path, each.shape) for each in supplied}
        models = [(model, Encoding(each.name, "exact")) for each in supplied for model in each.models]
        self._models = sorted(models, key=lambda rule: len(rule[0]), reverse=True)

    def encoding(self, model: str) -> Encoding:
        for pattern, encoding in self._models:
            if model == pattern or (pattern.endswith("*") and model.startswith(pattern[:-1])):
                return encoding
        return published_encoding(model)

    def vocabulary(self, encoding: Encoding) -> Vocabulary:
        return self._own.get(encoding.name) or vocabulary.published(encoding.name)

    def load(self) -> None:
        """Loads every vocabulary now, so that the processes forked from this one share them and no call waits."""
        for name in vocabulary.PUBLISHED:
            vocabulary.published(name)


PUBLISHED: Final = Registry()
