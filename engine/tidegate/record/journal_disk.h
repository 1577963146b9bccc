/* The two threads: what they do to the disk, in which order, and what happens when it fails.
 *
 * The order of a commit is what makes it one: entries, flush, and for a new segment its name; only then the words that
 * say that they are durable. Whatever fails on the way leaves those words as they were.
 *
 * No commit changes what a file system keeps of a file, but for that name, and none waits until a name is durable: such
 * a flush waits for everything that anybody on the disk is writing, 150 ms and more where it is much. The preparer has
 * made the spare's name durable, and recovery knows a segment that has still, or again, that name.
 */
#include <sys/stat.h>

#include "journal_write.h"
#include "turns.h"

static void name_of(Journal *j, uint64_t number, const char *kind, char *name) {
    snprintf(name, 64, "%04u-%012llu-%08llu.%s", j->worker, (unsigned long long)j->epoch, (unsigned long long)number, kind);
}

/* Past the page cache where the file system allows it: a commit takes two thirds of the CPU, and filling a segment half. */
static int open_spare(Journal *j, const char *name) {
    const int flags = O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC;
    int file = openat(j->folder, name, flags | O_DIRECT, 0600);
    return file < 0 && errno == EINVAL ? openat(j->folder, name, flags, 0600) : file;
}

static int closing(Journal *j) {
    pthread_mutex_lock(&j->lock);
    int state = j->closing;
    pthread_mutex_unlock(&j->lock);
    return state;
}

static void wait_to_retry(Journal *j, pthread_cond_t *signal, int most) { /* with the lock; not once it closes */
    int64_t until = clock_of(CLOCK_MONOTONIC) + RETRY;
    while (j->closing < most && !wait_until(signal, &j->lock, until)) continue;
}

static void end_of_thread(Journal *j) { /* with the lock */
    j->threads--;
    pthread_cond_broadcast(&j->done);
    pthread_mutex_unlock(&j->lock);
}

static int make_spare(Journal *j, uint64_t number, int *file, uint64_t *size) {
    static const unsigned char zeros[ZEROS] __attribute__((aligned(BLOCK)));
    char name[64];
    int error = 0;
    name_of(j, number, "spare", name);
    *size = number < 20 ? (uint64_t)FIRST_SEGMENT << number : j->segment_size;
    if (*size > j->segment_size) *size = j->segment_size;
    *file = open_spare(j, name);
    if (*file < 0) return errno;
    if (fallocate(*file, 0, 0, (off_t)*size) && errno != EOPNOTSUPP) error = errno;
    for (uint64_t at = 0; at < *size && !error; at += ZEROS) {
        size_t length = *size - at < ZEROS ? *size - at : ZEROS;
        error = write_all(*file, zeros, length, at);
        if (error == EINVAL && !fcntl(*file, F_SETFL, 0)) error = write_all(*file, zeros, length, at); /* not past it */
        if (!error && ((at + ZEROS) % FLUSHED == 0 || at + ZEROS >= *size)) error = flush(*file);
        if (!error && closing(j) == ENDED) error = ECANCELED;
    }
    if (!error && number && fsync(j->folder)) error = errno; /* the first is a segment before anything counts */
    if (error) {
        close(*file);
        unlinkat(j->folder, name, 0);
    }
    return error;
}

/* Gives back what is left of a segment behind its seal, with the lock. Zeros are left, so that it may fail. */
static void shorten(Journal *j) {
    int file = j->full;
    off_t size = (off_t)j->full_size;
    j->full = -1;
    pthread_mutex_unlock(&j->lock);
    int kept = ftruncate(file, size);
    (void)kept;
    close(file);
    pthread_mutex_lock(&j->lock);
}

static void *prepare_on(void *argument) {
    Journal *j = argument;
    pthread_mutex_lock(&j->lock);
    while (j->closing != ENDED || j->full >= 0) {
        if (j->full >= 0) {
            shorten(j);
            continue;
        }
        if (j->spare != WANTED) {
            pthread_cond_wait(&j->prepare, &j->lock);
            continue;
        }
        int file;
        uint64_t size, number = j->number;
        pthread_mutex_unlock(&j->lock);
        int error = make_spare(j, number, &file, &size);
        pthread_mutex_lock(&j->lock);
        STORE(j->low, error);
        pthread_cond_signal(&j->work);
        if (!error) {
            j->spare = READY;
            j->spare_file = file;
            j->spare_size = size;
        } else {
            wait_to_retry(j, &j->prepare, ENDED);
        }
    }
    end_of_thread(j);
    return NULL;
}

static int take_spare(Journal *j) { /* waits while it is being made, but not once that has failed */
    pthread_mutex_lock(&j->lock);
    while (j->spare != READY && !LOAD(j->low)) pthread_cond_wait(&j->work, &j->lock);
    int error = j->spare == READY ? 0 : LOAD(j->low);
    if (!error) j->spare = NO_SPARE;
    pthread_mutex_unlock(&j->lock);
    return error;
}

static void want_spare(Journal *j, int named) {
    pthread_mutex_lock(&j->lock);
    j->number += (uint64_t)named;
    j->spare = WANTED;
    j->full = j->sealed_file;
    j->full_size = j->sealed_size;
    j->sealed_file = -1;
    pthread_cond_signal(&j->prepare);
    pthread_mutex_unlock(&j->lock);
}

static void leave(Journal *j) { /* a segment that failed is never written again */
    if (j->file >= 0) close(j->file);
    j->file = -1;
    STORE(j->room, 0);
}

/* Whether somebody has deleted the segment, so that nobody would ever find what is written there. */
static int is_gone(Journal *j) {
    struct stat said;
    int64_t now = clock_of(CLOCK_MONOTONIC_COARSE);
    if (now - j->looked < LOOK || fstat(j->file, &said)) return 0;
    if (!said.st_nlink) return j->named;
    j->named = 1;
    j->looked = now;
    return 0;
}

/* A new segment with the first of its entries, which has its name only when they are durable. */
static int begin(Journal *j, int file, uint64_t size, const void *entries, size_t length) {
    unsigned char *header = j->block;
    char spare[64], name[64];
    uint32_t layout = 2, crc;
    uint64_t first = j->durable + 1;
    memcpy(header, "TGSEGMT1", 8);
    memcpy(header + 8, &layout, 4);
    memcpy(header + 12, &j->worker, 4);
    memcpy(header + 16, &j->epoch, 8);
    memcpy(header + 24, &j->number, 8);
    memcpy(header + 32, &first, 8);
    crc = crc_of(header, 40, 0);
    memcpy(header + 40, &crc, 4);
    name_of(j, j->number, "spare", spare);
    name_of(j, j->number, "segment", name);
    int error = flock(file, LOCK_EX | LOCK_NB) ? errno : 0; /* nobody recovers what is still written */
    if (!error) error = write_on_from(j, file, entries, length, HEADER_BYTES);
    if (!error && renameat(j->folder, spare, j->folder, name)) error = errno;
    if (error) {
        unlinkat(j->folder, spare, 0);
        close(file);
    } else {
        j->file = file;
        j->at = HEADER_BYTES + length;
        j->end = size;
        if (!(fcntl(file, F_GETFL) & O_DIRECT)) j->grounded = 1; /* through the page cache a flush is waited for */
        STORE(j->reserve, (int64_t)(size / 4));
    }
    want_spare(j, !error);
    return error;
}

static int seal(Journal *j, uint64_t last) {
    unsigned char seal[SEAL_BYTES];
    uint32_t crc = checksum(j->key, j->durable + 1, SEALED, &last, sizeof last);
    memcpy(seal, &SEALED, 4);
    memcpy(seal + 4, &crc, 4);
    memcpy(seal + 8, &last, 8);
    int error = write_on_from(j, j->file, seal, sizeof seal, j->at);
    if (!error && last) error = ftruncate(j->file, (off_t)(j->at + sizeof seal)) ? errno : flush(j->file);
    if (!error && !last) { /* the preparer shortens it */
        j->sealed_file = j->file;
        j->sealed_size = j->at + sizeof seal;
        j->file = -1;
    }
    leave(j);
    return error;
}

/* The bytes of the entries from `from` on that fit into `room` and are at most so many, and how many entries they are. */
static uint64_t fitting(Journal *j, uint64_t from, uint64_t room, uint64_t most, uint64_t *count) {
    uint64_t head = LOAD(j->ring->head), to = from;
    if (room > most) room = most;
    for (*count = 0; to < head; ++*count) {
        uint32_t length;
        memcpy(&length, j->bytes + to % j->size, 4);
        if (to + ENTRY_BYTES + length - from > room) break;
        to += ENTRY_BYTES + length;
    }
    return to - from;
}

static void publish(Journal *j, uint64_t length, uint64_t count) {
    uint64_t before = j->durable, turn = j->ring->turn + 1;
    Place *place = &j->ring->places[turn & 1];
    __atomic_store_n(&place->tail, j->tail + length, __ATOMIC_RELAXED);
    __atomic_store_n(&place->durable, before + count, __ATOMIC_RELAXED);
    __atomic_store_n(&j->ring->turn, turn, __ATOMIC_RELEASE);
    STORE(j->room, (int64_t)(j->end - j->at));
    STORE(j->trouble, 0);
    STORE(j->since, 0);
    STORE(j->durable, before + count);
    STORE(j->tail, j->tail + length);
}

static int commit(Journal *j) {
    uint64_t count = 0, length = 0;
    int error = 0;
    if (!j->since) STORE(j->since, clock_of(CLOCK_MONOTONIC));
    if (j->file >= 0 && is_gone(j)) leave(j);
    if (j->file >= 0) {
        length = fitting(j, j->tail, j->end - j->at - SEAL_BYTES, STAGE, &count);
        if (!count) {
            error = seal(j, 0);
        } else {
            error = write_on_from(j, j->file, j->bytes + j->tail % j->size, length, j->at);
            if (error) leave(j);
            j->at += length;
        }
    }
    if (!error && !count && !(error = take_spare(j))) {
        length = fitting(j, j->tail, j->spare_size - HEADER_BYTES - SEAL_BYTES, STAGE, &count);
        error = begin(j, j->spare_file, j->spare_size, j->bytes + j->tail % j->size, length);
    }
    if (error) return error;
    int waited = LOAD(j->wanted) > j->durable;
    publish(j, length, count);
    if (waited) eventfd_write(j->event, 1);
    return 0;
}

static void fail(Journal *j, int error) {
    STORE(j->trouble, error);
    STORE(j->failures, j->failures + 1);
}

/* Until there is something to commit; 0 when there never will be. After a commit, its own or the loop's, it rides along,
 * also with nothing yet: where calls follow one another nobody has to wake it. When nothing has come by then it goes to
 * sleep. While the loop commits, it waits. */
static int wait_for_work(Journal *j) {
    pthread_mutex_lock(&j->lock);
    int over = 0;
    j->ride = clock_of(CLOCK_MONOTONIC) + LAZY;
    for (;;) {
        STORE(j->asleep, over ? IDLE : RIDING); /* shown before the words are read */
        int pending = j->tail != LOAD(j->ring->head);
        if (!j->flying && (j->closing || (pending && (over || LOAD(j->wanted) > j->durable)))) break;
        if (over) {
            pthread_cond_wait(&j->work, &j->lock);
            j->ride = clock_of(CLOCK_MONOTONIC) + LAZY;
            over = 0;
        } else {
            int64_t until = j->ride;
            over = wait_until(&j->work, &j->lock, until) && until == j->ride;
        }
    }
    STORE(j->asleep, AWAKE);
    if (LOAD(j->trouble)) wait_to_retry(j, &j->work, DRAINING);
    int more = j->tail != LOAD(j->ring->head);
    pthread_mutex_unlock(&j->lock);
    return more;
}

/* When the disk is done the writer wants a core that its loop keeps busy. Who asks for short turns is given it at once. */
static void *write_on(void *argument) {
    Journal *j = argument;
    int error = 0;
    take_turns(SHORT_TURN);
    while (wait_for_work(j) && !(error && closing(j))) {
        error = commit(j);
        if (error) {
            fail(j, error);
            eventfd_write(j->event, 1);
        }
        pthread_mutex_lock(&j->lock);
        pthread_cond_broadcast(&j->done);
        pthread_mutex_unlock(&j->lock);
    }
    if (!error) error = j->file >= 0 ? seal(j, 1) : EIO;
    pthread_mutex_lock(&j->lock);
    j->sealed = !error;
    j->closing = ENDED;
    pthread_cond_broadcast(&j->prepare);
    end_of_thread(j);
    return NULL;
}
