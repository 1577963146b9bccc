from libc.stdint cimport uint32_t, uint64_t

cdef extern from "sha256.h" nogil:
    enum:
        SHA256_BLOCK
    ctypedef struct Sha256:
        uint64_t length
        unsigned char* block
    ctypedef struct HmacKey:
        pass
    void sha256_prepare()
    void sha256_begin(Sha256*)
    void sha256_add(Sha256*, const void*, size_t)
    void sha256_end(const Sha256*, unsigned char*)
    void hmac_prepare(HmacKey*, const unsigned char*, size_t)
    void hmac(const HmacKey*, const void*, size_t, unsigned char*)
    void hmac_block(unsigned char*, const void*, size_t)
    void hmac_of_block(const HmacKey*, const unsigned char*, unsigned char*)

cdef enum Part:
    CLIENT_REQUEST, UPSTREAM_REQUEST, UPSTREAM_RESPONSE, CLIENT_RESPONSE, DOCUMENT


cdef class Subject:
    cdef readonly bytes identity, pseudonym
    cdef HmacKey _key

    cdef void begin(self, const unsigned char* run, Part part, Sha256* into) noexcept
    cdef bytes _named(self, const char* what, bytes id)
    cdef void _salt(self, const unsigned char* run, Part part, unsigned char* salt) noexcept
