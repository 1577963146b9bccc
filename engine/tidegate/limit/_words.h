/* The words of the shared table, and the orders in which they are read and written.
 *
 * Any process may be killed between any two instructions. What follows therefore keeps to three rules: a word that many
 * write is only changed by compare-and-swap; a word that one process writes is never written by another while that one
 * lives; and a change of several words is first written down whole (`redo`), so that whoever finds it can finish it.
 */
#include <stdint.h>
#include <string.h>
#include <time.h>

#define MOST ((int64_t)1 << 62)
#define NEIGHBOURHOOD 128 /* a key lives at one of so many places from its home on */

enum { RATE = 1, BUDGET, CONCURRENT, OWNER };

/* An entry's life. FREE -> BUSY -> CLAIMED -> LIVE is the claimant's, LIVE -> RETIRING -> CLEARING -> FREE the
 * supervisor's; whoever needs a RETIRING entry makes it LIVE again, and of two claims of a key one is made DEAD. */
enum { FREE, BUSY, CLAIMED, LIVE, RETIRING, CLEARING, DEAD };

typedef struct { /* read by every draw, written almost never */
    uint64_t word;      /* state 3 bits, worker 10, its epoch 22, generation 29 */
    uint64_t high, low; /* the key */
    int64_t ends;       /* Unix time in ns when a budget's window is over */
    uint32_t kind;
    int32_t owner; /* the entry that counts its owner's entries, or -1 */
    int64_t unused[3];
} Entry;

typedef struct {
    uint64_t high, low;
} Key;

typedef struct { /* a line of one worker in one bucket; the last line of a bucket belongs to all */
    int64_t held;
    int64_t settled;
    int64_t word; /* last line only: a rate's time of arrival, or an owner's count */
    int64_t mark; /* the last record of the worker's journal that is in `settled`, see mark_of */
    int64_t unused[4];
} Cell;

typedef struct {
    uint64_t life; /* epoch and whether it is joined */
    int64_t pid, born;
    uint64_t turn;
    uint64_t redo; /* the cell that is being changed, plus one */
    int64_t redo_held, redo_settled, redo_mark;
    int64_t counters[7];
    uint64_t journal; /* the epoch of the journal that records what this life settles; 0: there is none */
} Worker;

typedef struct {
    char magic[8];
    uint64_t layout, slots, workers;
    char boot[16];
    unsigned char seed[16];
    uint64_t turn;    /* what the workers' turns are compared with */
    int64_t wall;     /* Unix time in ns at which the latest window was chosen */
    int64_t unused[6];
} Header;

typedef struct { /* one process's view */
    Header *header;
    Worker *workers;
    Entry *entries;
    Cell *cells;
    uint64_t slots;
    int64_t count; /* of workers; also the number of the last line and of the supervisor */
    int64_t me;
    uint64_t epoch;
    int64_t quota;
} View;

enum { FULL, QUOTA, EXPIRED, OVERDRAWN, REAPED, RECLAIMED, KILLED_CLAIMS };

#define LOAD(place) __atomic_load_n(&(place), __ATOMIC_SEQ_CST)
#define STORE(place, value) __atomic_store_n(&(place), (value), __ATOMIC_SEQ_CST)
#define KEEP(place, value) __atomic_store_n(&(place), (value), __ATOMIC_RELEASE)

static inline int swap_u(uint64_t *word, uint64_t old, uint64_t new_) {
    return __atomic_compare_exchange_n(word, &old, new_, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}

static inline void tally(View *t, int which) { /* one writer each */
    int64_t *counter = &t->workers[t->me].counters[which];
    __atomic_store_n(counter, *counter + 1, __ATOMIC_RELAXED);
}

static inline int64_t clock_of(clockid_t which) {
    struct timespec at;
    clock_gettime(which, &at);
    return (int64_t)at.tv_sec * 1000000000 + at.tv_nsec;
}

static inline int64_t sum(int64_t a, int64_t b) { /* stays at the end of the numbers rather than turning over */
    int64_t total;
    if (__builtin_add_overflow(a, b, &total)) return a > 0 ? INT64_MAX : INT64_MIN;
    return total;
}

static inline int64_t cost_of(int64_t amount, uint64_t ahead, uint64_t units) {
    unsigned __int128 whole = (unsigned __int128)(uint64_t)amount * ahead + (units - 1);
    if (!(whole >> 64)) return (uint64_t)whole / units < (uint64_t)MOST ? (int64_t)((uint64_t)whole / units) : MOST;
    whole /= units;
    return whole < (unsigned __int128)MOST ? (int64_t)whole : MOST;
}

static inline int64_t amount_of(int64_t time, uint64_t ahead, uint64_t units) { /* what so much time is enough for */
    unsigned __int128 whole = (unsigned __int128)(uint64_t)time * units / ahead;
    return whole < (unsigned __int128)MOST ? (int64_t)whole : MOST;
}

/* Rates: the word is the time at which nothing is owed any more. */

static inline int64_t later(int64_t time, int64_t now, int64_t cost) {
    int64_t to = sum(time > now ? time : now, cost);
    return to < MOST ? to : MOST;
}

static inline int64_t take(int64_t *word, int64_t cost, int64_t depth, int64_t now, int force) {
    /* 0 when taken, else how long to wait */
    int64_t time = __atomic_load_n(word, __ATOMIC_RELAXED);
    for (;;) {
        int64_t to = later(time, now, cost);
        int64_t over = to - now - depth;
        if (over > 0 && !force) return over;
        if (__atomic_compare_exchange_n(word, &time, to, 0, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED)) return 0;
    }
}

static inline void refund(int64_t *word, int64_t cost, int64_t now) { /* never to before now */
    int64_t time = __atomic_load_n(word, __ATOMIC_RELAXED);
    while (time > now) {
        int64_t to = time - cost > now ? time - cost : now;
        if (__atomic_compare_exchange_n(word, &time, to, 0, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED)) return;
    }
}

/* Budgets and concurrency: whoever adds does so before it looks, so that of two at least one sees the other; whoever
 * settles does so before it gives back, and whoever looks reads what is held first, so that nothing is ever unseen. */

static inline Cell *cell_of(View *t, int64_t slot, int64_t worker) { return &t->cells[slot * (t->count + 1) + worker]; }

static inline int64_t *word_of(View *t, int64_t slot) { return &cell_of(t, slot, t->count)->word; }

static inline int64_t drawn_in(View *t, int64_t slot) {
    Cell *line = cell_of(t, slot, 0);
    int64_t total = 0;
    for (int64_t i = 0; i <= t->count; i++) total = sum(total, LOAD(line[i].held));
    for (int64_t i = 0; i <= t->count; i++) total = sum(total, LOAD(line[i].settled));
    return total;
}

static inline int64_t settled_in(View *t, int64_t slot) {
    Cell *line = cell_of(t, slot, 0);
    int64_t total = 0;
    for (int64_t i = 0; i <= t->count; i++) total = sum(total, LOAD(line[i].settled));
    return total;
}

static inline int hold(View *t, int64_t slot, int64_t amount, int64_t max, int force) {
    Cell *mine = cell_of(t, slot, t->me);
    int64_t before = mine->held;
    STORE(mine->held, sum(before, amount));
    if (drawn_in(t, slot) <= max || force) return 1;
    STORE(mine->held, before);
    return 0;
}

/* What a record says is settled is said before it is done. A mark grows with the worker's lives and with the records of
 * a life, so that of any record it can be told whether it was done in a cell, and none is done twice. */
static inline int64_t mark_of(uint64_t epoch, uint64_t seq) { return (int64_t)((epoch & 0x3FFFFF) << 41 | (seq & 0x1FFFFFFFFFF)); }
static inline uint64_t seq_of(int64_t mark, uint64_t epoch) { /* 0 where it is that of another life */
    return (uint64_t)mark >> 41 == (epoch & 0x3FFFFF) ? (uint64_t)mark & 0x1FFFFFFFFFF : 0;
}

static inline void write_all(Worker *worker, View *t, int64_t index, int64_t held, int64_t settled, int64_t mark) {
    KEEP(worker->redo_held, held);
    KEEP(worker->redo_settled, settled);
    KEEP(worker->redo_mark, mark);
    KEEP(worker->redo, (uint64_t)index + 1);
    STORE(t->cells[index].settled, settled);
    KEEP(t->cells[index].mark, mark);
    STORE(t->cells[index].held, held);
    KEEP(worker->redo, 0);
}

static inline void settle_held(View *t, int64_t slot, int64_t amount, int64_t actual, uint64_t seq) {
    Cell *mine = cell_of(t, slot, t->me);
    int64_t mark = seq ? mark_of(t->epoch, seq) : mine->mark;
    write_all(&t->workers[t->me], t, mine - t->cells, mine->held - amount, sum(mine->settled, actual), mark);
}

static inline void let_go(View *t, int64_t slot, int64_t amount) {
    Cell *mine = cell_of(t, slot, t->me);
    STORE(mine->held, mine->held - amount);
}

/* Entries. */

static inline uint64_t state_of(uint64_t word) { return word & 7; }
static inline uint64_t in_state(uint64_t word, uint64_t state) { return (word & ~(uint64_t)7) | state; }
static inline uint64_t claimant_of(uint64_t word) { return word >> 3 & 0xFFFFFFFF; }
static inline uint64_t claimant(int64_t worker, uint64_t epoch) { return (uint64_t)worker | (epoch & 0x3FFFFF) << 10; }
static inline uint64_t next_free(uint64_t word) { return ((word >> 35) + 1) << 35; }

static inline int is_at(Entry *entry, uint64_t high, uint64_t low) { return LOAD(entry->high) == high && LOAD(entry->low) == low; }

/* Whether a LIVE word seen earlier is still that of its entry; one that is RETIRING becomes LIVE again. */
static inline int alive(View *t, int64_t slot, uint64_t word) {
    uint64_t now = __atomic_load_n(&t->entries[slot].word, __ATOMIC_ACQUIRE);
    if (now == word) return 1;
    if (now != in_state(word, RETIRING)) return 0;
    return swap_u(&t->entries[slot].word, now, word) || LOAD(t->entries[slot].word) == word;
}

static inline uint64_t neighbourhood(View *t) { return t->slots < NEIGHBOURHOOD ? t->slots : NEIGHBOURHOOD; }

static inline int64_t find(View *t, uint64_t high, uint64_t low, uint64_t *word) {
    uint64_t last = neighbourhood(t);
    for (uint64_t i = 0; i < last; i++) {
        int64_t slot = (int64_t)((low + i) & (t->slots - 1));
        Entry *entry = &t->entries[slot];
        uint64_t seen = LOAD(entry->word);
        if ((state_of(seen) == LIVE || state_of(seen) == RETIRING) && is_at(entry, high, low)) {
            *word = in_state(seen, LIVE);
            if (alive(t, slot, *word)) return slot;
        }
    }
    return -1;
}

/* Gives up a claim of one's own: the entry is FREE again, also when another has made it DEAD meanwhile. */
static inline void withdraw(View *t, int64_t slot, uint64_t word) {
    Entry *entry = &t->entries[slot];
    if (!swap_u(&entry->word, word, next_free(word))) STORE(entry->word, next_free(word));
}

/* One place for a key however many claim it at once: each shows its claim before it looks for others. Of two claims the
 * later place gives way, or is killed; the one that is left goes LIVE by compare-and-swap. Returns -1 when all places
 * of the key are taken, else the slot, with its LIVE word in `word`. */
static inline int64_t claim(View *t, uint64_t high, uint64_t low, uint32_t kind, int64_t ends, int32_t owner, uint64_t *word) {
    uint64_t last = neighbourhood(t), who = claimant(t->me, t->epoch) << 3;
    for (int64_t patience = 100;; patience--) {
        int64_t mine = find(t, high, low, word);
        if (mine >= 0) return mine;
        uint64_t at, claimed = 0;
        for (at = 0; at < last; at++) {
            mine = (int64_t)((low + at) & (t->slots - 1));
            uint64_t seen = LOAD(t->entries[mine].word);
            uint64_t busy = (seen >> 35 << 35) | who | BUSY;
            if (state_of(seen) == FREE && swap_u(&t->entries[mine].word, seen, busy)) {
                claimed = in_state(busy, CLAIMED);
                break;
            }
        }
        if (!claimed) return -1;
        Entry *entry = &t->entries[mine];
        STORE(entry->high, high);
        STORE(entry->low, low);
        STORE(entry->ends, ends);
        STORE(entry->kind, kind);
        STORE(entry->owner, owner);
        STORE(entry->word, claimed);
        int lost = 0;
        for (uint64_t i = 0; i < last && !lost; i++) {
            Entry *other = &t->entries[(low + i) & (t->slots - 1)];
            if (other == entry) continue;
            uint64_t seen = LOAD(other->word);
            if ((state_of(seen) == LIVE || state_of(seen) == RETIRING) && is_at(other, high, low)) lost = 1;
            if (state_of(seen) == CLAIMED && is_at(other, high, low)) {
                /* a claimant that died at an earlier place must not keep everybody waiting for the supervisor */
                if (i > at || patience <= 0) {
                    lost = !swap_u(&other->word, seen, in_state(seen, DEAD));
                    if (!lost) tally(t, KILLED_CLAIMS);
                } else {
                    lost = 1;
                }
            }
        }
        *word = in_state(claimed, LIVE);
        if (!lost && swap_u(&entry->word, claimed, *word)) return mine;
        withdraw(t, mine, claimed);
    }
}

/* What only the supervisor does. */

static inline int idle(View *t, int64_t slot, int64_t now, int64_t wall) {
    Entry *entry = &t->entries[slot];
    int64_t *word = word_of(t, slot);
    if (entry->kind == RATE) return LOAD(*word) <= now;
    if (entry->kind == OWNER) return LOAD(*word) <= 0;
    if (entry->kind == BUDGET && entry->ends > wall) return 0;
    for (int64_t i = 0; i <= t->count; i++)
        if (LOAD(cell_of(t, slot, i)->held)) return 0;
    return 1;
}

static inline void clear(View *t, int64_t slot, uint64_t word) { /* an entry that is CLEARING, whose cells nobody touches */
    Entry *entry = &t->entries[slot];
    for (int64_t i = 0; i <= t->count; i++) {
        Cell *cell = cell_of(t, slot, i);
        STORE(cell->held, 0);
        STORE(cell->settled, 0);
        STORE(cell->word, 0);
        STORE(cell->mark, 0);
    }
    STORE(entry->high, 0);
    STORE(entry->low, 0);
    STORE(entry->word, next_free(word));
}

static inline void finish_redo(View *t, Worker *worker) {
    uint64_t redo = LOAD(worker->redo);
    if (redo) write_all(worker, t, (int64_t)redo - 1, LOAD(worker->redo_held), LOAD(worker->redo_settled), LOAD(worker->redo_mark));
}
