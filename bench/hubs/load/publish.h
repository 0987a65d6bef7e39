// Broadcasts: one call after the other publishes them, and what each step expects of them.
#pragma once
#include <stdint.h>

#include "call.h"
#include "tally.h"

extern struct call publisher;
extern uint32_t published;  // broadcasts so far, and so the number of the next

// Begins a step, in which streams are expected to be sent this.
void expect(enum expects what);

// Publishes the next broadcast, of so many bytes; the publisher must not be busy.
void publish(int size);

// Broadcasts of this step that have not reached all.
uint64_t in_flight(void);

// How long what is under way may take, in ns.
uint64_t patience(void);

// Waits until all have; returns how many events are still missing when patience is over.
uint64_t settle(void);

// What has gone wrong since the last report; `missing`: events, at the end of this step; `call`: the one
// that this step has made.
void report_faults(uint64_t missing, struct call *call);
