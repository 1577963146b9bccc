"""Both ways of hashing agree with hashlib and hmac."""

import ctypes
import hmac
import random
import shutil
import subprocess
from hashlib import sha256
from pathlib import Path

import pytest

HEADER = Path(__file__).parents[2] / "engine" / "tidegate" / "record" / "sha256.h"
SOURCE = f"""
#include "{HEADER}"
int prepare(int wanted) {{ sha256_prepare(); return sha256_instructions = sha256_instructions && wanted; }}
size_t size(void) {{ return sizeof(Sha256); }}
void begin(Sha256 *s) {{ sha256_begin(s); }}
void add(Sha256 *s, const void *from, size_t count) {{ sha256_add(s, from, count); }}
void end(Sha256 *s, unsigned char *digest) {{ sha256_end(s, digest); }}
void code(const unsigned char *bytes, size_t length, const void *message, size_t count, unsigned char *out) {{
    HmacKey key;
    hmac_prepare(&key, bytes, length);
    hmac(&key, message, count, out);
}}
"""
LENGTHS = [*range(300), 311, 447, 448, 511, 512, 513, 1000, 4095, 4096, 65_535]


class Ours:
    """The header as a library."""

    def __init__(self, folder: Path, instructions: bool) -> None:
        compiler = shutil.which("gcc") or shutil.which("cc")
        if compiler is None:
            pytest.skip("a C compiler is absent")
        library = folder / "sha256.so"
        command = [compiler, "-shared", "-fPIC", "-O2", "-Wall", "-Werror", "-x", "c", "-o", str(library), "-"]
        subprocess.run(command, input=SOURCE.encode(), check=True)
        self.c = ctypes.CDLL(str(library))
        if self.c.prepare(instructions) != instructions:
            pytest.skip("this processor has no instructions for it")
        self.digest = ctypes.create_string_buffer(32)

    def begin(self) -> "ctypes.Array[ctypes.c_char]":
        state = ctypes.create_string_buffer(self.c.size())
        self.c.begin(state)
        return state

    def add(self, state: object, data: bytes) -> None:
        self.c.add(state, data, ctypes.c_size_t(len(data)))


@pytest.fixture(params=[True, False], ids=["instructions", "plainly"])
def ours(request: pytest.FixtureRequest, tmp_path: Path) -> Ours:
    return Ours(tmp_path, request.param)


def pieces(chance: random.Random, data: bytes) -> list[bytes]:
    """The data, cut somewhere, also into nothing."""
    cuts = sorted(chance.choices(range(len(data) + 1), k=chance.randrange(6)))
    return [data[start:end] for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True)]


def test_a_digest_is_that_of_hashlib_however_the_message_comes(ours: Ours) -> None:
    chance = random.Random(1)
    for length in LENGTHS:
        data = chance.randbytes(length)
        state = ours.begin()
        for piece in pieces(chance, data):
            ours.add(state, piece)
        ours.c.end(state, ours.digest)
        assert ours.digest.raw == sha256(data).digest(), length


def test_a_code_is_that_of_hmac(ours: Ours) -> None:
    chance = random.Random(3)
    for length in LENGTHS:
        key = chance.randbytes(chance.choice([0, 1, 32, 63, 64]))
        data = chance.randbytes(length)
        size, count = map(ctypes.c_size_t, (len(key), len(data)))
        ours.c.code(key, size, data, count, ours.digest)
        assert ours.digest.raw == hmac.digest(key, data, "sha256"), length
