// HTTP/1.1 as far as a small answer to a call needs it.
#include "call.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "clock.h"
#include "options.h"

static void ready(struct watch *watch, uint32_t events);

static void finish(struct call *call, int worked) {
    call->took = now() - call->asked;
    call->request_size = 0;
    call->answered++;
    call->failed += !worked;
}

static void shut(struct call *call) {
    loop_close(&call->watch);
    call->stage = SHUT;
}

static void connect_it(struct call *call) {
    call->watch = (struct watch){.fd = -1, .ready = ready};
    call->stage = ON_ITS_WAY;
    if (loop_connect(&call->watch, 1)) die("the server does not take calls");
}

static void transmit(struct call *call) {
    call->reply_size = 0;
    call->stage = WAITING;
    ssize_t sent = send(call->watch.fd, call->request, call->request_size, MSG_NOSIGNAL);
    if (sent != (ssize_t)call->request_size) shutdown(call->watch.fd, SHUT_RDWR);  // so it is readable: ended
}

void call_ask(struct call *call, const char *path, const char *body) {
    const char *method = body ? "POST" : "GET";
    char length[48] = "";
    if (body) snprintf(length, sizeof length, "Content-Length: %zu\r\n", strlen(body));
    int size = snprintf(call->request, sizeof call->request,
                        "%s %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n%s%s\r\n%s", method, path, options.port,
                        body ? options.headers : "", length, body ? body : "");
    if (size >= (int)sizeof call->request) die("a request is longer than %zu bytes", sizeof call->request);
    call->request_size = (size_t)size;
    call->again = 0;
    call->asked = now();
    if (call->stage == IDLE) transmit(call);
    else connect_it(call);
}

void call_await(struct call *call, uint64_t patience) {
    uint64_t latest = now() + patience;
    while (call_busy(call) && now() < latest) loop_turn(latest);
    if (call_busy(call)) die("a call was not answered within %.0f s", seconds(patience));
}

// Whether the reply is whole: by its length, by its last chunk, or because its status has no body.
static int whole(const struct call *call) {
    const char *end = strstr(call->reply, "\r\n\r\n"), *length;
    if (!end) return 0;
    size_t body = call->reply_size - (size_t)(end + 4 - call->reply);
    if (!strncmp(call->reply + 9, "204", 3)) return 1;
    length = strcasestr(call->reply, "\r\ncontent-length:");
    if (length && length < end) return body >= strtoul(length + 17, NULL, 10);
    return strstr(end, "\r\n0\r\n\r\n") != NULL;
}

// The connection has ended: the server may do that between two calls, so a request that was sent into its
// end and not answered is sent once more.
static void ended(struct call *call) {
    int due = call->stage == WAITING;
    shut(call);
    if (!due) return;
    if (call->again++ || call->reply_size) finish(call, 0);
    else connect_it(call);
}

static void answered(struct call *call) {
    int worked = call->reply[9] == '2', closes = strcasestr(call->reply, "\r\nconnection: close") != NULL;
    if (!worked && call->failed < 3) fprintf(stderr, "sseload: answered: %.300s\n", call->reply);
    call->stage = IDLE;
    if (closes) shut(call);
    finish(call, worked);
}

static void ready(struct watch *watch, uint32_t events) {
    struct call *call = (struct call *)watch;
    (void)events;
    if (call->stage == ON_ITS_WAY) {
        if (loop_error(watch)) die("the server does not take calls");
        loop_expect(watch, EPOLLIN);
        transmit(call);
        return;
    }
    char *room = call->reply + call->reply_size;
    ssize_t got = recv(watch->fd, room, sizeof call->reply - 1 - call->reply_size, 0);
    if (got < 0 && errno == EAGAIN) return;
    if (got <= 0) {
        ended(call);
        return;
    }
    call->reply_size += (size_t)got;
    call->reply[call->reply_size] = 0;
    if (call->stage == WAITING && whole(call)) answered(call);
}
