"""Which model of the table a name means.

Callers write a model's name in many ways: with a date, a region, a vendor before it. Each provider's models are asked
in their order, and the first whose names fit is meant; so an exact name stands in a dict, and only the patterns of
models before it are tried. `gpt-5.2-20251211` means `gpt-5.2-2025-12-11` where it means nothing else.
"""

import re
from collections.abc import Sequence
from datetime import date
from typing import Final

from msgspec import structs

from tidegate.count.prices_table import Match, Model, Table

_COMPACT_DATE: Final = re.compile(r"-(20\d\d)(\d\d)(\d\d)(?=-|:|$)")


class Names:
    """The names of all models of a table."""

    def __init__(self, table: Table) -> None:
        models: dict[str, list[Model]] = {}
        for model in table.models:
            models.setdefault(model.provider, []).append(model)
        self._providers = table.head.providers
        self._fallbacks = {provider.id: provider.fallbacks for provider in self._providers}
        self._lists = {provider: _List(listed) for provider, listed in models.items()}

    def find(self, provider: str, name: str) -> Model | None:
        """The model that a name means with a provider, or with the one whom the name belongs to."""
        name = name.lower()
        if not provider:
            provider = next((each.id for each in self._providers if each.models and each.models.fits(name)), "")
        return self._find(provider, name) or self._find(provider, _COMPACT_DATE.sub(_with_dashes, name))

    def _find(self, provider: str, name: str) -> Model | None:
        if (listed := self._lists.get(provider)) and (model := listed.find(name)):
            return model
        for maker in self._fallbacks.get(provider, ()):
            if (listed := self._lists.get(maker)) and (model := listed.find(name)):
                # a reseller's other services are not the maker's
                return structs.replace(model, provider=provider, prices={"": model.prices[""]})
        return None


class _List:
    """The models of one provider, in their order."""

    def __init__(self, models: Sequence[Model]) -> None:
        self._models = models
        self._exact: dict[str, int] = {}
        self._patterns: list[tuple[int, Match]] = []
        for index, model in enumerate(models):
            match = model.match
            for name in match.equals:
                self._exact.setdefault(name, index)
            if match.starts or match.contains or match.ends or match.regex or match.every:
                self._patterns.append((index, match))

    def find(self, name: str) -> Model | None:
        """The first model whose names fit."""
        exact = self._exact.get(name, len(self._models))
        for index, match in self._patterns:
            if index > exact:
                break
            if match.fits(name):
                return self._models[index]
        return self._models[exact] if exact < len(self._models) else None


def _with_dashes(found: re.Match[str]) -> str:
    year, month, day = map(int, found.groups())
    try:
        return f"-{date(year, month, day)}"
    except ValueError:
        return found[0]  # eight digits that are no date
