"""Sixty objects, each with the one before it twice: 60 in memory, 2**60 for whoever writes them out."""

from typing import Any

import pytest

from tests.rego.builtins.calls import call
from tests.rego.builtins.test_aws import CREDENTIALS, REQUEST
from tidegate.rego.errors import BudgetExhausted


@pytest.mark.parametrize(
    ("name", "operands"),
    [
        ("strings.render_template", lambda value: ["", value]),
        ("json.match_schema", lambda value: [value, {}]),
        ("json.verify_schema", lambda value: [value]),
        ("graphql.is_valid", lambda value: [value, ""]),
        ("graphql.schema_is_valid", lambda value: [value]),
        ("io.jwt.encode_sign", lambda value: [{"alg": "HS256"}, value, {}]),
        ("providers.aws.sign_req", lambda value: [REQUEST | {"body": value}, CREDENTIALS, 0]),
    ],
)
def test_what_is_small_in_memory_and_endless_for_its_reader_is_paid_for(name: str, operands: Any) -> None:
    value: dict[str, Any] = {}
    for _ in range(60):
        value = {"a": value, "b": value}
    with pytest.raises(BudgetExhausted):
        call(name, *operands(value))
