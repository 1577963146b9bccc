"""Reads the corpus of wrong policies: files of cases, each with everything that is told about it.

A case is `== note`, the lines of a.rego, further files each after a line `@ name`, the base documents after `@ data`
if they are known, `---`, and the problems as they are shown. A line of JSON before the first case is the schema of
`input`.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from msgspec import Struct

from tidegate.rego.check import Checked, check
from tidegate.rego.parser import parse
from tidegate.rego.source import Source


class Case(Struct):
    note: str
    files: dict[str, str]
    schema: dict[str, Any] | None
    expected: str


def cases(name: str) -> list[Case]:
    return list(_cases(Path(__file__).with_name(name).read_text()))


def _cases(text: str) -> Iterator[Case]:
    preamble, *parts = re.split("^== ", text, flags=re.MULTILINE)
    schema = re.search("^{.*$", preamble, flags=re.MULTILINE)
    for part in parts:
        note, rest = part.split("\n", 1)
        written, _, expected = rest.partition("\n---\n")
        first, *others = re.split(r"^@ (.*)\n", written, flags=re.MULTILINE)
        files = {"a.rego": first, **dict(zip(others[::2], others[1::2], strict=True))}
        yield Case(note, files, json.loads(schema[0]) if schema is not None else None, expected.strip("\n"))


def checked(case: Case) -> Checked:
    data = case.files.get("data")
    modules = [parse(Source(name, text)) for name, text in case.files.items() if name != "data"]
    return check(modules, schema=case.schema, data=json.loads(data) if data is not None else None)


def told(case: Case) -> str:
    """Everything that is told about a case."""
    shown = "\n".join(map(str, checked(case).problems))
    return re.sub(" +$", "", shown, flags=re.MULTILINE)
