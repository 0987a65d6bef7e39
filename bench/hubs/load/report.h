// The result of a step as one line of JSON.
#pragma once
#include "delays.h"
#include "meter.h"

void report_begin(const char *step);
void report(const char *name, double value);
void report_delays(const struct delays *delays);  // p50, p99 and most, in ms
void report_usage(struct usage usage);            // wall seconds; seconds of CPU: server, client, others
void report_end(void);
