"""The base documents of a bundle: JSON and YAML files that together are `data`.

Two files may not say different things about one place, and no key may stand twice in one object: whoever wrote it would
otherwise never learn which of the two counts.
"""

import json
from typing import Any, Final

from tidegate.rego.errors import Problem
from tidegate.rego.source import Source
from tidegate.rego.values import Value, number

CODE: Final = "tidegate_bundle_error"

Place = tuple[str, ...]


class BaseDocuments:
    """The files that were added, as one document. Problems are noted where the caller keeps them."""

    def __init__(self, problems: list[Problem]) -> None:
        self.document: dict[str, Value] = {}
        self._problems = problems
        self._owners: dict[Place, str] = {}

    def add(self, place: Place, source: Source) -> None:
        """Adds what a file holds, at a place in the data."""
        before = len(self._problems)
        value = self._read(source)
        if len(self._problems) > before:
            return
        for part in reversed(place):
            value = {part: value}
        if type(value) is dict:
            self._join(self.document, value, (), source)
        elif value is not None:  # an empty YAML file is none
            self._problems.append(problem(source, 0, "it must hold an object"))

    def _read(self, source: Source) -> Any:
        if source.name.endswith(".json"):
            return from_json(source, self._problems)
        from tidegate.decide.yaml import from_yaml  # most bundles have none, and its reader takes a megabyte

        return from_yaml(source, self._problems)

    def _join(self, into: dict[str, Value], value: dict[str, Value], at: Place, source: Source) -> None:
        for name, held in value.items():
            place = (*at, name)
            if type(into.get(name)) is dict and type(held) is dict:
                self._join(into[name], held, place, source)
            elif name in into:
                first = self._owner(place)
                self._problems.append(problem(source, 0, f"`data.{'.'.join(place)}` is in `{first}` already"))
            else:
                into[name] = held
                self._owners[place] = source.name

    def _owner(self, place: Place) -> str:
        """The file that a place came from: what was added whole has one owner for all that is in it."""
        return next(self._owners[place[:end]] for end in range(len(place), 0, -1) if place[:end] in self._owners)


def from_json(source: Source, problems: list[Problem]) -> Any:
    """The document of a JSON file; None, and a problem, where it is none."""
    try:
        return json.loads(source.text, parse_float=number, parse_constant=_no_constant, object_pairs_hook=_object)
    except json.JSONDecodeError as error:
        problems.append(problem(source, error.pos, f"it is not JSON: {error.msg.lower()}"))
    except (ValueError, ArithmeticError) as error:
        problems.append(problem(source, 0, f"it is not JSON: {error}"))
    except RecursionError:
        problems.append(problem(source, 0, "it is nested too deeply"))
    return None


def _no_constant(name: str) -> Value:
    raise ValueError(f"`{name}` is not a number of JSON")


def _object(pairs: list[tuple[str, Value]]) -> dict[str, Value]:
    made = dict(pairs)
    if len(made) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key `{twice}` stands twice in one object")
    return made


def problem(source: Source, offset: int, message: str) -> Problem:
    return Problem(CODE, message, source, offset, offset + 1)
