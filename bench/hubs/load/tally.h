// What arrived in a step, held against what was sent: each event on each stream, once and in order.
#pragma once
#include <stdint.h>

#include "delays.h"
#include "marks.h"

enum expects {
    NOTHING,     // marks are passed over
    BROADCASTS,  // all streams get the same numbers
    OWN,         // each stream has its own, from 0
};

struct tally {
    uint64_t deliveries, lost, repeated;  // repeated: or out of order
    uint64_t complete;                    // broadcasts that have reached all
    int ended;                            // producer's streams that have had their last event
    struct delays delays;                 // from the sending of an event until it is read
};

extern struct tally tally;

// Begins a step for so many streams; `first` is the number that each is due.
void tally_begin(enum expects expects, int streams, uint32_t first);

// Forgets what was counted so far, not what is missing: until here the step was warming up.
void tally_measure(void);

// A mark was read, at `at`, on a stream whose next one is *due.
void tally_mark(uint32_t *due, struct mark mark, uint64_t at);

// When a broadcast of this step was read by the last stream, in ns; 0 while it was not.
uint64_t tally_last(uint32_t number);

// Whether there is room to watch this broadcast in this step.
int tally_room(uint32_t number);
