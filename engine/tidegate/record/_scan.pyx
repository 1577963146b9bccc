# cython: boundscheck=False, wraparound=False
"""Entries of a journal, one after the other. Compiled, because the sequencer reads all that workers write."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memcpy

cdef extern from "checksum.h" nogil:
    void crc_prepare()
    uint32_t crc_of(const void*, size_t, uint32_t)

cdef enum:
    ENTRY = 8  # bytes before a record: its length, and the checksum of its place and itself
    MOST = 65_535  # bytes of a record
    BLOCK = 4096
    SEALED = 0xFFFFFFFF

crc_prepare()


cdef bint is_zero(const char* start, Py_ssize_t size) noexcept:
    cdef Py_ssize_t at
    for at in range(size):
        if start[at]:
            return False
    return True


def whole_entries(bytes data not None, Py_ssize_t at, uint64_t seq, uint32_t key, Py_ssize_t begins, uint64_t last):
    cdef const char* start = PyBytes_AS_STRING(data)
    cdef Py_ssize_t size = PyBytes_GET_SIZE(data), end = at, rest
    cdef uint32_t length, crc
    cdef unsigned char[12] place
    cdef list records = []
    while size - at >= ENTRY:
        memcpy(&length, start + at, 4)
        if length == 0 and at == end and begins >= 0 and seq <= last:
            rest = BLOCK - (begins + at) % BLOCK
            if rest < BLOCK and is_zero(start + at, min(rest, size - at)):  # what follows stands in the next block
                at += rest
                continue
        if length == SEALED:
            return records, at, "seal"
        if seq > last:
            break
        if not 0 < length <= MOST:
            return records, end, "invalid"
        if size - at - ENTRY < length:
            break
        memcpy(&crc, start + at + 4, 4)
        memcpy(place, &seq, 8)
        memcpy(place + 8, &length, 4)
        if crc_of(start + at + ENTRY, length, crc_of(place, 12, key)) != crc:
            return records, end, "invalid"
        records.append(PyBytes_FromStringAndSize(start + at + ENTRY, length))
        at += ENTRY + length
        end = at
        seq += 1
    return records, end, "more"
