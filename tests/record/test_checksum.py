"""Both ways in which the writer makes checksums agree with zlib."""

import ctypes
import random
import shutil
import subprocess
import zlib
from pathlib import Path

import pytest

HEADER = Path(__file__).parents[2] / "engine" / "tidegate" / "record" / "checksum.h"
SOURCE = f"""
#include "{HEADER}"
void prepare(int multiplies) {{ crc_prepare(); crc_multiplies = crc_multiplies && multiplies; }}
int multiplies(void) {{ return crc_multiplies; }}
uint32_t crc(const void *start, size_t length, uint32_t before) {{ return crc_of(start, length, before); }}
"""


@pytest.mark.parametrize("multiplies", [True, False])
def test_a_checksum_is_that_of_zlib(tmp_path: Path, multiplies: bool) -> None:
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("a C compiler is absent")
    library = tmp_path / "checksum.so"
    command = [compiler, "-shared", "-fPIC", "-O2", "-Wall", "-Werror", "-x", "c", "-o", str(library), "-"]
    subprocess.run(command, input=SOURCE.encode(), check=True)
    ours = ctypes.CDLL(str(library))
    ours.prepare(multiplies)
    if multiplies and not ours.multiplies():
        pytest.skip("this processor has no carry-less multiplication")
    ours.crc.restype = ctypes.c_uint32
    ours.crc.argtypes = (ctypes.c_char_p, ctypes.c_size_t, ctypes.c_uint32)
    chance = random.Random(1)
    for length in [*range(600), 4095, 4096, 65_535]:
        data, before = chance.randbytes(length), chance.getrandbits(32)
        assert ours.crc(data, length, before) == zlib.crc32(data, before), length
