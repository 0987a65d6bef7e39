// The one clock: nanoseconds of CLOCK_MONOTONIC, which all processes of a machine share.
#pragma once
#include <stdint.h>
#include <time.h>

#define SECOND 1000000000ull
#define MILLISECOND 1000000ull

static inline uint64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * SECOND + (uint64_t)t.tv_nsec;
}

static inline double seconds(uint64_t ns) { return (double)ns / SECOND; }
static inline double milliseconds(uint64_t ns) { return (double)ns / MILLISECOND; }
static inline uint64_t in_ns(double of_seconds) { return (uint64_t)(of_seconds * SECOND); }
