"""Builds of the counter with one fault each, to prove that the checks would see it."""

import importlib.util
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

SOURCES = Path(__file__).parents[2] / "engine" / "tidegate" / "count"


class Fault(NamedTuple):
    """What is changed: a text that occurs once in a header, and what stands there instead."""

    note: str
    header: str
    right: str
    wrong: str


FAULTS = (
    Fault("U+017F ends no contraction", "pieces.h", "return s[2] == 0xBF ? 3 : 0;", "return 0;"),
    Fault("capitals are not given back", "pieces.h", "return given_back;", "return i;"),
    Fault("white space ends with a chunk", "pieces.h", "if (i >= n) return !last ? OPEN :", "if (i >= n) return"),
    Fault("a contraction is not waited for", "pieces.h", "if (n < 2) return last ? 0 : -1;", "if (n < 2) return 0;"),
    Fault("half a contraction is not waited for", "pieces.h", "(n < 3) return last ? 0 : -1;", "(n < 3) return 0;"),
    Fault("digits end with a chunk", "pieces.h", "return last ? n : OPEN;\n        if", "return n;\n        if"),
    Fault("slashes end symbols", "pieces.h", "(c == '/' && p->shape.cased)", "false"),
    Fault("white space keeps its last character", "pieces.h", "return final ? final : i;", "return i;"),
    Fault("a word ends with a chunk", "pieces.h", "return last && end == n ? n : OPEN;", "return n;"),
    Fault("a word ends with what is seen at once", "pieces.h", "return end < AT_ONCE && s[end]", "return s[end]"),
    Fault("letters beyond ASCII go on no word", "pieces.h", "end < AT_ONCE && s[end] < 0x80 &&", "end < AT_ONCE &&"),
    Fault("a word has no contraction", "pieces.h", "s[end] < 0x80 && s[end] != '\\''", "s[end] < 0x80"),
    Fault("a contraction is a word", "pieces.h", "(s[0] >= 0x80 || s[0] == '\\'' ||", "(s[0] >= 0x80 ||"),
    Fault("a blank before another is a piece", "pieces.h", "s[0] != ' ' && s[1] == ' '", "s[1] == ' '"),
    Fault("capitals go on a small word", "pieces.h", "~(small >> capitals)", "~((small | capital) >> capitals)"),
    Fault("the memo looks at eight bytes", "merges.h", "high &= SECOND[n];", "high = 0;"),
    Fault("of equals the rightmost merges first", "merges.h", "at = ranks[i] < least", "at = ranks[i] <= least"),
    Fault("the memo forgets lengths", "merges.h", "high |= (uint64_t)n << 60;", ""),
    Fault("the memo of words forgets texts", "merges.h", "word->length == n && !memcmp(", "word->length || !memcmp("),
    Fault("what is known is kept whatever follows", "merges.h", "if (known->bytes && !apart(", "if (0 && !apart("),
    Fault("any two tokens stay apart", "merges.h", "if (across < deadline) return false;", "(void)across;"),
    Fault("ties at a border are lost", "merges.h", "deadline = right + 1;", "deadline = right;"),
    Fault("a chain counts on from another", "merges.h", "chain->count[0] = 0;", ""),
    Fault("a contraction is given back", "stream.h", "if (!gives_back(x)) piece->split = false;", ""),
    Fault("white space but the last is lost", "stream.h", "x->done += piece->without;", ""),
    Fault("a wrong byte takes the next with it", "characters.h", "return -i;", "return -i - 1;"),
    Fault("surrogates are characters", "characters.h", "else if (first == 0xED) most = 0x9F;", ""),
    Fault("a cut character is not counted", "stream.h", "if (!x->cut) return", "return"),
)  # fmt: skip


METER_FAULTS = (
    Fault("an LF after a CR that ended a read is a line", "frames.h", "if (s[f->line] == '\\n') {", "if (0) {"),
    Fault("a lone CR ends no line", "frames.h", "to = f->lf < f->cr ? f->lf : f->cr;", "to = f->lf;"),
    Fault("a byte order mark is part of a name", "frames.h", "from += 3;\n        }", "from += 0;\n        }"),
    Fault("data lines are joined by nothing", "frames.h", 'joined_add(f, (const uint8_t *)"\\n", 1) && ', ""),
    Fault("all spaces before a value go", "frames.h", "if (value < to && s", "while (value < to && s"),
    Fault("a longer name is taken for data", "frames.h", "if (colon < to && s[colon] != ':') return true;", ""),
    Fault("where a line began is forgotten", "frames.h", "    f->line -= f->start;\n", ""),
    Fault("a name twice is read both times", "walk.h", "if (seen & bit) return NULL;", ""),
    Fault("an escaped quote ends a string", "json.h", "_mm_cmpeq_epi8(x, slash)", "_mm_setzero_si128()"),
    Fault("any byte may stand", "json.h", "|| *p < 0x20) return NULL;", ") return 0; if (*p < 32 && p++) continue;"),
    Fault("numbers may begin with zeros", "json.h", "*p == '0' ? p + 1 : digits(p)", "digits(p)"),
    Fault("a bracket closes a brace", "json.h", "if (*p != ((objects & 1) ? '}' : ']')) return", "if (0) return"),
    Fault("pairs of surrogates stay apart", "json.h", "if (low >> 10 == 0x37) {", "if (0) {"),
    Fault("lone surrogates are encoded", "json.h", "if (c >> 11 == 0x1B) c = 0xFFFD;", ""),
    Fault("a choice without a number is the first", "walk.h", "= (int32_t)position;", "= 0;"),
    Fault("repetitions count", "walk.h", "if (!w->paths->typed) return each->kind;", "return each->kind;"),
    Fault("all documents are alike", "alike.h", "length || memcmp(s, bytes, length)) return", "length) return"),
    Fault("zeros may begin noise", "alike.h", "(like->digits[i] && *from == '0' && s - from > 1)", "0"),
    Fault("one spelling of two may differ", "walk.h", "            w->gaps = MOST_GAPS + 1;\n", ""),
    Fault("null usage is where the document before had it", "alike.h", "w->usage = s + like->usage;", ""),
    Fault("more may follow a document", "walk.h", "s && blank(s, w->end) == w->end;", "s;"),
    Fault("a comma is left where usage was", "walk.h", "w->usage = before ? before : key;", "w->usage = key;"),
    Fault("texts of one kind are one text", "texts.h", "(uint64_t)found->part << 16 | found->subpart", "0"),
    Fault("one text is counted anew", "texts.h", "text->changed; text = text->next) text_s", "1; text = NULL) text_s"),
    Fault("half a character goes on", "texts.h", "if (!text->stream.cut) return true;", "return true;"),
    Fault("what is held has no tokens", "stream.h", "? x->done + x->held : ENDLESS", "? x->done : ENDLESS"),
    Fault("a long piece is guessed", "stream.h", "? x->done + x->held : ENDLESS", "? x->done + x->held : 0"),
    Fault("the last text has all tokens", "texts.h", "most += stream_most(", "most = stream_most("),
    Fault("a call begins with its arguments", "walk.h", "kind >= NAME && kind <=", "kind > NAME && kind <="),
    Fault("names are kept", "texts.h", "return kind != NAME && kind != FUNCTION_NAME;", "return true;"),
    Fault("the ring does not turn", "tail.h", "t->end = (t->end + n) % t->limit;", "t->end = n % t->limit;"),
    Fault("half a character is kept", "tail.h", "(out[left] & 0xC0) == 0x80) left++;", "0) left++;"),
)  # fmt: skip


def translated(folder: Path, name: str = "_tokens") -> Path:
    """The module's C source, which includes the headers: made once for all faults."""
    for source in SOURCES.glob(f"{name}.p*"):
        shutil.copy(source, folder)
    command = [sys.executable, "-m", "cython", "-3", "-I", str(SOURCES.parents[1]), f"{name}.pyx"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return folder / f"{name}.c"


def compiled(source: Path, folder: Path, fault: Fault | None, *options: str) -> ModuleType:
    """The module with this fault, compiled with these options."""
    folder.mkdir()
    for header in SOURCES.glob("*.h"):
        shutil.copy(header, folder)
    if fault is not None:
        text = (folder / fault.header).read_text()
        assert text.count(fault.right) == 1, f"{fault.note}: the header has changed"
        (folder / fault.header).write_text(text.replace(fault.right, fault.wrong))
    name = source.stem
    library = folder / f"{name}.so"
    include = sysconfig.get_path("include")
    subprocess.run(
        [
            "cc",
            "-shared",
            "-fPIC",
            "-O0",
            "-w",
            *options,
            f"-I{folder}",
            f"-I{include}",
            str(source),
            "-o",
            str(library),
        ],
        check=True,
    )
    spec = importlib.util.spec_from_file_location(name, library)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
