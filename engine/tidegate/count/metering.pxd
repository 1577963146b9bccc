cimport cython

from tidegate.count._tokens cimport Counter
from tidegate.count.calibration cimport Calibration
from tidegate.count.features cimport bucket_of
from tidegate.count.prices cimport Price
from tidegate.count.prompts cimport Scheme, counted, tallied
from tidegate.count.tally cimport Tally
from tidegate.model cimport Call

cdef class Terms:
    cdef readonly str model, provider
    cdef readonly Scheme scheme
    cdef readonly Price price

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

@cython.no_gc  # what it holds is older, or made for it, and does not know it
@cython.freelist(16)
cdef class Metering:
    cdef readonly object estimate
    cdef readonly Price price
    cdef Meters _meters
    cdef Terms _terms
    cdef str _endpoint
    cdef Tally _tally
    cdef object _meter
    cdef Counter _counter
    cdef object _reported
    cdef tuple _rates
    cdef Py_ssize_t _tokens
    cdef bint _approximate

    cdef _begin(self, Meters meters, Terms terms, Call call, Metering before)
    cdef Tally _shared(self, Metering before)
    cdef Py_ssize_t _bucket(self) except -1
    @cython.locals(terms=Terms, kind=str)
    cdef _expected(self, Tally tally)
    @cython.locals(price=Price)
    cpdef tuple most(self, stated, n)
    @cython.locals(price=Price)
    cpdef cost_of(self, prompt_tokens, output_tokens)
    cpdef so_far(self)
    @cython.locals(terms=Terms)
    cdef tuple _output_rates(self)
    cpdef stream(self, bint strip)
    cpdef plain(self, bytes body)
    cpdef piece(self, bytes body)
    cpdef counted(self)
    cpdef settled(self, counted, bint complete)
    @cython.locals(price=Price)
    cpdef cost(self, usage)
    @cython.locals(terms=Terms, tally=Tally)
    cpdef learn(self)
