# cython: boundscheck=False, wraparound=False
"""What every leaf begins with, and what the end of a call drew. Compiled, because the sequencer asks it of each record."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.stdint cimport uint64_t

cimport cython

from tidegate.record.records import OF_RUNS, Aborted, Outcome, RecordError

cdef extern from "reading.h" nogil:
    ctypedef struct Reading:
        const unsigned char* at
        const unsigned char* end
    bint read_uint(Reading*, uint64_t*)
    bint read_array(Reading*, uint64_t*)
    bint read_text(Reading*, const unsigned char**, size_t*)
    bint read_bytes(Reading*, const unsigned char**, size_t*)
    bint read_over(Reading*, uint64_t)

cdef enum:
    HEAD = 6  # fields: the kind, and five numbers
    LETTERS = 64  # of a kind, at most
    RUN = 13  # bytes of a run's id
    BUCKET = 16  # bytes of a bucket's key, at most
    MEASURE = 32  # letters of a measure, at most

cdef frozenset of_runs = OF_RUNS
cdef dict draws = {each.__struct_config__.tag: 1 + each.__struct_fields__.index("draws") for each in (Outcome, Aborted)}


@cython.final
cdef class Beginning:
    cdef readonly str kind
    cdef readonly uint64_t version, worker, epoch, seq, time
    cdef bytes _leaf
    cdef const unsigned char* _run  # in the leaf

    @property
    def run(self):
        if self.kind not in of_runs:
            return None
        if self._run is NULL:
            raise RecordError(f"a leaf of kind `{self.kind}` has no run")
        return PyBytes_FromStringAndSize(<const char*>self._run, RUN)


def head(leaf):
    cdef Beginning found = Beginning.__new__(Beginning)
    cdef Reading at
    cdef uint64_t fields
    cdef const unsigned char* run = NULL
    cdef size_t length = 0
    found._leaf = leaf if type(leaf) is bytes else bytes(leaf)
    found.kind = _begin(found._leaf, &at, &fields)
    if not (
        fields >= HEAD
        and read_uint(&at, &found.version)
        and read_uint(&at, &found.worker)
        and read_uint(&at, &found.epoch)
        and read_uint(&at, &found.seq)
        and read_uint(&at, &found.time)
    ):
        raise malformed()
    cdef Reading behind = at
    if fields > HEAD and read_bytes(&behind, &run, &length) and length == RUN:
        found._run = run
    if not read_over(&at, fields - HEAD) or at.at != at.end:
        raise malformed()
    return found


def drawn(bytes leaf not None):
    cdef Reading at
    cdef uint64_t fields, place, count, values, held, settled, end
    cdef const unsigned char* bucket = NULL
    cdef const unsigned char* measure = NULL
    cdef size_t length = 0, letters = 0
    cdef list found = []
    place = draws.get(_begin(leaf, &at, &fields), 0)
    if not place or fields <= place:
        return found
    if not read_over(&at, place - 1) or not read_array(&at, &count):
        raise malformed()
    while count:
        count -= 1
        held = settled = end = 0
        if not (
            read_array(&at, &values)
            and values >= 3
            and read_bytes(&at, &bucket, &length)
            and length <= BUCKET
            and read_text(&at, &measure, &letters)
            and letters <= MEASURE
            and read_uint(&at, &held)
            and (values < 4 or read_uint(&at, &settled))
            and (values < 5 or (read_uint(&at, &end) and read_over(&at, values - 5)))
        ):
            raise malformed()
        if end:
            found.append((PyBytes_FromStringAndSize(<const char*>bucket, length), end, settled))
    return found


cdef str _begin(bytes leaf, Reading* at, uint64_t* fields):
    """The kind; `at` is behind it then."""
    cdef const unsigned char* text = NULL
    cdef size_t length = 0
    cdef str kind
    at.at = <const unsigned char*>PyBytes_AS_STRING(leaf)
    at.end = at.at + PyBytes_GET_SIZE(leaf)
    if not read_array(at, fields) or not fields[0] or not read_text(at, &text, &length):
        raise malformed()
    try:
        kind = PyUnicode_DecodeUTF8(<const char*>text, length, NULL)
    except UnicodeDecodeError:
        raise malformed() from None
    if len(kind) > LETTERS:
        raise malformed()
    return kind


cdef malformed():
    return RecordError("not a leaf of this format")
