"""What the documents claim is run: the README's client code, refusal, policy and settings, and the lists of pages."""

import contextlib
import io
import json
import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bench.plot import drawn
from tests.gateway import running
from tidegate import errors
from tidegate.accept.routes import BY_PATH
from tidegate.cli.config import example
from tidegate.configuration import load
from tidegate.errors import TidegateError
from tidegate.limit.limits import LimitsFull
from tidegate.record.unrecorded import Unrecorded
from tidegate.serve.simulated.faults import KNOWN

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def test_the_list_of_settings_is_the_one_of_the_code() -> None:
    assert f"```toml\n{example().strip()}\n```" in (ROOT / "docs" / "configuration.md").read_text()


def test_the_readme_s_client_code_and_refusal_are_true(tmp_path: Path) -> None:
    pytest.importorskip("openai", reason="the openai client is absent")
    code, _ = re.findall(r"```python\n(.*?)```", README, re.S)  # the other one is in docs/embedding.md
    [(body, refusal)] = re.findall(r"-d '(.*?)'\n(\{.*?\})\n```", README, re.S)
    with running(tmp_path) as gateway:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(code.replace("http://127.0.0.1:8080", gateway.url), {})
        assert printed.getvalue().split()
        request = urllib.request.Request(
            gateway.url + "/v1/chat/completions", body.encode(), {"Content-Type": "application/json"}
        )
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(request, timeout=10)
        assert refused.value.code == 400
        told, shown = json.load(refused.value)["error"], json.loads(refusal)["error"]
        assert told.pop("run") == refused.value.headers["x-tidegate-run-id"]
        assert len(shown.pop("run")) == len(refused.value.headers["x-tidegate-run-id"])
        assert told == shown
        refused.value.close()


def test_the_readme_s_policy_has_a_list_and_a_budget(tmp_path: Path) -> None:
    [rules] = re.findall(r"```rego\n(.*?)```", README, re.S)
    (tmp_path / "policy").mkdir()
    (tmp_path / "policy" / "models.rego").write_text(rules)
    client = pytest.importorskip("openai", reason="the openai client is absent")
    sent: list[object] = []
    http = client.DefaultHttpxClient(event_hooks={"request": [sent.append]})
    asked: dict[str, Any] = {"model": "gpt-4o", "messages": [{"role": "user", "content": "x"}]}
    spending = asked | {"n": 8, "max_tokens": 10_000}  # 80 cents, all of which are used
    dear = asked | {"n": 48, "max_tokens": 10_000}  # 4.80 dollars at most, and they are not left
    with running(tmp_path / "gateway", f'[policy]\npath = "{tmp_path / "policy"}"\n') as gateway, http:
        ask = client.OpenAI(base_url=f"{gateway.url}/v1", api_key="anything", http_client=http).chat.completions.create
        assert ask(**asked | {"model": "gpt-4o-mini"}).choices
        with pytest.raises(client.PermissionDeniedError, match="`model_not_allowed`: `other` is not on the list"):
            ask(**asked | {"model": "other"})
        assert ask(**spending).choices
        with pytest.raises(client.RateLimitError, match=r"the budget `budget` of \$5 per day") as refused:
            ask(**dear)
    told, fields = refused.value.body, refused.value.response.headers
    [left] = re.findall(r": \$([\d.]+) left, anew in [\dhms.]+$", told["message"])
    assert float(left) == float(fields["x-tidegate-remaining"]) == pytest.approx(4.2, abs=0.001)
    assert 0 < int(fields["retry-after"]) <= 24 * 60 * 60
    assert len(sent) == 4, "a refused call was sent again"


def test_the_tree_in_the_readme_exists() -> None:
    [tree] = re.findall(r"```\nengine/tidegate/\n(.*?)```", README, re.S)
    for line in tree.splitlines():
        name = line.split()[0]
        inside = ROOT / "engine" / "tidegate" / name if line.startswith(" ") else ROOT / name
        assert inside.exists(), name


def test_the_readme_s_settings_and_prices_are_read(tmp_path: Path) -> None:
    [file] = re.findall(r"```toml\n(.*?)```", README, re.S)
    (tmp_path / "tidegate.toml").write_text(file)
    settings = load(tmp_path / "tidegate.toml", {"OPENAI_API_KEY": "sk-x"})
    assert settings.integration["main"].aliases == {"fast": "gpt-4o-mini"}
    [unknown] = re.findall(r'TIDEGATE_PRICES_UNKNOWN="(.*?)"', README)
    settings = load(None, {"TIDEGATE_PROVIDER": "http://127.0.0.1:11434", "TIDEGATE_PRICES_UNKNOWN": unknown})
    assert settings.prices.unknown == unknown


def test_the_readme_s_routes_are_those_that_there_are() -> None:
    [said] = re.findall(r"^Routes: (.*?);", README, re.S | re.M)
    assert set(re.findall(r"/v1/[\w/]+", said)) == {path.decode() for path in BY_PATH}


def test_the_readme_s_shipped_numbers_are_those_of_the_policies() -> None:
    shipped = json.loads((ROOT / "policies" / "data.json").read_text())["defaults"]
    [said] = re.findall(r"are in force: (.*?)\. Their numbers", README, re.S)
    numbers = ("requests_per_minute", "tokens_per_minute", "concurrent", "usd_per_day", "max_tokens")
    assert [int(each.replace(",", "")) for each in re.findall(r"[\d,]*\d", said)] == [shipped[each] for each in numbers]


def test_the_numbers_of_the_readme_and_the_plot_are_those_of_the_result() -> None:
    [name] = re.findall(r"bench/results/(\S+-gateway\.json)", README)
    result = json.loads((ROOT / "bench" / "results" / name).read_text())
    found = {line["name"]: line for line in result["lines"]}
    rows = re.findall(r"^\| ([^|]*) \| ([\d.]+) \| ([\d.]*) *\|$", README, re.M)
    lines = ("request_c64", "async_request_c64", "request_c16", "paced_event")
    names = [f"governed_{each}" for each in lines] + ["rolter_request_c64", "ferrogw_request_c64"]
    assert len(rows) == len(names)
    for (about, ratio, goal), line in zip(rows, map(found.__getitem__, names), strict=True):
        assert float(ratio) == float(f"{line['value']:.2g}"), about
        assert (float(goal) if goal else None) == line["goal"], about
    assert drawn(result, name) == (ROOT / "docs" / "cost.svg").read_text()


def test_every_fault_of_the_simulated_provider_is_in_its_table() -> None:
    page = (ROOT / "docs" / "simulated.md").read_text()
    named = [name for cell in re.findall(r"^\| (`.*?) \|", page, re.M) for name in re.findall(r"`(.*?)`", cell)]
    assert sorted(named) == sorted(KNOWN.split(", "))


def kinds(error: type[TidegateError]) -> Iterator[type[TidegateError]]:
    yield error
    for each in error.__subclasses__():
        yield from kinds(each)


def test_every_error_that_a_client_can_get_is_in_its_table() -> None:
    page = (ROOT / "docs" / "errors.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| (\d+) \| (\w*) ?\| .* \|$", page, re.M)
    said = {code: (int(status), {"yes": True, "no": False, "": None}[again]) for code, status, again in rows}
    served = {errors.CallerError, errors.UpstreamError, errors.PolicyFailed, errors.Overloaded, errors.Draining}
    served |= {errors.KeysUnreadable, LimitsFull, Unrecorded}
    found = {each.code: (each.status, each.retry) for kind in served for each in kinds(kind)}
    del found["bad_request"]  # what they have in common, and none itself
    assert said == found
    assert len(rows) == len(said)
