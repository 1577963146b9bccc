"""What a policy's values become, and every way in which they can be no decision."""

from decimal import Decimal

import pytest

from tidegate.decide.contract import NoAnswer, decision, refusal
from tidegate.model import Destination, Guard, Limit, Reason, Redaction
from tidegate.rego.values import Value, set_of

DENY = {"code": "no", "message": "not here"}
WARN = {"code": "hm", "message": "look at this"}
LIMIT = {"name": "budget", "measure": "usd", "max": 1000, "per": "day", "key": ["acme"], "tz": "Europe/Berlin"}


def test_nothing_said_allows() -> None:
    made = decision("admission", {}, "sha256:0")
    assert (made.action, made.reasons, made.limits, made.route, made.digest) == ("allow", (), (), None, "sha256:0")


def test_everything_said_arrives() -> None:
    said = {
        "deny": set_of([]),
        "limit": set_of([LIMIT, {"name": "calls", "measure": "concurrent", "max": Decimal("2.5")}]),
        "redact": set_of([{"detector": "pii", "with": "***"}]),
        "route": {"integration": "eu", "fallback": ["us"]},
        "capture": "digest",
        "evidence": "strict",
        "guard": set_of([{"detector": "pii", "action": "stop", "window": 64}]),
        "max_output": 100,
    }
    made = decision("admission", said, "")
    assert made.limits == (
        Limit(name="budget", measure="usd", max=1000, per="day", key=("acme",), tz="Europe/Berlin"),
        Limit(name="calls", measure="concurrent", max=2.5),
    )
    assert made.redactions == (Redaction(detector="pii", replacement="***"),)
    assert made.route == Destination(integration="eu", fallback=("us",))
    assert made.guards == (Guard(detector="pii", action="stop", window=64),)
    assert (made.capture, made.evidence, made.max_output) == ("digest", "strict", 100)


@pytest.mark.parametrize(
    ("phase", "said", "action", "rules"),
    [
        ("admission", {"deny": [DENY]}, "block", ["tidegate.admission.deny"]),
        ("admission", {"warn": [WARN]}, "warn", ["tidegate.admission.warn"]),
        (
            "admission",
            {"warn": [WARN], "deny": [DENY]},
            "block",
            ["tidegate.admission.deny", "tidegate.admission.warn"],
        ),
        ("stream", {"stop": [DENY]}, "block", ["tidegate.stream.stop"]),
        ("response", {"deny": [DENY], "flag": [WARN]}, "block", ["tidegate.response.deny", "tidegate.response.flag"]),
        ("response", {"flag": [WARN]}, "warn", ["tidegate.response.flag"]),
    ],
)
def test_a_deny_comes_before_a_warning_and_every_reason_is_kept(phase, said, action, rules) -> None:
    made = decision(phase, {name: set_of(values) for name, values in said.items()}, "")
    assert made.action == action
    assert [reason.rule for reason in made.reasons] == rules


def test_reasons_come_in_rego_s_order() -> None:
    said = {"deny": set_of([{"code": code, "message": "m"} for code in ("c", "a", "b")])}
    assert [reason.code for reason in decision("admission", said, "").reasons] == ["a", "b", "c"]


WRONG: list[tuple[str, str, Value, str]] = [
    ("a value for a set", "deny", True, "`tidegate.admission.deny` must be a set: write `deny contains ...`"),
    ("text", "deny", set_of(["no"]), "`tidegate.admission.deny` must be an object, found `no`"),
    ("a set with a field's names", "deny", set_of([set_of(["code", "message"])]), "must be an object, found a set"),
    ("misspelt", "deny", set_of([{"cod": "a", "message": "m"}]), "has no field `cod`: did you mean `code`?"),
    ("one more", "deny", set_of([{**DENY, "rule": "x"}]), "has no field `rule`: its fields are `code`, `message`"),
    ("missing", "deny", set_of([{"code": "a"}]), "`tidegate.admission.deny.message` is missing"),
    ("no code", "deny", set_of([{**DENY, "code": "Not A Code"}]), "found `Not A Code`"),
    ("a code and a line", "deny", set_of([{**DENY, "code": "no\n"}]), "found `no\\n`"),
    ("empty message", "deny", set_of([{**DENY, "message": ""}]), "must be a text of 1 to 4096 characters"),
    ("wrong type", "limit", set_of([{**LIMIT, "max": "1"}]), "`tidegate.admission.limit.max` must be a number from 0"),
    ("below zero", "limit", set_of([{**LIMIT, "max": -1}]), "must be a number from 0 to 1e15, found `-1`"),
    ("a boolean", "limit", set_of([{**LIMIT, "max": True}]), "must be a number from 0 to 1e15, found `true`"),
    ("a set as key", "limit", set_of([{**LIMIT, "key": set_of(["a"])}]), "must be an array of strings, numbers"),
    ("nested key", "limit", set_of([{**LIMIT, "key": [["a"]]}]), "must be an array of strings, numbers"),
    ("measure", "limit", set_of([{**LIMIT, "measure": "euros"}]), "found `euros`"),
    ("per", "limit", set_of([{**LIMIT, "per": "1 day"}]), "found `1 day`"),
    ("per with a line", "limit", set_of([{**LIMIT, "per": "day\n"}]), "found `day\\n`"),
    ("too long", "limit", set_of([{**LIMIT, "per": "367d", "tz": None}]), "`per` must be at most `366d`, found `367d`"),
    ("no per", "limit", set_of([{**LIMIT, "per": None}]), "a limit of `usd` needs `per`"),
    ("rolling with tz", "limit", set_of([{**LIMIT, "per": "1h"}]), "`tz` belongs to a calendar `per` such as `day`"),
    ("calendar, burst", "limit", set_of([{**LIMIT, "burst": 1}]), "`burst` belongs to a rolling `per` such as `1m`"),
    ("no zone", "limit", set_of([{**LIMIT, "tz": "Mars/Base"}]), "found `Mars/Base`"),
    ("a path as zone", "limit", set_of([{**LIMIT, "tz": "../../etc/passwd"}]), "found `../../etc/passwd`"),
    (
        "concurrent with per",
        "limit",
        set_of([{"name": "c", "measure": "concurrent", "max": 1, "per": "1m"}]),
        "a limit of `concurrent` calls has no `per`",
    ),
    ("capture", "capture", "all", "must be one of `digest`, `full`, `none`, `redacted`, found `all`"),
    ("evidence", "evidence", None, "must be one of `async`, `response`, `strict`, found null"),
    ("no output", "max_output", 0, "must be a whole number of tokens from 1 to 1e9, found `0`"),
    ("half a token", "max_output", 1.5, "must be a whole number of tokens from 1 to 1e9, found `1.5`"),
    ("route to nowhere", "route", {}, "a `route` needs `integration`, `model` or `fallback`"),
    ("guard", "guard", set_of([{"detector": "d", "action": "halt", "window": 1}]), "found `halt`"),
    ("window", "guard", set_of([{"detector": "d", "action": "stop", "window": 0}]), "from 1 to 1048576, found `0`"),
    ("redact", "redact", set_of([{"detector": "d", "with": 5}]), "found `5`"),
]


@pytest.mark.parametrize(("rule", "value", "told"), [case[1:] for case in WRONG], ids=[case[0] for case in WRONG])
def test_what_is_no_decision_is_explained(rule: str, value: Value, told: str) -> None:
    with pytest.raises(NoAnswer) as raised:
        decision("admission", {rule: value}, "")
    assert told in str(raised.value)


def test_everything_wrong_is_told_at_once() -> None:
    with pytest.raises(NoAnswer) as raised:
        decision("admission", {"capture": "all", "deny": set_of([{"code": "a"}])}, "")
    assert "`tidegate.admission.capture`" in str(raised.value)
    assert "`tidegate.admission.deny.message`" in str(raised.value)


def test_what_cannot_be_carried_out_is_no_decision() -> None:
    said = {"limit": set_of([LIMIT]), "redact": set_of([]), "capture": "full"}
    with pytest.raises(NoAnswer) as raised:
        decision("admission", said, "", frozenset({"deny"}))
    assert str(raised.value) == (
        "`tidegate.admission.limit` cannot be carried out here; "
        "`tidegate.admission.capture` as `full` cannot be carried out here"
    )


def test_a_refusal_blocks_with_one_code() -> None:
    made = refusal("it broke", "sha256:0")
    assert (made.action, made.reasons, made.digest) == ("block", (Reason("policy_error", "it broke"),), "sha256:0")


@pytest.mark.parametrize(
    ("per", "seconds"),
    [("1s", 1), ("90s", 90), ("1m", 60), ("2h", 7200), ("366d", 366 * 86400), ("day", None), ("total", None)],
)
def test_periods(per: str, seconds: int | None) -> None:
    assert Limit(name="n", measure="tokens", max=1, per=per).seconds == seconds
