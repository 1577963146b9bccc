"""A shadow policy is asked wherever the enforced one is or would be, told the same, recorded, and never obeyed."""

from pathlib import Path
from typing import Any

import pytest

from tests.e2e.ledgers import Said
from tests.embedded import POLICY, begin, opened, stream_of, words, write
from tidegate import Decision
from tidegate.decide.decision import and_later
from tidegate.errors import PolicyFailed, ResponseDenied
from tidegate.model import Reason
from tidegate.record.records import Because, Outcome
from tidegate.settings import Policy

PASS = "package tidegate.admission\n"
DENY = PASS + '\ndeny contains {"code": "never", "message": "m"} if true\n'
WARN = PASS + '\nwarn contains {"code": "soon", "message": "m"} if true\n'
STOP = """package tidegate.stream

stop contains {"code": sprintf("at_%v", [input.output.tokens]), "message": "enough"} if input.output.tokens > 20
"""
JUDGE = """package tidegate.response

deny contains {"code": "secret", "message": "not for you"} if contains(input.output.text, "secret")

flag contains {"code": sprintf("of_%v", [input.output.usage.output_tokens]), "message": "m"} if true
"""
FAILS = """package tidegate.stream

stop contains {"code": "x", "message": "m"} if startswith(input.run.parent, "x")
"""
FAILS_LATER = FAILS.replace("stream", "response").replace("stop", "deny")
WORDS = words(40)
SECRET = stream_of(" a", " secret", " tide")
SILENT = stream_of()
LARGE = stream_of(*["w" * 100] * 30)
TEXT = 2000  # bytes of an answer that are decided about
PLAIN = b'{"choices":[{"message":{"content":"%b"}}],"usage":{"prompt_tokens":8,"completion_tokens":9}}'


def outcome(
    folder: Path, answer: list[bytes] | bytes, enforced: tuple[str, ...], shadow: tuple[str, ...] = ()
) -> tuple[bytes, Outcome]:
    """What comes of one call under these policies: the bytes that pass, and the record."""
    folder.mkdir()
    asking = Policy(every=2, text=TEXT)
    if shadow:
        path = write(
            folder / "shadow", admission=shadow[0], **{f"more{at}": text for at, text in enumerate(shadow[1:])}
        )
        asking = Policy(every=2, text=TEXT, shadow=str(path))
    with opened(folder, *enforced[1:], rules=enforced[0], policy=asking) as engine:
        run = begin(engine, stream=not isinstance(answer, bytes))
        if isinstance(answer, bytes):
            try:
                out = run.whole(answer)
            except (ResponseDenied, PolicyFailed):
                out = b""
        else:
            out = b"".join(run.stream(answer))
    return out, Said(folder).outcome(run.id)


def whole(answer: list[bytes] | bytes) -> bytes:
    return answer if isinstance(answer, bytes) else b"".join(answer)


@pytest.mark.parametrize(
    ("note", "answer", "modules", "action"),
    [
        ("a stop", WORDS, (PASS, STOP), "block"),
        ("no stop: too short", SECRET, (PASS, STOP), "allow"),
        ("a stop before a judgement, which is then not asked for", WORDS, (PASS, STOP, JUDGE), "block"),
        ("a stream that is held back at its end", SECRET, (PASS, JUDGE), "block"),
        ("a stream that is flagged", WORDS, (PASS, JUDGE), "warn"),
        ("a stream that ends without its event", WORDS[:-1], (PASS, JUDGE), "warn"),
        ("a stream without text", SILENT, (PASS, STOP, JUDGE), "warn"),
        ("a stream that is too large to be judged", LARGE, (PASS, JUDGE), "block"),
        ("a plain answer that is held back", PLAIN % b"a secret", (PASS, JUDGE), "block"),
        ("a plain answer that is flagged", PLAIN % b"a tide", (PASS, JUDGE), "warn"),
        ("a plain answer that is too large to be judged", PLAIN % (b"w" * TEXT), (PASS, JUDGE), "block"),
        ("a plain answer that is none", b"[]", (PASS, JUDGE), "block"),
        ("an error inside a stream", WORDS, (PASS, FAILS), "block"),
        ("an error at the end", SECRET, (PASS, FAILS_LATER), "block"),
        ("a warning before", SECRET, (WARN, STOP), "warn"),
        ("a warning before, and a stop", WORDS, (WARN, STOP), "block"),
    ],
)
def test_a_shadow_says_what_it_would_have_done(
    tmp_path: Path, note: str, answer: Any, modules: tuple[str, ...], action: str
) -> None:
    """What the same policy does when it is in force is the oracle."""
    _, obeyed = outcome(tmp_path / "enforced", answer, modules)
    passed, tried = outcome(tmp_path / "shadowed", answer, (PASS,), modules)
    assert passed == whole(answer), note
    assert (tried.decision.action, tried.stopped, tried.error, tried.flags) == ("allow", "", "", ()), note
    assert tried.shadow is not None
    assert tried.shadow.action == action, note
    assert (obeyed.error != "") is (action == "block"), note
    assert tried.shadow.policy == obeyed.decision.policy
    found = [Because(each.code, each.rule or tried.shadow.reasons[-1].rule) for each in obeyed.flags]
    assert tried.shadow.reasons == (*obeyed.decision.reasons, *found), note
    assert all(each.rule.startswith("tidegate.") for each in tried.shadow.reasons)


def test_both_are_told_the_same_at_the_same_moments(tmp_path: Path) -> None:
    """Down to the nanosecond: each says the digest of all that it is told."""
    said = '{"code": sprintf("d_%v", [crypto.md5(json.marshal(input))]), "message": "m"}'
    for phase, rule, when in (("stream", "stop", "input.output.tokens > 9"), ("response", "flag", "true")):
        rules = f"package tidegate.{phase}\n\n{rule} contains {said} if {when}\n"
        _, found = outcome(tmp_path / phase, WORDS, (PASS, rules), (PASS, rules))
        assert found.shadow is not None
        assert len(found.flags) == 1
        assert found.shadow.reasons == found.flags


@pytest.mark.parametrize(
    ("note", "enforced", "shadow", "stopped", "codes"),
    [
        ("the enforced one stops first", "> 10", "> 20", True, []),
        ("the shadow would stop first, and says so once", "> 20", "> 10", True, ["shadow"]),
        ("both at once", "> 10", "> 10", True, ["shadow"]),
        ("the shadow alone", "> 900", "> 10", False, ["shadow"]),
    ],
)
def test_two_policies_with_two_minds(
    tmp_path: Path, note: str, enforced: str, shadow: str, stopped: bool, codes: list[str]
) -> None:
    def stop(code: str, when: str) -> str:
        return STOP.replace('sprintf("at_%v", [input.output.tokens])', f'"{code}"').replace("> 20", when)

    _, found = outcome(
        tmp_path / "both", WORDS, (PASS, stop("enforced", enforced)), (PASS, stop("shadow", shadow), JUDGE)
    )
    assert found.shadow is not None
    assert (found.stopped == "policy", [each.code for each in found.flags]) == (stopped, ["enforced"] * stopped), note
    assert [each.code for each in found.shadow.reasons] == codes, note


def test_a_shadow_that_would_have_refused_the_call_is_not_asked_about_its_answer(tmp_path: Path) -> None:
    passed, found = outcome(tmp_path / "refused", WORDS, (POLICY,), (DENY, STOP, JUDGE))
    assert passed == whole(WORDS)
    assert found.shadow is not None
    assert [each.code for each in found.shadow.reasons] == ["never"]


def test_when_the_call_was_decided_about_stays_the_same(tmp_path: Path) -> None:
    """What a shadow says later comes to the decision without being one."""
    _, found = outcome(tmp_path / "spans", WORDS, (PASS,), (PASS, STOP))
    assert found.shadow is not None
    assert found.shadow.action == "block"
    assert 0 < found.spans.decided < found.spans.sent < found.spans.first_byte


def test_a_program_sees_it_too(tmp_path: Path) -> None:
    shadow = write(tmp_path / "shadow", a=PASS, b=STOP)
    with opened(tmp_path, policy=Policy(every=2, shadow=str(shadow))) as engine:
        run = begin(engine, stream=True)
        before = run.decision.shadow
        assert before is not None
        assert before.action == "allow"
        for piece in run.stream(WORDS):
            assert piece
        assert run.decision.shadow is not None
        assert (run.decision.action, run.decision.shadow.action) == ("allow", "block")


def test_a_fault_of_ours_stays_in_the_shadow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where what policies are told cannot be made, nobody is asked; only an enforced policy may end the answer."""

    def no_document(*_: object) -> dict[str, Any]:
        raise RuntimeError("a fault")

    monkeypatch.setattr("tidegate.run.document", no_document)
    passed, found = outcome(tmp_path / "shadow", WORDS, (PASS,), (PASS, STOP))
    assert passed == whole(WORDS)
    assert found.shadow is not None
    assert (found.shadow.action, found.shadow.reasons) == ("block", (Because("policy_error", "tidegate.stream"),))
    _, found = outcome(tmp_path / "enforced", WORDS, (PASS, STOP), (PASS, STOP))
    assert (found.stopped, found.error) == ("policy", "policy_error")


def test_what_is_said_later_is_added_and_weighs_no_less() -> None:
    early, late = Reason("a", "m", "tidegate.admission.warn"), Reason("b", "m")
    shadow = Decision(action="warn", reasons=(early,), digest="d")
    assert and_later(shadow, Decision(action="allow"), "stream") is shadow
    said = and_later(shadow, Decision(action="block", reasons=(late,), digest="e"), "stream")
    assert (said.action, said.digest, said.reasons) == ("block", "d", (early, Reason("b", "m", "tidegate.stream")))
