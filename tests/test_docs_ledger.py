"""The walk through docs/ledger.md is walked, command by command."""

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "docs" / "ledger.md").read_text()


def test_the_walk_through_is_true(tmp_path: Path) -> None:
    [commands] = re.findall(r"```console\n(.*?)```", TEXT, re.S)
    [program] = re.findall(r"```python\n(.*?)```", TEXT, re.S)
    (tmp_path / "demo.py").write_text(program)
    links = tmp_path / "bin"
    links.mkdir()
    for name, words in (("tidegate", "-m tidegate "), ("python", "")):
        (links / name).write_text(f'#!/bin/sh\nexec {sys.executable} {words}"$@"\n')
        (links / name).chmod(0o755)
    environ = {**os.environ, "PYTHONPATH": str(ROOT / "engine"), "PATH": f"{links}:{os.environ['PATH']}"}
    script = "".join(line.removeprefix("$ ") + "\n" for line in commands.splitlines())
    done = subprocess.run(
        ["sh", "-eux", "-c", script], cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    run = (tmp_path / "run").read_text().strip()
    assert re.search(rf"\d+ .* outcome .* {run} 200 allow 12\+34 tokens \(provider\)", done.stdout)
    assert re.search(r"receipt: entry \d of \d of the log `example.org/demo`", done.stdout)
    assert done.stdout.count("no faults") == 2
    assert "ann@example.org" not in done.stdout
