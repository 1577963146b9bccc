/* A stub OpenAI provider: as fast as one epoll loop can be, so that what is measured is the gateway before it.
 *
 *     stub PORT
 *
 * Every POST is answered. The body steers the answer through fields that a gateway passes on:
 *     "stream":true           server-sent events, one write each; else one JSON document
 *     "max_tokens":N          content events in a stream (default 100)
 *     "seed":MS               time between two events of a stream, and before a document (default 0: at once)
 *     "include_usage":true    a usage event before the end, as the provider does it
 * The obfuscation of every event, where the provider itself has noise that hides the event's length, is the time it was
 * written (CLOCK_MONOTONIC, ns, 16 hex digits): a client on the same machine can tell how long the event took. It is
 * not in the content, which stays one token an event.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define FRAME 1024              /* the longest event with its chunk framing */
#define LONGEST (1024 * 1024)   /* head and body of a request */

typedef struct stream {
    int document;               /* not a stream: one answer when it is due */
    int next, content, usage;   /* the event to write next; content events in all; is there a usage event */
    uint64_t due, pace;         /* ns */
    struct conn *before, *after;
    int queued;
} stream;

typedef struct conn {
    int fd;
    char *in;                   /* what was read and not yet answered */
    size_t have, room;
    char *out;                  /* what the socket did not take */
    size_t waiting;
    int streaming;
    stream stream;
} conn;

static int poll_fd;
static conn *first, *last;      /* what is to be written later, in the order it is due */

static const char COMPLETION[] =
    "{\"id\":\"chatcmpl-Cq7TgWn2RzXbKdYf4VhJm9LsPe1Ua\",\"object\":\"chat.completion\",\"created\":1780000000,"
    "\"model\":\"gpt-4o-mini-2024-07-18\",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":"
    "\"Expenses below fifty euros need no receipt; anything above is filed with one before the month's close.\","
    "\"refusal\":null,\"annotations\":[]},\"logprobs\":null,\"finish_reason\":\"stop\"}],\"usage\":{"
    "\"prompt_tokens\":64,\"completion_tokens\":20,\"total_tokens\":84,\"prompt_tokens_details\":{\"cached_tokens\":0,"
    "\"audio_tokens\":0},\"completion_tokens_details\":{\"reasoning_tokens\":0,\"audio_tokens\":0}},"
    "\"service_tier\":\"default\",\"system_fingerprint\":\"fp_0000000000000000\"}";
static char answer[2048];
static size_t answer_length;

static const char STREAM_HEAD[] =
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nCache-Control: no-cache\r\n"
    "x-request-id: req_5f1c2e9ab0d34c77\r\nTransfer-Encoding: chunked\r\n\r\n";
static const char LENGTH_REQUIRED[] = "HTTP/1.1 411 Length Required\r\nContent-Length: 0\r\n\r\n";

static const char *WORDS[] = {" expenses", " above", " fifty", " euros", " need", " the", " receipt", " today"};

static uint64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000ull + t.tv_nsec;
}

static void unqueue(conn *c) {
    stream *s = &c->stream;
    if (!s->queued) return;
    if (s->before) s->before->stream.after = s->after; else first = s->after;
    if (s->after) s->after->stream.before = s->before; else last = s->before;
    s->queued = 0;
}

/* Streams of one pace come due in the order they were queued, so the walk from the back ends at once. */
static void queue(conn *c) {
    conn *at = last;
    while (at && at->stream.due > c->stream.due) at = at->stream.before;
    c->stream.before = at;
    c->stream.after = at ? at->stream.after : first;
    if (at) at->stream.after = c; else first = c;
    if (c->stream.after) c->stream.after->stream.before = c; else last = c;
    c->stream.queued = 1;
}

static void drop(conn *c) {
    unqueue(c);
    close(c->fd);
    free(c->in);
    free(c->out);
    free(c);
}

static void watch(conn *c, uint32_t events) {
    struct epoll_event e = {.events = events, .data.ptr = c};
    epoll_ctl(poll_fd, EPOLL_CTL_MOD, c->fd, &e);
}

/* Write, keeping what the socket does not take; -1 when the peer is gone. */
static int put(conn *c, const char *bytes, size_t n) {
    ssize_t w = write(c->fd, bytes, n);
    if (w < 0 && errno != EAGAIN) return -1;
    if (w < 0) w = 0;
    if ((size_t)w == n) return 0;
    c->waiting = n - w;
    c->out = realloc(c->out, c->waiting);
    memcpy(c->out, bytes + w, c->waiting);
    watch(c, EPOLLIN | EPOLLOUT);
    return 0;
}

static int event(char *to, const stream *s, int which) {
    int done = s->content + 2 + s->usage;
    if (which == done) return sprintf(to, "data: [DONE]\n\n");
    int n = sprintf(to, "data: {\"id\":\"chatcmpl-Cq7TgWn2RzXbKdYf4VhJm9LsPe1Ua\",\"object\":\"chat.completion.chunk\","
                    "\"created\":1780000000,\"model\":\"gpt-4o-mini-2024-07-18\",\"service_tier\":\"default\","
                    "\"system_fingerprint\":\"fp_44709d6fcb\",\"choices\":[");
    if (which == 0)
        n += sprintf(to + n, "{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\",\"refusal\":null},"
                     "\"logprobs\":null,\"finish_reason\":null}],\"usage\":null");
    else if (which <= s->content)
        n += sprintf(to + n, "{\"index\":0,\"delta\":{\"content\":\"%s\"},\"logprobs\":null,\"finish_reason\":null}],"
                     "\"usage\":null", WORDS[which % 8]);
    else if (which == s->content + 1)
        n += sprintf(to + n, "{\"index\":0,\"delta\":{},\"logprobs\":null,\"finish_reason\":\"stop\"}],"
                     "\"usage\":null");
    else
        n += sprintf(to + n, "],\"usage\":{\"prompt_tokens\":64,\"completion_tokens\":%d,\"total_tokens\":%d,"
                     "\"prompt_tokens_details\":{\"cached_tokens\":0,\"audio_tokens\":0},"
                     "\"completion_tokens_details\":{\"reasoning_tokens\":0,\"audio_tokens\":0}}",
                     s->content, 64 + s->content);
    return n + sprintf(to + n, ",\"obfuscation\":\"%016llx\"}\n\n", (unsigned long long)now());
}

/* Write the document, or the next event in one write: the head rides with the first, the end of the body with the last. */
static int step(conn *c) {
    stream *s = &c->stream;
    if (s->document) return c->streaming = 0, put(c, answer, answer_length);
    char body[FRAME], frame[2 * FRAME];
    int n = event(body, s, s->next), ends = s->next == s->content + 2 + s->usage;
    int length = sprintf(frame, "%s%x\r\n", s->next ? "" : STREAM_HEAD, n);
    memcpy(frame + length, body, n);
    length += n;
    length += sprintf(frame + length, ends ? "\r\n0\r\n\r\n" : "\r\n");
    s->next++;
    s->due += s->pace;
    c->streaming = !ends;
    return put(c, frame, length);
}

static long number(const char *body, size_t n, const char *key, long otherwise) {
    const char *at = memmem(body, n, key, strlen(key));
    if (!at) return otherwise;
    at += strlen(key);
    return strtol(at + strspn(at, " :"), NULL, 10);
}

static int flag(const char *body, size_t n, const char *key) {
    const char *at = memmem(body, n, key, strlen(key));
    if (!at) return 0;
    at += strlen(key);
    return !strncmp(at + strspn(at, " :"), "true", 4);
}

/* Answer the first request in `in` when it is whole: 1 answered, 0 not yet, -1 gone. */
static int serve(conn *c) {
    if (c->streaming || c->waiting || !c->have) return 0;
    c->in[c->have] = 0;
    char *end = memmem(c->in, c->have, "\r\n\r\n", 4);
    if (!end) return 0;
    *end = 0;
    char *field = strcasestr(c->in, "\ncontent-length:");
    *end = '\r';
    if (!field) return put(c, LENGTH_REQUIRED, sizeof LENGTH_REQUIRED - 1), -1;
    size_t head = end + 4 - c->in, length = strtoul(field + 16, NULL, 10);
    if (c->have < head + length) return 0;

    const char *body = c->in + head;
    int failed = 0;
    c->stream.document = !flag(body, length, "\"stream\"");
    c->stream.content = number(body, length, "\"max_tokens\"", 100);
    c->stream.pace = number(body, length, "\"seed\"", 0) * 1000000ull;
    c->stream.usage = flag(body, length, "\"include_usage\"");
    c->have -= head + length;
    memmove(c->in, c->in + head + length, c->have);
    c->stream.next = 0;
    c->stream.due = now();
    if (c->stream.document && c->stream.pace) {
        c->stream.due += c->stream.pace;
        c->streaming = 1;
    } else
        failed = step(c);
    if (!failed && c->streaming && !c->waiting) queue(c);
    return failed ? -1 : 1;
}

static int readable(conn *c) {
    if (c->room - c->have < 16 * 1024) {
        c->room = c->room ? 2 * c->room : 32 * 1024;
        if (c->room > LONGEST) return -1;
        c->in = realloc(c->in, c->room + 1);  /* one for the zero that ends a search */
    }
    ssize_t n = read(c->fd, c->in + c->have, c->room - c->have);
    if (n == 0 || (n < 0 && errno != EAGAIN)) return -1;
    if (n > 0) c->have += n;
    return 0;
}

static int writable(conn *c) {
    ssize_t n = write(c->fd, c->out, c->waiting);
    if (n < 0 && errno != EAGAIN) return -1;
    if (n > 0) memmove(c->out, c->out + n, c->waiting -= n);
    if (c->waiting) return 0;
    watch(c, EPOLLIN);
    if (c->streaming) queue(c);
    return 0;
}

static void ready(conn *c, uint32_t events) {
    int r = 0;
    if (events & EPOLLOUT) r = writable(c);
    if (!r && events & (EPOLLIN | EPOLLHUP | EPOLLERR)) r = readable(c);
    while (r >= 0 && (r = serve(c)) > 0) {}
    if (r < 0) drop(c);
}

/* One event for every stream that is due; a stream without pace is due again at the next turn. */
static void advance(void) {
    uint64_t t = now();
    while (first && first->stream.due <= t) {
        conn *c = first;
        unqueue(c);
        int r = step(c);
        if (!c->stream.pace) c->stream.due = t + 1;
        if (!r && c->streaming && !c->waiting) queue(c);
        while (r >= 0 && (r = serve(c)) > 0) {}
        if (r < 0) drop(c);
    }
}

static void arm(int timer) {
    static uint64_t armed;
    uint64_t due = first ? first->stream.due : 0;
    if (due == armed) return;
    armed = due;
    struct itimerspec at = {.it_value = {due / 1000000000ull, due % 1000000000ull}};
    timerfd_settime(timer, TFD_TIMER_ABSTIME, &at, NULL);
}

static void welcome(int listener) {
    int fd, one = 1;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        conn *c = calloc(1, sizeof *c);
        c->fd = fd;
        struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};
        epoll_ctl(poll_fd, EPOLL_CTL_ADD, fd, &e);
    }
}

int main(int argc, char **argv) {
    if (argc != 2) return fprintf(stderr, "usage: stub PORT\n"), 2;
    signal(SIGPIPE, SIG_IGN);
    answer_length = sprintf(answer, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                            "x-request-id: req_5f1c2e9ab0d34c77\r\nopenai-processing-ms: 1\r\nContent-Length: %zu\r\n\r\n%s",
                            sizeof COMPLETION - 1, COMPLETION);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), one = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[1])),
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (bind(listener, (void *)&a, sizeof a) || listen(listener, 4096)) return perror("stub"), 1;

    poll_fd = epoll_create1(0);
    int timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    static char is_listener, is_timer;  /* their addresses mark the two descriptors that are not connections */
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = &is_listener}, events[256];
    epoll_ctl(poll_fd, EPOLL_CTL_ADD, listener, &e);
    e.data.ptr = &is_timer;
    epoll_ctl(poll_fd, EPOLL_CTL_ADD, timer, &e);
    for (;;) {
        int n = epoll_wait(poll_fd, events, 256, -1);
        for (int i = 0; i < n; i++) {
            void *what = events[i].data.ptr;
            uint64_t expirations;
            if (what == &is_listener) welcome(listener);
            else if (what == &is_timer) (void)!read(timer, &expirations, sizeof expirations);
            else ready(what, events[i].events);
        }
        advance();
        arm(timer);
    }
}
