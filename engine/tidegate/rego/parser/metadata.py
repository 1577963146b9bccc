"""`# METADATA` comments: a line that says so, and below it YAML, each line a comment that begins in the first column.

An annotation's document has its fields in the form in which `rego.metadata` shows them: authors are `{name, email}`,
related resources `{ref, description}`, schemas `{path, schema}` or `{path, definition}`; there is always a scope, and
nothing is empty. Fields that are none of FIELDS are left as they are.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any, Final, Never
from typing import Literal as Choice

import yaml
from msgspec import Struct

from tidegate.rego import values
from tidegate.rego.ast import Annotation
from tidegate.rego.errors import Problem
from tidegate.rego.source import Source

Scope = Choice["rule", "document", "package", "subpackages"]
OF_RULES: Final[tuple[Scope, Scope]] = ("rule", "document")
OF_PACKAGES: Final[tuple[Scope, Scope]] = ("package", "subpackages")

COMMENT: Final = re.compile(r"#[ ]?([^\r\n]*)")
DEPTH: Final = 50  # of lists in lists
LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
CONSTANTS: Final = {"": None, "~": None, "null": None, "true": True, "false": False}
TEXTS: Final = frozenset(("title", "description"))
NUMBER: Final = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]{1,4})?")
AUTHOR: Final = re.compile(r"(.*?)\s*(?:<(\S*)>)?", re.DOTALL)


class Block(Struct):
    """What a METADATA comment says, before it is known of what."""

    source: Source
    start: int
    end: int
    document: dict[str, Any]

    def problem(self, message: str) -> Problem:
        end = self.source.text.find("METADATA", self.start) + len("METADATA")
        return Problem("rego_parse_error", f"METADATA: {message}", self.source, self.start, end)

    def annotation(self, scopes: tuple[Scope, Scope], problems: list[Problem]) -> Annotation:
        """Of a thing that can have one of these scopes."""
        entrypoint = bool(self.document.get("entrypoint"))
        scope = self.document.get("scope", "document" if entrypoint and scopes == OF_RULES else scopes[0])
        if scope not in scopes:
            thing = "rule" if scopes == OF_RULES else "package"
            problems.append(self.problem(f"the scope of a {thing} is `{scopes[0]}` or `{scopes[1]}`, not `{scope}`"))
        elif entrypoint and scope not in ("document", "package"):
            problems.append(self.problem("an entrypoint has the scope `document` or `package`"))
        return Annotation(scope, {**self.document, "scope": scope}, start=self.start, end=self.end)


class Wrong(Exception):
    """Something in a block, at a line and column of its YAML."""

    def __init__(self, message: str, line: int, column: int) -> None:
        super().__init__(message)
        self.message = message
        self.line = line
        self.column = column


def blocks(source: Source, comments: list[int], problems: list[Problem]) -> list[Block]:
    """The METADATA blocks among the comments that begin at these places."""
    if "METADATA" not in source.text:
        return []
    found = []
    index = 0
    while index < len(comments):
        start = comments[index]
        index += 1
        if not _content(source, start)[1].strip().startswith("METADATA"):
            continue
        first = index
        while index < len(comments) and _continues(source, comments[index - 1], comments[index]):
            index += 1
        block = _block(source, start, comments[first:index], problems)
        if block is not None:
            found.append(block)
    return found


def _content(source: Source, start: int) -> tuple[int, str]:
    """A comment's text and where it begins, without the space that follows the `#`."""
    match = COMMENT.match(source.text, start)
    assert match is not None
    return match.start(1), match[1]


def _continues(source: Source, before: int, start: int) -> bool:
    return source.column(start) == 1 and source.line(start) == source.line(before) + 1


def _block(source: Source, start: int, lines: list[int], problems: list[Problem]) -> Block | None:
    contents = [_content(source, line) for line in lines]
    text = "".join(f"{content}\n" for _, content in contents)
    try:
        document = _document(text)
    except Wrong as wrong:
        line = min(wrong.line, len(contents) - 1)
        begin, content = contents[line] if contents else _content(source, start)
        place = begin + (min(wrong.column, max(0, len(content) - 1)) if line == wrong.line else 0)
        problems.append(
            Problem("rego_parse_error", f"METADATA: {wrong.message}", source, place, begin + max(1, len(content)))
        )
        return None
    end = contents[-1][0] + len(contents[-1][1])
    return Block(source, start, end, document)


# YAML


def _document(text: str) -> dict[str, Any]:
    if not text.strip():
        raise Wrong("the block is empty", 0, 0)
    try:
        events = yaml.parse(text, Loader=LOADER)
        next(events)  # the stream's start
        next(events)  # the document's
        document = _value(next(events), events, 0)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line, column = (mark.line, mark.column) if mark is not None else (0, 0)
        raise Wrong(f"this is not YAML, {error.problem}", line, column) from None
    except (yaml.YAMLError, StopIteration, ValueError):
        raise Wrong("this is not YAML", 0, 0) from None
    if type(document) is not dict:
        raise Wrong("fields are written `name: value`", 0, 0)
    return {name: value for name, value in document.items() if value}


def _fail(message: str, event: Any) -> Never:
    raise Wrong(message, event.start_mark.line, event.start_mark.column)


def _value(event: Any, events: Iterator[Any], depth: int, is_text: bool = False) -> Any:
    """What the event begins, to its end. A text needs no quotes, though it looks like a number or a date."""
    if depth > DEPTH:
        _fail(f"lists in lists, more than {DEPTH} deep", event)
    if isinstance(event, yaml.ScalarEvent):
        return event.value if is_text else _scalar(event)
    if isinstance(event, yaml.SequenceStartEvent):
        found = []
        while not isinstance(event := next(events), yaml.SequenceEndEvent):
            found.append(_value(event, events, depth + 1))
        return found
    if isinstance(event, yaml.MappingStartEvent):
        return _mapping(events, depth)
    _fail("references to other parts of the YAML are not allowed", event)


def _mapping(events: Iterator[Any], depth: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    while not isinstance(event := next(events), yaml.MappingEndEvent):
        name = _value(event, events, depth + 1)
        if type(name) is not str:
            _fail("the name of a field is a string", event)
        if name in found:
            _fail(f"`{name}` is there twice", event)
        found[name] = _value(next(events), events, depth + 1, name in TEXTS)
        if depth == 0:
            found[name] = _field(name, found[name], event)
    return found


def _scalar(event: Any) -> Any:
    if event.tag not in (None, "!", "tag:yaml.org,2002:str"):
        _fail("tags are not allowed", event)
    if event.tag is not None or not event.implicit[0]:
        return event.value
    text: str = event.value
    if text.lower() in CONSTANTS and (text.islower() or text.isupper() or text.istitle() or text in ("", "~")):
        return CONSTANTS[text.lower()]
    if NUMBER.fullmatch(text) and len(text) < 1000:
        return values.number(text.lstrip("+"))
    return text


# fields


def _text(value: Any) -> str:
    if type(value) is not str:
        raise ValueError("a text")
    return value


def _scope(value: Any) -> str:
    if value not in OF_RULES + OF_PACKAGES:
        raise ValueError("`rule`, `document`, `package` or `subpackages`")
    return str(value)


def _flag(value: Any) -> bool:
    if type(value) is not bool:
        raise ValueError("`true` or `false`")
    return value


def _fields(value: Any) -> dict[str, Any]:
    if type(value) is not dict:
        raise ValueError("fields, `name: value`")
    return value


def _list_of(convert: Callable[[Any], Any]) -> Callable[[Any], list[Any]]:
    def convert_all(value: Any) -> list[Any]:
        if type(value) is not list:
            raise ValueError("a list, `- ` before each")
        return [convert(each) for each in value]

    return convert_all


def _author(value: Any) -> dict[str, str]:
    if type(value) is str:
        match = AUTHOR.fullmatch(value.strip())
        assert match is not None
        value = {"name": " ".join(match[1].split()), "email": match[2]}
    author = _known(value, ("name", "email"))
    if not author:
        raise ValueError("authors, each `Name <address>`, or with a `name` or an `email`")
    return author


def _resource(value: Any) -> dict[str, str]:
    resource = _known({"ref": value} if type(value) is str else value, ("ref", "description"))
    if "ref" not in resource:
        raise ValueError("resources, each a URL, or with a `ref`")
    return resource


def _known(value: Any, names: tuple[str, ...]) -> dict[str, str]:
    """The texts of these names that are there and not empty."""
    if type(value) is not dict:
        return {}
    return {name: value[name].strip() for name in names if type(value.get(name)) is str and value[name].strip()}


def _schema(value: Any) -> dict[str, Any]:
    if type(value) is not dict or len(value) != 1:
        raise ValueError("schemas, each `path: schema`")
    ((path, schema),) = value.items()
    if type(schema) is dict:
        return {"path": path.split("."), "definition": schema}
    if type(schema) is not str or schema.split(".")[0] != "schema":
        raise ValueError("schemas, each the name of one, such as `schema.input`, or one itself")
    return {"path": path.split("."), "schema": schema.split(".")}


FIELDS: Final[dict[str, Callable[[Any], Any]]] = {
    "scope": _scope,
    "title": _text,
    "description": _text,
    "entrypoint": _flag,
    "organizations": _list_of(_text),
    "related_resources": _list_of(_resource),
    "authors": _list_of(_author),
    "schemas": _list_of(_schema),
    "custom": _fields,
    "compile": _fields,
}


def _field(name: str, value: Any, event: Any) -> Any:
    if name not in FIELDS or value is None:
        return value
    try:
        return FIELDS[name](value)
    except ValueError as error:
        _fail(f"`{name}` takes {error}", event)
