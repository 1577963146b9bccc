# cython: boundscheck=False, wraparound=False
"""What an answer of chat completions says that it used: read in one pass into C, and made a `Usage` once."""

from libc.stdint cimport int64_t

from tidegate.count._figures cimport Figures, Numbers
from tidegate.count.usage_fields import service
from tidegate.model import Usage as Made

cdef enum:  # the numbers, in the order in which FIELDS has them
    READ, SAID, TOTAL, CACHED, WRITTEN, HEARD, THOUGHT, SPOKEN, MOONSHOT, DEEPSEEK, APART, CITED, SEARCHES
    NUMBERS

cdef Figures FIELDS = Figures(
    {
        "usage": {
            "prompt_tokens": int,
            "completion_tokens": int,
            "total_tokens": int,
            "prompt_tokens_details": {"cached_tokens": int, "cache_write_tokens": int, "audio_tokens": int},
            "completion_tokens_details": {"reasoning_tokens": int, "audio_tokens": int},
            "cached_tokens": int,
            "prompt_cache_hit_tokens": int,
            "reasoning_tokens": int,
            "citation_tokens": int,
            "num_search_queries": int,
        },
        "service_tier": str,
        "x_groq": None,
    }
)
UNDECIDED = object()


cpdef object quick_usage(bytes answer):
    cdef Numbers found
    if answer is None:
        raise TypeError("an answer is `bytes`")
    if not FIELDS.find(answer, &found):
        return UNDECIDED
    return usage_of(found.number, found.word[0][:found.length[0]].decode() if found.word[0] != NULL else None)


def full_usage(list figures not None, tier):
    cdef int64_t[NUMBERS] number
    cdef int i
    if len(figures) != NUMBERS:
        raise ValueError(f"there are {NUMBERS} figures, not {len(figures)}")
    for i in range(NUMBERS):
        number[i] = -1 if figures[i] is None else figures[i]
    return usage_of(number, tier)


cdef object usage_of(const int64_t* number, tier):
    cdef int64_t said, cached, thought, apart = max(number[APART], 0)
    cdef bint plain = True
    cdef int i
    if number[READ] < 0:
        return None
    said = max(max(number[SAID], 0) + apart + max(number[CITED], 0), max(number[TOTAL], 0) - number[READ])
    for i in range(CACHED, NUMBERS):
        if number[i] > 0:
            plain = False
    if plain and (tier is None or not service(tier)):
        return Made(number[READ], said, "provider")
    cached = number[CACHED] if number[CACHED] > 0 else number[MOONSHOT] if number[MOONSHOT] > 0 else number[DEEPSEEK]
    thought = number[THOUGHT] if number[THOUGHT] > 0 else apart
    return Made(
        number[READ],
        said,
        "provider",
        max(cached, 0),
        max(number[WRITTEN], 0),
        0,
        max(number[HEARD], 0),
        0,
        thought,
        max(number[SPOKEN], 0),
        0,
        max(number[SEARCHES], 0),
        service(tier),
    )
