"""Other gateways for calls to models, as they come: one route, one key, without policies, limits, counts or records.

Both are programs in the wheels of a package; they are installed into `bench/build` where they are not there yet.
"""

import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.contestants import CREDENTIAL, Gateway, Start, started
from bench.rig import BUILD, Rig, free_port

VERSIONS = {"rolter": "0.1.0", "ferrogw": "1.5.10"}
FERROGW_KEY = "fgw_" + "bench" * 6 + "00"
ROLTER = """
[server]
host = "127.0.0.1"
port = {port}
[[providers]]
name = "stub"
kind = "openai_compatible"
api_base = "{upstream}"
[[routes]]
model = "gpt-4o-mini"
[[routes.targets]]
provider = "stub"
model = "gpt-4o-mini"
[[virtual_keys]]
key = "{key}"
name = "bench"
models = []
"""
FERROGW = """
strategy:
  mode: single
targets:
  - virtual_key: openai
"""


def program(name: str) -> Path | None:
    """The program, installed where it is not there yet; None where that cannot be."""
    place = BUILD / f"{name}-{VERSIONS[name]}"
    found = place / "bin" / name
    if not found.exists():
        try:
            subprocess.run([sys.executable, "-m", "venv", place], check=True, capture_output=True)
            pip: list[str | Path] = [place / "bin" / "pip", "install", "--quiet", f"{name}=={VERSIONS[name]}"]
            subprocess.run(pip, check=True, capture_output=True)
        except subprocess.CalledProcessError:
            shutil.rmtree(place, ignore_errors=True)
    return found if found.exists() else None


def start_rolter(rig: Rig, upstream: str) -> Gateway:
    """rolter, in Rust: a virtual key and a route."""
    port = free_port()
    file = rig.directory / f"rolter-{port}.toml"
    file.write_text(ROLTER.format(port=port, upstream=upstream, key=CREDENTIAL))
    arguments = ["gateway", "--config", str(file), "--port", str(port), "--host", "127.0.0.1"]
    return _start(rig, "rolter", arguments, {"RUST_LOG": "error", "TOKIO_WORKER_THREADS": "1"}, port, CREDENTIAL)


def start_ferrogw(rig: Rig, upstream: str) -> Gateway:
    """ferrogw, in Go: one key; it decodes and encodes bodies again. Its own rate limits are out of the way."""
    port = free_port()
    file = rig.directory / f"ferrogw-{port}.yaml"
    file.write_text(FERROGW)
    env = {
        "GOMAXPROCS": "1",
        "GATEWAY_CONFIG": str(file),
        "OPENAI_API_KEY": CREDENTIAL,
        "OPENAI_BASE_URL": f"{upstream}/v1",
        "MASTER_KEY": FERROGW_KEY,
        "PORT": str(port),
        "LOG_LEVEL": "error",
        "RATE_LIMIT_RPS": "100000000",
        "RATE_LIMIT_BURST": "100000000",
    }
    return _start(rig, "ferrogw", ["serve"], env, port, FERROGW_KEY)


def _start(rig: Rig, name: str, arguments: Sequence[str], env: Mapping[str, str], port: int, key: str) -> Gateway:
    found = program(name)
    assert found is not None
    began = time.monotonic()
    return started(rig.start(name, [str(found), *arguments], under_test=True, env=env), port, began, key)


def peers() -> dict[str, Start]:
    """Those that can be had here."""
    all_of_them: dict[str, Start] = {"rolter": start_rolter, "ferrogw": start_ferrogw}
    return {name: start for name, start in all_of_them.items() if program(name) is not None}
