# cython: boundscheck=False, wraparound=False
"""Hashes of many entries and of whole tiles. Compiled, because every record of the ledger is hashed twice on average."""

from hashlib import sha256

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

from tidegate.record._subject cimport Sha256, sha256_add, sha256_begin, sha256_end, sha256_prepare

cdef enum:
    BYTES = 32

cdef bytes EMPTY = sha256().digest()
sha256_prepare()


def leaf_hashes(entries):
    cdef unsigned char[32] said
    cdef list found = []
    cdef bytes entry
    for entry in entries:
        _hash(b"\x00", PyBytes_AS_STRING(entry), PyBytes_GET_SIZE(entry), said)
        found.append(PyBytes_FromStringAndSize(<char*>said, BYTES))
    return found


def root_hash(hashes):
    cdef Py_ssize_t count = len(hashes), at = 0
    cdef bytes each
    if not count:
        return EMPTY
    cdef unsigned char* row = <unsigned char*>malloc(count * BYTES)
    if row is NULL:
        raise MemoryError
    try:
        for each in hashes:
            if at == count or PyBytes_GET_SIZE(each) != BYTES:
                raise ValueError(f"a hash has {BYTES} bytes")
            memcpy(row + at * BYTES, PyBytes_AS_STRING(each), BYTES)
            at += 1
        while count > 1:
            for at in range(count // 2):
                _hash(b"\x01", row + at * 2 * BYTES, 2 * BYTES, row + at * BYTES)
            if count % 2:  # a last node without a neighbour rises unchanged
                memcpy(row + count // 2 * BYTES, row + (count - 1) * BYTES, BYTES)
            count = (count + 1) // 2
        return PyBytes_FromStringAndSize(<char*>row, BYTES)
    finally:
        free(row)


cdef void _hash(bytes first, const void* rest, size_t length, unsigned char* said) noexcept:
    cdef Sha256 of
    sha256_begin(&of)
    sha256_add(&of, PyBytes_AS_STRING(first), PyBytes_GET_SIZE(first))
    sha256_add(&of, rest, length)
    sha256_end(&of, said)
