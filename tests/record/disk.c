/* A disk under test, preloaded into a process: what it does to the files of one folder is written down in order, and
 * fails, stops halfway or takes long where it is told to. The log is read by tests/record/disks.py.
 *
 * DISK_FOLDER  the folder; DISK_LOG  where to write, if at all; DISK_LIES  of fdatasync and fsync, the one that says yes and does nothing
 * DISK_PLAIN   no asynchronous requests: else a write that is to be durable is taken as one, done as a write and a flush
 */
#define _GNU_SOURCE
#undef _FILE_OFFSET_BITS
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/aio_abi.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP; /* one call at a time: the log is their order */
static const char *folder;
static const char *lies;
static int log_file = -1;
static struct { char name[16]; int after, times, error; } fault; /* error -1: half of a write */
static int seen, slow_ms;
static struct { char name[16]; int calls; } counted[16];
typedef struct { struct io_event event; int file, flies, asks; uint64_t at; } Request; /* flies: it has not come to its end */
static int plain, pending, most, event = -1; /* requests that were taken and not asked after, and how many there ever were */
static Request requests[16];

#define REAL(name, type) ((type)dlsym(RTLD_NEXT, name))
#define syscall REAL("syscall", long (*)(long, ...))

__attribute__((constructor)) static void prepare(void) {
    folder = getenv("DISK_FOLDER");
    lies = getenv("DISK_LIES");
    plain = getenv("DISK_PLAIN") != NULL;
    if (getenv("DISK_LOG")) log_file = (int)syscall(SYS_openat, AT_FDCWD, getenv("DISK_LOG"), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

void disk_fail(const char *name, int after, int times, int error) {
    pthread_mutex_lock(&lock);
    snprintf(fault.name, sizeof fault.name, "%s", name);
    fault.after = after, fault.times = times, fault.error = error, seen = 0;
    pthread_mutex_unlock(&lock);
}

void disk_slow(int milliseconds) { __atomic_store_n(&slow_ms, milliseconds, __ATOMIC_SEQ_CST); }

int disk_calls(const char *name) {
    int calls = 0;
    pthread_mutex_lock(&lock);
    for (int i = 0; i < 16; i++)
        if (!strcmp(counted[i].name, name)) calls = counted[i].calls;
    pthread_mutex_unlock(&lock);
    return calls;
}

static void put(char kind, const char *name, const char *other, uint64_t at, const void *bytes, uint64_t length) {
    if (log_file < 0) return;
    char head[PATH_MAX * 2 + 64];
    int size = snprintf(head, sizeof head, "%c %s %s %llu %llu\n", kind, name, other, (unsigned long long)at, (unsigned long long)length);
    syscall(SYS_write, log_file, head, size);
    if (bytes) syscall(SYS_write, log_file, bytes, length);
}

void disk_mark(uint64_t value) {
    pthread_mutex_lock(&lock);
    put('a', "-", "-", value, NULL, 0);
    pthread_mutex_unlock(&lock);
}

/* The name within the folder, "." for the folder itself, NULL when it is elsewhere. */
static const char *name_at(int directory, const char *path, char *space) {
    char link[64];
    size_t length = folder ? strlen(folder) : 0;
    if (!folder) return NULL;
    if (path && *path == '/') {
        snprintf(space, PATH_MAX, "%s", path);
    } else {
        if (directory == AT_FDCWD) return NULL;
        snprintf(link, sizeof link, "/proc/self/fd/%d", directory);
        ssize_t got = readlink(link, space, PATH_MAX - 1);
        if (got < 0) return NULL;
        space[got] = 0;
        if (path) snprintf(space + got, (size_t)(PATH_MAX - got), "/%s", path);
    }
    if (strncmp(space, folder, length)) return NULL;
    if (!space[length]) return ".";
    return space[length] == '/' && !strstr(space, " (deleted)") ? space + length + 1 : NULL;
}

/* Whether this call of a function fails; then errno says how. 2: only half of it is to be done. */
static int fails(const char *function) {
    for (int i = 0; i < 16; i++)
        if (!*counted[i].name || !strcmp(counted[i].name, function)) {
            snprintf(counted[i].name, sizeof counted[i].name, "%s", function);
            counted[i].calls++;
            break;
        }
    if (strcmp(fault.name, function)) return 0;
    int number = ++seen;
    if (number <= fault.after || number > fault.after + fault.times) return 0;
    if (fault.error == -1) return 2;
    errno = fault.error;
    return 1;
}

static int open_one(int directory, const char *path, int flags, mode_t mode) {
    char space[PATH_MAX];
    const char *name = name_at(directory, path, space);
    int made, file;
    pthread_mutex_lock(&lock);
    if (name && (flags & O_ACCMODE) != O_RDONLY && fails("openat")) {
        pthread_mutex_unlock(&lock);
        return -1;
    }
    made = name && (flags & O_CREAT) && syscall(SYS_faccessat, directory, path, F_OK, 0);
    file = (int)syscall(SYS_openat, directory, path, flags, mode);
    if (file >= 0 && made) put('c', name, "-", 0, NULL, 0);
    if (file >= 0 && name && !made && (flags & O_TRUNC)) put('t', name, "-", 0, NULL, 0);
    pthread_mutex_unlock(&lock);
    return file;
}

#define MODE mode_t mode = 0; if (flags & O_CREAT) { va_list more; va_start(more, flags); mode = va_arg(more, mode_t); va_end(more); }
int openat(int directory, const char *path, int flags, ...) { MODE return open_one(directory, path, flags, mode); }
int openat64(int directory, const char *path, int flags, ...) { MODE return open_one(directory, path, flags, mode); }
int open(const char *path, int flags, ...) { MODE return open_one(AT_FDCWD, path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE return open_one(AT_FDCWD, path, flags, mode); }

static ssize_t write_at(const char *function, char kind, int file, const void *bytes, size_t length, off_t at) {
    char space[PATH_MAX];
    const char *name = name_at(file, NULL, space);
    ssize_t wrote = -1;
    if (!name) return syscall(SYS_pwrite64, file, bytes, length, at);
    pthread_mutex_lock(&lock);
    int how = fails(function);
    if (how != 1) {
        size_t part = how == 2 && length > 1 ? length / 2 : length;
        put(kind, name, "-", (uint64_t)at, bytes, part);
        wrote = syscall(SYS_pwrite64, file, bytes, part, at);
    }
    pthread_mutex_unlock(&lock);
    return wrote;
}
ssize_t pwrite(int file, const void *bytes, size_t length, off_t at) { return write_at("pwrite", 'w', file, bytes, length, at); }
ssize_t pwrite64(int file, const void *bytes, size_t length, off64_t at) { return write_at("pwrite", 'w', file, bytes, length, at); }
ssize_t write(int file, const void *bytes, size_t length) {
    char space[PATH_MAX];
    if (!name_at(file, NULL, space)) return syscall(SYS_write, file, bytes, length);
    off_t at = lseek(file, 0, SEEK_CUR);
    ssize_t wrote = write_at("write", 'w', file, bytes, length, at);
    if (wrote > 0) lseek(file, at + wrote, SEEK_SET);
    return wrote;
}

static int truncate_one(int file, off_t size) {
    char space[PATH_MAX];
    const char *name = name_at(file, NULL, space);
    if (!name) return (int)syscall(SYS_ftruncate, file, size);
    pthread_mutex_lock(&lock);
    int result = fails("ftruncate") ? -1 : (int)syscall(SYS_ftruncate, file, size);
    if (!result) put('t', name, "-", (uint64_t)size, NULL, 0);
    pthread_mutex_unlock(&lock);
    return result;
}
int ftruncate(int file, off_t size) { return truncate_one(file, size); }
int ftruncate64(int file, off64_t size) { return truncate_one(file, size); }

static int sync_one(const char *function, int file) {
    char space[PATH_MAX];
    const char *name = name_at(file, NULL, space);
    int wait = __atomic_load_n(&slow_ms, __ATOMIC_SEQ_CST);
    if (!name) return (int)syscall(strcmp(function, "fsync") ? SYS_fdatasync : SYS_fsync, file);
    if (wait) usleep((useconds_t)wait * 1000);
    pthread_mutex_lock(&lock);
    int result = fails(function) ? -1 : 0;
    if (!result && !(lies && !strcmp(lies, function))) put('s', name, "-", 0, NULL, 0);
    pthread_mutex_unlock(&lock);
    return result;
}
int fdatasync(int file) { return sync_one("fdatasync", file); }
int fsync(int file) { return sync_one("fsync", file); }

static int rename_one(int from, const char *old, int to, const char *new) {
    char space[PATH_MAX], other[PATH_MAX];
    const char *name = name_at(from, old, space), *second = name_at(to, new, other);
    if (!name) return (int)syscall(SYS_renameat, from, old, to, new);
    pthread_mutex_lock(&lock);
    int result = fails("renameat") ? -1 : (int)syscall(SYS_renameat, from, old, to, new);
    if (!result) put('r', name, second, 0, NULL, 0);
    pthread_mutex_unlock(&lock);
    return result;
}
int renameat(int from, const char *old, int to, const char *new) { return rename_one(from, old, to, new); }
int rename(const char *old, const char *new) { return rename_one(AT_FDCWD, old, AT_FDCWD, new); }

static int unlink_one(int directory, const char *path) {
    char space[PATH_MAX];
    const char *name = name_at(directory, path, space);
    if (!name) return (int)syscall(SYS_unlinkat, directory, path, 0);
    pthread_mutex_lock(&lock);
    int result = fails("unlinkat") ? -1 : (int)syscall(SYS_unlinkat, directory, path, 0);
    if (!result) put('u', name, "-", 0, NULL, 0);
    pthread_mutex_unlock(&lock);
    return result;
}
int unlinkat(int directory, const char *path, int flags) { return flags ? (int)syscall(SYS_unlinkat, directory, path, flags) : unlink_one(directory, path); }
int unlink(const char *path) { return unlink_one(AT_FDCWD, path); }

/* Some of them are under way at once where nobody waits for the first, and end in any order. */
static unsigned chance(unsigned most) {
    static unsigned state = 1;
    return (state = state * 1103515245 + 12345) >> 16 & (most - 1);
}

static void end(Request *r) {
    char space[PATH_MAX];
    const char *name = name_at(r->file, NULL, space);
    int failed = r->event.res >= 0 && fails("fdatasync");
    if (failed) r->event.res = -errno;
    if (name && !(lies && !strcmp(lies, "fdatasync"))) put(r->event.res < 0 ? 'e' : 'd', name, "-", r->at, NULL, 0);
    r->flies = 0;
}

/* A write that is to be durable. What came of it is said when it is asked for; of one that nobody waits for it may come
 * later, and after that of others. */
static int take_request(const struct iocb *one) {
    int file = (int)one->aio_fildes, waits = !(one->aio_rw_flags & RWF_NOWAIT), slow = __atomic_load_n(&slow_ms, __ATOMIC_SEQ_CST);
    if (one->aio_lio_opcode != IOCB_CMD_PWRITE || !(one->aio_rw_flags & RWF_DSYNC) || pending == 16) abort();
    pthread_mutex_lock(&lock);
    int refused = fails("io_submit");
    pthread_mutex_unlock(&lock);
    if (refused) return -1;
    Request r = {.file = file, .at = (uint64_t)one->aio_offset, .event.data = one->aio_data, .event.res = -EAGAIN};
    if (waits || !slow) {
        ssize_t wrote = write_at("pwrite", waits ? 'w' : 'q', file, (const void *)(uintptr_t)one->aio_buf, one->aio_nbytes, one->aio_offset);
        if (wrote >= 0 && waits && sync_one("fdatasync", file)) wrote = -1;
        r.event.res = wrote < 0 ? -errno : wrote;
        r.flies = !waits && wrote >= 0;
    }
    if (one->aio_flags & IOCB_FLAG_RESFD) eventfd_write(event = (int)one->aio_resfd, 1);
    pthread_mutex_lock(&lock);
    r.asks = r.flies ? chance(16) : 0;
    requests[pending++] = r;
    most = pending > most ? pending : most;
    pthread_mutex_unlock(&lock);
    return 1;
}

/* Who ends waits for what it has asked for: then it is written, and not for certain on the disk. */
__attribute__((destructor)) static void end_all(void) {
    char space[PATH_MAX];
    for (int i = 0; i < pending; i++) {
        const char *name = requests[i].flies ? name_at(requests[i].file, NULL, space) : NULL;
        if (name) put('e', name, "-", requests[i].at, NULL, 0);
    }
}

int disk_most(void) { return most; }

static int say_what_came(struct io_event *done, const struct timespec *wait) {
    pthread_mutex_lock(&lock);
    int some = 0;
    if (pending) {
        Request *r = &requests[chance(16) % (unsigned)pending];
        some = !r->asks || !wait || wait->tv_sec || wait->tv_nsec;
        if (!some) {
            r->asks--;
        } else {
            if (r->flies) end(r);
            *done = r->event;
            *r = requests[--pending];
        }
        if (pending) eventfd_write(event, 1); /* it is to ask again */
    }
    pthread_mutex_unlock(&lock);
    return some;
}

static int set_up(uint64_t *name) {
    static uint64_t shows_nothing[16];
    if (plain) return errno = ENOSYS, -1;
    *name = (uintptr_t)shows_nothing;
    return 0;
}

#undef syscall
long syscall(long number, ...) {
    long a[6];
    va_list more;
    va_start(more, number);
    for (int i = 0; i < 6; i++) a[i] = va_arg(more, long);
    va_end(more);
    switch (number) {
    case SYS_io_setup: return set_up((uint64_t *)a[1]);
    case SYS_io_destroy: return 0;
    case SYS_io_submit: return take_request(*(struct iocb **)a[2]);
    case SYS_io_getevents: return say_what_came((struct io_event *)a[3], (const struct timespec *)a[4]);
    default: return REAL("syscall", long (*)(long, ...))(number, a[0], a[1], a[2], a[3], a[4], a[5]);
    }
}
