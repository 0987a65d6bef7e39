// sseload: one thread, one epoll, thousands of event streams: what a server of them costs, and whether
// each event came once and in order.
//
//     sseload --port 8000 --path '/sub?i={i}' --pids 123,124
//
// reads steps from its standard input, one a line (steps.c), and answers each with one line of JSON.
// Everything is on 127.0.0.1, and every wait is bounded. For Linux.
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "loop.h"
#include "options.h"
#include "steps.h"

static void raise_limit(void) {
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
}

int main(int argc, char **argv) {
    char line[256];
    signal(SIGPIPE, SIG_IGN);
    options_read(argc, argv);
    raise_limit();
    loop_start();
    while (fgets(line, sizeof line, stdin)) {
        line[strcspn(line, "\n")] = 0;
        step(line);
    }
    return 0;
}
