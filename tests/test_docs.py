"""What the documents claim is run: the README's client code and refusal, and the list of settings."""

import contextlib
import io
import json
import re
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.gateway import running
from tidegate.cli.config import example

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
    with running(tmp_path / "gateway", f'[policy]\npath = "{tmp_path / "policy"}"\n') as gateway:
        asked = client.OpenAI(base_url=f"{gateway.url}/v1", api_key="anything").chat.completions
        assert asked.create(model="gpt-4o-mini", messages=[{"role": "user", "content": "x"}]).choices
        with pytest.raises(client.PermissionDeniedError, match="`model_not_allowed`: `other` is not on the list"):
            asked.create(model="other", messages=[{"role": "user", "content": "x"}])
        with pytest.raises(client.RateLimitError, match=r"the budget `budget` of \$5 per day"):
            asked.create(model="gpt-4o", n=64, max_tokens=10_000, messages=[{"role": "user", "content": "x"}])


def test_the_tree_in_the_readme_exists() -> None:
    [tree] = re.findall(r"```\nengine/tidegate/\n(.*?)```", README, re.S)
    for line in tree.splitlines():
        name = line.split()[0]
        inside = ROOT / "engine" / "tidegate" / name if line.startswith(" ") else ROOT / name
        assert inside.exists(), name
