// One stream: a socket, the number it is due, and the cursor it would come back with.
#include "streams.h"

#include <errno.h>
#include <linux/filter.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "clock.h"
#include "loop.h"
#include "marks.h"
#include "options.h"
#include "tally.h"

#define SOURCES 8        // loopback addresses to come from: one has ports for fewer than 28,000
#define FIRST_SOURCE 2   // 127.0.0.2, so that calls, from 127.0.0.1, always find a port
#define PIECE (1 << 18)  // bytes of one read at most
#define CURSOR 64
#define RESUMED "\"resumed\":true"

enum stage { CLOSED, CONNECTING, ASKED, GREETED, OPEN };

struct stream {
    struct watch watch;  // first, so that a watch is its stream
    enum stage stage;
    enum manner manner;
    uint32_t due;    // number of the next event
    uint64_t began;  // ns, connect()
    size_t carried;  // bytes of a mark that the end of a read has cut
    char carry[MARK];
    char cursor[CURSOR];  // of its first event
};

struct streams streams;
static struct stream all[MOST_STREAMS];
static char memory[MARK + PIECE];
static char *const piece = memory + MARK;  // the room before it is for what was carried

static int reads(const struct stream *stream) { return stream->manner <= RETURNING; }

static void lose(struct stream *stream) {
    if (stream->stage != OPEN) {
        streams.refused++;
        streams.pending--;
    } else if (reads(stream)) {
        streams.closed++;
        streams.open--;
    } else {
        streams.cut++;
        streams.mute--;
    }
    stream->stage = CLOSED;
    loop_close(&stream->watch);
}

// --- opening

static void ask(struct stream *stream) {
    char path[512], request[1024], resume[CURSOR + 32] = "";
    fill(path, sizeof path, options.path, (struct places){.i = stream - all});
    if (*stream->cursor) snprintf(resume, sizeof resume, "Last-Event-ID: %s\r\n", stream->cursor);
    int size = snprintf(request, sizeof request,
                        "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nAccept: text/event-stream\r\n%s\r\n",
                        path, options.port, resume);
    if (send(stream->watch.fd, request, (size_t)size, MSG_NOSIGNAL) != size) {
        lose(stream);
        return;
    }
    stream->stage = ASKED;
    loop_expect(&stream->watch, EPOLLIN);
}

// No packet gets through to this socket any more, so none is acknowledged, and the peer is not told either.
static void vanish(const struct stream *stream) {
    struct sock_filter nothing[] = {BPF_STMT(BPF_RET | BPF_K, 0)};
    struct sock_fprog filter = {.len = 1, .filter = nothing};
    setsockopt(stream->watch.fd, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof filter);
}

static void reset(struct stream *stream) {
    struct linger at_once = {.l_onoff = 1, .l_linger = 0};
    setsockopt(stream->watch.fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    stream->stage = CLOSED;
    loop_close(&stream->watch);
}

static void opened(struct stream *stream) {
    stream->stage = OPEN;
    streams.pending--;
    delays_add(&streams.opening, now() - stream->began);
    if (reads(stream)) {
        streams.open++;
        return;
    }
    if (stream->manner == RESETTING) {
        reset(stream);
        return;
    }
    if (stream->manner == VANISHED) vanish(stream);
    loop_expect(&stream->watch, 0);
    streams.mute++;
}

// The head of an answer, which servers send in one piece. Returns its size, or 0 where it is wrong.
static size_t head(const char *bytes, size_t size) {
    const char *end = memmem(bytes, size, "\r\n\r\n", 4);
    if (end && size > 12 && !memcmp(bytes + 9, "200", 3)) return (size_t)(end + 4 - bytes);
    if (streams.refused < 3) fprintf(stderr, "sseload: refused: %.*s\n", size < 300 ? (int)size : 300, bytes);
    return 0;
}

// What the first event says: where the stream would begin again, and whether it has.
static void first_event(struct stream *stream, const char *bytes, size_t size) {
    if (memmem(bytes, size, RESUMED, strlen(RESUMED))) streams.resumed++;
    const char *line = memmem(bytes, size, "\nid: ", 5);
    const char *end = line ? memchr(line + 5, '\n', (size_t)(bytes + size - line - 5)) : NULL;
    if (!end || end - line - 5 >= CURSOR) return;
    snprintf(stream->cursor, CURSOR, "%.*s", (int)(end - line - 5), line + 5);
}

// --- reading

// Bytes of the body, which have room for MARK more before them.
static void read_events(struct stream *stream, char *bytes, size_t size, uint64_t at) {
    bytes -= stream->carried;
    memcpy(bytes, stream->carry, stream->carried);
    const char *next = bytes, *end = bytes + stream->carried + size;
    for (struct mark mark; mark_next(&next, end, &mark);) tally_mark(&stream->due, mark, at);
    stream->carried = (size_t)(end - next);
    memcpy(stream->carry, next, stream->carried);
}

static void read_some(struct stream *stream) {
    ssize_t got = recv(stream->watch.fd, piece, PIECE, 0);
    if (got < 0 && errno == EAGAIN) return;
    size_t size = got > 0 ? (size_t)got : 0, skip = 0;
    if (size && stream->stage == ASKED) {
        skip = head(piece, size);
        if (skip) stream->stage = GREETED;
    }
    if (!size || stream->stage == ASKED) {
        lose(stream);
        return;
    }
    if (stream->stage == GREETED && skip < size) {
        first_event(stream, piece + skip, size - skip);
        opened(stream);
    }
    if (reads(stream)) read_events(stream, piece + skip, size - skip, now());
}

static void ready(struct watch *watch, uint32_t events) {
    struct stream *stream = (struct stream *)watch;
    (void)events;
    if (stream->stage != CONNECTING) {
        read_some(stream);
        return;
    }
    if (loop_error(watch)) {
        lose(stream);
        return;
    }
    ask(stream);
    if (options.silent && stream->stage == ASKED) opened(stream);
}

// --- all of them

void stream_start(int which, enum manner manner) {
    if (which == MOST_STREAMS) die("more than %d streams", MOST_STREAMS);
    struct stream *stream = &all[which];
    if (which == streams.known) streams.known++;
    stream->watch = (struct watch){.fd = -1, .ready = ready};
    stream->manner = manner;
    if (manner != RETURNING) *stream->cursor = 0;
    stream->carried = 0;
    stream->began = now();
    stream->stage = CONNECTING;
    streams.pending++;
    if (loop_connect(&stream->watch, FIRST_SOURCE + which % SOURCES)) lose(stream);
}

void streams_measure(void) {
    delays_clear(&streams.opening);
    streams.resumed = 0;
}

void streams_expect(uint32_t due) {
    for (int i = 0; i < streams.known; i++) all[i].due = due;
}

uint64_t streams_missing(uint32_t end) {
    uint64_t missing = 0;
    for (int i = 0; i < streams.known; i++)
        if (all[i].stage == OPEN && reads(&all[i])) missing += end - all[i].due;
    return missing;
}

void streams_close(void) {
    for (int i = 0; i < streams.known; i++) {
        if (all[i].stage != CLOSED) loop_close(&all[i].watch);
        all[i].stage = CLOSED;
    }
    streams.known = streams.open = streams.mute = streams.pending = 0;
}
