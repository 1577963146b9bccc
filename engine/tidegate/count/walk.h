/* The walker: finds what a meter looks for in one JSON document, in one pass and without making anything of it.

   It follows paths (fields by name, elements of lists) and skips all else, but strictly: a document that it reads to its
   end is valid JSON, and what it found is what a full parse would find. Whatever it does not decide makes it stop, and a
   full parse decides: names written with escapes, a name twice in an object on a path, nesting past 64 levels, numbers of
   choices that are none, errors, and all that is not JSON.

   What the walker sees of a document that may differ in the next one, its gaps, it notes for alike.h. */
#ifndef TIDEGATE_WALK_H
#define TIDEGATE_WALK_H

#include "json.h"

/* What stands at the end of a path. */
enum {
    NOTHING,
    OBJECT,               /* an object on the way */
    LIST,                 /* a list of objects on the way */
    TEXT,                 /* the model's text: a string */
    REASON,               /* why a choice ended: a string */
    CHOICE, PART, SUBPART, /* which text: whole numbers that belong to all texts of the object and below */
    TYPE,                 /* what kind of event it is: a string */
    USAGE,                /* usage that is reported to those who asked for it */
    REPORT,               /* usage that is always reported */
    ERROR,                /* an error, if it is a true value */
    NOISE                 /* what is another in every event and says nothing */
};

/* Kinds of text: DELTA is of the kind that the type of its event says, unless that is NAME. From NAME to
   FUNCTION_ARGUMENTS they are of calls of tools, and two of them are names. */
enum { DELTA = 1, NAME = 6, FUNCTION_NAME = 8, FUNCTION_ARGUMENTS = 9 };

#define MOST_FIELDS 64
#define MOST_PLACES 16
#define MOST_TYPES 32
#define MOST_FOUND 64     /* texts and reasons in one document; one with more goes to the full parse */
#define MOST_NUMBER 65535 /* of a choice or part */
#define LONGEST_NAME 61
#define MOST_GAPS 4

typedef struct {
    uint8_t length, what;
    uint8_t of;           /* OBJECT and LIST: the place below; TEXT: its kind */
    char name[LONGEST_NAME];
} Field;

/* An object on a path: its fields, and which number it has if it does not say: its position in a list. */
typedef struct {
    uint64_t lengths;     /* of its fields' names: a bit for each */
    uint8_t first, count, numbered;
} Place;

/* A type of event: the kind of text that counts in it, and what it means for the stream. */
typedef struct {
    uint8_t length, kind;
    bool ends, fails, begins, closes, keeps;
    char name[LONGEST_NAME];
} Type;

typedef struct {
    bool typed;           /* only texts that their event's type names count, each type's apart; reasons only at the end */
    uint8_t fields, places, types;
    Field field[MOST_FIELDS];
    Place place[MOST_PLACES];
    Type type[MOST_TYPES];
} Paths;

typedef struct {
    uint16_t choice, part, subpart;
    uint8_t kind;         /* 0: a reason */
    bool escaped;
    const uint8_t *text;  /* between its quotes */
    size_t length;
} Found;

/* A part of a document that may be another in the next one, and the next one still says the same: between its quotes the
   text, between theirs or digit by digit what is noise. */
typedef struct {
    const uint8_t *from, *to;
    bool digits;
} Gap;

typedef struct {
    const Paths *paths;
    const uint8_t *end;
    const Type *type;           /* of the event, if it is one that is known */
    const uint8_t *usage;       /* `"usage": null` with the comma that goes with it, where it stands */
    const uint8_t *usage_end;
    bool reported;              /* there is usage */
    bool asked;                 /* of the kind that was asked for */
    bool listed, chosen;        /* there is a list of choices; a choice is in it */
    uint32_t choices;           /* one more than the highest choice */
    int32_t part;               /* that the whole event is of; -1: it does not say */
    unsigned count, gaps;
    Gap gap[MOST_GAPS];
    Found found[MOST_FOUND];
} Walk;

static inline const Field *field_named(const Paths *paths, const Place *place, const uint8_t *name, size_t length) {
    if (length > LONGEST_NAME || !(place->lengths >> length & 1)) return NULL;
    const Field *field = paths->field + place->first, *end = field + place->count;
    for (; field < end; field++)
        if (field->length == length && field->name[0] == (char)name[0] && !memcmp(field->name, name, length)) return field;
    return NULL;
}

static inline const uint8_t *walk_object(Walk *w, const uint8_t *p, unsigned at, uint32_t position);

/* The objects of a list. */
static inline const uint8_t *walk_list(Walk *w, const uint8_t *p, unsigned at) {
    bool choices = w->paths->place[at].numbered == CHOICE;
    w->listed |= choices;
    p = blank(p + 1, w->end);
    if (*p == ']') return p + 1;
    w->chosen |= choices;
    for (uint32_t position = 0;; position++) {
        if (position > MOST_NUMBER) return NULL;
        p = *p == '{' ? walk_object(w, p, at, position) : past(p, w->end);
        if (!p) return NULL;
        p = blank(p, w->end);
        if (*p == ']') return p + 1;
        if (*p != ',') return NULL;
        p = blank(p + 1, w->end);
    }
}

/* Notes a gap; a document with too many is like no other. */
static inline void gap(Walk *w, const uint8_t *from, const uint8_t *to, bool digits) {
    if (w->gaps < MOST_GAPS) w->gap[w->gaps] = (Gap){from, to, digits};
    w->gaps++;
}

/* Takes a text or a reason in. Of two of one kind in one object, which have been found from `mark` on, the one counts, if
   they are the same. */
static inline bool found(Walk *w, unsigned mark, Found text) {
    for (const Found *each = w->found + mark; each < w->found + w->count; each++)
        if (each->kind == text.kind) {
            w->gaps = MOST_GAPS + 1;
            return each->length == text.length && !memcmp(each->text, text.text, text.length);
        }
    if (w->count == MOST_FOUND) return false;
    w->found[w->count++] = text;
    gap(w, text.text, text.text + text.length, false);
    return true;
}

/* A text, a reason or a type; what is no string is passed over, but for a text in parts, which is not decided here. */
static inline const uint8_t *walk_string(Walk *w, const uint8_t *p, const Field *field, unsigned mark) {
    if (*p != '"') return *p == '[' && field->what == TEXT ? NULL : past(p, w->end);
    const uint8_t *text = p + 1;
    bool escaped = false;
    if (!(p = string_end(text, w->end, &escaped))) return NULL;
    size_t length = (size_t)(p - text);
    if (field->what == TYPE) {
        const Type *type = w->paths->type, *end = type + w->paths->types;
        if (escaped) return NULL;
        while (type < end && (type->length != length || memcmp(type->name, text, length))) type++;
        w->type = type < end ? type : NULL;
    } else if (length) {
        uint8_t kind = field->what == TEXT ? field->of : 0;
        if (!found(w, mark, (Found){.kind = kind, .escaped = escaped, .text = text, .length = length})) return NULL;
    }
    return p + 1;
}

/* Past noise. */
static inline const uint8_t *walk_noise(Walk *w, const uint8_t *p) {
    const uint8_t *end = past(p, w->end);
    if (!end) return NULL;
    if (*p == '"') gap(w, p + 1, end - 1, false);
    else if (is_digit(*p) && digits(p) == end) gap(w, p, end, true);
    return end;
}

/* The number of a choice or part; null is none. */
static inline const uint8_t *walk_number(const uint8_t *p, const uint8_t *end, int32_t *number) {
    if (*p == 'n') return scalar(p, end);
    const uint8_t *start = p;
    if (!is_digit(*p) || !(p = scalar(p, end)) || p - start > 5) return NULL;
    *number = 0;
    for (; start < p; start++) {
        if (!is_digit(*start)) return NULL;
        *number = *number * 10 + *start - '0';
    }
    return *number <= MOST_NUMBER ? p : NULL;
}

/* Usage: null stands there for those who asked, and can be taken out with the comma before it or, if there is none,
   behind it. `key` is its quote, `before` the end of the member before it. */
static inline const uint8_t *walk_usage(Walk *w, const uint8_t *p, const Field *field, const uint8_t *key, const uint8_t *before) {
    const uint8_t *end = past(p, w->end);
    if (!end) return NULL;
    if (*p == '{') {
        w->reported = true;
        w->asked |= field->what == USAGE;
    } else if (*p == 'n' && field->what == USAGE) {
        w->usage = before ? before : key;
        w->usage_end = end;
        const uint8_t *comma = blank(end, w->end);
        if (!before && *comma == ',') w->usage_end = blank(comma + 1, w->end);
    }
    return end;
}

/* The members of an object on a path, and what they say of the texts that were found in it. */
static inline const uint8_t *walk_object(Walk *w, const uint8_t *p, unsigned at, uint32_t position) {
    const Paths *paths = w->paths;
    const Place *place = paths->place + at;
    unsigned mark = w->count, given = 0;
    uint64_t seen = 0;
    int32_t number[3] = {-1, -1, -1};
    const uint8_t *before = NULL, *end = w->end;
    if (place->numbered) number[place->numbered - CHOICE] = (int32_t)position;
    p = blank(p + 1, end);
    while (*p != '}' || before) {
        if (*p != '"') return NULL;
        const uint8_t *key = p;
        p = plain(p + 1, end);
        if (p >= end || *p != '"') return NULL;
        const Field *field = field_named(paths, place, key + 1, (size_t)(p - key - 1));
        p = blank(p + 1, end);
        if (*p != ':') return NULL;
        p = blank(p + 1, end);
        if (field) {
            uint64_t bit = 1ull << (field - paths->field - place->first);
            if (seen & bit) return NULL;
            seen |= bit;
        }
        switch (field ? field->what : NOTHING) {
        case OBJECT: p = *p == '{' ? walk_object(w, p, field->of, 0) : past(p, end); break;
        case LIST: p = *p == '[' ? walk_list(w, p, field->of) : past(p, end); break;
        case TEXT: case REASON: case TYPE: p = walk_string(w, p, field, mark); break;
        case CHOICE: case PART: case SUBPART:
            if (given & 1u << field->what) return NULL;
            given |= 1u << field->what;
            p = walk_number(p, end, &number[field->what - CHOICE]);
            break;
        case USAGE: case REPORT: p = walk_usage(w, p, field, key, before); break;
        case NOISE: p = walk_noise(w, p); break;
        case ERROR: p = *p == 'n' || *p == 'f' ? scalar(p, end) : NULL; break;
        default: p = past(p, end);
        }
        if (!p) return NULL;
        before = p;
        p = blank(p, end);
        if (*p == '}') break;
        if (*p != ',') return NULL;
        p = blank(p + 1, end);
    }
    for (Found *each = w->found + mark; each < w->found + w->count; each++) {
        if (number[0] >= 0) each->choice = (uint16_t)number[0];
        if (number[1] >= 0) each->part = (uint16_t)number[1];
        if (number[2] >= 0) each->subpart = (uint16_t)number[2];
    }
    if (place->numbered == CHOICE && (uint32_t)number[0] >= w->choices) w->choices = (uint32_t)number[0] + 1;
    if (at == 0) w->part = number[PART - CHOICE];
    return p + 1;
}

/* Walks through a whole document; false if it could not be decided. */
static inline bool walk(Walk *w, const Paths *paths, const uint8_t *s, size_t n) {
    memset(w, 0, offsetof(Walk, gap));
    w->paths = paths;
    w->end = s + n;
    s = blank(s, w->end);
    if (s >= w->end || *s != '{') return false;
    s = walk_object(w, s, 0, 0);
    return s && blank(s, w->end) == w->end;
}

/* The kind that a text counts as in this event; 0 if it does not count. */
static inline unsigned counted_as(const Walk *w, const Found *each) {
    if (!w->paths->typed) return each->kind;
    unsigned admitted = w->type ? w->type->kind : 0;
    return each->kind == admitted || (each->kind == DELTA && admitted != NAME) ? admitted : 0;
}

/* Whether a kind of text is of a call of a tool. */
static inline bool of_call(unsigned kind) { return kind >= NAME && kind <= FUNCTION_ARGUMENTS; }

/* Whether a reason for the end counts in this event. */
static inline bool ended_by(const Walk *w) { return !w->paths->typed || (w->type && w->type->ends); }

#endif
