"""The stubs of the compiled modules say what the modules do."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
STUBS = sorted((ROOT / "engine").rglob("*.pyi"))


def test_stubs_match_the_compiled_modules() -> None:
    modules = [".".join(stub.relative_to(ROOT / "engine").with_suffix("").parts) for stub in STUBS]
    assert modules
    ran = subprocess.run(
        [sys.executable, "-m", "mypy.stubtest", "--ignore-missing-stub", *modules],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={"MYPYPATH": "engine", "PATH": "/usr/bin:/bin"},
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
