"""Which function generates which statement of a plan."""

from collections.abc import Callable
from typing import Final

from tidegate.rego import plan
from tidegate.rego.generate import access, calls, composites, flow, loops

Generates = Callable[..., int | None]  # (emitter, statement, its block, its place there, whether the block is a tail)
STATEMENTS: Final[dict[type[plan.Statement], Generates]] = {
    plan.Call: calls.call,
    plan.CallDynamic: calls.call_dynamic,
    plan.Assign: flow.assign,
    plan.AssignOnce: flow.assign_once,
    plan.Make: composites.make,
    plan.MakeArray: composites.make_array,
    plan.MakeObject: composites.make_object,
    plan.MakeSet: composites.make_set,
    plan.Append: composites.append,
    plan.Insert: composites.insert,
    plan.InsertOnce: composites.insert_once,
    plan.Add: composites.add,
    plan.Merge: composites.merge,
    plan.Dot: access.dot,
    plan.Len: access.length,
    plan.Equal: access.equals,
    plan.NotEqual: access.differs,
    plan.IsArray: access.is_kind,
    plan.IsObject: access.is_kind,
    plan.IsSet: access.is_kind,
    plan.IsDefined: access.is_defined,
    plan.IsUndefined: access.is_undefined,
    plan.Reset: flow.reset,
    plan.Return: flow.returns,
    plan.ResultAdd: flow.result_add,
    plan.Nop: flow.nothing,
    plan.Break: flow.leave,
    plan.Blocks: flow.blocks,
    plan.Scan: loops.scan,
    plan.Not: flow.negate,
    plan.With: flow.with_,
}
