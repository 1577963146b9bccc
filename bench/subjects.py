"""The policies that `bench.policy` runs: six of this folder, three more where they are at hand, generated modules."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

OWN = Path(__file__).parent / "policies"
SHARED = Path(__file__).parents[2] / "shared" / "prototypes" / "rego" / "bench"


class Subject(NamedTuple):
    """A policy, what it decides on, and the rule asked for."""

    name: str
    package: str
    source: str
    documents: dict[str, Any]
    input: dict[str, Any]
    unknown_to_regopy: str = ""  # why regopy cannot answer

    @property
    def path(self) -> tuple[str, ...]:
        return ("data", *self.package.split("."), "decision")

    @property
    def entry(self) -> str:
        return "/".join(self.path[1:])


def subjects() -> Iterator[Subject]:
    """All of them, in the order of their names."""
    for path in sorted(OWN.glob("*.rego")):
        written = json.loads(path.with_suffix(".json").read_text())
        reason = "it has no net.cidr_contains" if path.stem == "residency" else ""
        package = f"bench.{path.stem}"
        yield Subject(path.stem, package, path.read_text(), written["data"], written["input"], reason)
    if SHARED.is_dir():
        yield Subject("gov", "gateway.admission", (SHARED / "gov.rego").read_text(), *GOV)
        yield Subject("gov30", "bench.gov30", (SHARED / "gov30.rego").read_text(), *GOV30)
        yield Subject("rbac", "bench.rbac", (SHARED / "rbac.rego").read_text(), *rbac())


GOV = (
    {"limits": {"acme": {"max_tokens": 4096}}, "blocked_tags": ["internal", "draft", "test"]},
    {
        "tenant": "acme",
        "model": "gpt-4o",
        "max_tokens": 100,
        "tags": ["report", "weekly"],
        "budget": {"used": 10, "limit": 100},
    },
)

TURN = "Please look at turn {} of this talk about the quarterly figures, and say what changed since the last one. "

GOV30 = (
    {
        "tenants": {
            "acme": {
                "families": {"gpt-": True, "claude-": True},
                "max_temperature": 1.5,
                "max_tokens": 4096,
                "max_chars": 100_000,
                "tools": ["search", "calculator"],
                "regions": ["eu", "us"],
                "hours": {"from": 6},
            }
        }
    },
    {
        "tenant": "acme",
        "model": "gpt-4o",
        "temperature": 0.7,
        "max_tokens": 500,
        "region": "eu",
        "hour": 10,
        "tools": [{"function": {"name": "search"}}],
        "messages": [
            {"role": "system", "content": "You are an analyst."},
            *({"role": ("user", "assistant")[turn % 2], "content": TURN.format(turn) * 2} for turn in range(19)),
        ],
    },
)


def rbac() -> tuple[dict[str, Any], dict[str, Any]]:
    """200 users in 7 groups with 20 roles."""
    roles = {
        f"role{number}": {
            "permissions": [{"action": action, "resource": f"/svc{number}/*"} for action in ("read", "write", "list")],
            "models": [f"model-{number}", f"model-{number + 1}"],
        }
        for number in range(20)
    }
    users = {
        f"user{number}": {"roles": [f"role{number % 20}"], "groups": [f"group{number % 7}", f"group{(number + 1) % 7}"]}
        for number in range(200)
    }
    groups = {f"group{number}": {"roles": [f"role{number * 2}", f"role{number * 2 + 1}"]} for number in range(7)}
    denies = [{"user": f"user{number}", "prefix": "/closed"} for number in range(10)]
    documents = {"users": users, "groups": groups, "roles": roles, "denies": denies}
    return documents, {"user": "user42", "action": "read", "resource": "/svc2/orders", "model": "model-2"}


def modules(count: int = 50, rules: int = 30) -> list[str]:
    """A large policy: sets, functions, comprehensions and cross-references as people write them."""
    return [f"package team{number}.admission\n\n" + "\n".join(_rules(number, rules)) for number in range(count)]


def _rules(number: int, count: int) -> Iterator[str]:
    yield f"default allow := false\n\nallow if count(deny) == 0\n\nsettings := data.settings.team{number}\n"
    for rule in range(count - 3):
        yield FORMS[rule % len(FORMS)].format(rule=rule, team=number, other=(number * 7 + rule) % 50)


FORMS = (
    """deny contains {{"code": "rule{rule}", "message": sprintf("model %s is not allowed", [input.model])}} if {{
	not input.model in settings.models
	input.max_tokens > 1{rule:02}
}}
""",
    """deny contains {{"code": "rule{rule}", "message": "a tool is not granted"}} if {{
	some tool in input.tools
	startswith(tool.name, "group{rule}-")
	not granted{rule}(tool.name)
}}

granted{rule}(name) if {{
	some pattern in settings.patterns
	glob.match(pattern, ["-"], name)
}}
""",
    """deny contains {{"code": "rule{rule}", "message": "a word is forbidden"}} if {{
	some message in input.messages
	message.role == "user"
	contains(lower(message.text), "word{rule}")
}}
""",
    """share{rule}[team] := round(used * 100) if {{
	some team, spent in settings.spent
	used := spent / settings.budget[team]
	used > 0.{rule}
}}
""",
    """sizes{rule} := {{message.role: total |
	some message in input.messages
	total := sum([count(other.text) | some other in input.messages; other.role == message.role])
}}
""",
    """deny contains {{"code": "rule{rule}", "message": "pattern"}} if {{
	regex.match(`^[a-z]+-{rule}[0-9]*$`, input.request.id)
	every tag in input.tags {{
		tag != "exempt{rule}"
	}}
}}
""",
)
