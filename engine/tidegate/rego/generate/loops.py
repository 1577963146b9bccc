"""Loops, and blocks that run in turn: what several have in common is done once for all of them (`siblings`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from tidegate.rego import plan
from tidegate.rego.generate import access, calls, fields, order, siblings
from tidegate.rego.generate.facts import Fact, kind_of
from tidegate.rego.generate.frames import DEEPEST, Frame, Unreachable
from tidegate.rego.plan import Block
from tidegate.rego.values import RegoSet

if TYPE_CHECKING:
    from tidegate.rego.generate.emitter import Emitter

MANY: Final = 4  # bodies that ask for the same field are told apart by it before any of them is tried
SMALL: Final = 16  # a loop over so few constants costs nothing worth counting


def several(to: Emitter, blocks: list[Block], tail: bool) -> None:
    """Blocks in turn; loops over the same collection as one loop, and of many that ask for a field only the right."""
    if len(blocks) > 1:
        _share(to, blocks, _outside(to))
    at = 0
    while at < len(blocks):
        count, path = _asking(to, blocks, at)
        if count >= MANY and path is not None:
            _chosen(to, path, blocks[at : at + count])
        else:
            count = max(count, 1)
            _in_turn(to, blocks[at : at + count], blocks[at + count :], tail)
        at += count
        if to.lines and to.lines[-1][0] == to.depth and to.lines[-1][1].startswith("return"):
            break  # nothing comes after that


def _in_turn(to: Emitter, blocks: list[Block], later: list[Block], tail: bool) -> None:
    groups = list(siblings.groups(blocks, to.scopes, to.unit.fails)) if to.mode != "q" else [[one] for one in blocks]
    for number, group in enumerate(groups, 1):
        _share_rule(to, group[0], [block for other in groups[number:] for block in other] + later)
        for inner in group:
            gather(to, inner)
        if len(group) == 1:
            to.once(group[0], tail and not later and number == len(groups))
        else:
            _joined(to, group)


def _asking(to: Emitter, blocks: list[Block], at: int) -> tuple[int, siblings.Path | None]:
    """How many blocks from here on ask for the same field first, and which; else how many come before such ones."""
    roots = _outside(to) | {local: local for local, fact in to.env.items() if fact.node is not None}
    paths: list[siblings.Path | None] = []
    for block in blocks[at:]:
        asked = siblings.asked(block, roots)
        path = asked[0] if asked is not None and _field(to, asked[0]) is not None else None
        if paths and path != paths[0]:
            break
        paths.append(path)
    return len(paths), paths[0]


def _field(to: Emitter, path: siblings.Path) -> Fact | None:
    """A field that several blocks ask for, which was read for all of them already, or is read where it is."""
    root, names = path
    fact: Fact | None = to.env[root]
    if fact is not None and fact.node is not None:
        return fields.field(to, fact.node, names)
    for name in names:
        fact = to.shared.get((".", fact.text, repr(name))) if fact is not None else None
    return fact


def _chosen(to: Emitter, path: siblings.Path, blocks: list[Block]) -> None:
    """Only the blocks for the text that the field has; the right ones are found by halves."""
    field, root = _field(to, path), path[0]
    assert field is not None
    by_text: dict[str, list[Block]] = {}
    for block in blocks:
        gather(to, block)
        asked = siblings.asked(block, {**_outside(to), root: root})
        assert asked is not None
        by_text.setdefault(asked[1], []).append(block)
    index = to.unit.recipe("N", "value", {text: number for number, text in enumerate(by_text)})
    chosen = to.unit.label()
    to.emit(f"{chosen} = {index}.get({field.text}, {len(by_text)}) if type({field.text}) is str else {len(by_text)}")
    _halved(to, chosen, list(by_text.values()), 0)


def _halved(to: Emitter, chosen: str, choices: list[list[Block]], first: int) -> None:
    if len(choices) == 1:
        to.emit(f"if {chosen} == {first}:")
        to.depth += 1
        before = len(to.lines)
        for block in choices[0]:
            to.once(block, False)
        if len(to.lines) == before:
            to.emit("pass")
        to.depth -= 1
        return
    middle = len(choices) // 2
    for line, part, start in (
        (f"if {chosen} < {first + middle}:", choices[:middle], first),
        ("else:", choices[middle:], first + middle),
    ):
        to.emit(line)
        to.depth += 1
        _halved(to, chosen, part, start)
        to.depth -= 1


def _outside(to: Emitter) -> dict[int, int]:
    """The locals whose fields are the same for all that comes."""
    return {local: local for local, fact in to.env.items() if _same(fact)}


def _same(fact: Fact) -> bool:
    return fact.stable and fact.node is None and fact.field is None and not fact.growing


def _share(to: Emitter, blocks: list[Block], roots: dict[int, int], least: int = 2) -> None:
    """Computes beforehand what several blocks, or `least`, will ask for; each will see where it is undefined.

    `roots` are the locals that mean the same in all of them: each with the one it stands for.
    """
    open_ = {root: one for root, one in roots.items() if not to.env[one].known and to.env[one].parts is None}
    known: dict[siblings.Path, Fact] = {(one, ()): to.env[one] for one in open_.values()}
    for root, path in siblings.shared_paths(blocks, open_, least):
        source, index = known[root, path[:-1]], to.fact(path[-1])
        sharing = (".", source.text, index.text)
        fact = to.shared.get(sharing)
        if fact is None:
            fact = Fact(to.unit.label(), defined=False, base=source.base, given=source.given)
            to.emit(f"{fact.text} = {access.dotted(to, source, index)}")
            to.shared[sharing] = fact
        known[root, path] = fact


def _share_rule(to: Emitter, block: Block, later: list[Block]) -> None:
    """Evaluates the rule with which a block begins outside of it, where later blocks ask for the same rule."""
    first = block[0] if block else None
    if type(first) is not plan.Call or not to.unit.shareable(to, first.function):
        return
    if (to.memo, first.function) not in to.shared and siblings.calls(later, first.function):
        fact = Fact(to.unit.label(), to.unit.knowledge.result_kind(first.function), defined=False)
        calls.emit_call(to, fact.text, first.function, [])
        to.shared[to.memo, first.function] = fact


def _joined(to: Emitter, group: list[Block]) -> None:
    """Loops over the same collection, as one loop with all their bodies."""
    first, scans = group[0], [block[-1] for block in group]
    with_heads = list(siblings.heads(group))
    outer, shared = to.env, to.shared
    to.env, to.shared = dict(outer), dict(shared)
    frame = Frame(to.unit.label(), "break", "break", False)
    before, to.lines = to.lines, []
    to.stack.append(frame)
    to.depth += 1
    try:
        for at in range(len(first) - 1):
            to.statement(first, at, False)
        _scan_joined(to, scans, with_heads)
    except Unreachable:
        pass
    to.depth -= 1
    to.stack.pop()
    body, to.lines = to.lines, before
    if frame.used:
        to.emit("while True:")
        to.lines += [*body, (to.depth + 1, "break")]
    else:
        to.lines += [(depth - 1, text) for depth, text in body]
    to.env, to.shared = outer, shared
    for block in group:
        to.forget(block)


def _scan_joined(to: Emitter, scans: list[Any], heads: list[list[int]]) -> None:
    """One loop for several whose sources are the same."""
    first: plan.Scan = scans[0]
    opened = _open(to, first, any(to.scopes.reads.get(scan.key) for scan in scans), True)
    if opened is None:
        return
    outer, shared, frame = opened
    frame.counted = frame.tail = False
    for first_of, *others in heads:
        for local in others:
            to.env[local] = to.env[first_of]
    bodies = [scan.block for scan in scans]
    roots = {local: same[0] for same in heads[-2:] for local in same}
    _share_calls(to, bodies, roots)
    for body in bodies:
        to.once(body, False)
    _close(to, first, outer, shared, frame)


def _share_calls(to: Emitter, bodies: list[Block], roots: dict[int, int]) -> None:
    """As `share`, for the first thing that several bodies of a loop do with its member."""
    for name, root in siblings.shared_calls(bodies, roots):
        operand = to.env[root]
        text, kind, defined = calls.expression(to, name, [operand])
        fact = Fact(to.unit.label(), kind, defined=defined)
        to.emit(f"{fact.text} = {text}")
        to.shared[name, operand.text] = fact
    _share(to, bodies, roots)


def gather(to: Emitter, block: Block) -> None:
    """Puts together what a block inside uses, so that it is not done in there again and again."""
    for local in to.scopes.touched[id(block)]:
        fact = to.env.get(local)
        if fact is not None and fact.parts is not None and not to.settled(fact).known:
            to.whole(local, fact)


def scan(to: Emitter, statement: plan.Scan, block: Block, at: int, tail: bool) -> None:
    gather(to, statement.block)
    _share(to, [statement.block], _outside(to), least=1)  # once, and not for each member
    opened = _open(
        to, statement, bool(to.scopes.reads.get(statement.key)), order.free(statement, to.scopes, to.unit.fails)
    )
    if opened is None:
        return
    frame = opened[-1]
    frame.tail = tail
    to.unit.bodies[frame] = statement
    if len(to.stack) - to.base > DEEPEST:
        frame.tail = frame.counted = False
        to.once(statement.block, True, env=to.env)
    else:
        to.run(statement.block, True)
    _close(to, statement, *opened)


def _open(
    to: Emitter, statement: plan.Scan, keyed: bool, unordered: bool
) -> tuple[dict[int, Fact], dict[tuple[str, ...], Fact], Frame] | None:
    """The head of a loop; None where it never runs."""
    source = to.settled(to.read(statement.source))
    if source.kind in ("string", "number", "boolean", "null") or (source.known and not source.value):
        return None
    if not source.text.isidentifier():
        to.emit(f"s{statement.key} = {source.text}")
        source = Fact(f"s{statement.key}", source.kind, value=source.value, base=source.base, given=source.given)
    _charge(to, source)
    name, value = f"l{statement.key}", f"l{statement.value}"
    keyed = keyed and statement.key != statement.value
    to.emit(f"for {f'{name}, ' if keyed else ''}{value} in {looped(source, keyed, unordered)}:")
    outer, shared = to.env, to.shared
    to.env, to.shared = dict(outer), dict(shared)
    to.forget(statement.block)
    for local, kind in zip((statement.key, statement.value), member_kinds(source), strict=True):
        contained = to.scopes.contained(local)
        kind = kind if contained else "any"
        to.env[local] = Fact(f"l{local}", kind, stable=contained, base=source.base, given=source.given)
        to.env[local].member = True
        if not contained:
            to.variables.add(f"l{local}")
            to.assigned.add(f"l{local}")
    frame = Frame(to.unit.label(), "continue", "break", False, looped=True)
    to.stack.append(frame)
    to.depth += 1
    to.open.append(statement)
    return outer, shared, frame


def _close(
    to: Emitter, statement: plan.Scan, outer: dict[int, Fact], shared: dict[tuple[str, ...], Fact], frame: Frame
) -> None:
    """The end of a loop."""
    if to.lines[-1][0] < to.depth:
        to.emit("pass")
    to.depth -= 1
    to.stack.pop()
    to.open.pop()
    to.env, to.shared = outer, shared
    to.forget(statement.block)
    to.env.pop(statement.key, None)
    to.env.pop(statement.value, None)
    to.passed_on(frame)


def _charge(to: Emitter, source: Fact) -> None:
    """A loop inside a loop, or in a function that loops call, takes what it costs from the budget."""
    if source.known and len(source.value) <= SMALL:
        return
    if not (to.open or to.unit.charged(to)):
        return
    sized = f"len({source.text})" if source.kind in ("array", "object", "set") else f"size({source.text})"
    to.emit(f"spend({to.evaluation}, {sized})")


def looped(source: Fact, keyed: bool, unordered: bool) -> str:
    """What a loop runs over."""
    text = source.text
    if source.kind == "array":
        return f"enumerate({text})" if keyed else text
    if unordered:
        if source.kind in ("set", "object") and not keyed:
            return f"{text}.values()"
        every = f"items_unordered({text})" if keyed else f"members_unordered({text})"
    else:
        every = f"items({text})" if keyed else f"members({text})"
    if source.kind in ("set", "object"):
        return every
    return (
        f"(enumerate({text}) if type({text}) is list else {every})"
        if keyed
        else f"({text} if type({text}) is list else {every})"
    )


def member_kinds(source: Fact) -> tuple[str, str]:
    """The types of the keys and the values of a collection that is looped over."""
    if source.known and type(source.value) in (list, dict, RegoSet):
        value = source.value
        held = {kind_of(one) for one in (value if type(value) is list else value.values())}
        kind = held.pop() if len(held) == 1 else "any"
        if type(value) is list:
            return "number", kind
        names = {kind_of(one) for one in value} if all(type(one) is str for one in value) else {"any"}
        return (names.pop() if len(names) == 1 else "any"), kind
    return ("number" if source.kind == "array" else "any"), "any"
