/* The loop's own commits. While the writer sleeps, the loop asks the kernel for them itself, and hears of their end as it
 * hears of a socket: no thread is woken to begin one, and none to see that it is done. What would have to wait, the writer
 * does: a new segment, a file whose time is to be noted, a disk with too much to do.
 *
 * Two may be under way: who comes while a commit is written has not to wait until it is done. The second begins a block
 * of its own, for the disk may do them in either order, and counts when the first does.
 *
 * Either the writer commits or the loop; what belongs to a commit changes hands under the lock. All here is the loop's.
 */
#include "journal_disk.h"

/* Entries that are the writer's. To wake it is little for each of so many, and it begins later, when there are more. */
static const uint64_t MANY = 40;

static inline void wake_writer(Journal *j) {
    pthread_mutex_lock(&j->lock);
    STORE(j->asleep, AWAKE);
    pthread_mutex_unlock(&j->lock); /* first: on the same core the writer takes over at the signal, and wants the lock */
    pthread_cond_signal(&j->work);
}

static Flight *flight(Journal *j, unsigned number) { return &j->flights[(j->oldest + number) % FLIGHTS]; }

static int has_failed(const Flight *f) { return f->landed && f->came != (int64_t)f->whole; }

static int take_off(Journal *j) { /* with the lock; whether one more commit is under way */
    uint64_t count, from = j->tail, end = j->at, at = j->at;
    if (j->grounded || j->file < 0 || j->flying == FLIGHTS) return 0;
    if (is_gone(j)) return 0; /* the writer goes on in another */
    for (unsigned i = 0; i < j->flying; i++) {
        const Flight *before = flight(j, i);
        if (has_failed(before)) return 0;
        from += before->bytes;
        end = before->end;
        at = before->at + before->whole;
    }
    if ((at != end && at - end < LEAST_ZEROS) || at + SEAL_BYTES > j->end) return 0;
    uint64_t bytes = fitting(j, from, j->end - at - SEAL_BYTES, FLIGHT, &count);
    if (!count || (count > MANY && !j->flying)) return 0;
    Flight *f = flight(j, j->flying);
    f->at = staged(j, f->stage, j->bytes + from % j->size, bytes, at, &f->whole);
    if (!ask(j, j->file, f->stage, f->whole, f->at, TOLD, (uint64_t)(f - j->flights))) {
        j->grounded = !j->requests || is_refused(-errno);
        return 0;
    }
    f->end = at + bytes;
    f->bytes = bytes;
    f->count = count;
    f->began = clock_of(CLOCK_MONOTONIC);
    f->landed = 0;
    if (!j->since) STORE(j->since, f->began);
    j->ahead += count;
    j->flying++;
    return 1;
}

static void arrive(Journal *j) { /* with the lock: the oldest is durable */
    const Flight *f = flight(j, 0);
    go_on(j, f->stage, f->at, f->end);
    j->at = f->end;
    j->ahead -= f->count;
    j->oldest = (j->oldest + 1) % FLIGHTS;
    j->flying--;
    publish(j, f->bytes, f->count);
    if (j->flying) STORE(j->since, flight(j, 0)->began);
    j->ride = clock_of(CLOCK_MONOTONIC) + LAZY;
}

/* With the lock: the oldest has failed, and none is under way any more. One that would have had to wait, or was done in
 * part, the writer does again; where something stands behind it, in the next segment. */
static void turn_back(Journal *j) {
    int64_t came = flight(j, 0)->came;
    int lost = came < 0 && came != -EAGAIN && !is_refused(came);
    if (is_refused(came)) j->grounded = 1;
    if (lost) fail(j, (int)-came);
    if (lost || j->flying > 1) leave(j);
    j->flying = 0;
    j->ahead = 0;
}

static int all_landed(Journal *j) {
    unsigned landed = 0;
    while (landed < j->flying && flight(j, landed)->landed) landed++;
    return landed == j->flying;
}

/* What one of the loop's commits has come to. It counts when all before it do. */
static void land(Journal *j, const struct io_event *done) {
    Flight *f = &j->flights[done->data];
    f->came = done->res;
    f->landed = 1;
    pthread_mutex_lock(&j->lock);
    while (j->flying && flight(j, 0)->landed && !has_failed(flight(j, 0))) arrive(j);
    int again = j->flying && all_landed(j);
    if (again) turn_back(j);
    int idle = !j->flying && LOAD(j->asleep) == IDLE && j->tail != LOAD(j->ring->head);
    pthread_mutex_unlock(&j->lock);
    if (again) wake_writer(j);
    else if (idle) pthread_cond_signal(&j->work); /* what nobody waits for, it now rides along for */
}

static inline void look(Journal *j, int64_t within) {
    struct io_event done;
    for (; j->flying && (within || may_be_answered(j)) && answered(j, within, &done); within = 0) land(j, &done);
}

static inline void land_all(Journal *j, int64_t until) {
    for (int64_t left; j->flying && (left = until - clock_of(CLOCK_MONOTONIC)) > 0;) look(j, left);
}

/* Whoever is waited for is committed, if the loop can do it at once; else the writer is woken, if it has reason to. */
static inline void wake(Journal *j) {
    int asleep = LOAD(j->asleep), waited = LOAD(j->wanted) > LOAD(j->durable) + j->ahead;
    if (asleep == AWAKE) return;
    if (!waited && (j->flying || asleep == RIDING || j->head == LOAD(j->tail))) return;
    pthread_mutex_lock(&j->lock);
    int flown = waited && LOAD(j->asleep) != AWAKE && take_off(j), flying = j->flying > 0;
    pthread_mutex_unlock(&j->lock);
    if (flown) look(j, 0);
    else if (!flying) wake_writer(j);
}

static inline int is_stale(Journal *j, int64_t limit) {
    if (!LOAD(j->since)) return 0;
    look(j, 0);
    int64_t since = LOAD(j->since);
    return since && clock_of(CLOCK_MONOTONIC_COARSE) - since > limit;
}
