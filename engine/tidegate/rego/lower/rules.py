"""All rules of one place as one function.

Each rule is a block of its own, and so is each `else` of a rule, which is reached where none before it gave a value.
As soon as nothing can come of going on, the function returns, or leaves the scans it is in: where there is one rule
and it gave its value, where all rules have one constant for a value.
"""

from collections.abc import Callable

from tidegate.rego import ast, plan
from tidegate.rego.lower.planner import Generation, Planner
from tidegate.rego.lower.routine import Routine
from tidegate.rego.lower.settling import settled
from tidegate.rego.lower.tree import Node, name_of
from tidegate.rego.lower.unification import match
from tidegate.rego.plan import DATA, INPUT, Operand


class Definition:
    """The function that gives a place its value, while it is written."""

    def __init__(self, planner: Planner, name: str, generation: Generation, node: Node) -> None:
        captured = list(range(2, 2 + generation.captures))
        self.result = 2 + len(captured)
        self.args = list(range(self.result + 1, self.result + 1 + node.arity))
        self.node = node
        self.told = False  # whether a block may be reached although one before it gave the value
        self.routine = Routine(planner, generation, self.result + 1 + len(self.args))
        self.routine.captured = tuple(captured)
        self.function = plan.Function(
            name=name,
            path=(f"g{generation.number}", *node.path),
            params=[INPUT, DATA, *captured, *self.args],
            result=self.result,
            blocks=[],
        )

    def write(self) -> plan.Function:
        kind = self.node.kind
        if kind == "set":
            self.collection(plan.MakeSet(target=self.result), self.element)
        elif kind == "object":
            self.collection(plan.MakeObject(target=self.result), self.entry)
        else:
            self.complete()
        self.block()
        self.routine.emit(plan.Return(source=self.result))
        return self.function

    def block(self) -> None:
        """What follows stands in a new block of the function."""
        routine = self.routine
        routine.block, routine.depth, routine.bound = [], 0, {}
        self.function.blocks.append(routine.block)

    def begin(self, module: int, rule: ast.Rule) -> None:
        routine = self.routine
        routine.source, routine.file = routine.planner.modules[module].source, module
        routine.at(rule)
        self.block()

    def premises(self, rule: ast.Rule) -> None:
        """What must hold before the rule gives anything. A pattern may need variables that the body binds."""
        routine = self.routine
        patterns = [(match, routine, *pair) for pair in zip(self.args, rule.head.args or (), strict=True)]
        left = [goal for goal in patterns if routine.attempt(*goal) is not None]
        routine.body(rule.body)
        routine.at(rule.head)
        routine.attempt_all(left)

    # one value

    def complete(self) -> None:
        rules = self.node.rules
        sole = len(rules) == 1 or _one_constant([rule for _, rule in rules])
        for module, rule in rules:
            self.begin(module, rule)
            if rule.otherwise is not None:
                self.chain(rule, sole)
                continue
            if sole and self.told:
                self.routine.emit(plan.IsUndefined(source=self.result))
            self.give(rule, self.result, sole)
        if self.node.default is not None:
            self.begin(*self.node.default)
            if self.told:
                self.routine.emit(plan.IsUndefined(source=self.result))
            [value] = settled(self.routine, _value(self.node.default[1]))
            self.routine.emit(plan.Assign(source=value, target=self.result))

    def chain(self, rule: ast.Rule, sole: bool) -> None:
        """A rule and its `else`s. Where other rules have a say too, the value is compared with theirs afterwards."""
        routine = self.routine
        target = self.result if sole else routine.local()
        if not sole:
            routine.emit(plan.Reset(target=target))
        blocks = []
        seen = False  # whether a branch may be reached although one before it gave a value
        branch: ast.Rule | None = rule
        while branch is not None:
            outer = routine.open()
            blocks.append(routine.block)
            routine.at(branch)
            if seen:
                routine.emit(plan.IsUndefined(source=target))
            seen |= self.give(branch, target, sole)
            routine.close(outer)
            branch = branch.otherwise
        routine.emit(plan.Blocks(blocks=blocks))
        if not sole:
            self.block()
            routine.emit(plan.IsDefined(source=target))
            routine.emit(plan.AssignOnce(source=target, target=self.result))

    def give(self, rule: ast.Rule, target: int, sole: bool) -> bool:
        """The rule's value becomes the target's. Whether the block around this one may go on behind it."""
        routine = self.routine
        level = routine.depth
        self.premises(rule)
        value = _value(rule)
        [source] = settled(routine, value)
        scanned = routine.depth > level
        constant = type(source) is not int
        assign = plan.Assign if sole and (constant or not scanned) else plan.AssignOnce
        routine.emit(assign(source=source, target=target))
        if sole and not scanned:
            routine.emit(plan.Return(source=target))
            return False
        self.told = True
        if scanned and not (constant or type(value) is ast.Scalar):
            return True
        if routine.depth:
            routine.emit(plan.Break(index=routine.depth))
        return False

    # sets and objects

    def collection(self, empty: plan.Statement, put: Callable[[ast.Rule], None]) -> None:
        routine = self.routine
        for number, (module, rule) in enumerate(self.node.rules):
            self.begin(module, rule)
            if number == 0:
                routine.emit(empty)
                self.block()
            if rule.otherwise is None:
                put(rule)
            else:
                self.put_first(rule, put)

    def put_first(self, rule: ast.Rule, put: Callable[[ast.Rule], None]) -> None:
        """What the first of a rule and its `else`s puts that has an answer."""
        routine = self.routine
        done = routine.local()
        routine.emit(plan.Reset(target=done))

        def write(branch: ast.Rule) -> None:
            routine.emit(plan.IsUndefined(source=done))
            put(branch)
            routine.emit(plan.Assign(source=True, target=done))

        blocks = []
        branch: ast.Rule | None = rule
        while branch is not None:
            blocks.append(routine.apart(write, branch))
            branch = branch.otherwise
        routine.emit(plan.Blocks(blocks=blocks))

    def element(self, rule: ast.Rule) -> None:
        routine = self.routine
        self.premises(rule)
        assert rule.head.key is not None
        [value] = settled(routine, rule.head.key)
        routine.emit(plan.Add(value=value, set=self.result))

    def entry(self, rule: ast.Rule) -> None:
        routine = self.routine
        self.premises(rule)
        head = rule.head
        names = name_of(rule)[len(self.node.path) :]
        value, *keys = settled(routine, _value(rule) if head.key is None else head.key, *names)
        if rule.default:
            routine.emit(plan.Not(block=routine.apart(self.look_up, keys)))
        self.insert(self.result, keys, value, head.kind == "set")

    def look_up(self, keys: list[Operand]) -> None:
        found = self.result
        for key in keys:
            found = self.routine.dot(found, key)

    def insert(self, into: int, keys: list[Operand], value: Operand, to_set: bool) -> None:
        """Puts the value at a path of keys, in a set there or as it is; what is missing on the way is made."""
        routine = self.routine
        first, *rest = keys
        if not rest and not to_set:
            routine.emit(plan.InsertOnce(key=first, value=value, object=into))
            return
        inner = routine.local()

        def existing() -> None:
            routine.emit(plan.Dot(source=into, key=first, target=inner))
            routine.emit(plan.Break(index=1))

        def either() -> None:
            routine.emit(plan.Blocks(blocks=[routine.apart(existing)]))
            routine.emit(plan.MakeObject(target=inner) if rest else plan.MakeSet(target=inner))

        routine.emit(plan.Blocks(blocks=[routine.apart(either)]))
        if rest:
            self.insert(inner, rest, value, to_set)
        else:
            routine.emit(plan.Add(value=value, set=inner))
        routine.emit(plan.Insert(key=first, value=inner, object=into))


def _value(rule: ast.Rule) -> ast.Term:
    assert rule.head.value is not None
    return rule.head.value


def _one_constant(rules: list[ast.Rule]) -> bool:
    """Whether the rules can only ever give one value."""
    values = {
        (type(rule.head.value.value), rule.head.value.value)
        if type(rule.head.value) is ast.Scalar and rule.otherwise is None
        else None
        for rule in rules
    }
    return len(values) == 1 and None not in values
