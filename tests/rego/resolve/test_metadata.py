"""`rego.metadata` is what the comments say."""

import pytest

from tests.rego.resolve.resolved import resolved
from tidegate.rego import ast
from tidegate.rego.errors import PolicyRefused
from tidegate.rego.parser import parse_body
from tidegate.rego.source import Source

ABOVE = "# METADATA\n# scope: subpackages\n# title: everything\npackage shop\n"
MODULE = """# METADATA
# title: orders
# made_up: 1
package shop.orders

# METADATA
# scope: document
# title: all of p
p if input.x

# METADATA
# title: this p
# custom: {level: 2}
p if CALL

q if CALL
"""


def meant(call: str) -> list[object]:
    """What the call stands for, in each rule that has it."""
    found = resolved(MODULE.replace("CALL", call), ABOVE)
    assert found.problems == []
    _, *rules = found.modules[0].rules
    statements = [rule.body[0] for rule in rules]
    return [value_of(statement.term) for statement in statements if type(statement) is ast.Expression]


def value_of(term: ast.Term) -> object:
    if type(term) is ast.Object:
        return {value_of(key): value_of(value) for key, value in term.pairs}
    if type(term) is ast.Array:
        return [value_of(element) for element in term.elements]
    assert type(term) is ast.Scalar
    return term.value


OWN = {"scope": "rule", "title": "this p", "custom": {"level": 2}}
DOCUMENT = {"scope": "document", "title": "all of p"}
PACKAGE = {"scope": "package", "title": "orders"}
SUBPACKAGES = {"scope": "subpackages", "title": "everything"}


def test_the_rule_is_its_own_annotations() -> None:
    assert meant("rego.metadata.rule()") == [OWN, {}]


def test_the_chain_goes_outwards_from_the_rule() -> None:
    around = [
        {"path": ["shop", "orders"], "annotations": PACKAGE},
        {"path": ["shop"], "annotations": SUBPACKAGES},
    ]
    p = ["shop", "orders", "p"]
    assert meant("rego.metadata.chain()") == [
        [{"path": p, "annotations": OWN}, {"path": p, "annotations": DOCUMENT}, *around],
        [{"path": ["shop", "orders", "q"]}, *around],
    ]


def test_a_query_has_none() -> None:
    source = Source("query", "rego.metadata.rule()")
    with pytest.raises(PolicyRefused, match=r"undefined function `rego\.metadata\.rule`"):
        resolved("p := 1").query(parse_body(source), source)
