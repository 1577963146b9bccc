"""The limits that `data.limits` declares: what a policy is told of them in `input.limits`.

    "limits": {"budget": {"key": ["caller.tenant"], "measure": "usd", "max": 1000, "per": "day"}}

A declaration has the fields of a `limit`, but for its name, which it stands under. Elements of `key` that name a field
of the input stand for its value; all others for themselves. It draws nothing: it names the bucket that calls of this
kind draw from, where the policy says so.
"""

import sys
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from tidegate.decide.fields import Field
from tidegate.decide.shapes import flaws
from tidegate.model import Call, Caller, Limit
from tidegate.rego.suggest import did_you_mean

KEPT: Final = 4096  # limits of one declaration, by the values of their keys
FIELDS: Final[Mapping[str, str]] = {  # and how they are read
    "caller.tenant": "caller.tenant",
    "caller.key": "caller.key",
    "caller.user": "caller.user",
    "caller.ip": "caller.ip",
    "run.session": "caller.session",
    "run.parent": "caller.parent",
    "request.model": "(call.model or None)",
}
ROOTS: Final = frozenset(field.partition(".")[0] for field in FIELDS)


class Drawn:
    """The limit of the calls that a declaration counts together, and the bucket that somebody found for it last."""

    def __init__(self, limit: Limit) -> None:
        self.limit = limit
        self.usd = limit.measure == "usd"
        self.holder: object = None  # who found it
        self.bucket: Any = None


class Declared:
    """One declaration."""

    def __init__(self, limit: Limit) -> None:
        self._limit = limit
        self._fields = [Field(FIELDS[part]) for part in limit.key if type(part) is str and part in FIELDS]
        self._made: dict[object, Drawn] = {}

    def of(self, call: Call, caller: Caller) -> Drawn:
        """What a call draws from. Calls whose fields are the same get the same object."""
        fields = self._fields
        values: object
        if len(fields) == 1:
            field = fields[0]
            values = field.of_call(call, caller)
        else:
            values = tuple([field.of_call(call, caller) for field in fields])
        made = self._made.get(values)
        if made is None:
            if len(self._made) >= KEPT:
                self._made.clear()
            made = self._made[values] = self._of(call, caller)
        return made

    def _of(self, call: Call, caller: Caller) -> Drawn:
        values = iter([field.of_call(call, caller) for field in self._fields])
        key = [next(values) if type(part) is str and part in FIELDS else part for part in self._limit.key]
        return Drawn(msgspec.structs.replace(self._limit, key=tuple(key)))


def declared(data: Mapping[str, Any]) -> dict[str, Declared]:
    """The declarations of a bundle's data, those that `problems` finds nothing wrong with."""
    limits = data.get("limits")
    if not isinstance(limits, Mapping):
        return {}
    return {
        sys.intern(name): Declared(msgspec.convert({"name": name, **each}, Limit))
        for name, each in limits.items()
        if not _problems(name, each)
    }


def problems(data: Mapping[str, Any]) -> list[str]:
    """Everything that is wrong in `data.limits`."""
    limits = data.get("limits", {})
    if not isinstance(limits, Mapping):
        return ["`data.limits` must be an object of limits by their names"]
    return [problem for name, each in limits.items() for problem in _problems(name, each)]


def _problems(name: str, declaration: object) -> list[str]:
    place = f"data.limits.{name}"
    if not isinstance(declaration, Mapping):
        return [f"`{place}` must be an object"]
    if "name" in declaration:
        return [f"`{place}.name`: a declaration has the name that it stands under"]
    found = list(flaws(Limit, {"name": name, **declaration}, place))
    for each in declaration.get("key", ()) if not found else ():
        if isinstance(each, str) and each.partition(".")[0] in ROOTS and "." in each and each not in FIELDS:
            hint = did_you_mean(each, FIELDS) or f"those are {', '.join(f'`{field}`' for field in FIELDS)}"
            found.append(f"`{place}.key`: `{each}` is no field that a key can have: {hint}")
    return found
