/* The loop's own commits. While the writer sleeps, the loop asks the kernel for one itself, and hears of its end as it
 * hears of a socket: no thread is woken to begin it, and none to see that it is done. What would have to wait, the writer
 * does: a new segment, a file whose time is to be noted, a disk with too much to do.
 *
 * One of the two commits at a time, and has what belongs to it; it changes hands under the lock. All here is the loop's.
 */
#include "journal_disk.h"

/* Entries that are the writer's. To wake it is little for each of so many, and it begins later, when there are more. */
static const uint64_t MANY = 16;

static inline void wake_writer(Journal *j) {
    pthread_mutex_lock(&j->lock);
    STORE(j->asleep, AWAKE);
    pthread_mutex_unlock(&j->lock); /* first: on the same core the writer takes over at the signal, and wants the lock */
    pthread_cond_signal(&j->work);
}

static int take_off(Journal *j) { /* with the lock; whether a commit is under way */
    uint64_t length, count;
    if (j->grounded || j->file < 0) return 0;
    length = fitting(j, j->end - j->at - SEAL_BYTES, &count);
    if (!count || count > MANY) return 0;
    uint64_t from = staged(j, j->bytes + j->tail % j->size, length, j->at, &j->flight);
    if (!ask(j, j->file, j->stage, j->flight, from, TOLD)) {
        j->grounded = !j->requests || is_refused(-errno);
        return 0;
    }
    j->flight_bytes = length;
    j->flight_count = count;
    if (!j->since) STORE(j->since, clock_of(CLOCK_MONOTONIC));
    return 1;
}

/* What the loop's commit has come to. One that would have had to wait, or was done in part, the writer does again. */
static void land(Journal *j, int64_t came) {
    pthread_mutex_lock(&j->lock);
    j->flying = 0;
    if (came == (int64_t)j->flight) {
        go_on(j, j->flight_bytes, j->at);
        j->at += j->flight_bytes;
        publish(j, j->flight_bytes, j->flight_count);
        j->ride = clock_of(CLOCK_MONOTONIC) + LAZY;
    } else if (is_refused(came)) {
        j->grounded = 1;
    } else if (came < 0 && came != -EAGAIN) {
        leave(j);
        fail(j, (int)-came);
    }
    int idle = LOAD(j->asleep) == IDLE && j->tail != LOAD(j->ring->head);
    pthread_mutex_unlock(&j->lock);
    if (came != (int64_t)j->flight) wake_writer(j);
    else if (idle) pthread_cond_signal(&j->work); /* what nobody waits for, it now rides along for */
}

static inline void look(Journal *j, int64_t within) {
    int64_t came;
    if (j->flying && (within || may_be_answered(j)) && answered(j, within, &came)) land(j, came);
}

/* Whoever is waited for is committed, if the loop can do it at once; else the writer is woken, if it has reason to. */
static inline void wake(Journal *j) {
    int asleep = LOAD(j->asleep), waited = LOAD(j->wanted) > LOAD(j->durable);
    if (asleep == AWAKE || j->flying) return;
    if (!waited && (asleep == RIDING || j->head == LOAD(j->tail))) return;
    pthread_mutex_lock(&j->lock);
    j->flying = waited && LOAD(j->asleep) != AWAKE && take_off(j);
    pthread_mutex_unlock(&j->lock);
    if (j->flying) look(j, 0);
    else wake_writer(j);
}

static inline int is_stale(Journal *j, int64_t limit) {
    if (!LOAD(j->since)) return 0;
    look(j, 0);
    int64_t since = LOAD(j->since);
    return since && clock_of(CLOCK_MONOTONIC_COARSE) - since > limit;
}
