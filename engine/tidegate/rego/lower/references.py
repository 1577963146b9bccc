"""References: into a value, into the input, and into `data`, where documents and rules meet.

Below `data` a reference follows the tree of rules as long as its parts are constant. Where it comes to a rule, the
rest goes into that rule's value; where no rules are left, it goes into the base document. Two cases are harder:

* It ends at a place that has rules below it. Its value is the base document there and the values of all those rules,
  as one object.
* A part is not constant. If its value is known when it is reached, and all rules that it can choose from stand at one
  depth, then the rule is looked up when the policy runs. Otherwise every child of the place is tried, and the base
  document's members beside them; the answers, with what they bind, are gathered in an array, and the reference goes
  on for each of them. So the rest of the body is written once, not once for every child.
"""

from tidegate.rego import ast, plan
from tidegate.rego.lower import calls
from tidegate.rego.lower.routine import VALUES, WILDCARD, Known, Routine, Term
from tidegate.rego.lower.tree import Node
from tidegate.rego.lower.unification import match
from tidegate.rego.plan import DATA, INPUT, Operand

Path = tuple[Term, ...]


def reference(routine: Routine, ref: ast.Ref) -> Operand:
    head = ref.head
    if type(head) is ast.Var:
        if head.name == "input":
            return _into(routine, INPUT, ref.path) if ref.path else _whole(routine, INPUT)
        if head.name == "data":
            return _document(routine, routine.planner.tree, ref.path, 0)
    return _into(routine, routine.value(head), ref.path)


def _whole(routine: Routine, document: int) -> int:
    """The input or the data as it is now: a `with` may change it later."""
    routine.emit(plan.IsDefined(source=document))
    return routine.copy(document)


def _into(routine: Routine, source: Operand, path: Path) -> Operand:
    """What a path leads to in a value; an unbound variable in the path goes through all there is."""
    for term in path:
        kind = type(term)
        if kind is ast.Var or kind is ast.Array or kind is ast.Object:
            key = routine.value_if_bound(term)
            if key is None:
                key, source = routine.scan(source)
                match(routine, key, term)
                continue
        else:
            key = routine.value(term)
        source = routine.dot(source, key)
    return source


# data


def _document(routine: Routine, node: Node, path: Path, at: int) -> Operand:
    """What a path leads to, whose first `at` parts lead to the node."""
    while True:
        if _hidden(routine, node):
            return _base(routine, path)
        if node.rules or node.default is not None:
            return _into(routine, calls.rule(routine, node), path[at:])
        if at == len(path):
            return _extent(routine, node, path)
        name = path[at]
        if type(name) is not ast.Scalar:
            return _choice(routine, node, path, at)
        child = node.children.get(name.value)  # type: ignore[call-overload]
        if child is None:
            return _base(routine, path)
        node = child
        at += 1


def _hidden(routine: Routine, node: Node) -> bool:
    """Whether references see no rules there: functions are not documents, and `with` can replace what rules give."""
    return node.kind == "func" or node.path in routine.generation.documents


def _seen(routine: Routine, node: Node) -> list[tuple[str, Node]]:
    return [(name, child) for name, child in node.children.items() if not _hidden(routine, child)]


def _base(routine: Routine, path: Path) -> Operand:
    return _into(routine, DATA, path) if path else _whole(routine, DATA)


# a place with rules below it


def _extent(routine: Routine, node: Node, path: Path) -> int:
    """The rules' values below a node together with the base document there."""
    made = _values(routine, node)
    merged = routine.local()

    def with_base() -> None:
        routine.emit(plan.Merge(a=_into(routine, DATA, path), b=made, target=merged))  # type: ignore[arg-type]
        routine.emit(plan.Break(index=1))

    def either() -> None:
        routine.emit(plan.Blocks(blocks=[routine.apart(with_base)]))
        routine.emit(plan.Assign(source=made, target=merged))

    routine.emit(plan.Blocks(blocks=[routine.apart(either)]))
    return merged


def _values(routine: Routine, node: Node) -> int:
    made = routine.local()
    routine.emit(plan.MakeObject(target=made))
    for name, child in _seen(routine, node):

        def insert(name: str = name, child: Node = child) -> None:
            value = calls.rule(routine, child)
            routine.emit(plan.Insert(key=name, value=value, object=made))

        if child.rules or child.default is not None:
            routine.emit(plan.Blocks(blocks=[routine.apart(insert)]))
        else:
            routine.emit(plan.Insert(key=name, value=_values(routine, child), object=made))
    return made


# a part that is not constant


def _choice(routine: Routine, node: Node, path: Path, at: int) -> Operand:
    path = path[:at] + tuple([_evaluated(routine, term) for term in path[at:]])
    if type(path[at]) is ast.Scalar:
        return _document(routine, node, path, at)
    depth = _depth_of_rules(routine, node, path[at:])
    if depth is None or routine.generation.captures:
        return _gathered(routine, node, path, at)
    if depth == 0:
        return _base(routine, path)
    return _into(routine, _looked_up(routine, path[: at + depth]), path[at + depth :])


def _evaluated(routine: Routine, term: Term) -> Term:
    if type(term) is ast.Scalar:
        return term
    operand = routine.value_if_bound(term)
    if operand is None:
        return term
    if type(operand) is str:
        return ast.Scalar(start=term.start, end=term.end, value=operand)
    return Known(start=term.start, end=term.end, operand=operand)


def _depth_of_rules(routine: Routine, node: Node, path: Path) -> int | None:
    """How many parts lead to a rule, whatever their values; 0 where none does, None where it depends."""
    nodes = [node]
    for depth, term in enumerate(path, 1):
        if type(term) is ast.Scalar:
            found = [one.children[term.value] for one in nodes if term.value in one.children]
        elif type(term) is Known:
            found = [child for one in nodes for child in one.children.values()]
        else:
            return None
        nodes = [one for one in found if not _hidden(routine, one)]
        with_rules = [one for one in nodes if one.rules or one.default is not None]
        if len(with_rules) == len(nodes):
            for one in nodes:
                routine.planner.name(routine.generation, one)
            return depth if nodes else 0
        if with_rules:
            return None
    return None


def _looked_up(routine: Routine, path: Path) -> int:
    """The value of the rule that a path of known parts leads to, or else the base document there."""
    result = routine.local()
    routine.emit(plan.Reset(target=result))
    parts = [f"g{routine.generation.number}", *[routine.value(term) for term in path]]

    def from_rule() -> None:
        routine.emit(plan.CallDynamic(path=parts, args=[INPUT, DATA], result=result))

    def from_base() -> None:
        routine.emit(plan.IsUndefined(source=result))
        routine.emit(plan.Assign(source=_into(routine, DATA, path), target=result))

    routine.emit(plan.Blocks(blocks=[routine.apart(from_rule), routine.apart(from_base)]))
    routine.emit(plan.IsDefined(source=result))
    return result


def _gathered(routine: Routine, node: Node, path: Path, at: int) -> Operand:
    """Every answer of a path whose part `at` is not constant, one after the other."""
    names: dict[str, None] = {}
    for term in path[at:]:
        _variables(term, names)
    unbound = [name for name in names if name not in routine.bound and not name.startswith(WILDCARD)]
    answers = routine.local()
    routine.emit(plan.MakeArray(target=answers))
    children = _seen(routine, node)

    def keep(value: Operand) -> None:
        answer = routine.local()
        routine.emit(plan.MakeArray(target=answer))
        for part in (value, *[routine.bound[name] for name in unbound]):
            routine.emit(plan.Append(value=part, array=answer))
        routine.emit(plan.Append(value=answer, array=answers))

    def from_child(name: str, child: Node) -> None:
        match(routine, name, path[at])
        constant = ast.Scalar(start=path[at].start, end=path[at].end, value=name)
        keep(_document(routine, child, (*path[:at], constant, *path[at + 1 :]), at + 1))

    def from_base() -> None:
        source = _into(routine, DATA, path[:at])
        chosen = path[at]
        if type(chosen) is Known:
            key, value = chosen.operand, routine.dot(source, chosen.operand)
        else:
            key, value = routine.scan(source)
            match(routine, key, chosen)
        for name, _ in children:
            routine.emit(plan.NotEqual(a=key, b=name))
        keep(_into(routine, value, path[at + 1 :]))

    blocks = [routine.apart(from_child, name, child) for name, child in children]
    routine.emit(plan.Blocks(blocks=[*blocks, routine.apart(from_base)]))
    _, answer = routine.scan(answers)
    for index, name in enumerate(unbound, 1):
        routine.bound[name] = routine.dot(answer, routine.number(index))
    return routine.dot(answer, routine.number(0))


def _variables(term: object, found: dict[str, None]) -> None:
    """The names of the variables that a part of a reference can bind."""
    kind = type(term)
    parts: tuple[object, ...] = ()
    if kind is ast.Var:
        if term.name not in ("input", "data"):  # type: ignore[attr-defined]
            found[term.name] = None  # type: ignore[attr-defined]
    elif kind is ast.Array or kind is ast.Set:
        parts = term.elements  # type: ignore[attr-defined]
    elif kind is ast.Object:
        parts = tuple([part for pair in term.pairs for part in pair])  # type: ignore[attr-defined]
    elif kind is ast.Ref:
        parts = (term.head, *term.path)  # type: ignore[attr-defined]
    elif kind is ast.Call:
        parts = term.args  # type: ignore[attr-defined]
    for part in parts:
        _variables(part, found)


VALUES[ast.Ref] = reference
