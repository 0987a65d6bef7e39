// One kept connection for calls, one after the other: publishing, asking for health.
#pragma once
#include <stddef.h>
#include <stdint.h>

#include "loop.h"

struct call {
    struct watch watch;  // first, so that a watch is its call
    enum { SHUT, ON_ITS_WAY, IDLE, WAITING } stage;
    char request[16384], reply[8192];
    size_t request_size, reply_size;  // request_size is 0 while nothing is asked
    int again;                        // whether this request was sent before, on a connection that ended
    uint64_t asked, took;             // ns: when the last was begun, and how long the one before took
    uint64_t answered, failed;        // how many; failed: by a status that is not 2xx, or by no answer
};

// Asks; the call must not be busy. `body` NULL: GET.
void call_ask(struct call *call, const char *path, const char *body);

// Whether an answer is due.
static inline int call_busy(const struct call *call) { return call->request_size > 0; }

// Waits for it; ends the program where there is no answer after so many ns.
void call_await(struct call *call, uint64_t patience);
