// A histogram with 64 steps for each doubling. Pure.
#include "delays.h"

#include <string.h>

void delays_clear(struct delays *delays) { memset(delays, 0, sizeof *delays); }

void delays_add(struct delays *delays, uint64_t nanoseconds) {
    int bit = 63 - __builtin_clzll(nanoseconds | 1);
    int step = bit < 6 ? (int)nanoseconds : (bit - 5) * 64 + (int)(nanoseconds >> (bit - 6) & 63);
    delays->counts[step]++;
    delays->count++;
    if (nanoseconds > delays->most) delays->most = nanoseconds;
}

// The upper end of a step.
static uint64_t upper(int step) {
    if (step < 64) return (uint64_t)step;
    int shift = step / 64 - 1;
    return ((64 + (uint64_t)(step % 64) + 1) << shift) - 1;
}

uint64_t delays_quantile(const struct delays *delays, double share) {
    uint64_t wanted = (uint64_t)(share * (double)delays->count), seen = 0;
    if (wanted >= delays->count) return delays->most;
    for (int step = 0; step < DELAYS; step++) {
        seen += delays->counts[step];
        if (seen > wanted) return upper(step) < delays->most ? upper(step) : delays->most;
    }
    return delays->most;
}
