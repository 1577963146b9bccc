"""A shadow that would stop or hold back every answer, at a gateway whose policy lets them pass: nobody notices but the
record.
"""

import json
from pathlib import Path

import pytest

from tests.cli.test_runs import ran
from tests.e2e.ledgers import Said
from tests.gateway import Told, chat, post, running

HELD = 4000  # bytes of a plain answer that is held until it is whole
TEXT = 2000  # of an answer that policies decide about
EVERY = 4
POLICY = """package tidegate.admission
"""
STREAM = """package tidegate.stream

stop contains {"code": "enough", "message": "m"} if input.output.tokens > 20
"""
RESPONSE = """package tidegate.response

deny contains {"code": "not_this", "message": "m"} if input.request.metadata.judge == "deny"

flag contains {"code": "words", "message": "m"} if input.output.text != ""
"""
UNJUDGED = ["policy_error"]
CASES = {
    "plain": ({"judge": "deny"}, 10, False, "block", ["not_this", "words"]),
    "plain, flagged": ({}, 10, False, "warn", ["words"]),
    "plain, not judged": ({}, TEXT // 4, False, "block", UNJUDGED),
    "plain, not held": ({}, HELD, False, "block", UNJUDGED),
    "stream, stopped": ({"judge": "deny"}, 80, True, "block", ["enough"]),
    "stream, denied": ({"judge": "deny"}, 10, True, "block", ["not_this", "words"]),
    "stream, flagged": ({}, 10, True, "warn", ["words"]),
}
Seen = dict[str, tuple[Told, str]]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("shadows")


@pytest.fixture(scope="module")
def seen(place: Path) -> Seen:
    """All calls, and after them what `tail` says of each."""
    for name, files in (("policy", {"a": POLICY}), ("shadow", {"a": POLICY, "s": STREAM, "r": RESPONSE})):
        (place / name).mkdir()
        for file, text in files.items():
            (place / name / f"{file}.rego").write_text(text)
    asking = f'[policy]\npath = "{place}/policy"\nshadow = "{place}/shadow"\nevery = {EVERY}\ntext = {TEXT}\n'
    found: dict[str, Told] = {}
    with running(place / "gateway", f"{asking}[forward]\nhold = {HELD}\n") as gateway:
        for name, (metadata, words, stream, _, _) in CASES.items():
            body = chat(f"simulated-words-{words}", stream=stream, metadata=metadata)
            found[name] = gateway.ask(post(body))
        said = ran("tail", "--no-follow", "--config", str(gateway.file))
    lines = {line.split()[2]: line for line in said.splitlines()}
    return {name: (told, lines[told.fields["x-tidegate-run-id"]]) for name, told in found.items()}


@pytest.fixture(scope="module")
def ledger(place: Path, seen: Seen) -> Said:
    return Said(place / "gateway" / ".tidegate")


@pytest.mark.parametrize("name", CASES)
def test_an_answer_passes_whatever_its_shadow_says(ledger: Said, seen: Seen, name: str) -> None:
    _, _, stream, action, codes = CASES[name]
    told, line = seen[name]
    outcome = ledger.outcome(told.fields["x-tidegate-run-id"])
    assert (told.status, outcome.error, outcome.stopped, outcome.flags) == (200, "", "", ())
    if stream:
        assert told.body.endswith(b"data: [DONE]\n\n")
    else:
        assert json.loads(told.body)["choices"][0]["finish_reason"] == "stop"
        assert (len(told.body) > HELD) is (name == "plain, not held")
    assert outcome.shadow is not None
    assert outcome.shadow.policy != outcome.decision.policy
    assert (outcome.shadow.action, [each.code for each in outcome.shadow.reasons]) == (action, codes)
    phase = "stream" if "stopped" in name else "response"
    assert all(each.rule.startswith(f"tidegate.{phase}.") for each in outcome.shadow.reasons)
    assert f"shadow={action}" in line
