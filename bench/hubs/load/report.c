// Printing one line of JSON, piece by piece.
#include "report.h"

#include <stdio.h>

#include "clock.h"

void report_begin(const char *step) { printf("{\"step\":\"%s\"", step); }

void report(const char *name, double value) { printf(",\"%s\":%.9g", name, value); }

void report_delays(const struct delays *delays) {
    report("p50", milliseconds(delays_quantile(delays, 0.5)));
    report("p99", milliseconds(delays_quantile(delays, 0.99)));
    report("most", milliseconds(delays->most));
}

void report_usage(struct usage usage) {
    report("wall", usage.wall);
    report("server", usage.server);
    report("client", usage.client);
    report("others", usage.others);
}

void report_end(void) {
    puts("}");
    fflush(stdout);
}
