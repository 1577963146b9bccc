"""A gateway and its policies: refusals with their reasons, files that change, and files that are wrong."""

import json
from pathlib import Path

import pytest
from openai import OpenAI, PermissionDeniedError

from tests.faults.test_hang import wait_for
from tests.faults.test_reload import ask, integration, reload
from tests.gateway import Gateway, running

RULES = """package tidegate.admission

deny contains {"code": "model_not_allowed", "message": sprintf("`%v` is not for you", [input.request.model])} if {
	not input.request.model in data.models
}
"""


def policy(folder: Path, *models: str, rules: str = RULES) -> Path:
    """A folder with a policy that allows these models."""
    folder.mkdir(exist_ok=True)
    (folder / "data.json").write_text(json.dumps({"models": models}))
    (folder / "models.rego").write_text(rules)
    return folder


def settings(path: Path | None, shadow: Path | None = None) -> str:
    paths = {"path": path, "shadow": shadow}
    lines = [f"{key} = {json.dumps(str(value))}" for key, value in paths.items() if value is not None]
    return "\n".join([integration("a", "b"), "[policy]", "settle = 0.05", *lines, ""])


def code(gateway: Gateway, model: str) -> object:
    """200, or the code of the refusal."""
    status, body = ask(gateway, model)
    return status if status == 200 else body["error"]["code"]  # type: ignore[index]


def test_a_call_that_a_policy_denies_is_told_why(tmp_path: Path) -> None:
    with running(tmp_path, settings(policy(tmp_path / "p", "a"))) as gateway:
        client = OpenAI(base_url=f"{gateway.url}/v1", api_key="k")
        assert client.chat.completions.create(model="a", messages=[{"role": "user", "content": "x"}]).choices
        with pytest.raises(PermissionDeniedError) as refused:
            client.chat.completions.create(model="b", messages=[{"role": "user", "content": "x"}])
        assert refused.value.code == "policy_denied"
        assert "`model_not_allowed`: `b` is not for you" in refused.value.message


def test_changed_files_are_in_force_and_wrong_ones_are_not(tmp_path: Path) -> None:
    folder = policy(tmp_path / "p", "a")
    with running(tmp_path, settings(folder), workers=2) as gateway:
        assert [code(gateway, model) for model in "ab"] == [200, "policy_denied"]
        policy(folder, "b")
        wait_for("the other data are in force", lambda: all(code(gateway, "b") == 200 for _ in range(16)))
        assert code(gateway, "a") == "policy_denied"
        policy(folder, "a", rules=RULES + "\ndeny contains x if y\n")
        wait_for("the mistake is told", lambda: "stays in force" in gateway.log)
        assert "rego_unsafe_var_error" in gateway.log
        assert all(code(gateway, "b") == 200 for _ in range(16))
        assert gateway.log.count("stays in force") == 1, "one of two workers says it"


def test_a_gateway_does_not_start_with_a_policy_that_cannot_be_in_force(tmp_path: Path) -> None:
    folder = policy(tmp_path / "p", rules="package tidegate.admission\n\nguard contains {} if input.x\n")
    (folder / "more.rego").write_text("package more\n\nx := y\n")
    gateway = Gateway(tmp_path / "g", settings(folder))
    with pytest.raises(AssertionError) as refused:
        gateway.start()
    assert gateway.process.returncode == 2
    for problem in ("`guard` cannot be carried out here", "rego_unsafe_var_error"):
        assert problem in str(refused.value), "all problems are told"
    assert "ended by" not in gateway.log, "what had begun is brought to its end"
    gateway.write(settings(policy(tmp_path / "right")))
    gateway.start()
    assert "waiting for" not in gateway.log, "nothing of it was left"
    assert gateway.stop() == 0


def test_a_call_without_an_answer_of_the_policy_is_refused(tmp_path: Path) -> None:
    rules = 'package tidegate.admission\n\ndeny contains {"code": "x", "message": lower(input.request.metadata.why)}\n'
    with running(tmp_path, settings(policy(tmp_path / "p", rules=rules))) as gateway:
        client = OpenAI(base_url=f"{gateway.url}/v1", api_key="k")
        assert code(gateway, "a") == 200
        with pytest.raises(PermissionDeniedError) as refused:
            client.chat.completions.create(model="a", messages=[], extra_body={"metadata": {"why": 5}})
        assert refused.value.code == "policy_error"
        assert "lower: operand 1 must be string but got number" in refused.value.message


def test_a_shadow_refuses_nothing(tmp_path: Path) -> None:
    enforced, shadow = policy(tmp_path / "p", "a", "b"), policy(tmp_path / "s", "a")
    with running(tmp_path, settings(enforced, shadow)) as gateway:
        assert [code(gateway, model) for model in "ab"] == [200, 200]
    with running(tmp_path / "alone", settings(None, shadow)) as gateway:
        assert [code(gateway, model) for model in "ab"] == [200, 200]


def test_a_reload_can_change_the_policy(tmp_path: Path) -> None:
    first, second = policy(tmp_path / "p", "a"), policy(tmp_path / "q", "b")
    with running(tmp_path, settings(None)) as gateway:
        assert [code(gateway, model) for model in "ab"] == [200, 200]
        reload(gateway, settings(first))
        wait_for("the first policy is in force", lambda: code(gateway, "b") == "policy_denied")
        reload(gateway, settings(second))
        wait_for("the second policy is in force", lambda: code(gateway, "a") == "policy_denied")
        assert code(gateway, "b") == 200
