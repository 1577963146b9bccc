"""Digests and codes against the vectors of their standards."""

import subprocess
import sys

import pytest

from tests.rego.builtins.calls import call, problem

DIGESTS = [
    ("crypto.md5", "", "d41d8cd98f00b204e9800998ecf8427e", "RFC 1321"),
    ("crypto.md5", "message digest", "f96b697d7cb7938d525a2f31aaf161d0", "RFC 1321"),
    ("crypto.sha1", "abc", "a9993e364706816aba3e25717850c26c9cd0d89d", "FIPS 180"),
    ("crypto.sha256", "abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", "FIPS 180"),
    ("crypto.sha256", "é", "4a99557e4033c3539de2eb65472017cad5f9557f7a0625a09f1c3f6e2ba69c4c", "UTF-8 bytes"),
]


@pytest.mark.parametrize(("name", "text", "expected", "note"), DIGESTS)
def test_digests(name: str, text: str, expected: str, note: str) -> None:
    assert call(name, text) == expected, note


CODES = [
    ("md5", "750c783e6ab0b503eaa86e310a5db738"),
    ("sha1", "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"),
    ("sha256", "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"),
    (
        "sha512",
        "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea250554"
        "9758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737",
    ),
]


@pytest.mark.parametrize(("algorithm", "expected"), CODES)
def test_codes(algorithm: str, expected: str) -> None:
    """RFC 2202 and RFC 4231, test case 2."""
    assert call(f"crypto.hmac.{algorithm}", "what do ya want for nothing?", "Jefe") == expected


def test_codes_are_compared_as_strings() -> None:
    assert call("crypto.hmac.equal", "abc", "abc") is True
    assert call("crypto.hmac.equal", "abc", "abd") is False
    assert call("crypto.hmac.equal", "é", "e") is False


def test_wrong_types_are_named() -> None:
    assert problem("crypto.sha256", 1) == "eval_type_error: crypto.sha256: operand 1 must be string but got number"
    expected = "eval_type_error: crypto.hmac.sha1: operand 2 must be string but got null"
    assert problem("crypto.hmac.sha1", "a", None) == expected


def test_half_a_surrogate_pair_has_a_digest() -> None:
    assert len(call("crypto.sha1", "\ud800")) == 40


def test_the_heavy_libraries_load_with_the_first_call() -> None:
    script = "import sys, tidegate.rego.builtins; print(sorted({'cryptography', 'graphql'} & set(sys.modules)))"
    assert subprocess.check_output([sys.executable, "-c", script], text=True).strip() == "[]"
