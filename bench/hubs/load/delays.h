// How many took how long, in fixed memory, within 2 %.
#pragma once
#include <stdint.h>

#define DELAYS (64 * 64)

struct delays { uint64_t counts[DELAYS], count, most; };

void delays_clear(struct delays *delays);
void delays_add(struct delays *delays, uint64_t nanoseconds);

// Nanoseconds that this share of them took at most; 0 where there are none.
uint64_t delays_quantile(const struct delays *delays, double share);
