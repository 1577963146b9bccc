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

enum { WAITING, TOLD }; /* TOLD: whoever asks never waits, and hears of the end by the event */

/* Asks for a write and its flush; whether the kernel has taken the request. */
static int ask(Journal *j, int file, const void *start, size_t length, uint64_t at, int how, uint64_t name) {
    struct iocb one = {.aio_data = name, .aio_lio_opcode = IOCB_CMD_PWRITE, .aio_fildes = (uint32_t)file,
                       .aio_rw_flags = how == TOLD ? RWF_DSYNC | RWF_NOWAIT : RWF_DSYNC,
                       .aio_flags = how == TOLD ? IOCB_FLAG_RESFD : 0, .aio_resfd = (uint32_t)j->event,
                       .aio_buf = (uintptr_t)start, .aio_nbytes = length, .aio_offset = (int64_t)at}, *all = &one;
    return j->requests && syscall(SYS_io_submit, j->requests, 1L, &all) == 1;
}

/* What the kernel shows of the answers that nobody has fetched; its name for our requests is where that lies. */
static int may_be_answered(Journal *j) {
    const struct { uint32_t id, size, head, tail, magic; } *shown = (const void *)(uintptr_t)j->requests;
    return shown->magic != 0xa10a10a1 || LOAD(shown->head) != LOAD(shown->tail);
}

/* Whether a request has come to its end, within so many ns, or however long it takes; what came of it: the bytes that
 * are durable, or an error below zero. */
static int answered(Journal *j, int64_t within, struct io_event *done) {
    struct timespec most = {within / 1000000000, within % 1000000000};
    return syscall(SYS_io_getevents, j->requests, 1L, 1L, done, within < 0 ? NULL : &most) == 1;
}

/* A file system that knows no such requests refuses them, now or when it is asked. */
static int is_refused(int64_t came) { return came == -EINVAL || came == -EOPNOTSUPP; }

static int write_durably(Journal *j, int file, const void *start, size_t length, uint64_t at) {
    int64_t came = 0;
    if (ask(j, file, start, length, at, WAITING, 0)) {
        struct io_event done;
        while (!answered(j, -1, &done)) continue;
        came = done.res;
        if ((size_t)came == length) return 0;
        if (came < 0) {
            if (!is_refused(came)) return (int)-came;
            came = 0;
        }
    }
    int error = write_all(file, (const unsigned char *)start + came, length - (size_t)came, at + (uint64_t)came);
    return error ? error : flush(file);
}

/* Where bytes begin in the file that are to follow those at `at`, and how many there are: whole blocks, what comes before
 * in the first, zeros after in the last. What is durable in a block is so written again, with the same bytes; a disk
 * changes a sector whole or not at all. */
static uint64_t staged(Journal *j, unsigned char *stage, const void *bytes, size_t length, uint64_t at, uint64_t *whole) {
    size_t before = at % BLOCK, all = before + length;
    *whole = (all + BLOCK - 1) / BLOCK * BLOCK;
    memcpy(stage, j->block, before);
    memcpy(stage + before, bytes, length);
    memset(stage + all, 0, *whole - all);
    return at - before;
}

static void go_on(Journal *j, const unsigned char *stage, uint64_t from, uint64_t end) { /* the last block begins what comes next */
    memcpy(j->block, stage + (end / BLOCK * BLOCK - from), end % BLOCK);
}

static int write_on_from(Journal *j, int file, const void *bytes, size_t length, uint64_t at) {
    uint64_t whole, from = staged(j, j->stage, bytes, length, at, &whole);
    int error = write_durably(j, file, j->stage, whole, from);
    if (!error) go_on(j, j->stage, from, at + length);
    return error;
}
