"""The journal's threads and the loop share no word that only one of them may touch, and no memory that is gone."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tidegate.record.segments import epoch_entries

HERE = Path(__file__).parent
ENGINE = HERE.parents[1] / "engine" / "tidegate" / "record"


def compiled(program: Path, source: str, sanitizer: str) -> bool:
    """Whether a program could be made, and runs: some compilers and kernels have no sanitizers."""
    compiler = shutil.which("gcc") or "cc"
    command = [compiler, "-O1", "-g", f"-fsanitize={sanitizer}", "-fno-sanitize-recover", "-I", ENGINE]
    command += ["-o", program, "-x", "c", source, "-pthread"]
    if shutil.which(compiler) is None or subprocess.run(command, capture_output=True, check=False).returncode:
        return False
    return subprocess.run([program], capture_output=True, check=False).returncode == 0


@pytest.mark.long
@pytest.mark.parametrize("sanitizer", ["thread", "address,undefined"])
def test_threads_and_memory_are_sound(tmp_path: Path, sanitizer: str) -> None:
    if not compiled(tmp_path / "threads", str(HERE / "threads.c"), sanitizer):
        pytest.skip(f"the sanitizers `{sanitizer}` do not work here")
    command = [tmp_path / "threads", tmp_path]  # on a disk: in memory the loop commits nothing itself
    ran = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")
    for life in (1, 2, 3):
        lengths = [len(entry.record) for entry in epoch_entries(tmp_path, 1, life)]
        assert lengths == [1 + number % 600 for number in range(20_000)]
