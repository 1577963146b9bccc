"""`tidegate policy`: whether policies are right, and what they say.

`check` lists all problems and ends with code 1 where there is an error. A path that leads nowhere, and a query or an
input that cannot be used, are wrong usage: code 2.
"""

import sys
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import replace

from tidegate.decide.bundle import Bundle, load, read
from tidegate.decide.compiling import in_order, inspect
from tidegate.decide.documents import BaseDocuments, from_json
from tidegate.decide.policy import Policy
from tidegate.errors import TidegateError
from tidegate.rego.errors import EvaluationError, PolicyRefused, Problem
from tidegate.rego.source import Source
from tidegate.rego.values import UNDEFINED, json_text
from tidegate.serve.policies import CARRIED_OUT

NO_POLICIES = Bundle("no policies", (), {}, None, "")


class PolicyError(TidegateError):
    """Policies, a query or an input that cannot be used."""

    code = "policy_error"


def check(path: Path, as_json: bool, strict: bool) -> tuple[str, int]:
    """Every problem of a bundle and of its tests, as text or as JSON, and the exit code."""
    if not path.exists():
        raise PolicyError(f"{path}: there is no such file or folder")
    problems: list[Problem] = []
    bundle = read(path, problems, tests=True)
    if bundle.sources or bundle.plan is not None:
        problems = in_order([*problems, *inspect(bundle, CARRIED_OUT)])
    warnings = sum(problem.warning for problem in problems)
    errors = len(problems) - warnings
    code = 1 if errors or (strict and warnings) else 0
    if as_json:
        report = {"errors": errors, "warnings": warnings, "problems": list(map(_record, problems))}
        return msgspec.json.format(msgspec.json.encode(report), indent=2).decode(), code
    modules = _counted(len(bundle.sources), "module")
    found = f"{_counted(errors, 'error')}, {_counted(warnings, 'warning')}" if problems else "no problems"
    return "\n".join([*map(str, problems), f"{path}: {modules}, {found}"]), code


def _counted(count: int, word: str) -> str:
    return f"{count} {word}{'' if count == 1 else 's'}"


def _record(problem: Problem) -> dict[str, Any]:
    """A problem as editors and CI read it; lines and columns count from 1, and are null where there is no place."""
    source, end = problem.source, max(problem.start, problem.end)
    return {
        "file": source.name if source else None,
        "line": problem.line or None,
        "column": problem.column or None,
        "end_line": source.line(end) if source else None,
        "end_column": source.column(end) if source else None,
        "severity": "warning" if problem.warning else "error",
        "code": problem.code,
        "message": problem.message,
        "hint": problem.hint,
    }


def evaluate(query: str, policies: Path | None, input: Path | None, data: Path | None) -> str:
    """What a query gives, as OPA answers: {"result": value}, or {} where it is undefined."""
    try:
        bundle = load(policies) if policies is not None else NO_POLICIES
        if data is not None:
            bundle = _with_data(bundle, data)
        document = _document(input) if input is not None else UNDEFINED
        value = Policy(bundle).query(query, document)
    except PolicyRefused as refused:
        raise PolicyError(str(refused)) from None
    except EvaluationError as error:
        raise PolicyError(f"{error.code}: {error.message}") from None
    return json_text({} if value is UNDEFINED else {"result": value})


def _with_data(bundle: Bundle, file: Path) -> Bundle:
    """The bundle with the documents of one more file in its data."""
    problems: list[Problem] = []
    documents = BaseDocuments(problems)
    documents.document = bundle.data
    documents.add((), _text(file))
    if problems:
        raise PolicyRefused(problems)
    return replace(bundle, data=documents.document)


def _document(file: Path) -> Any:
    problems: list[Problem] = []
    document = from_json(_text(file), problems)
    if problems:
        raise PolicyRefused(problems)
    return document


def _text(file: Path) -> Source:
    """A file's text; `-` is the standard input."""
    name = "standard input" if str(file) == "-" else str(file)
    try:
        return Source(name, (sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()).decode())
    except UnicodeDecodeError as error:
        raise PolicyError(f"{name}: byte {error.start} is not UTF-8") from None
    except OSError as error:
        raise PolicyError(f"{name}: cannot be read: {(error.strerror or type(error).__name__).lower()}") from None
