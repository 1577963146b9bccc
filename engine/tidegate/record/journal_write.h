/* What the journal's threads ask of a file: bytes written, and durable.
 *
 * A commit is one request where the kernel takes such (its asynchronous writes, which containers may use too): the flush
 * follows the write without a core of ours, and the writer is woken once. Written and flushed one after the other it is
 * woken twice, and each time wants the core that its loop keeps busy.
 */
#include <linux/aio_abi.h>
#include <linux/fs.h>
#include <sys/syscall.h>

#include "journal_ring.h"

static int write_all(int file, const void *start, size_t length, uint64_t at) {
    const unsigned char *from = start;
    while (length) {
        ssize_t wrote = pwrite(file, from, length, (off_t)at);
        if (wrote < 0 && errno == EINTR) continue;
        if (wrote <= 0) return wrote ? errno : EIO;
        from += wrote;
        at += (uint64_t)wrote;
        length -= (size_t)wrote;
    }
    return 0;
}

static int flush(int file) { return fdatasync(file) ? errno : 0; }

/* Asks for a write and its flush, and waits; whether the kernel has taken the request. What came of it: the bytes that
 * are durable, or an error below zero. */
static int ask(Journal *j, int file, const void *start, size_t length, uint64_t at, int64_t *came) {
    struct iocb one = {.aio_lio_opcode = IOCB_CMD_PWRITE, .aio_fildes = (uint32_t)file, .aio_rw_flags = RWF_DSYNC,
                       .aio_buf = (uintptr_t)start, .aio_nbytes = length, .aio_offset = (int64_t)at}, *all = &one;
    struct io_event done;
    if (!j->requests || syscall(SYS_io_submit, j->requests, 1L, &all) != 1) return 0;
    while (syscall(SYS_io_getevents, j->requests, 1L, 1L, &done, NULL) != 1) continue; /* a signal */
    *came = done.res;
    return done.res != -EINVAL && done.res != -EOPNOTSUPP; /* else a file system that knows no such requests */
}

static int write_durably(Journal *j, int file, const void *start, size_t length, uint64_t at) {
    int64_t came = 0;
    if (ask(j, file, start, length, at, &came)) {
        if (came < 0) return (int)-came;
        if ((size_t)came == length) return 0;
    } else {
        came = 0;
    }
    int error = write_all(file, (const unsigned char *)start + came, length - (size_t)came, at + (uint64_t)came);
    return error ? error : flush(file);
}
