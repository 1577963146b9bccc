/* A load client for one gateway: opens connections, keeps each busy, and measures a window of it.
 *
 *     load MODE PORT CONNECTIONS RAMP_MS WINDOW_MS REQUEST_FILE [PID...]
 *
 *     ask      closed loop: each connection sends the request again as soon as its answer is complete
 *     stream   the same, and the answers must be event streams that end in [DONE]
 *     even     each connection sends once every RAMP_MS, one connection after the other at even distances; who is not
 *              answered by then sends late, and the time of that call counts from when it was due
 *     hold     each connection sends one request, 64 at a time; then all stay open and idle for the window
 *
 * REQUEST_FILE holds one whole HTTP request, sent as it is. The connections open spread over RAMP_MS. At the two ends of
 * the window the CPU time and the memory of the PIDs are read here, in the process that counts the answers, so that
 * both are of the same window. After it nothing new is sent, and every answer under way must complete.
 *
 * Prints one JSON object. Any status but 200, a broken frame, a stream without its end, a connection closed by the
 * other side and an answer that never completes is an error; its connection is not used again.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MS 1000000ull
#define AT_ONCE 64          /* connections of `hold` that wait for their one answer */
#define PATIENCE 20000 * MS /* for the answers under way when the window ends, and for those of `hold` */
#define PIDS 32
#define STAMP "\"obfuscation\":\""  /* before the time at which an event was written */

enum mode { ASK, STREAM, EVEN, HOLD };
enum state { IDLE, STATUS, FIELD, CHUNK_SIZE, CHUNK, CHUNK_END, TRAILER, BODY };

typedef struct line { size_t length; char text[1024]; } line;  /* what came of it so far */

typedef struct conn {
    int fd;
    enum state state;
    size_t unsent;              /* of the request */
    int chunked, events, done;  /* of the answer: framing, events seen, [DONE] seen */
    uint64_t left;              /* of the chunk or body */
    uint64_t asked, due;        /* when; when the next one is, of `even` */
    line frame, event;          /* of the head and the chunk framing; of the stream, which chunks may cut anywhere */
} conn;

typedef struct samples { uint64_t *at; size_t n, room; } samples;
typedef struct process { int pid; uint64_t cpu, before, after; } process;

static enum mode mode;
static conn *conns;
static int connections;
static struct sockaddr_in gateway;
static char *request;
static size_t request_length;
static uint64_t period;
static int poll_fd, measuring, ending;
static int busy, alive;  /* connections with an answer under way; connections not failed */
static uint64_t answers, events, errors;
static char first_error[400];
static samples first_bytes, latencies, delays;

static uint64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000ull + t.tv_nsec;
}

static void add(samples *s, uint64_t value) {
    if (s->n == s->room) s->at = realloc(s->at, (s->room = s->room ? 2 * s->room : 65536) * sizeof value);
    s->at[s->n++] = value;
}

static int compare(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static void print_quantiles(const char *name, samples *s) {
    qsort(s->at, s->n, sizeof *s->at, compare);
    double p50 = s->n ? s->at[s->n / 2] / 1e3 : 0, p99 = s->n ? s->at[s->n * 99 / 100] / 1e3 : 0;
    printf(", \"%s_p50_us\": %.1f, \"%s_p99_us\": %.1f", name, p50, name, p99);
}

/* Time on a CPU of all threads of a process, ns. */
static uint64_t cpu_of(int pid) {
    char path[300];
    uint64_t total = 0, ns;
    snprintf(path, sizeof path, "/proc/%d/task", pid);
    DIR *threads = opendir(path);
    if (!threads) return 0;
    for (struct dirent *d; (d = readdir(threads));) {
        if (d->d_name[0] == '.') continue;
        snprintf(path, sizeof path, "/proc/%d/task/%s/schedstat", pid, d->d_name);
        FILE *f = fopen(path, "r");
        if (!f) continue;
        if (fscanf(f, "%lu", &ns) == 1) total += ns;
        fclose(f);
    }
    closedir(threads);
    return total;
}

/* Resident memory, bytes. */
static uint64_t memory_of(int pid) {
    char path[64];
    uint64_t pages = 0;
    snprintf(path, sizeof path, "/proc/%d/statm", pid);
    FILE *f = fopen(path, "r");
    if (!f) return 0;
    if (fscanf(f, "%*u %lu", &pages) != 1) pages = 0;
    fclose(f);
    return pages * sysconf(_SC_PAGESIZE);
}

static void fail(conn *c, const char *format, ...) {
    if (!errors++) {
        va_list args;
        va_start(args, format);
        vsnprintf(first_error, sizeof first_error, format, args);
        va_end(args);
    }
    close(c->fd);
    if (c->state != IDLE) busy--;
    c->fd = -1;
    alive--;
}

static void send_rest(conn *c) {
    ssize_t n = write(c->fd, request + request_length - c->unsent, c->unsent);
    if (n < 0 && errno != EAGAIN) return fail(c, "the request could not be written: %s", strerror(errno));
    size_t before = c->unsent;
    if (n > 0) c->unsent -= n;
    if (!c->unsent && before == request_length) return;  /* taken in one write, as nearly always */
    struct epoll_event e = {.events = EPOLLIN | (c->unsent ? EPOLLOUT : 0), .data.ptr = c};
    epoll_ctl(poll_fd, EPOLL_CTL_MOD, c->fd, &e);
}

static void ask(conn *c, uint64_t asked) {
    c->state = STATUS;
    c->frame.length = c->event.length = c->chunked = c->events = c->done = c->left = 0;
    c->unsent = request_length;
    c->asked = asked;
    c->due = asked + period;
    busy++;
    send_rest(c);
}

static void open_one(conn *c, uint64_t asked) {
    int one = 1;
    alive++;
    c->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (c->fd < 0 || connect(c->fd, (void *)&gateway, sizeof gateway))
        return fail(c, "a connection could not be opened: %s", strerror(errno));
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    fcntl(c->fd, F_SETFL, O_NONBLOCK);
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};
    epoll_ctl(poll_fd, EPOLL_CTL_ADD, c->fd, &e);
    ask(c, asked);
}

static void complete(conn *c, uint64_t t) {
    if (mode == STREAM && !c->done) return fail(c, "a stream ended after %d events without [DONE]", c->events);
    if (measuring) {
        answers++;
        add(&latencies, t - c->asked);
    }
    busy--;
    c->state = IDLE;
    if (ending || mode == HOLD) return;
    if (mode != EVEN) ask(c, now());
    else if (c->due <= t) ask(c, c->due);
}

static void see_event(conn *c, uint64_t t) {
    const char *line = c->event.text;
    if (strncmp(line, "data: ", 6)) return;
    if (!strcmp(line, "data: [DONE]")) c->done = 1;
    if (!c->events++ && measuring) add(&first_bytes, t - c->asked);
    if (!measuring) return;
    events++;
    const char *stamp = strstr(line, STAMP);
    if (stamp) add(&delays, t - strtoull(stamp + sizeof STAMP - 1, NULL, 16));
}

/* A whole line of the head or of the framing; the state says which. `rest` is what was read with it. */
static void see_line(conn *c, uint64_t t, const char *rest) {
    const char *line = c->frame.text;
    switch (c->state) {
    case STATUS:
        if (strncmp(line, "HTTP/1.1 200 ", 13)) {
            const char *body = strstr(rest, "\r\n\r\n");
            return fail(c, "answered `%.60s` %.300s", line, body ? body + 4 : "");
        }
        c->state = FIELD;
        break;
    case FIELD:
        if (!strncasecmp(line, "content-length:", 15)) c->left = strtoull(line + 15, NULL, 10);
        else if (!strncasecmp(line, "transfer-encoding: chunked", 26)) c->chunked = 1;
        else if (!*line) {
            if (mode == STREAM && !c->chunked) return fail(c, "a stream came without chunks");
            c->state = c->chunked ? CHUNK_SIZE : BODY;
            if (!c->chunked && !c->left) complete(c, t);
        }
        break;
    case CHUNK_SIZE: {
        char *end;
        c->left = strtoull(line, &end, 16);
        if (end == line || *end) return fail(c, "a chunk has the size `%.20s`", line);
        c->state = c->left ? CHUNK : TRAILER;
        break;
    }
    case CHUNK_END:
        if (*line) return fail(c, "a chunk runs on with `%.20s`", line);
        c->state = CHUNK_SIZE;
        break;
    case TRAILER:
        if (!*line) complete(c, t);
        break;
    default: break;
    }
}

/* Take bytes up to the end of a line into `to`; true when the line is whole (without its end). */
static int take_line(conn *c, line *to, const char **at, const char *end) {
    const char *stop = memchr(*at, '\n', end - *at);
    size_t n = (stop ? stop : end) - *at;
    if (to->length + n >= sizeof to->text) return fail(c, "a line is too long"), 0;
    memcpy(to->text + to->length, *at, n);
    to->length += n;
    *at = stop ? stop + 1 : end;
    if (!stop) return 0;
    if (to->length && to->text[to->length - 1] == '\r') to->length--;
    to->text[to->length] = 0;
    to->length = 0;
    return 1;
}

static void see_body(conn *c, const char *at, const char *end, uint64_t t) {
    while (at < end && c->fd >= 0)
        if (take_line(c, &c->event, &at, end)) see_event(c, t);
}

static void see(conn *c, const char *at, const char *end, uint64_t t) {
    while (at < end && c->fd >= 0) {
        if (c->state == IDLE) return fail(c, "%zu bytes came after an answer", (size_t)(end - at));
        if (c->state != CHUNK && c->state != BODY) {
            if (take_line(c, &c->frame, &at, end)) see_line(c, t, at);
            continue;
        }
        size_t n = (uint64_t)(end - at) < c->left ? (size_t)(end - at) : c->left;
        if (mode == STREAM) see_body(c, at, at + n, t);
        at += n;
        if (c->fd < 0 || (c->left -= n)) continue;
        if (c->state == BODY) complete(c, t);
        else c->state = CHUNK_END;
    }
}

static void receive(conn *c, uint32_t happened) {
    static char bytes[256 * 1024];
    if (happened & EPOLLOUT) send_rest(c);
    if (c->fd < 0 || !(happened & ~EPOLLOUT)) return;
    ssize_t n = read(c->fd, bytes, sizeof bytes - 1);
    if (n < 0 && errno == EAGAIN) return;
    if (n < 0) return fail(c, "a connection broke: %s", strerror(errno));
    if (n == 0) return fail(c, "a connection was closed %s", c->state == IDLE ? "between answers" : "within an answer");
    bytes[n] = 0; /* for who prints them */
    see(c, bytes, bytes + n, now());
}

static void turn(uint64_t wait) {
    struct epoll_event happened[512];
    struct timespec most = {wait / 1000000000, wait % 1000000000};
    int n = epoll_pwait2(poll_fd, happened, 512, &most, NULL);
    for (int i = 0; i < n; i++) receive(happened[i].data.ptr, happened[i].events);
}

/* Of `even`: send what is due; how long until more is, at most `wait`. */
static uint64_t send_due(uint64_t t, uint64_t wait) {
    for (conn *c = conns; c < conns + connections; c++) {
        if (c->fd < 0 || c->state != IDLE) continue;
        if (c->due <= t) ask(c, c->due);
        else if (c->due - t < wait) wait = c->due - t;
    }
    return wait;
}

/* Open all connections; `hold` goes on as answers come, the others spread them over the ramp and wait for its end. */
static void open_all(uint64_t ramp) {
    uint64_t start = now();
    int n = connections;
    for (int opened = 0; opened < n && !errors;) {
        uint64_t t = now() - start, at = ramp * opened / n;
        for (; opened < n && !errors && (mode == HOLD ? busy < AT_ONCE : t >= at); at = ramp * opened / n)
            open_one(&conns[opened++], mode == EVEN ? start + at : now());
        turn(MS);
        if (mode == HOLD && t > PATIENCE) break;
    }
    while (!errors && (mode == HOLD ? busy && now() - start < PATIENCE : now() - start < ramp)) turn(MS);
    if (mode != HOLD || !busy) return;
    if (!errors) snprintf(first_error, sizeof first_error, "%d answers never came", busy);
    errors += busy;
}

static double measure(uint64_t window, process *processes, int n) {
    for (int i = 0; i < n; i++) processes[i].cpu = cpu_of(processes[i].pid);
    uint64_t start = now(), t;
    measuring = 1;
    while ((t = now()) < start + window && alive) turn(mode == EVEN ? send_due(t, start + window - t) : start + window - t);
    measuring = 0;
    for (int i = 0; i < n; i++) {
        processes[i].cpu = cpu_of(processes[i].pid) - processes[i].cpu;
        processes[i].after = memory_of(processes[i].pid);
    }
    return (t - start) / 1e9;
}

static void finish(void) {
    uint64_t start = now();
    ending = 1;
    while (busy && now() - start < PATIENCE) turn(100 * MS);
    if (!busy) return;
    if (!errors) snprintf(first_error, sizeof first_error, "%d answers never completed", busy);
    errors += busy;
}

static int read_request(const char *path) {
    FILE *f = fopen(path, "rb");
    if (!f) return -1;
    fseek(f, 0, SEEK_END);
    request_length = ftell(f);
    rewind(f);
    request = malloc(request_length);
    int short_of = fread(request, 1, request_length, f) != request_length;
    fclose(f);
    return short_of ? -1 : 0;
}

static void print_escaped(const char *text) {
    putchar('"');
    for (; *text; text++) putchar(*text < ' ' || *text == '"' || *text == '\\' ? '?' : *text);
    putchar('"');
}

int main(int argc, char **argv) {
    if (argc < 7 || argc > 7 + PIDS)
        return fprintf(stderr, "usage: load ask|stream|even|hold PORT CONNECTIONS RAMP_MS WINDOW_MS REQUEST_FILE [PID...]\n"), 2;
    signal(SIGPIPE, SIG_IGN);
    mode = !strcmp(argv[1], "hold") ? HOLD : !strcmp(argv[1], "even") ? EVEN : !strcmp(argv[1], "stream") ? STREAM : ASK;
    gateway = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(atoi(argv[2])),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int watched = argc - 7;
    if (read_request(argv[6])) return perror(argv[6]), 2;
    process processes[PIDS] = {0};
    for (int i = 0; i < watched; i++) {
        processes[i].pid = atoi(argv[7 + i]);
        processes[i].before = memory_of(processes[i].pid);
    }
    poll_fd = epoll_create1(0);
    connections = atoi(argv[3]);
    conns = calloc(connections, sizeof *conns);
    if (mode == EVEN) period = atoi(argv[4]) * MS, prctl(PR_SET_TIMERSLACK, 1);
    open_all(atoi(argv[4]) * MS);
    double seconds = measure(atoi(argv[5]) * MS, processes, watched);
    finish();

    printf("{\"seconds\": %.4f, \"answers\": %lu, \"events\": %lu, \"errors\": %lu, \"first_error\": ",
           seconds, answers, events, errors);
    print_escaped(first_error);
    print_quantiles("first_byte", &first_bytes);
    print_quantiles("latency", &latencies);
    print_quantiles("delay", &delays);
    printf(", \"processes\": {");
    for (int i = 0; i < watched; i++)
        printf("%s\"%d\": {\"cpu_ns\": %lu, \"rss_before\": %lu, \"rss_after\": %lu}", i ? ", " : "",
               processes[i].pid, processes[i].cpu, processes[i].before, processes[i].after);
    printf("}}\n");
    return 0;
}
