"""json.filter and json.remove: documents cut along paths, `a/b/0` or arrays of keys; an array's indices are strings."""

from typing import Any

from tidegate.rego.builtins import builtin
from tidegate.rego.builtins.operands import NAMES, mistyped, object_
from tidegate.rego.errors import OperandError
from tidegate.rego.values import COLLECTIONS, UNDEFINED, RegoSet, Value, key, ordered

_SIGNATURE = "object: object[any: any], paths: any<array[any<string, array[any]>], set[any<string, array[any]>]>"


@builtin("json.filter", f"{_SIGNATURE} -> filtered: any")
def filter_(document: Value, paths: Value) -> Value:
    """What lies on the paths."""
    held = object_("json.filter", 1, document)
    return _kept(held, _tree("json.filter", paths))


@builtin("json.remove", f"{_SIGNATURE} -> output: any")
def remove(document: Value, paths: Value) -> Value:
    """What does not lie at the end of a path."""
    held = object_("json.remove", 1, document)
    return _left(held, _tree("json.remove", paths))


# A tree of paths: the next keys, and under each the rest; None where a path ends.
_Tree = dict[Any, Any]


def _tree(name: str, paths: Value) -> _Tree:
    if type(paths) is list:
        written = paths
    elif type(paths) is RegoSet:
        written = ordered(paths.values())
    else:
        raise mistyped(name, 2, paths, "set", "array")
    root: _Tree = {}
    for path in [_parsed(name, one) for one in written]:
        node: _Tree | None = root
        for part in path[:-1]:
            node = node.setdefault(part, {})  # type: ignore[union-attr]
            if node is None:  # a shorter path says it already
                break
        else:
            if path:
                node[path[-1]] = None  # type: ignore[index]
    return root


def _parsed(name: str, path: Value) -> list[Any]:
    if type(path) is list:
        return list(map(key, path))
    if type(path) is not str:
        kinds = "{set, array} containing string paths or array of path segments"
        raise OperandError(f"{name}: operand 2 must be one of {kinds} but got {NAMES[type(path)]}")
    if not path:
        return []
    return [part.replace("~1", "/").replace("~0", "~") for part in path.lstrip("/").split("/")]


def _kept(value: Value, tree: _Tree | None) -> Value:
    if tree is None:
        return value
    if type(value) is list:
        return [_kept(held, tree[str(at)]) for at, held in enumerate(value) if str(at) in tree]
    if type(value) is dict:
        return {name: _kept(value[name], below) for name, below in tree.items() if name in value}
    if type(value) is RegoSet:
        kept = (_kept(value[name], below) for name, below in tree.items() if name in value)
        return RegoSet((key(held), held) for held in kept)
    return value


def _left(value: Value, tree: _Tree | None) -> Value:
    """UNDEFINED where nothing is left of the value."""
    if tree is None:
        return UNDEFINED
    if not tree or type(value) not in COLLECTIONS:
        return value
    if type(value) is list:
        left = [_below(held, tree, str(at)) for at, held in enumerate(value)]
        return [held for held in left if held is not UNDEFINED]
    pairs = [(name, _below(held, tree, name)) for name, held in value.items()]
    if type(value) is dict:
        return {name: held for name, held in pairs if held is not UNDEFINED}
    return RegoSet((key(held), held) for _, held in pairs if held is not UNDEFINED)


def _below(held: Value, tree: _Tree, name: Any) -> Value:
    return _left(held, tree[name]) if name in tree else held
