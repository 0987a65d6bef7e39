// One epoll for all sockets of this process.
#pragma once
#include <stdint.h>

// Part of everything that has a socket: whom to call when it is ready. `fd` is -1 while there is none.
struct watch {
    int fd;
    void (*ready)(struct watch *watch, uint32_t events);
};

void loop_start(void);

// A non-blocking socket on its way to the server, from 127.0.0.`source`; watched for being writable.
// Returns 0, or -1 where it was refused at once.
int loop_connect(struct watch *watch, int source);

// What the socket is watched for from now on: EPOLLIN, EPOLLOUT, or 0 for nothing.
void loop_expect(struct watch *watch, uint32_t events);

// Closes the socket. Only from its own `ready`, or outside of loop_turn: else an event that was
// fetched with others could meet the next user of its descriptor.
void loop_close(struct watch *watch);

// The error with which connecting ended, 0 for none.
int loop_error(const struct watch *watch);

// Calls all that are ready, once; waits for the first until `until` (ns) at most.
void loop_turn(uint64_t until);

// Turns until the time has come.
void loop_until(uint64_t until);
