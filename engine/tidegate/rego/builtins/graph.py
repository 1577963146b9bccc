"""Graphs as objects: each node's neighbours under its name."""

from collections.abc import Callable, Iterator
from typing import Any, Final

from tidegate.rego.builtins import builtin
from tidegate.rego.builtins.operands import members, object_
from tidegate.rego.evaluation import Evaluation
from tidegate.rego.values import COLLECTIONS, UNDEFINED, RegoSet, Value, items, key

_SIGNATURE: Final = "graph: object[any: any<array[any], set[any]>], initial: any<array[any], set[any]>"


@builtin("graph.reachable", f"{_SIGNATURE} -> output: set[any]")
def reachable(graph: Value, initial: Value) -> RegoSet:
    """The nodes that a way leads to, those it starts at among them."""
    nodes = object_("graph.reachable", 1, graph)
    waiting = list(members("graph.reachable", 2, initial))
    found = RegoSet()
    while waiting:
        node = waiting.pop()
        name = key(node)
        if name in nodes and name not in found:
            found[name] = node
            waiting += _neighbours(nodes[name])
    return found


@builtin("graph.reachable_paths", f"{_SIGNATURE} -> output: set[array[any]]", evaluation=True)
def reachable_paths(evaluation: Evaluation, graph: Value, initial: Value) -> RegoSet:
    """The ways from each node it starts at, each until it leaves the graph or meets what was seen before."""
    nodes = object_("graph.reachable_paths", 1, graph)
    found = RegoSet()
    for start in members("graph.reachable_paths", 2, initial):
        if key(start) not in nodes:
            continue
        neighbours = _neighbours(nodes[key(start)])
        for path in [[start, neighbour] for neighbour in neighbours]:
            for way in _ways(evaluation, nodes, path):
                found[key(way)] = way
        if not neighbours:
            found[key([start])] = [start]
    return found


def _ways(evaluation: Evaluation, nodes: dict[Any, Value], path: list[Value]) -> Iterator[list[Value]]:
    """OPA's own search: what one way has gone on from, no later way goes through, which keeps it from exploding."""
    seen = {key(path[0])}
    waiting = [(path[:-1], iter(path[-1:]))]
    while waiting:
        behind, following = waiting[-1]
        node = next(following, UNDEFINED)
        if node is UNDEFINED:
            waiting.pop()
            continue
        evaluation.spend(1 + len(behind))
        if key(node) in seen:
            yield behind
            continue
        seen.add(key(behind[-1]))
        if key(node) not in nodes:
            yield behind
            continue
        neighbours = _neighbours(nodes[key(node)])
        if not neighbours:
            yield [*behind, node]
        waiting.append(([*behind, node], iter(neighbours)))


def _neighbours(held: Value) -> list[Value]:
    """Something that is no collection has none."""
    return members("graph", 1, held) if type(held) in (list, RegoSet) else []


@builtin("walk", "x: any -> output: array<array[any], any>", evaluation=True)
def walk(evaluation: Evaluation, x: Value) -> list[Value]:
    """The path and the value of everything in a value, itself first: a relation, one pair after the other."""
    pairs: list[Value] = []
    _walk(evaluation.spend, [], x, pairs)
    return pairs


def _walk(spend: Callable[[int], None], path: list[Value], value: Value, pairs: list[Value]) -> None:
    spend(1 + len(path) // 8)
    pairs.append([path, value])
    if type(value) in COLLECTIONS:
        for name, held in items(value):
            _walk(spend, [*path, name], held, pairs)
