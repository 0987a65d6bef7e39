// The mark that each event carries somewhere in its data: ~S<8 hex: its number>T<16 hex: when, in ns>~
//
// It is found in the bytes as they come, so the client need not know how a server frames an event, in
// chunks or not. (Chunks end between events: no mark is cut by the head of one.)
#pragma once
#include <stddef.h>
#include <stdint.h>

#define MARK 28
#define LAST UINT64_MAX  // in the place of the time: a producer's stream ends with this event

struct mark {
    uint32_t number;
    uint64_t sent;  // ns
};

// Writes an event of `size` bytes, at least MARK, and a closing 0.
void mark_write(char *out, size_t size, struct mark mark);

// Finds the next mark from *at on. Returns 1 with *at behind it; or 0 with *at where the beginning of one
// stands that the end has cut, which is `end` where there is none.
int mark_next(const char **at, const char *end, struct mark *mark);
