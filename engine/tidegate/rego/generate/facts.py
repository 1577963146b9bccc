"""What is known, while a function is generated, of the value that a local holds at that point."""

from __future__ import annotations

from typing import Any, Final

from tidegate.rego.values import UNDEFINED, Value


class Nothing:
    """No value is known."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "nothing"


NOTHING: Final = Nothing()


class Fact:
    """How a local is read, and what every value it can have here has in common.

    `text` is an expression without side effects. `stable` says that it means the same value as long as the local is
    in scope, so that the text may stand wherever the local does. `value` is the value itself where it is known.
    `parts` are those of an array, object or set that was not put together yet: keys and facts. `base` marks a part of
    the data as it was loaded, where a number names the same member as its text; `given` a part of that or of the input.
    `field` is a Read of a typed input, and a path in it, that only questions are asked of (`questions`).
    """

    __slots__ = (
        "base",
        "defined",
        "field",
        "given",
        "growing",
        "kind",
        "member",
        "node",
        "once",
        "parts",
        "stable",
        "text",
        "value",
    )

    def __init__(
        self,
        text: str,
        kind: str = "any",
        *,
        defined: bool = True,
        stable: bool = True,
        value: Any = NOTHING,
        parts: list[tuple[Fact | None, Fact]] | None = None,
        node: Any = None,
        field: Any = None,
        base: bool = False,
        given: bool = False,
        growing: bool = False,
    ) -> None:
        self.text = text
        self.kind = kind
        self.defined = defined
        self.stable = stable
        self.value = value
        self.parts = parts
        self.node = node
        self.field = field
        self.base = base
        self.given = given or base
        self.member = False  # what a loop runs over gives it, once each
        self.once = False  # a composite of this function that nothing else has
        self.growing = growing  # or a part of one that is still put together: what is read of it can change

    @property
    def known(self) -> bool:
        return self.value is not NOTHING


KINDS: Final = {
    type(None): "null",
    bool: "boolean",
    int: "number",
    float: "number",
    str: "string",
    list: "array",
    dict: "object",
}


def kind_of(value: Value) -> str:
    """The word for a known value's type."""
    if value is UNDEFINED:
        return "undefined"
    return KINDS.get(type(value)) or ("set" if hasattr(value, "values") else "number")
