"""strings.render_template: what Go's text/template writes for the same template and document."""

from typing import Any

import pytest

from tests.rego.builtins.calls import call, problem
from tidegate.rego.errors import BudgetExhausted
from tidegate.rego.evaluation import Evaluation
from tidegate.rego.values import number, set_of

DOCUMENT = {
    "name": "Anna",
    "n": 3,
    "zero": 0,
    "f": number("2.50"),
    "yes": True,
    "no": False,
    "nothing": None,
    "empty": "",
    "list": ["a", "b", "c"],
    "mixed": [1, None, "x", [2], {"k": True}],
    "map": {"b": 1, "a": {"c": "deep"}},
}
RENDERED = [
    ("text alone", "a } } b", "a } } b"),
    ("a field", "{{.name}}", "Anna"),
    ("a chain", "{{ .map.a.c }}", "deep"),
    ("numbers as they are written", "{{.n}} {{.f}}", "3 2.5"),
    ("booleans", "{{.yes}} {{.no}}", "true false"),
    ("a list", "{{.mixed}}", "[1 <nil> x [2] map[k:true]]"),
    ("an object, in order", "{{.map}}", "map[a:map[c:deep] b:1]"),
    ("what is not there", "{{.a}} {{.a.b.c}} {{.nothing}}", "<undefined> <undefined> <undefined>"),
    ("trimmed before", "a \n\t {{- .n}}", "a3"),
    ("trimmed behind", "{{.n -}} \n\t b", "3b"),
    ("a negative number, nothing trimmed", "a {{-3}}", "a -3"),
    ("a comment", "a{{/* .x }} */}}b {{- /* c */ -}} d", "abd"),
    (
        "literals",
        r'{{"a\t\x41\u00e9\""}} {{`\n`}} {{42}} {{0x1F}} {{1.5}} {{1e3}} {{true}} {{' + "'a'}}",
        'a\tAé" \\n 42 31 1.5 1000 true 97',
    ),
    ("if", "{{if .yes}}a{{end}}{{if .no}}b{{end}}", "a"),
    ("else", "{{if .no}}a{{else}}b{{end}}", "b"),
    ("else if", "{{if .no}}a{{else if .n}}b{{else}}c{{end}}", "b"),
    ("what counts as empty", "{{if or .no .nothing .empty .missing 0}}a{{else}}b{{end}}", "b"),
    ("no number of the document is empty", "{{if .zero}}a{{else}}b{{end}}", "a"),
    ("with", "{{with .map}}{{.b}}{{end}}{{with .empty}}a{{else}}b{{end}}", "1b"),
    ("with and a variable", "{{with $x := .map.a}}{{$x.c}} {{$.name}}{{end}}", "deep Anna"),
    ("range", "{{range .list}}{{.}},{{end}}", "a,b,c,"),
    ("range over an object", "{{range $k, $v := .map}}{{$k}};{{end}}", "a;b;"),
    ("range with a place", "{{range $i, $v := .list}}{{if $i}}, {{end}}{{$i}}={{$v}}{{end}}", "0=a, 1=b, 2=c"),
    ("range over nothing", "{{range .missing}}a{{else}}none{{end}}", "none"),
    ("range over a number", "{{range 3}}{{.}}{{end}}", "012"),
    ("break", '{{range .list}}{{if eq . "b"}}{{break}}{{end}}{{.}}{{end}}', "a"),
    ("continue", '{{range .list}}{{if eq . "b"}}{{continue}}{{end}}{{.}}{{end}}', "ac"),
    ("a variable changes", "{{$x := 1}}{{range .list}}{{$x = .}}{{end}}{{$x}}", "c"),
    ("a variable is hidden", "{{$x := 1}}{{range .list}}{{$x := .}}{{end}}{{$x}}", "1"),
    ("a pipeline", '{{.name | printf "%s-%s" "x" | len}}', "6"),
    ("parentheses", '{{(index .mixed 4).k}} {{len (print "a" "b")}}', "true 2"),
    ("and", "{{and .yes .name}} {{and .no .name}}", "Anna false"),
    ("or", '{{or .empty .no "x"}}', "x"),
    ("what is behind a decision is not looked at", "{{or .yes (index .list 9)}}", "true"),
    ("not", "{{not .yes}} {{not .missing}}", "false true"),
    ("eq", '{{eq .name "Anna"}} {{eq .name "B" "Anna"}} {{ne 1 2}}', "true true true"),
    ("numbers of the document are strings", '{{eq .n "3"}}', "true"),
    ("order", '{{lt 1 2}} {{ge 1.5 2.5}} {{gt "b" "a"}} {{le 2 2}}', "true false true true"),
    ("index", '{{index .list 1}} {{index .map "a" "c"}} {{index .map "x"}}', "b deep <undefined>"),
    ("slice", "{{slice .name 1 3}} {{slice .list 1}}", "nn [b c]"),
    ("len", "{{len .list}} {{len .name}} {{len .map}}", "3 4 2"),
    ("print", '{{print 1 2 "x" 3 true}} {{println "a" 1}}', "1 2x3 true a 1\n"),
    ("printf", '{{printf "%05.1f|%x|%v" 2.25 255 .list}}', "002.2|ff|[a b c]"),
    ("escapes", '{{html "<a href=\'x\'>&"}} {{urlquery "a b&c"}}', "&lt;a href=&#39;x&#39;&gt;&amp; a+b%26c"),
]


@pytest.mark.parametrize(("note", "template", "expected"), RENDERED, ids=[row[0] for row in RENDERED])
def test_what_is_rendered(note: str, template: str, expected: str) -> None:
    assert call("strings.render_template", template, DOCUMENT) == expected


REFUSED = [
    ("{{.name", "unclosed action or unexpected character in it"),
    ("{{.name & 1}}", "unclosed action or unexpected character in it"),
    ("{{}}", "missing value for command"),
    ("{{if .yes}}", "unexpected EOF"),
    ("{{end}}", "unexpected {{end}}"),
    ("{{else}}", "unexpected {{else}}"),
    ("{{if .a}}{{else}}{{else}}{{end}}", "unexpected EOF"),
    ("{{break}}", "unexpected {{break}}"),
    ("{{$x}}", "undefined variable $x"),
    ("{{$x = 1}}", "undefined variable $x"),
    ("{{if $x := .yes}}{{end}}{{$x}}", "undefined variable $x"),
    ("{{upper .name}}", "function `upper` is not defined"),
    ("{{.name 1}}", "only a function can be given arguments"),
    ("{{1 | .name}}", "non executable command in pipeline"),
    ("{{(.name}}", "unclosed left paren"),
    ('{{template "x"}}', "`template` is not supported"),
    ('{{define "x"}}{{end}}', "`define` is not supported"),
    (r'{{"\q"}}', r"bad escape \q"),
    ("{{99999999999999999999999999999999999999999999999999999999999999999999}}", "integer overflow"),
    ("{{.name.first}}", "can't evaluate field first in string"),
    ("{{.nothing.first}}", "can't evaluate field first in nil"),
    ("{{range .name}}{{end}}", "range can't iterate over string"),
    ("{{eq .n 3}}", "error calling eq: incompatible types for comparison"),
    ("{{eq .list .list}}", "error calling eq: non-comparable type"),
    ("{{lt 1 1.5}}", "error calling lt: incompatible types for comparison"),
    ("{{index .list 3}}", "error calling index: cannot index list with int"),
    ("{{index .list .n}}", "error calling index: cannot index list with string"),
    ("{{slice .name 3 1}}", "error calling slice: cannot slice string so"),
    ("{{len 3}}", "error calling len: len of type int"),
    ("{{not}}", "wrong number of args for not: want 1 got 0"),
    ('{{printf "%d" .n}}', "printf is not supported for this verb and string"),
]


@pytest.mark.parametrize(("template", "expected"), REFUSED)
def test_what_is_refused(template: str, expected: str) -> None:
    assert problem("strings.render_template", template, DOCUMENT) == f"eval_builtin_error: template: {expected}"


def test_a_set_is_no_value_for_a_template() -> None:
    said = problem("strings.render_template", "{{.s}}", {"s": set_of("a")})
    assert said == "eval_builtin_error: a set is no value for a template"


PATHOLOGICAL: list[tuple[str, dict[str, Any]]] = [
    ("{{range 100000000}}x{{end}}", {}),
    ("{{range .l}}{{range $.l}}{{range $.l}}x{{end}}{{end}}{{end}}", {"l": [0] * 200}),
    ("{{range .l}}{{$.s}}{{end}}", {"l": [0] * 1000, "s": "x" * 100_000}),
    ('{{range .l}}{{printf "%99999d" 1}}{{end}}', {"l": [0] * 1000}),
]


@pytest.mark.parametrize(("template", "document"), PATHOLOGICAL)
def test_loops_and_output_are_paid_for(template: str, document: dict[str, Any]) -> None:
    with pytest.raises(BudgetExhausted):
        call("strings.render_template", template, document, evaluation=Evaluation(budget=500_000))


def test_deep_nesting_is_an_error() -> None:
    said = problem("strings.render_template", "{{if .a}}" * 5_000 + "{{end}}" * 5_000, {})
    assert said == "eval_builtin_error: template: nested too deeply"
    assert problem("strings.render_template", "{{" + "(" * 5_000 + "1" + ")" * 5_000 + "}}", {}) == said
