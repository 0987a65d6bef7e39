// The steps that broadcast.
#include <stdlib.h>

#include "call.h"
#include "clock.h"
#include "loop.h"
#include "meter.h"
#include "options.h"
#include "publish.h"
#include "report.h"
#include "steps.h"
#include "tally.h"

#define WARM 20                       // broadcasts before a flight
#define SILENCE (100 * MILLISECOND)   // less than the least time-out of TCP

static uint64_t landed;  // when the last flight ended

static int compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

// One broadcast; ms until the last stream has read it, or -1 where not all have.
static double round_trip(void) {
    uint64_t complete = tally.complete, began = now(), latest = began + patience();
    publish(options.size);
    while ((tally.complete == complete || call_busy(&publisher)) && now() < latest) loop_turn(latest);
    return tally.complete > complete ? milliseconds(tally_last(published - 1) - began) : -1;
}

void rounds(const double *numbers) {
    int count = 0, wanted = (int)numbers[0];
    double *took = calloc((size_t)wanted + 1, sizeof *took);
    if (!took) die("out of memory");
    expect(BROADCASTS);
    struct meter before = meter_read();
    while (count < wanted) {
        loop_until(now() + in_ns(numbers[1] / 1000));
        took[count] = round_trip();
        if (took[count] < 0) break;
        count++;
    }
    qsort(took, (size_t)count, sizeof *took, compare);
    report("rounds", count);
    report("last", took[count / 2]);
    report("longest", count ? took[count - 1] : 0);
    report_usage(meter_since(before));
    report_faults(settle(), &publisher);
    free(took);
}

// Publishes `count` at most, so many at once, until the time has come.
static void keep_in_flight(uint64_t window, uint64_t count, uint64_t until) {
    uint64_t complete = tally.complete;
    while (now() < until && tally.complete - complete < count && tally_room(published)) {
        if (in_flight() < window && !call_busy(&publisher)) publish(options.size);
        loop_turn(until);
    }
}

// At its beginning and after a silence, Linux acknowledges the next 16 segments of a connection one by one,
// which costs the sender half as much again. With 5,000 streams a step would see nothing else. Right after
// another flight they are past it.
static void warm_up(void) {
    if (now() - landed < SILENCE) return;
    keep_in_flight(1, WARM, now() + patience());
}

void flight(const double *numbers) {
    uint64_t window = (uint64_t)numbers[0], length = in_ns(numbers[1]);
    expect(BROADCASTS);
    warm_up();
    tally_measure();
    uint32_t so_far = published;
    struct meter before = meter_read();
    keep_in_flight(window, UINT64_MAX, before.at + length);
    report("published", published - so_far);
    report("deliveries", (double)tally.deliveries);
    report_usage(meter_since(before));
    report_delays(&tally.delays);
    report_faults(settle(), &publisher);
    landed = now();
}

void burst(const double *numbers) {
    expect(BROADCASTS);
    for (int i = 0; i < (int)numbers[0]; i++) {
        publish((int)numbers[1]);
        call_await(&publisher, patience());
    }
    report("published", numbers[0]);
    report_faults(settle(), &publisher);
}
