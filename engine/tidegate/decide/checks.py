"""What can be seen of the contract before a policy runs, in the modules of `tidegate.*`.

* A rule of the contract has its kind: a set is written with `contains`, a value with `:=`.
* Objects that are written out have the fields that they need, no others, and of the right types.
* A rule that nothing reads and that looks as if it were of the contract is refused: `denny`, `deny` in a package where
  nobody looks for it, `allow`. Any other rule is the author's own.
* `input.output` is read only where there is one.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from functools import cache
from itertools import pairwise
from typing import Any, Final

import msgspec
from msgspec import Struct, inspect
from msgspec.structs import FieldInfo, fields

from tidegate.decide.contract import EVERYTHING, PACKAGE, RULES, Rule
from tidegate.decide.declared import problems
from tidegate.decide.input import PHASES, Phase
from tidegate.decide.shapes import bare, flaws, meant, schema, takes
from tidegate.rego import ast
from tidegate.rego.errors import Problem
from tidegate.rego.suggest import did_you_mean

CODE: Final = "tidegate_contract_error"
UNKNOWN: Final = object()  # what a term is worth only while the policy runs
# how other engines' policies say yes and no; here they would say nothing
FOREIGN: Final = {
    "allow": "a call passes unless it is denied: write `deny contains {...} if ...`",
    "allowed": "a call passes unless it is denied: write `deny contains {...} if ...`",
    "violation": "write `deny contains {...} if ...`",
    "block": "write `deny contains {...} if ...`",
}
NEAR: Final = 0.75  # as difflib counts; farther off, a name is the author's own
SAMPLES: Final = (1, "x", ())
ANY: Final = ""  # a name that is worked out

Pair = tuple[str, str]


def check(modules: Sequence[ast.Module], carried_out: frozenset[str] = EVERYTHING) -> list[Problem]:
    """Every problem with the contract; `carried_out` are the rules that whoever asks for decisions can carry out."""
    own = [module for module in modules if module.package[:2] == PACKAGE]
    read = cache(lambda: _read(modules))  # a walk through everything, which most policies can do without
    return [problem for module in own for problem in _check_module(module, read, carried_out)]


def check_limits(modules: Sequence[ast.Module], data: Mapping[str, Any]) -> list[Problem]:
    """What is wrong with the limits that the data declares, and every reading of one that it does not."""
    found = [Problem(CODE, problem) for problem in problems(data)]
    known = data.get("limits", {})
    for module in modules:
        if module.package[:2] != PACKAGE or module.source.name.endswith("_test.rego") or not isinstance(known, Mapping):
            continue
        for node, names in _inputs(module):
            if names[:1] == ["limits"] and len(names) > 1 and type(names[1]) is str and names[1] not in known:
                hint = did_you_mean(names[1], known) or "declare it in `data.limits`"
                found.append(_problem(module, node, f"`data.limits` declares no `{names[1]}`", hint))
    return found


def _inputs(module: ast.Module) -> Iterator[tuple[ast.Ref, list[Any]]]:
    """What a module reads of the input: two names deep, as far as they are constant."""
    for node in _nodes(module.rules):
        if type(node) is ast.Ref and type(node.head) is ast.Var and node.head.name == "input":
            yield node, [_value(part) for part in node.path[:2]]


def _check_module(
    module: ast.Module, read: Callable[[], frozenset[Pair]], carried_out: frozenset[str]
) -> Iterator[Problem]:
    phase = phase_of(module.package)
    for rule in module.rules:
        name, plain = name_of(rule.head)
        if phase and name in RULES[phase]:
            yield from _check_rule(module, rule, name, plain, RULES[phase][name], carried_out)
        elif rule.head.kind != "func" and (hint := _hint(name, phase, module.package)):
            if not read() & {(module.package[-1], name), (ANY, name)}:
                message = f"`{name}` has no effect in package `{'.'.join(module.package[1:])}`"
                yield _problem(module, rule.head.path, message, hint)
    if phase:
        yield from _check_output(module, phase)


def phase_of(package: tuple[str, ...]) -> Phase | None:
    return next((phase for phase in RULES if package == (*PACKAGE, phase)), None)


def name_of(head: ast.Head) -> tuple[str, bool]:
    """The first part of a rule's name, and whether that is all of it."""
    path = head.path
    if isinstance(path, ast.Var):
        return path.name, True
    return (path.head.name if isinstance(path.head, ast.Var) else ""), not path.path


def _hint(name: str, phase: Phase | None, package: tuple[str, ...]) -> str | None:
    """What the author of a rule that nothing reads may have meant; None where it looks like a rule of their own."""
    homes = [each for each, rules in RULES.items() if name in rules]
    if phase:
        elsewhere = f"it belongs to package `tidegate.{homes[0]}`" if homes else FOREIGN.get(name)
        return did_you_mean(name, RULES[phase], NEAR) or elsewhere
    if not homes:
        return None
    near = get_close_matches(".".join(package[2:]), RULES, n=1, cutoff=NEAR)
    home = near[0] if near else homes[0]
    return f"Tidegate reads `data.tidegate.{home}.{name}`: did you mean package `tidegate.{home}`?"


def _read(modules: Iterable[ast.Module]) -> frozenset[Pair]:
    """What the modules, but not their tests, read: each name with the one before it, for a rule its package's last."""
    pairs: set[Pair] = set()
    for module in modules:
        if module.source.name.endswith("_test.rego"):
            continue
        aliases = {each.alias or each.path[-1]: each.path[-1] for each in module.imports}
        pairs.update(pair for each in module.imports for pair in pairwise(each.path))
        for part in (part for rule in module.rules for part in _parts(rule)):
            for node in _nodes(part):
                if type(node) is ast.Var:
                    pairs.add((module.package[-1], node.name))
                elif type(node) is ast.Call:
                    names = (aliases.get(node.name[0], node.name[0]), *node.name[1:])
                    pairs.update(pairwise((module.package[-1], *names)))
                elif type(node) is ast.Ref:
                    head = node.head.name if type(node.head) is ast.Var else ANY
                    parts = (str(each.value) if type(each) is ast.Scalar else ANY for each in node.path)
                    pairs.update(pairwise((aliases.get(head, head), *parts)))
    return frozenset(pairs)


def _parts(rule: ast.Rule) -> Iterator[object]:
    """What a rule and its `else` read: all but the name."""
    each: ast.Rule | None = rule
    while each is not None:
        yield (each.head.args, each.head.key, each.head.value, each.body)
        each = each.otherwise


def _nodes(part: object) -> Iterator[ast.Node]:
    waiting = [part]
    while waiting:
        item = waiting.pop()
        if isinstance(item, tuple):
            waiting.extend(item)
        elif isinstance(item, ast.Node):
            yield item
            waiting.extend(getattr(item, name) for name in item.__struct_fields__)


# a rule of the contract


def _check_rule(
    module: ast.Module, rule: ast.Rule, name: str, plain: bool, expected: Rule, carried_out: frozenset[str]
) -> Iterator[Problem]:
    apart = any(each.startswith(f"{name}.") for each in carried_out)  # some values are carried out, others are not
    if name not in carried_out and not apart:
        yield _problem(module, rule.head.path, f"`{name}` cannot be carried out here")
    if not plain or rule.head.kind != ("set" if expected.many else "value"):
        if expected.many:
            form = f"{name} contains {{{_sketch(expected.holds)}}} if ..."
            yield _problem(module, rule.head.path, f"`{name}` is a set", f"write `{form}`")
        else:
            yield _problem(module, rule.head.path, f"`{name}` has one value", f"write `{name} := ... if ...`")
        return
    each: ast.Rule | None = rule
    while each is not None:
        term = each.head.key if expected.many else each.head.value
        if term is not None:
            written = _written_out(term, each.body)
            yield from _check_term(module, name, expected.holds, written)
            value = _value(written)
            if apart and type(value) is str and f"{name}.{value}" not in carried_out:
                yield _problem(module, written, f"`{name}` cannot be carried out here as `{value}`")
        each = each.otherwise


def _sketch(holds: Any) -> str:
    return ", ".join(f'"{field.encode_name}": ...' for field in fields(holds) if field.required)


def _written_out(term: ast.Term, body: ast.Body) -> ast.Term:
    """What a variable was assigned in the body, where that is plain to see; else the term itself."""
    if type(term) is ast.Var:
        for statement in body:
            call = statement.term if type(statement) is ast.Expression and not statement.negated else None
            if type(call) is ast.Call and call.name in (("assign",), ("eq",)) and len(call.args) == 2:
                left, right = call.args
                if type(left) is ast.Var and left.name == term.name:
                    return right
    return term


def _check_term(module: ast.Module, place: str, holds: Any, term: ast.Term) -> Iterator[Problem]:
    kind = bare(inspect.type_info(holds))
    if isinstance(kind, inspect.StructType) and type(term) is ast.Object:
        yield from _check_object(module, place, kind.cls, term)
    elif isinstance(kind, inspect.StructType) and type(term) not in (
        ast.Var,
        ast.Ref,
        ast.Call,
        ast.ObjectComprehension,
    ):
        message = f"`{place}` must be {takes(kind)}"
        yield _problem(module, term, message, f"its fields are {', '.join(f'`{each}`' for each in _fields(kind.cls))}")
    elif (value := _value(term)) is not UNKNOWN:
        for flaw in flaws(holds, value, place):
            yield _problem(module, term, flaw)


def _fields(struct: type[Struct]) -> dict[str, FieldInfo]:
    return {field.encode_name: field for field in fields(struct)}


def _check_object(module: ast.Module, place: str, struct: type[Struct], term: ast.Object) -> Iterator[Problem]:
    known = _fields(struct)
    written: dict[str, Any] = {}
    found = False
    for key, value in term.pairs:
        name = _value(key)
        if name is UNKNOWN:
            return  # a name that is worked out may be any of the fields
        if name not in known:
            found = True
            yield _problem(module, key, f"`{place}` has no field `{name}`", meant(str(name), known))
            continue
        written[str(name)] = _value(value)
        for problem in _check_term(module, f"{place}.{name}", known[str(name)].type, value):
            found = True
            yield problem
    for name, field in known.items():
        if field.required and name not in written:
            found = True
            yield _problem(module, term, f"`{place}.{name}` is missing", f"it must be {_words(field)}")
    if not found and (flaw := _flaw_of_the_whole(struct, written)):
        yield _problem(module, term, f"`{place}`: {flaw}")


def _words(field: FieldInfo) -> str:
    return takes(inspect.type_info(field.type))


def _flaw_of_the_whole(struct: type[Struct], written: dict[str, Any]) -> str | None:
    """What the fields must be together, as far as it does not hang on one whose value is not known yet."""
    known = _fields(struct)
    for name, value in written.items():
        if value is UNKNOWN:
            sample = next((each for each in SAMPLES if not list(flaws(known[name].type, each, name))), None)
            if sample is None or known[name].default is None:
                return None
            written[name] = sample
    try:
        msgspec.convert(written, struct)
    except msgspec.ValidationError as error:
        return str(error)
    return None


def _value(term: ast.Term) -> Any:
    """The value of a constant term, else UNKNOWN."""
    if type(term) is ast.Scalar:
        return term.value
    if type(term) is ast.Array:
        values = [_value(element) for element in term.elements]
        return UNKNOWN if any(value is UNKNOWN for value in values) else values
    return UNKNOWN


# the input


def _check_output(module: ast.Module, phase: Phase) -> Iterator[Problem]:
    """`input.output` differs from phase to phase; the rest of the input is checked with the schema."""
    known = schema(PHASES[phase])["properties"].get("output", {}).get("properties")
    for node, names in _inputs(module):
        if names[:1] != ["output"]:
            continue
        if known is None:
            homes = " and ".join(f"`tidegate.{each}`" for each in PHASES if each != phase)
            yield _problem(module, node, "`input.output` is not there before the call leaves", f"it is in {homes}")
        elif len(names) > 1 and names[1] is not UNKNOWN and names[1] not in known:
            yield _problem(module, node, f"`input.output` has no field `{names[1]}`", meant(str(names[1]), known))


def _problem(module: ast.Module, node: ast.Node, message: str, hint: str | None = None) -> Problem:
    return Problem(CODE, message, module.source, node.start, node.end, hint)
