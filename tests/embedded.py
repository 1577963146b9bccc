"""Engines for tests, in front of the simulated provider, and what their ledgers then say."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
from msgspec.structs import replace

from tidegate import Engine
from tidegate.governed import GovernedRun
from tidegate.model import Evidence
from tidegate.serve.simulated import Provider
from tidegate.settings import Integration, Record, Settings

POLICY = """
package tidegate.admission

deny contains {"code": "model_not_allowed", "message": "`forbidden` is not on the list"} if {
	input.request.model == "forbidden"
}

limit contains {"name": "tokens", "key": [input.caller.tenant], "measure": "tokens", "max": 100000, "per": "total"}

limit contains {"name": "small", "key": ["small"], "measure": "tokens", "max": 40, "per": "total"} if {
	input.caller.tenant == "small"
}

limit contains {"name": "pace", "measure": "requests", "max": 1, "per": "30s", "exceed": "throttle"} if {
	input.caller.tenant == "slow"
}

limit contains {"name": "calls", "measure": "concurrent", "max": 1} if input.caller.tenant == "single"
"""
ORIGIN = "example.org/app"
JSON = {"content-type": "application/json"}
RESERVE = 20


def write(folder: Path, **modules: str) -> Path:
    """A folder of policies."""
    folder.mkdir(exist_ok=True)
    for name, text in modules.items():
        (folder / f"{name}.rego").write_text(text)
    return folder


def settings(evidence: Evidence = "response", **more: Any) -> Settings:
    base = Settings(record=Record(evidence=evidence), integration={"simulated": Integration(provider="simulated")})
    return replace(base, **{"limits": replace(base.limits, reserve=RESERVE, step=10)} | more)


@contextlib.contextmanager
def opened(
    folder: Path, *modules: str, rules: str = POLICY, evidence: Evidence = "response", **more: Any
) -> Iterator[Engine]:
    """An engine whose ledger is `folder/ledger`."""
    folder.mkdir(exist_ok=True)
    path = write(folder / "policies", admission=rules, **{f"more{at}": text for at, text in enumerate(modules)})
    with Engine(path, ledger=folder / "ledger", origin=ORIGIN, settings=settings(evidence, **more)) as engine:
        yield engine


def chat(**fields: Any) -> dict[str, Any]:
    return {"model": "simulated", "messages": [{"role": "user", "content": "how high is the tide"}]} | fields


def begin(engine: Engine, tenant: str = "acme", user: str = "ann", **fields: Any) -> GovernedRun:
    return engine.begin("chat.completions", chat(**fields), tenant=tenant, user=user, integration="simulated")


async def abegin(engine: Engine, tenant: str = "acme", **fields: Any) -> GovernedRun:
    return await engine.abegin("chat.completions", chat(**fields), tenant=tenant, user="ann", integration="simulated")


def ask(provider: Provider, body: bytes) -> httpx2.Response:
    """The provider's answer."""
    return httpx2.post(f"http://127.0.0.1:{provider.port}/v1/chat/completions", content=body, headers=JSON)


def streamed(run: GovernedRun, provider: Provider) -> Iterator[bytes]:
    """A run's call is made, and its stream passes."""
    url = f"http://127.0.0.1:{provider.port}/v1/chat/completions"
    with httpx2.stream("POST", url, content=run.body, headers=JSON) as answer:
        yield from run.stream(answer.iter_raw(), answer.status_code)


def events(stream: bytes) -> list[dict[str, Any]]:
    """The documents of a stream."""
    lines = [line.removeprefix(b"data: ") for line in stream.split(b"\n") if line.startswith(b"data: ")]
    return [json.loads(line) for line in lines if line != b"[DONE]"]


def stream_of(*texts: str) -> list[bytes]:
    """A stream of a provider that reports nothing."""
    pieces = [b'data: {"choices":[{"index":0,"delta":{"content":"%b"}}]}\n\n' % text.encode() for text in texts]
    end = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
    return [*pieces, end]


def words(count: int) -> list[bytes]:
    return stream_of(*(f" w{number}" for number in range(count)))
