"""The meter agrees with its oracle on what a fuzzer finds."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.count import documents

ROOT = Path(__file__).parents[2]


@pytest.mark.long
@pytest.mark.skipif(find_spec("atheris") is None, reason="atheris is not installed")
def test_a_fuzzer_finds_nothing_on_which_they_differ(tmp_path: Path) -> None:
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    for number, seed in enumerate(documents.seeds()):
        (corpus / str(number)).write_bytes(seed)
    command = [sys.executable, "-m", "tests.count.fuzz_meter", "-max_total_time=120", "-max_len=2000", str(corpus)]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr[-3000:]
