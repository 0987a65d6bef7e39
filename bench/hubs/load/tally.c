// Counting, without any IO.
#include "tally.h"

#include <string.h>

#define ROUNDS (1 << 18)

struct round { int readers; uint64_t last; };  // read by so many, and when by all

struct tally tally;
static enum expects expects;
static int streams;
static uint32_t first;
static struct round rounds[ROUNDS];  // rounds[0] is the broadcast `first`
static uint32_t used;                // so many of them

void tally_begin(enum expects what, int how_many, uint32_t number) {
    expects = what;
    streams = how_many;
    first = number;
    memset(rounds, 0, used * sizeof *rounds);
    used = 0;
    memset(&tally, 0, sizeof tally);
}

void tally_measure(void) {
    tally.deliveries = 0;
    delays_clear(&tally.delays);
}

static void reached(uint32_t number, uint64_t at) {
    uint32_t which = number - first;
    if (which >= ROUNDS) return;
    if (which >= used) used = which + 1;
    struct round *round = &rounds[which];
    if (++round->readers < streams) return;
    round->last = at;
    tally.complete++;
}

void tally_mark(uint32_t *due, struct mark mark, uint64_t at) {
    if (expects == NOTHING) return;
    if (mark.number < *due) {
        tally.repeated++;
        return;
    }
    tally.lost += mark.number - *due;
    *due = mark.number + 1;
    if (mark.sent == LAST) {
        tally.ended++;
        return;
    }
    tally.deliveries++;
    delays_add(&tally.delays, at > mark.sent ? at - mark.sent : 0);
    if (expects == BROADCASTS) reached(mark.number, at);
}

uint64_t tally_last(uint32_t number) { return rounds[number - first].last; }

int tally_room(uint32_t number) { return number - first < ROUNDS; }
