// The event streams: very many are opened, and what they are sent is read.
#pragma once
#include <stdint.h>

#include "delays.h"

enum manner {
    NEW,        // it reads whatever comes
    RETURNING,  // the same, and begins with the cursor that it had before streams_close
    STALLED,    // once answered it reads nothing more
    VANISHED,   // once answered it drops all packets, as a peer without power does
    RESETTING,  // once answered it resets the connection
};

struct streams {
    int known;              // they have the numbers 0 … known - 1, open or not
    int pending;            // on their way
    int open;               // answered, and read
    int mute;               // stalled or vanished
    uint64_t refused;       // could not be opened
    uint64_t closed;        // were read, and ended by the server
    uint64_t cut;           // were mute, and ended by the server
    uint64_t resumed;       // were told that everything after their cursor follows
    struct delays opening;  // from connect() to the first event, since streams_measure
};

extern struct streams streams;

// Starts to open a stream: one that is closed, or the next, which has the number `known`.
void stream_start(int which, enum manner manner);

// Forgets how long the streams so far took to open, and how many were resumed.
void streams_measure(void);

// Has each stream count from this number on.
void streams_expect(uint32_t due);

// How many events before the number `end` have not come, over all that are read.
uint64_t streams_missing(uint32_t end);

// Closes all and knows none; only their cursors are kept.
void streams_close(void);
