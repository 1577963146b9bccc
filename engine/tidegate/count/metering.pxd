cimport cython
from cython cimport longlong

from tidegate.count._tokens cimport Counter
from tidegate.count.calibration cimport Calibration, teaches_input, teaches_output
from tidegate.count.evidence cimport Rate
from tidegate.count.features cimport bucket_of
from tidegate.count.prices cimport Price
from tidegate.count.prompts cimport Scheme, tallied
from tidegate.count.tally cimport Tally
from tidegate.count.usage_openai cimport chat_usage
from tidegate.model cimport Call
from tidegate.values cimport Estimate, Usage
from tidegate.wire.values cimport Route

cdef class Endpoint:
    cdef readonly str name
    cdef readonly bint charged, prompts, chat, lists, numbers

cdef dict ENDPOINTS, STRENGTH
cdef Endpoint UNMETERED

cdef class Terms:
    cdef readonly str model, provider
    cdef readonly Scheme scheme
    cdef readonly Price price
    cdef readonly bint exact

cdef class Meters:
    cdef readonly object registry, prices
    cdef readonly Calibration calibration
    cdef readonly Py_ssize_t limit
    cdef dict _terms
    cdef object _sellers

    cpdef bint is_long(self, Call call) except -1
    @cython.locals(metering=Metering)
    cpdef Metering open(self, Call call, str model, str provider, Metering before=*)
    cpdef Price price(self, str model, str provider)
    @cython.locals(sold=dict, known=Terms)
    cpdef Terms terms(self, str model, str provider)

cdef class Metering:
    cdef readonly Price price
    cdef readonly bint charged
    cdef readonly Py_ssize_t prompt_tokens
    cdef readonly str prompt_kind
    cdef Meters _meters
    cdef Terms _terms
    cdef Endpoint _endpoint
    cdef Tally _tally
    cdef object _meter
    cdef Counter _counter
    cdef Usage _reported
    cdef tuple _rates
    cdef Py_ssize_t _tokens
    cdef long long _prompts, _best
    cdef bint _approximate

    @cython.locals(route=Route, endpoint=Endpoint, tally=Tally)
    cdef _begin(self, Meters meters, Terms terms, Call call, Metering before)
    cdef Tally _shared(self, Metering before)
    cdef Py_ssize_t _bucket(self) except -1
    @cython.locals(terms=Terms, kind=str, rate=Rate)
    cdef _expect(self, Tally tally)
    cdef _answered(self, Tally tally, fields)
    cpdef expected(self, stated, long long n)
    @cython.locals(price=Price, each=longlong, answers=longlong)
    cpdef most(self, stated, long long n)
    @cython.locals(price=Price)
    cpdef cost_of(self, long long prompt_tokens, long long output_tokens)
    cpdef so_far(self)
    @cython.locals(terms=Terms)
    cdef tuple _output_rates(self)
    cpdef stream(self, bint strip)
    @cython.locals(endpoint=Endpoint)
    cpdef plain(self, bytes body)
    cpdef piece(self, bytes body)
    cpdef Usage report(self)
    @cython.locals(kind=str, tokens=Py_ssize_t, rates=tuple, rate=Rate)
    cpdef counted(self)
    cpdef Usage settled(self, counted, bint complete)
    @cython.locals(price=Price)
    cpdef cost(self, Usage usage)
    @cython.locals(usage=Usage, terms=Terms, tally=Tally, calibration=Calibration)
    cpdef learn(self)
