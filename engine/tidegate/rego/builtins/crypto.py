"""crypto.*: digests and message authentication codes of strings, as lower case hex of their UTF-8 bytes."""

import hashlib
import hmac
from collections.abc import Callable

from tidegate.rego.builtins import builtin
from tidegate.rego.builtins.operands import string
from tidegate.rego.builtins.text import utf8
from tidegate.rego.values import Value


def _digest(algorithm: str) -> Callable[[Value], str]:
    name = f"crypto.{algorithm}"

    @builtin(name, "x: string -> string")
    def digest(text: Value) -> str:
        return hashlib.new(algorithm, utf8(string(name, 1, text)), usedforsecurity=False).hexdigest()

    return digest


def _code(algorithm: str) -> Callable[[Value, Value], str]:
    name = f"crypto.hmac.{algorithm}"

    @builtin(name, "x: string, key: string -> string")
    def code(text: Value, key: Value) -> str:
        message = utf8(string(name, 1, text))
        return hmac.digest(utf8(string(name, 2, key)), message, algorithm).hex()

    return code


md5, sha1, sha256 = map(_digest, ("md5", "sha1", "sha256"))
hmac_md5, hmac_sha1, hmac_sha256, hmac_sha512 = map(_code, ("md5", "sha1", "sha256", "sha512"))


@builtin("crypto.hmac.equal", "mac1: string, mac2: string -> boolean")
def hmac_equal(one: Value, other: Value) -> bool:
    """Whether two codes are the same, in a time that tells nothing about where they differ."""
    first = utf8(string("crypto.hmac.equal", 1, one))
    return hmac.compare_digest(first, utf8(string("crypto.hmac.equal", 2, other)))
