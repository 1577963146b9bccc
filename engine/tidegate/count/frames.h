/* Frames: where the events of a stream end and what data each carries, as the WHATWG's grammar of server-sent events
   has it.

   A line ends with LF, CRLF or CR, and a byte order mark before the first is skipped. A line is a field's name, a colon,
   at most one space, and the field's value; without a colon all of it is the name. An empty line ends an event, whose
   data are the values of its `data` lines, joined by LF. Comments, which begin with a colon, and other fields than `data`
   and `event` are passed over.

   No byte is looked at twice, however a stream is cut into reads: what has been seen of an unfinished line stays seen.
   All places are offsets into the bytes from the first unfinished event on. */
#ifndef TIDEGATE_FRAMES_H
#define TIDEGATE_FRAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    size_t start;         /* of the event */
    size_t line, seen;    /* the start of the line being read; what is before `seen` does not end it */
    size_t lf, cr;        /* the next of each, at `seen` or later; at the end of the bytes where there is none */
    size_t from, to;      /* the value of the event's first `data` line */
    uint32_t lines;       /* how many `data` lines the event has */
    bool begun;           /* the first line of the stream has been read */
    bool after_cr;        /* an LF that comes now belongs to the CR before it */
    bool failed;          /* the event's name is `error` */
    uint8_t *joined;      /* the values of several `data` lines */
    size_t length, room;
} Frames;

static inline size_t next_byte(const uint8_t *s, size_t from, size_t n, int byte) {
    const uint8_t *found = from < n ? memchr(s + from, byte, n - from) : NULL;
    return found ? (size_t)(found - s) : n;
}

/* The bytes s, n of them, begin with the first unfinished event; more of them have arrived than were there before. */
static inline void frames_go_on(Frames *f, const uint8_t *s, size_t n) {
    if (f->after_cr && n > f->line) {
        if (s[f->line] == '\n') {
            if (f->start == f->line) f->start++; /* it ends the event before this one */
            f->line++;
            if (f->seen < f->line) f->seen = f->line;
        }
        f->after_cr = false;
    }
    f->lf = next_byte(s, f->seen, n, '\n');
    f->cr = next_byte(s, f->seen, n, '\r');
}

static inline bool joined_add(Frames *f, const uint8_t *s, size_t n) {
    if (f->length + n + 2 > f->room) {
        size_t room = 2 * (f->length + n + 2);
        uint8_t *more = realloc(f->joined, room);
        if (!more) return false;
        f->joined = more;
        f->room = room;
    }
    if (n) memcpy(f->joined + f->length, s, n);
    f->length += n;
    f->joined[f->length] = 0; /* stands behind the last byte, and ends what walks over it */
    return true;
}

static inline bool data_line(Frames *f, const uint8_t *s, size_t from, size_t to) {
    if (f->lines++ == 0) {
        f->from = from;
        f->to = to;
        return true;
    }
    if (f->lines == 2) {
        f->length = 0;
        if (!joined_add(f, s + f->from, f->to - f->from)) return false;
    }
    return joined_add(f, (const uint8_t *)"\n", 1) && joined_add(f, s + from, to - from);
}

/* Reads one line, which is not empty; false if memory lacks. */
static inline bool read_line(Frames *f, const uint8_t *s, size_t from, size_t to) {
    size_t colon = from;
    bool data = to - from >= 4 && !memcmp(s + from, "data", 4);
    bool name = !data && to - from >= 5 && !memcmp(s + from, "event", 5);
    if (!data && !name) return true;
    colon += data ? 4 : 5;
    if (colon < to && s[colon] != ':') return true; /* a longer name */
    size_t value = colon + 1 < to ? colon + 1 : to;
    if (value < to && s[value] == ' ') value++;
    if (data) return data_line(f, s, value, to);
    f->failed = to - value == 5 && !memcmp(s + value, "error", 5);
    return true;
}

typedef enum { UNFINISHED, EVENT, NO_ROOM } Framed;

/* Reads on until an event ends, which is then s from `start` to `line`. */
static inline Framed frames_next(Frames *f, const uint8_t *s, size_t n) {
    for (;;) {
        if (f->lf < f->seen) f->lf = next_byte(s, f->seen, n, '\n');
        if (f->cr < f->seen) f->cr = next_byte(s, f->seen, n, '\r');
        size_t from = f->line, to = f->lf < f->cr ? f->lf : f->cr;
        f->seen = to;
        if (to == n) return UNFINISHED;
        f->line = to + 1;
        if (to == f->cr) {
            if (f->line == n) f->after_cr = true;
            else if (s[f->line] == '\n') f->line++;
        }
        f->seen = f->line;
        if (!f->begun) {
            f->begun = true;
            if (to - from >= 3 && !memcmp(s + from, "\xEF\xBB\xBF", 3)) from += 3;
        }
        if (from == to) return EVENT;
        if (!read_line(f, s, from, to)) return NO_ROOM;
    }
}

/* The stream ends: reads what stands after the last line end, so that the event before it is whole. */
static inline bool frames_end(Frames *f, const uint8_t *s, size_t n) {
    size_t from = f->line;
    f->line = f->seen = n;
    if (!f->begun && n - from >= 3 && !memcmp(s + from, "\xEF\xBB\xBF", 3)) from += 3;
    return from == n || read_line(f, s, from, n);
}

/* The data of the event that ended; NULL if it has none. The byte behind them is readable and a line end or a zero. */
static inline const uint8_t *frames_data(const Frames *f, const uint8_t *s, size_t *n) {
    if (!f->lines) return NULL;
    *n = f->lines == 1 ? f->to - f->from : f->length;
    return f->lines == 1 ? s + f->from : f->joined;
}

/* The event has been dealt with: the next one starts. */
static inline void frames_done(Frames *f) {
    f->start = f->line;
    f->lines = 0;
    f->failed = false;
    if (f->joined) free(f->joined);
    f->joined = NULL;
    f->room = 0;
}

/* The bytes before the first unfinished event are let go. */
static inline void frames_drop(Frames *f) {
    f->line -= f->start;
    f->seen -= f->start;
    f->from -= f->start; /* of no meaning where the event has no data yet */
    f->to -= f->start;
    f->start = 0;
}

#endif
