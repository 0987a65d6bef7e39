// The steps that open streams, and close them.
#include "call.h"
#include "clock.h"
#include "loop.h"
#include "meter.h"
#include "options.h"
#include "publish.h"
#include "report.h"
#include "steps.h"
#include "streams.h"

#define PATIENCE (60 * SECOND)   // for what should come in some
#define CALM (10 * MILLISECOND)  // between two calls for health

// Starts further streams until there are `wanted`, so many at once as --in-flight says. Who has no answer
// in time counts as refused.
static void open_more(int wanted, enum manner manner) {
    uint64_t latest = now() + PATIENCE;
    while ((streams.known < wanted || streams.pending) && now() < latest) {
        while (streams.known < wanted && streams.pending < options.in_flight)
            stream_start(streams.known, manner);
        loop_turn(latest);
    }
    streams.refused += (uint64_t)(wanted - streams.known + streams.pending);
}

static void report_opening(struct meter before, int count) {
    report("streams", count);
    report_usage(meter_since(before));
    report_delays(&streams.opening);
}

void open_streams(const double *numbers) {
    int first = streams.known, wanted = (int)numbers[0];
    expect(NOTHING);
    streams_measure();
    struct meter before = meter_read();
    open_more(wanted, NEW);
    report_opening(before, wanted - first);
    report_faults(0, NULL);
}

static void open_mute(int more, enum manner manner) {
    expect(NOTHING);
    open_more(streams.known + more, manner);
    report("mute", streams.mute);
    report_faults(0, NULL);
}

void open_stalled(const double *numbers) { open_mute((int)numbers[0], STALLED); }

void open_vanished(const double *numbers) { open_mute((int)numbers[0], VANISHED); }

// --- coming back

static struct call prober;   // on a connection that is kept
static uint64_t longest;     // that it waited for an answer

static void probe(void) {
    if (call_busy(&prober)) return;
    if (prober.took > longest) longest = prober.took;
    if (now() > prober.asked + prober.took + CALM) call_ask(&prober, options.health, NULL);
}

static void finish_probe(void) {
    call_await(&prober, PATIENCE);
    if (prober.took > longest) longest = prober.took;
}

// How many of `count` have to have started, spread evenly over so many seconds.
static int due(int count, double length, double elapsed) {
    return elapsed < length ? (int)(count * elapsed / length) : count;
}

void come_back(const double *numbers) {
    int count = (int)numbers[0], started = 0;
    expect(NOTHING);
    streams_measure();
    call_ask(&prober, options.health, NULL);
    call_await(&prober, PATIENCE);
    longest = prober.took = 0;  // so far it had to connect, too
    struct meter before = meter_read();
    uint64_t latest = before.at + in_ns(numbers[1]) + PATIENCE;
    while ((started < count || streams.pending) && now() < latest) {
        int end = due(count, numbers[1], seconds(now() - before.at));
        while (started < end) stream_start(started++, RETURNING);
        probe();
        loop_turn(now() + MILLISECOND);
    }
    report_opening(before, count);
    finish_probe();
    report("health", milliseconds(longest));
    report("unresumed", count - (double)streams.resumed);
    streams.refused += (uint64_t)streams.pending;
    report_faults(0, &prober);
}

// --- the rest

void close_streams(const double *numbers) {
    streams_close();
    rest(numbers);
}

void rest(const double *numbers) { loop_until(now() + in_ns(numbers[0] / 1000)); }

void memory(const double *numbers) {
    rest(numbers);
    report("connections", streams.open);
    report("resident", (double)meter_resident());
}
