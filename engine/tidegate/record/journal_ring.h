/* The ring, and what the loop does with it: nothing here waits for the disk. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "checksum.h"

#ifdef __GLIBC__
#if __GLIBC_PREREQ(2, 30)
#define HAS_CLOCKWAIT
#endif
#endif

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the journal's files are little-endian, and are written as they lie in memory"
#endif

enum {
    HEADER_BYTES = 44,
    ENTRY_BYTES = 8,
    SEAL_BYTES = 16,
    RING_HEADER = 4096,
    FIRST_SEGMENT = 1 << 20, /* segments double from here, so that a worker with little to say takes little space */
    ZEROS = 1 << 20,         /* written at once by the preparer */
    FLUSHED = 1 << 22,       /* and flushed: what a commit may have to wait behind */
    BLOCK = 4096,            /* what is written begins and ends at its multiples */
    STAGE = 1 << 18,         /* and is at most so much */
    FLIGHTS = 2,             /* commits of the loop's at a time */
    FLIGHT = 1 << 16,        /* each at most so much */
    LEAST_ZEROS = 4,         /* before a block that an entry begins: the length of none */
};
static const uint32_t SEALED = 0xFFFFFFFF;
static const int64_t LAZY = 5000000;   /* ns that an entry rides along for when nobody waits for it */
static const int64_t SHORT_TURN = 100000; /* ns of a core at a time, the least that can be asked for */
static const int64_t RETRY = 50000000; /* ns between attempts after a failure */
static const int64_t LOOK = 1000000000; /* ns between looks at whether the segment still has a name */

typedef struct {
    uint64_t tail, durable;
} Place;

typedef struct { /* the first page of the ring's file */
    uint64_t magic;
    uint32_t worker, unused;
    uint64_t epoch, size;
    unsigned char boot[16];
    uint64_t keep, unused_too;
    uint64_t head, line_of_the_loop[7];
    uint64_t turn;
    Place places[2];
} RingHeader;

typedef struct { /* a commit of the loop's */
    unsigned char *stage;
    uint64_t at, whole;          /* blocks of the segment */
    uint64_t end, bytes, count;  /* where its entries end there, what they are in the ring, and how many */
    int64_t began, came;
    int landed;
} Flight;

enum { NO_SPARE, WANTED, READY };
enum { AWAKE, IDLE, RIDING }; /* IDLE: any entry wakes the writer. RIDING: only one that somebody waits for */
enum { RUNNING, DRAINING, ENDED };

typedef struct {
    int folder, ring_file, event;
    uint32_t worker, key;
    uint64_t epoch, segment_size;
    RingHeader *ring;
    unsigned char *bytes; /* the ring, mapped twice in a row, so that no entry is ever in two pieces */
    uint64_t size;
    char ring_path[512];
    uint64_t head, last; /* the loop's own: bytes and entries appended */
    /* words that one side writes and the other reads */
    uint64_t tail, durable, wanted, failures;
    int64_t since; /* when the oldest commit that is under way began, 0 when none is */
    int64_t room, reserve; /* what is left of the segment, and what of that is for calls that run already */
    int trouble;   /* why the last commit failed, 0 when it did not */
    int low;       /* why the next segment could not be made, 0 when it could */
    int asleep;
    /* whoever commits has these: the writer, or the loop while the writer sleeps */
    int file, sealed_file;
    uint64_t at, end;     /* of the segment: the next entry's place, and its size */
    uint64_t sealed_size; /* of the one that was sealed last, until the preparer has it */
    uint64_t requests;    /* the kernel's name for those that are under way, 0 where it takes none */
    unsigned char *stage; /* of the writer's commits */
    unsigned char block[BLOCK]; /* begins with what the block that `at` is in holds already */
    Flight flights[FLIGHTS];    /* of the loop's */
    unsigned oldest;
    uint64_t ahead; /* entries that are in them */
    int grounded;   /* there can be none */
    int named;      /* the file system says of open files how many names they have */
    int64_t looked; /* when it was seen last that the segment has one */
    /* under the lock */
    unsigned flying;      /* commits of the loop's that are under way */
    int64_t ride;         /* until when the writer rides along */
    pthread_mutex_t lock;
    pthread_cond_t work, done, prepare;
    pthread_t writer, preparer;
    int spare, spare_file, full, closing, threads, sealed; /* full: a segment to be shortened */
    uint64_t number, spare_size, full_size;
} Journal;

#define LOAD(place) __atomic_load_n(&(place), __ATOMIC_SEQ_CST)
#define STORE(place, value) __atomic_store_n(&(place), (value), __ATOMIC_SEQ_CST)

static inline int64_t clock_of(clockid_t which) {
    struct timespec at;
    clock_gettime(which, &at);
    return (int64_t)at.tv_sec * 1000000000 + at.tv_nsec;
}

/* Waits for a signal, with the lock; whether the time is over instead. Whatever is done to the wall clock means nothing. */
static int wait_until(pthread_cond_t *signal, pthread_mutex_t *lock, int64_t until) {
    struct timespec at = {until / 1000000000, until % 1000000000};
#ifdef HAS_CLOCKWAIT
    return pthread_cond_clockwait(signal, lock, CLOCK_MONOTONIC, &at) == ETIMEDOUT;
#else
    return pthread_cond_timedwait(signal, lock, &at) == ETIMEDOUT; /* their clock is set where they are made */
#endif
}

/* What an entry's checksum covers: its place as well as its record. */
static inline uint32_t checksum(uint32_t key, uint64_t seq, uint32_t length, const void *body, size_t size) {
    unsigned char place[12];
    memcpy(place, &seq, 8);
    memcpy(place + 8, &length, 4);
    return crc_of(body, size, crc_of(place, sizeof place, key));
}

/* The loop's side. */

/* The entry's seq, or 0 when the ring has less than `spare` bytes left after it. */
static inline uint64_t append(Journal *j, const void *record, uint32_t length, uint64_t spare) {
    uint64_t used = j->head - LOAD(j->tail);
    if (used + ENTRY_BYTES + length + spare > j->size) return 0;
    unsigned char *to = j->bytes + j->head % j->size;
    uint32_t crc = checksum(j->key, ++j->last, length, record, length);
    memcpy(to, &length, 4);
    memcpy(to + 4, &crc, 4);
    memcpy(to + ENTRY_BYTES, record, length);
    j->head += ENTRY_BYTES + length;
    __atomic_store_n(&j->ring->head, j->head, __ATOMIC_SEQ_CST); /* from here on a kill does not lose it */
    return j->last;
}

static inline uint64_t load_durable(Journal *j) { return LOAD(j->durable); }
static inline int load_trouble(Journal *j) { return LOAD(j->trouble); }
static inline uint64_t load_failures(Journal *j) { return LOAD(j->failures); }
static inline void store_wanted(Journal *j, uint64_t seq) { STORE(j->wanted, seq); }

static inline int is_crowded(Journal *j) { return 2 * (j->head - LOAD(j->tail)) > j->size; }

static inline int is_idle(Journal *j) { return LOAD(j->asleep) == IDLE; }

/* Running calls can still end on a disk that is full: new ones are refused while a quarter of a segment is left. */
static inline int is_short(Journal *j) { return LOAD(j->low) && LOAD(j->room) < LOAD(j->reserve); }
