"""What a worker holds in memory: of the modules only those that calls need."""

import os
import signal
from pathlib import Path

from tests.faults.test_hang import wait_for
from tests.gateway import chat, post, running

SHIPPED = Path(__file__).parent.parent.parent / "policies"
UPSTREAM = """
[integration.a]
provider = "{provider}"
{more}

[policy]
path = "{policies}"
"""
OWN = 'base_url = "http://127.0.0.1:9/v1"\nprivate = true'
# written to a file on SIGUSR1, in whatever process of the gateway
TELLS = """
import os, signal, sys
def tell(*_):
    with open(f"{folder}/unfinished", "w") as file:
        file.write("\\n".join(sys.modules))
    os.rename(f"{folder}/unfinished", f"{folder}/modules")
signal.signal(signal.SIGUSR1, tell)
"""
COMPILER = [f"tidegate.rego.{part}" for part in ("ast", "lexer", "parser", "resolve", "check", "lower", "compile")]
UNUSED = {
    **dict.fromkeys(COMPILER, "the compiler"),
    "tidegate.rego.generate.code": "the code generation",
    "tidegate.decide.compiling": "what calls the compiler",
    "tidegate.rego.builtins.x509": "a builtin that no shipped policy calls",
    "yaml": "for policies' data, and nothing of it is YAML",
    "cryptography": "for what signs the ledger",
    "typer": "the command line",
    "tidegate.serve.simulated": "no integration is simulated",
}


def modules(folder: Path, settings: str) -> set[str]:
    """Of the worker of a gateway, after a call."""
    (folder / "sitecustomize.py").write_text(TELLS.replace("{folder}", str(folder)))
    with running(folder / "g", settings, env={"PYTHONPATH": str(folder)}) as gateway:
        gateway.ask(post(chat()))
        (worker,) = gateway.worker_pids()
        os.kill(worker, signal.SIGUSR1)
        wait_for("the worker has told", (folder / "modules").exists)
        return set((folder / "modules").read_text().splitlines())


def test_a_worker_has_not_imported_what_it_does_not_use(tmp_path: Path) -> None:
    found = modules(tmp_path, UPSTREAM.format(provider="openai", more=OWN, policies=SHIPPED))
    assert "tidegate.decide.admission" in found
    assert "tidegate.rego.builtins.regex" in found, "the policies are there"
    assert {name: why for name, why in UNUSED.items() if name in found} == {}


def test_a_simulated_provider_is_imported_where_the_settings_want_one(tmp_path: Path) -> None:
    found = modules(tmp_path, UPSTREAM.format(provider="simulated", more="", policies=SHIPPED))
    assert "tidegate.serve.simulated" in found
