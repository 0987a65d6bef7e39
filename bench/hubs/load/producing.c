// The step in which the server sends each stream events of its own.
#include "call.h"
#include "clock.h"
#include "loop.h"
#include "meter.h"
#include "options.h"
#include "publish.h"
#include "report.h"
#include "steps.h"
#include "streams.h"
#include "tally.h"

#define GATHERING (SECOND / 2)  // until all streams of a producer run, and before they end

// Opens connections, so many a second, that will be reset, until the time has come.
static void flood(double rate, uint64_t until) {
    uint64_t began = now();
    for (int started = 0; now() < until;) {
        int end = (int)(rate * seconds(now() - began));
        for (; started < end; started++) stream_start(streams.known, RESETTING);
        loop_turn(rate > 0 ? now() + MILLISECOND : until);
    }
}

static void ask_for_streams(int count, int length) {
    char path[512];
    fill(path, sizeof path, options.produce, (struct places){.n = count, .s = length});
    call_ask(&publisher, path, "");
}

void produce(const double *numbers) {
    int producing = streams.open;
    uint64_t began = now(), end = began + in_ns(numbers[0]);
    expect(OWN);
    ask_for_streams(producing, (int)numbers[0]);
    loop_until(began + GATHERING);
    tally_measure();
    struct meter before = meter_read();
    flood(numbers[1], end - GATHERING);
    report("deliveries", (double)tally.deliveries);
    report_usage(meter_since(before));
    report_delays(&tally.delays);
    while ((tally.ended < producing || call_busy(&publisher)) && now() < end + patience())
        loop_turn(now() + 50 * MILLISECOND);
    report("unfinished", producing - tally.ended);
    report("cut", (double)streams.cut);
    report_faults(0, &publisher);
}
