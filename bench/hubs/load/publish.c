// Publishing, and the account of a step.
#include "publish.h"

#include "clock.h"
#include "marks.h"
#include "options.h"
#include "report.h"
#include "streams.h"

#define LARGEST 8192  // bytes of an event

struct call publisher;
uint32_t published;
static uint32_t first;  // broadcast of this step

void expect(enum expects what) {
    first = published;
    streams_expect(what == BROADCASTS ? first : 0);
    tally_begin(what, streams.open, first);
}

void publish(int size) {
    char event[LARGEST + 1], body[LARGEST + 1024], path[512];
    if (size > LARGEST) die("an event has at most %d bytes", LARGEST);
    mark_write(event, (size_t)size, (struct mark){published++, now()});
    fill(body, sizeof body, options.body, (struct places){.event = event});
    fill(path, sizeof path, options.publish, (struct places){0});
    call_ask(&publisher, path, body);
}

uint64_t in_flight(void) { return published - first - tally.complete; }

uint64_t patience(void) { return in_ns(options.patience); }

uint64_t settle(void) {
    uint64_t latest = now() + patience();
    while ((streams_missing(published) || call_busy(&publisher)) && now() < latest)
        loop_turn(now() + 50 * MILLISECOND);
    return streams_missing(published);
}

void report_faults(uint64_t missing, struct call *call) {
    report("connections", streams.open);
    report("lost", (double)(tally.lost + missing));
    report("repeated", (double)tally.repeated);
    report("closed", (double)streams.closed);
    report("refused", (double)streams.refused);
    report("failed", call ? (double)call->failed : 0);
    streams.closed = streams.refused = 0;
    if (call) call->failed = 0;
}
