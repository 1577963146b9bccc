"""json.patch: RFC 6902 over Rego's values.

Beyond the RFC a path may be an array of keys, and may lead through sets, whose elements are their own keys. A patch
that does not apply has no result; it is no error. The document given is never changed: what an operation touches is
copied once, and further operations work on the copy.
"""

import re

from tidegate.rego.builtins import builtin
from tidegate.rego.builtins.operands import array
from tidegate.rego.evaluation import Evaluation
from tidegate.rego.values import COLLECTIONS, UNDEFINED, RegoSet, Value, equal, key, lookup

_INDEX = re.compile(r"0|[1-9][0-9]{0,17}")
_FIELDS = {
    "add": ("path", "value"),
    "remove": ("path",),
    "replace": ("path", "value"),
    "move": ("path", "from"),
    "copy": ("path", "from"),
    "test": ("path", "value"),
}


class _DoesNotApply(Exception):
    """An operation that is malformed, or whose place is not there."""


@builtin("json.patch", "object: any, patches: array[object[any: any]] -> any", evaluation=True)
def patch(evaluation: Evaluation, document: Value, operations: Value) -> Value:
    editing = _Editing(evaluation, document)
    try:
        for operation in array("json.patch", 2, operations):
            editing.apply(operation)
    except _DoesNotApply:
        return UNDEFINED
    return editing.document


class _Editing:
    """A document under change."""

    def __init__(self, evaluation: Evaluation, document: Value) -> None:
        self.evaluation = evaluation
        self.document = document
        self.copies: dict[int, Value] = {}  # by identity: the collections made here, which nobody else sees

    def apply(self, operation: Value) -> None:
        name = operation.get("op") if type(operation) is dict else None
        if type(name) is not str or name not in _FIELDS or not all(field in operation for field in _FIELDS[name]):
            raise _DoesNotApply
        path = _path(operation["path"])
        match name:
            case "add":
                self._insert(path, operation["value"])
            case "remove":
                self._take(path)
            case "replace":
                self._take(path)
                self._insert(path, operation["value"])
            case "move":
                self._insert(path, self._take(_path(operation["from"])))
            case "copy":
                self.copies.clear()  # what is copied stands in two places from now on, and they change apart
                self._insert(path, self._find(_path(operation["from"])))
            case "test":
                if not equal(self._find(path), operation["value"]):
                    raise _DoesNotApply

    def _find(self, path: list[Value]) -> Value:
        found = self.document
        for step in path:
            found = _member(found, step)
        if found is UNDEFINED:
            raise _DoesNotApply
        return found

    def _take(self, path: list[Value]) -> Value:
        taken = self._find(path)
        if path:
            self.document = self._changed(self.document, path, UNDEFINED)
        else:
            self.document = UNDEFINED
        return taken

    def _insert(self, path: list[Value], value: Value) -> None:
        self.document = self._changed(self.document, path, value) if path else value

    def _changed(self, collection: Value, path: list[Value], value: Value) -> Value:
        """The collection with the value at the end of the path, or without what is there if the value is UNDEFINED."""
        if type(collection) not in COLLECTIONS:
            raise _DoesNotApply
        own = self._own(collection)
        step = path[0]
        if len(path) > 1:
            _replace(own, step, self._changed(_member(own, step), path[1:], value))
        elif value is UNDEFINED:
            _remove(own, step)
        else:
            _add(own, step, value)
        return own

    def _own(self, collection: Value) -> Value:
        if id(collection) in self.copies:
            return collection
        self.evaluation.spend(1 + len(collection) // 8)
        own = collection.copy() if type(collection) is not RegoSet else RegoSet(collection)
        self.copies[id(own)] = own
        return own


def _path(written: Value) -> list[Value]:
    if type(written) is list:
        return written
    if type(written) is not str:
        raise _DoesNotApply
    return [part.replace("~1", "/").replace("~0", "~") for part in written.lstrip("/").split("/")] if written else []


def _index(step: Value, length: int) -> int:
    """The place in an array that a step of a path names; "-" is the place behind the last."""
    if step == "-":
        return length
    if type(step) is str and _INDEX.fullmatch(step):
        return int(step)
    if type(step) is int:
        return step
    raise _DoesNotApply


def _member(collection: Value, step: Value) -> Value:
    """What a step leads to; an array's index may be written as a string."""
    found = lookup(collection, _index(step, len(collection)) if type(collection) is list else step)
    if found is UNDEFINED:
        raise _DoesNotApply
    return found


def _replace(own: Value, step: Value, value: Value) -> None:
    if type(own) is RegoSet:
        del own[key(step)]
        own[key(value)] = value
    else:
        own[_index(step, len(own)) if type(own) is list else key(step)] = value


def _remove(own: Value, step: Value) -> None:
    _member(own, step)
    del own[_index(step, len(own)) if type(own) is list else key(step)]


def _add(own: Value, step: Value, value: Value) -> None:
    if type(own) is list:
        index = _index(step, len(own))
        if not 0 <= index <= len(own):
            raise _DoesNotApply
        own.insert(index, value)
    elif type(own) is dict or equal(step, value):  # an element of a set is added under itself
        own[key(step if type(own) is dict else value)] = value
    else:
        raise _DoesNotApply
