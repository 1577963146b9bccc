"""Rego's tokens: one regular expression finds them, parallel lists hold them.

* A mark's kind is its text, and so is a keyword's; the others are name, number, string, template, bad and end.
* A keyword is a name where it begins a reference or stands in one: `if.x`, `input.contains`. `contains` itself is
  always a name: it means something in the head of a rule only.
* `$"a {x} b {y} c"` is a `template` token, the tokens of x, a `template middle`, those of y and a `template end`;
  their values are the texts. A template without expressions is a string.
* What cannot be a token is a problem and a `bad` token: whoever parses stops there, and says no more about it.
"""

import json
import re
from decimal import Decimal, InvalidOperation
from typing import Final

from tidegate.rego import values
from tidegate.rego.errors import Problem
from tidegate.rego.source import Source

KEYWORDS: Final = frozenset(
    ("as", "default", "else", "every", "false", "if", "import", "in", "not", "null", "package", "some", "true", "with")
)
# A keyword that follows one of these on its line goes on with the statement; it cannot begin a reference.
TERM_ENDS: Final = frozenset(("name", "number", "string", "template end", "true", "false", "null", ")", "]", "}"))

TOKEN: Final = re.compile(
    r"""[ \t\r]*(?:
      (\n[ \t\r\n]*)                                                          # 1 lines
    | ([A-Za-z_][A-Za-z0-9_]*)                                                # 2 name
    | ((?:(?:0|[1-9][0-9]*)(?:\.[0-9]+)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?(?![A-Za-z0-9_.]))  # 3 number
    | (&&|\|\||===|==|=>|=|!==|!=|<>|\+[+=]|->|-=|\*\*|//|/\*|:=|[<>]=?|[][{}(),;:.+\-*/%|&])  # 4 mark
    | ("[^"\\\n]*(?:\\.[^"\\\n]*)*")                                          # 5 string
    | (\#[^\n]*)                                                              # 6 comment
    | (`[^`]*`)                                                               # 7 raw string
    | (\$["`])                                                                # 8 template
    | (\Z)                                                                    # 9 end
    | ([^ ])                                                                  # 10 anything else
    )""",
    re.VERBOSE,
)
LINES, NAME, NUMBER, MARK, STRING, COMMENT, RAW, TEMPLATE, END = range(1, 10)

# A part of a template ends before an expression or the closing quote; `\{` is a brace.
TEMPLATE_PART: Final = {
    '"': re.compile(r'[^"\\\n{]*(?:\\.[^"\\\n{]*)*'),
    "`": re.compile(r"[^`\\{]*(?:\\\{?[^`\\{]*)*"),
}
ESCAPE: Final = re.compile(r"\\(.)(?:(?<=u)[0-9A-Fa-f]{4})?", re.DOTALL)
ESCAPES: Final = frozenset('"\\/bfnrt')
LONE_SURROGATE: Final = re.compile("[\ud800-\udfff]")
NOT_A_NUMBER: Final = re.compile(r"[0-9A-Za-z_.]*(?:(?<=[eE])[+-][0-9A-Za-z_.]*)?")
IN_QUOTES: Final = {"'": re.compile(r"'([^'\n]{0,200})'"), "“": re.compile(r"“([^”\n]{0,200})”")}

LETTERS: Final = re.compile(r"\w{1,50}")

PROBLEMS = 100  # that are worth telling of one source
DIGITS = 30_000  # that a number may have, written out; OPA's limit of 100,000 bits is about the same

# What other languages have, and what to write here instead.
FOREIGN: Final = {
    "&&": "everything in a body must hold: write one condition a line, or `;` between them",
    "||": "write the rule once for each alternative, or `x in {a, b}` for one of several values",
    "=>": "`at least` is written `>=`; there are no arrow functions",
    "===": "equality is written `==`",
    "!==": "inequality is written `!=`",
    "<>": "inequality is written `!=`",
    "!": "negation is written `not x`, inequality `x != y`",
    "++": "a value never changes; give the sum a name of its own, `next := x + 1`",
    "+=": "a value never changes; give the sum a name of its own, `total := x + y`",
    "-=": "a value never changes; give the difference a name of its own, `rest := x - y`",
    "->": "a rule's value is written before its body: `name := value if { ... }`",
    "**": "there is no operator for powers; a square is `x * x`",
    "?": "there is no conditional operator; write `name := a if { ... } else := b`",
    "$": 'a template string is written `$"..."`',
    "@": "annotations are written in a comment that begins with `# METADATA`",
    "//": "a comment begins with `#`",
    "/*": "a comment begins with `#`",
    "'": 'strings are written in double quotes, "like this"',
    "“": 'strings are written in plain double quotes, "like this"',
    "”": 'strings are written in plain double quotes, "like this"',
    "\u00a0": "this is a no-break space; write an ordinary one",
    "\\": "a statement may go on in the next line as it is",
}


class Lexer:
    """A source's tokens, and what was wrong with its characters. Two `end` close them, so that one can look ahead."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.text = source.text
        self.kinds: list[str] = []
        self.starts: list[int] = []
        self.ends: list[int] = []
        self.fresh: list[bool] = []  # whether a new line began before the token
        self.values: list[values.Value] = []  # a name's or a mark's text, a literal's value
        self.comments: list[int] = []  # where they begin
        self.problems: list[Problem] = []
        self._new_line = True
        self._braces = 0  # that are open in the innermost template's expression
        self._templates: list[tuple[str, int]] = []  # its quote, and the braces open in what is around it
        position = 1 if self.text.startswith("\ufeff") else 0
        while position >= 0:
            position = self._run(position if len(self.problems) < PROBLEMS else len(self.text))

    def _run(self, position: int) -> int:
        """Takes ordinary tokens; at anything else it stops and says where to go on, at the end -1."""
        kinds, starts, ends, fresh, found = self.kinds, self.starts, self.ends, self.fresh, self.values
        templates = self._templates
        new_line = self._new_line
        for match in TOKEN.finditer(self.text, position):
            group = match.lastindex
            if group == LINES:
                new_line = True
                continue
            start, end = match.span(group)  # type: ignore[arg-type]
            kind = match[group]  # type: ignore[index]
            value: values.Value = kind
            if group == NAME:
                if kind not in KEYWORDS or self._begins_reference(start, end, new_line):
                    kind = "name"
            elif group == MARK:
                if kind in FOREIGN or (templates and kind in "{}"):
                    self._new_line = new_line
                    return self._mark(kind, start, end)
            elif group == STRING and "\\" not in kind:
                kind, value = "string", kind[1:-1]
            elif group == COMMENT:
                self.comments.append(start)
                continue
            else:
                self._new_line = new_line
                return self._unusual(group, start, end)
            kinds.append(kind)
            starts.append(start)
            ends.append(end)
            fresh.append(new_line)
            found.append(value)
            new_line = False
        raise AssertionError("the expression matches anything")

    def _begins_reference(self, start: int, end: int, new_line: bool) -> bool:
        """Whether the keyword here is a name."""
        before = self.kinds[-1] if self.kinds else ""
        if before == "." and self.ends[-1] == start:
            return True
        return self.text[end : end + 1] in (".", "[") and (new_line or before not in TERM_ENDS)

    def _add(self, kind: str, start: int, end: int, value: values.Value) -> int:
        self.kinds.append(kind)
        self.starts.append(start)
        self.ends.append(end)
        self.fresh.append(self._new_line)
        self.values.append(value)
        self._new_line = False
        return end

    def _bad(self, start: int, end: int, message: str, hint: str | None = None) -> int:
        self.problems.append(Problem("rego_parse_error", message, self.source, start, end, hint))
        return self._add("bad", start, end, None)

    def _mark(self, mark: str, start: int, end: int) -> int:
        if mark == "}" and self._braces == 0:
            quote, self._braces = self._templates.pop()
            return self._template("template middle", quote, start, end)
        if mark in "{}":
            self._braces += 1 if mark == "{" else -1
            return self._add(mark, start, end, mark)
        return self._bad(start, end, f"unexpected `{mark}`", FOREIGN[mark])

    def _unusual(self, group: int | None, start: int, end: int) -> int:
        text = self.text[start:end]
        if group == STRING:
            return self._escaped(start, end)
        if group == NUMBER:
            return self._number(start, end, text)
        if group == RAW:
            return self._add("string", start, end, text[1:-1])
        if group == TEMPLATE:
            return self._template("template", text[1], start, end)
        if group == END:
            self._new_line = True
            self._add("end", start, end, None)
            self._add("end", start, end, None)
            return -1
        return self._stray(text, start)

    def _number(self, start: int, end: int, text: str) -> int:
        try:
            size = abs(Decimal(text).adjusted())
        except InvalidOperation:
            size = DIGITS
        if max(size, end - start) >= DIGITS:
            return self._bad(start, end, f"the number has more than {DIGITS:,} digits")
        return self._add("number", start, end, values.number(text))

    def _escaped(self, start: int, end: int) -> int:
        wrong = self._wrong_escape(start + 1, end - 1, ESCAPES)
        return end if wrong else self._add("string", start, end, _unescape(self.text[start + 1 : end - 1]))

    def _wrong_escape(self, start: int, end: int, allowed: frozenset[str]) -> bool:
        """Whether there is one; the first is reported."""
        for match in ESCAPE.finditer(self.text, start, end):
            if match[1] in allowed or len(match[0]) == 6:
                continue
            hint = "a backslash is written `\\\\`; in `...` strings it stands for itself"
            if match[1] == "u":
                hint = "`\\u` needs four hexadecimal digits"
            self._bad(match.start(), match.end(), f"`{match[0]}` is not an escape", hint)
            return True
        return False

    def _template(self, kind: str, quote: str, start: int, begin: int) -> int:
        """The part of a template that starts at `begin`."""
        match = TEMPLATE_PART[quote].match(self.text, begin)
        assert match is not None
        stop = match.end()
        closing = self.text[stop : stop + 1]
        if closing == "{":
            self._templates.append((quote, self._braces))
            self._braces = 0
        elif closing == quote:
            kind = "string" if kind == "template" else "template end"
        else:
            return self._unclosed(quote, start, stop)
        part = match[0]
        if "\\" in part and quote == "`":
            part = part.replace("\\{", "{")
        elif "\\" in part:
            if self._wrong_escape(begin, stop, ESCAPES | {"{"}):
                return stop + 1
            part = _unescape(ESCAPE.sub(lambda escape: "{" if escape[1] == "{" else escape[0], part))
        return self._add(kind, start, stop + 1, part)

    def _unclosed(self, quote: str, start: int, end: int) -> int:
        if quote == "`":
            self._bad(start, start + 1, "the string is never closed", "it ends with another backquote")
            return len(self.text)
        hint = "a string ends on its own line; one of several lines is written in backquotes"
        return self._bad(start, end, "the string is not closed", hint)

    def _stray(self, char: str, start: int) -> int:
        """A character that begins no token."""
        if char in '"`':
            end = self.text.find("\n", start)
            return self._unclosed(char, start, end if end >= 0 else len(self.text))
        if char.isdecimal() and char.isascii():
            return self._malformed_number(start)
        if char in IN_QUOTES and (quoted := IN_QUOTES[char].match(self.text, start)):
            hint = f'strings are written in double quotes: `"{quoted[1]}"`'
            return self._bad(start, quoted.end(), f"unexpected `{char}`", hint)
        if char in FOREIGN:
            return self._bad(start, start + 1, f"unexpected `{char}`", FOREIGN[char])
        if letters := LETTERS.match(self.text, start):
            hint = "a name has the letters a to z, digits and `_`; a field of another name is read as `input[...]`"
            return self._bad(start, letters.end(), f"unexpected `{letters[0]}`", hint)
        return self._bad(start, start + 1, f"unexpected character U+{ord(char):04X}")

    def _malformed_number(self, start: int) -> int:
        match = NOT_A_NUMBER.match(self.text, start)
        assert match is not None
        text = match[0]
        if text.isdecimal():
            plain = text.lstrip("0") or "0"
            hint = f"write `{plain}`; a number has no leading zeros"
        elif text.endswith("."):
            hint = f"write `{text}0`, with a digit after the point"
        elif text[:2] in ("0x", "0o", "0b"):
            hint = "numbers are written in the decimal system"
        else:
            hint = "a name cannot begin with a digit"
        return self._bad(start, match.end(), f"`{text}` is not a number", hint)


def _unescape(text: str) -> str:
    """What a quoted string says; half of a surrogate pair alone is the replacement character, as Go has it."""
    unescaped: str = json.loads(f'"{text}"', strict=False)
    return LONE_SURROGATE.sub("\ufffd", unescaped)
