"""What blocks that run one after the other have in common, so that it is done once for all of them.

Rules of policies are often many bodies of one shape: ten keywords looked for in every message are ten loops over the
messages, each of which lowers every message's text. As one loop with ten bodies, and the text lowered once, the
same work costs a fraction.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import groupby
from typing import Any, Final, TypeAlias

from tidegate.rego import plan
from tidegate.rego.builtins import TABLE
from tidegate.rego.generate import order
from tidegate.rego.generate.scopes import Scopes, blocks_of, operands_of, statements
from tidegate.rego.plan import Block, Scan, Statement

Path: TypeAlias = tuple[int, tuple[str, ...]]  # a local, and the names of fields from there
HEADS: Final = (plan.Call, plan.Dot, plan.Assign)  # what may stand before the loop in bodies that are joined


def groups(blocks: list[Block], scopes: Scopes, fails: Callable[[str], bool]) -> Iterator[list[Block]]:
    """The blocks in order, those that are loops over the same collection together."""
    signs = [_sign(block, scopes, fails) for block in blocks]
    for sign, held in groupby(zip(signs, blocks, strict=True), key=lambda pair: pair[0]):
        together = [block for _, block in held]
        if sign is None:
            yield from ([block] for block in together)
        else:
            yield together


def _sign(block: Block, scopes: Scopes, fails: Callable[[str], bool]) -> tuple[Any, ...] | None:
    """What is equal for two blocks that are loops over the same collection; None for any other block."""
    if not block or type(block[-1]) is not Scan:
        return None
    scan, head = block[-1], block[:-1]
    if not all(type(statement) in HEADS and _repeatable(statement) for statement in head):
        return None
    if not order.free(scan, scopes, fails) or _leaves(scan.block, 0):
        return None
    names: dict[int, str] = {}
    sign: list[Any] = []
    for statement in head:
        target = _target(statement)
        if not scopes.contained(target):
            return None
        called = statement.function if type(statement) is plan.Call else ""
        sign.append((type(statement), called, *(_renamed(operand, names) for operand in operands_of(statement))))
        names[target] = f"head {len(names)}"
    return (*sign, names.get(scan.source, scan.source))


def _repeatable(statement: Statement) -> bool:
    if type(statement) is not plan.Call:
        return True
    builtin = TABLE.get(statement.function)
    return builtin is None or builtin.pure


def _renamed(operand: plan.Operand, names: dict[int, str]) -> object:
    if type(operand) is int:
        return ("local", names.get(operand, operand))
    return (type(operand), operand)


def _leaves(block: Block, depth: int) -> bool:
    """Whether something in a loop leaves the loop."""
    for statement in block:
        if type(statement) is plan.Break and statement.index > depth:
            return True
        if any(_leaves(inner, depth + 1) for inner in blocks_of(statement)):
            return True
    return False


def heads(group: list[Block]) -> Iterator[list[int]]:
    """The locals that mean the same in all blocks of a group: results of the heads, then the loop's key and value."""
    for number in range(len(group[0]) - 1):
        yield [_target(block[number]) for block in group]
    for name in ("key", "value"):
        yield [getattr(block[-1], name) for block in group]


def _target(statement: Any) -> int:
    return statement.result if type(statement) is plan.Call else statement.target


def shared_paths(blocks: list[Block], roots: dict[int, int], least: int = 2) -> list[Path]:
    """The paths of fields, from a local that is known outside, that `least` blocks or more read; shortest first."""
    found: dict[Path, int] = {}
    for block in blocks:
        seen: set[Path] = set()
        at: dict[int, Path] = {root: (one, ()) for root, one in roots.items()}
        for statement in statements([block]):
            if type(statement) is plan.Dot and type(statement.key) is str and statement.source in at:
                root, path = at[statement.source]
                at[statement.target] = (root, (*path, statement.key))
                seen.add(at[statement.target])
            elif type(statement) is plan.Assign and statement.source in at:
                at[statement.target] = at[statement.source]
            elif type(statement) is plan.With:
                seen.clear()  # another document is meant in there
                break
        for read in seen:
            found[read] = found.get(read, 0) + 1
    return sorted((read for read, count in found.items() if count >= least), key=lambda read: len(read[1]))


def shared_calls(blocks: list[Block], roots: dict[int, int]) -> list[tuple[str, int]]:
    """The pure builtins of one local that is known outside, with which two blocks or more begin."""
    found: dict[tuple[str, int], int] = {}
    for block in blocks:
        same = dict(roots)
        for statement in block:
            if type(statement) is plan.Assign and statement.source in same:
                same[statement.target] = same[statement.source]
                continue
            if type(statement) is plan.Call and statement.function in TABLE and len(statement.args) == 1:
                argument = statement.args[0]
                if type(argument) is int and argument in same and TABLE[statement.function].pure:
                    call = (statement.function, same[argument])
                    found[call] = found.get(call, 0) + 1
            break
    return [call for call, count in found.items() if count > 1]


def calls(blocks: list[Block], name: str) -> bool:
    """Whether some blocks call a function."""
    return any(type(statement) is plan.Call and statement.function == name for statement in statements(blocks))


def asked(block: Block, roots: dict[int, int]) -> tuple[Path, str] | None:
    """The field that a block asks for first, and the text that it must be; None for a block that begins otherwise."""
    at: dict[int, Path] = {root: (one, ()) for root, one in roots.items()}
    for statement in block:
        if type(statement) is plan.Dot and type(statement.key) is str and statement.source in at:
            root, path = at[statement.source]
            at[statement.target] = (root, (*path, statement.key))
        elif type(statement) is plan.Equal:
            return _compared(statement.a, statement.b, at)
        elif type(statement) is plan.Call and statement.function == "equal":
            return _compared(statement.args[0], statement.args[1], at)
        else:
            return None
    return None


def _compared(a: plan.Operand, b: plan.Operand, at: dict[int, Path]) -> tuple[Path, str] | None:
    local, text = (b, a) if type(a) is str else (a, b)
    found = at.get(local) if type(local) is int else None
    return (found, text) if found is not None and found[1] and type(text) is str else None
