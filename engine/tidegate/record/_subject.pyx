# cython: boundscheck=False, wraparound=False
"""One subject's key, and what is said through it. Compiled, because every call makes four commitments or five."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.string cimport memcpy

cimport cython

PARTS = ("client_request", "upstream_request", "upstream_response", "client_response", "document")
cdef unsigned char[5][64] SALTS  # what a salt is made of, for each part; the run's id is put in

sha256_prepare()
for place, part in enumerate(PARTS):
    message = b"tidegate.salt" + bytes(13) + part.encode()
    hmac_block(SALTS[place], PyBytes_AS_STRING(message), PyBytes_GET_SIZE(message))


@cython.final
cdef class Subject:
    def __init__(self, bytes identity, bytes key):
        if not 0 < len(key) <= 64:
            raise ValueError("a subject's key has 1 to 64 bytes")
        hmac_prepare(&self._key, <const unsigned char*>PyBytes_AS_STRING(key), PyBytes_GET_SIZE(key))
        self.identity = identity
        self.pseudonym = self._named(b"tidegate.subject", identity)

    def session(self, str id):
        return self._named(b"tidegate.session", id.encode("utf-8", "surrogatepass")) if id else b""

    def parent(self, str id):
        return self._named(b"tidegate.parent", id.encode("utf-8", "surrogatepass")) if id else b""

    def salt(self, bytes run, str part):
        cdef bytes salt = PyBytes_FromStringAndSize(NULL, 32)
        self._salt(run_of(run), PARTS.index(part), <unsigned char*>PyBytes_AS_STRING(salt))
        return salt

    def commitment(self, bytes run, str part, bytes content):
        cdef bytes said = PyBytes_FromStringAndSize(NULL, 32)
        cdef Sha256 into
        self.begin(run_of(run), PARTS.index(part), &into)
        sha256_add(&into, PyBytes_AS_STRING(content), PyBytes_GET_SIZE(content))
        sha256_end(&into, <unsigned char*>PyBytes_AS_STRING(said))
        return said

    cdef void begin(self, const unsigned char* run, Part part, Sha256* into) noexcept:
        """Begins the commitment to that part of a run; its bytes come next."""
        sha256_begin(into)
        self._salt(run, part, into.block)
        into.length = 32

    cdef void _salt(self, const unsigned char* run, Part part, unsigned char* salt) noexcept:
        cdef unsigned char block[64]
        memcpy(block, SALTS[<int>part], 64)
        memcpy(block + 13, run, 13)
        hmac_of_block(&self._key, block, salt)

    cdef bytes _named(self, const char* what, bytes id):
        cdef unsigned char code[32]
        cdef bytes message = what + id
        hmac(&self._key, PyBytes_AS_STRING(message), PyBytes_GET_SIZE(message), code)
        return PyBytes_FromStringAndSize(<char*>code, 16)

    def __repr__(self):
        return f"Subject({self.pseudonym.hex()})"


cdef const unsigned char* run_of(bytes run) except NULL:
    if PyBytes_GET_SIZE(run) != 13:
        raise ValueError("a run's id has 13 bytes")
    return <const unsigned char*>PyBytes_AS_STRING(run)
