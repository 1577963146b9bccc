"""Whatever text a builtin is given, it ends in a value or in an error of ours."""

import contextlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.rego.builtins.calls import call
from tests.rego.builtins.test_aws import CREDENTIALS, REQUEST
from tests.rego.builtins.test_jwt import CLAIMS, RSA, public_pem, signed
from tests.rego.builtins.test_x509 import LEAF, LEAF_KEY, ROOT, pem, private_pem
from tidegate.rego.errors import BuiltinError
from tidegate.rego.values import json_text

TOKEN = signed("RS256")
MODULE = 'package a\n\np := x if { some x in [1, {"a": {2}}]; not x == 1 } else := "b"\n'
QUERY = 'query Q($a: [Int!] = [1]) { a(b: {c: "d"}) { ...F } } fragment F on G { h @i(j: $a) }'
SCHEMA = '{"properties": {"a": {"$ref": "#/definitions/b"}}, "definitions": {"b": {"pattern": "^(a|b)$"}}}'
TEMPLATE = '{{range $i, $v := .a -}} {{if eq $v "b"}}{{printf "%5s" $v | len}}{{else}}{{.}}{{end}}{{end}}'
SUBJECTS: list[tuple[str, str, Any]] = [
    ("crypto.x509.parse_certificates", pem(ROOT, LEAF), lambda text: [text]),
    ("crypto.x509.parse_and_verify_certificates", pem(ROOT, LEAF), lambda text: [text]),
    ("crypto.x509.parse_keypair", private_pem(LEAF_KEY), lambda text: [pem(LEAF), text]),
    ("crypto.parse_private_keys", private_pem(LEAF_KEY), lambda text: [text]),
    ("io.jwt.decode", signed("HS256", CLAIMS), lambda text: [text]),
    ("io.jwt.decode_verify", public_pem(RSA), lambda text: [TOKEN, {"cert": text}]),
    ("graphql.is_valid", QUERY, lambda text: [text, "type Query { a: Int }"]),
    ("graphql.parse_query", QUERY, lambda text: [text]),
    ("json.match_schema", SCHEMA, lambda text: ['{"a": "b"}', text]),
    ("rego.parse_module", MODULE, lambda text: ["a.rego", text]),
    ("strings.render_template", TEMPLATE, lambda text: [text, {"a": ["b", 1]}]),
]


@st.composite
def damaged(draw: st.DrawFn, text: str) -> str:
    """The text with some pieces cut out, doubled or replaced."""
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(text)))
        end = min(len(text), start + draw(st.integers(0, 12)))
        text = text[:start] + draw(st.one_of(st.text(max_size=4), st.just(text[start:end] * 2))) + text[end:]
    return text


@pytest.mark.parametrize(("name", "text", "operands"), SUBJECTS, ids=[row[0] for row in SUBJECTS])
def test_a_damaged_text(name: str, text: str, operands: Any) -> None:
    @settings(max_examples=25, deadline=None)
    @given(damaged(text))
    def attempt(broken: str) -> None:
        with contextlib.suppress(BuiltinError):
            json_text(call(name, *operands(broken)))

    attempt()


def test_the_undamaged_texts_are_right() -> None:
    for name, text, operands in SUBJECTS:
        assert call(name, *operands(text)) is not None


HALVES: list[tuple[str, list[Any]]] = [
    ("io.jwt.decode", ["\ud800.\ud800.\ud800"]),
    ("io.jwt.verify_hs256", ["\ud800.\ud800.", "\ud800"]),
    ("io.jwt.decode_verify", [TOKEN, {"secret": "\ud800"}]),
    ("io.jwt.encode_sign", [{"alg": "HS256"}, {"\ud800": "\ud800"}, {"kty": "oct", "k": "YQ"}]),
    ("strings.render_template", ["{{.a}}{{len .a}}{{urlquery .a}}{{html .a}}", {"a": "\ud800"}]),
    ("providers.aws.sign_req", [REQUEST | {"url": "https://a/\ud800", "body": "\ud800"}, CREDENTIALS, 0]),
    ("json.match_schema", [{"a": "\ud800"}, {"properties": {"a": {"pattern": "\ud800", "format": "uri"}}}]),
    ("graphql.parse_query", ['{a(b: "\ud800")}']),
    ("crypto.x509.parse_certificates", ["\ud800"]),
]


@pytest.mark.parametrize(("name", "operands"), HALVES, ids=[row[0] for row in HALVES])
def test_half_a_surrogate_pair(name: str, operands: list[Any]) -> None:
    """JSON can write it, and UTF-8 cannot."""
    with contextlib.suppress(BuiltinError):
        call(name, *operands)


def test_finding_pem_blocks_takes_linear_time() -> None:
    """Beginnings without an end, in one line and in many, with kinds that are none."""
    for beginning in ("-----BEGIN ", "-----BEGIN A\n", "-----BEGIN A-----\n", "-----BEGIN -----"):
        assert call("crypto.parse_private_keys", beginning * 100_000 + "-----END B-----\n") == []
