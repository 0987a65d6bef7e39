// Where the kernel says who used the cores.
#include "meter.h"

#include <ctype.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "options.h"

#define KERNEL 2  // the parent of its threads
// [proc(5)] after the name: the 4th field, and the 14th to the 17th.
#define STAT "%*c %lu %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu %ld %ld"

static double of_clock(clockid_t clock) {
    struct timespec t;
    return clock_gettime(clock, &t) ? 0 : (double)t.tv_sec + (double)t.tv_nsec / SECOND;
}

// Of all threads of the server's processes, to the nanosecond: /proc counts in hundredths of a second.
static double server(void) {
    double sum = 0;
    for (int i = 0; i < options.n_pids; i++) {
        clockid_t clock;
        if (!clock_getcpuclockid(options.pids[i], &clock)) sum += of_clock(clock);
    }
    return sum;
}

static int is_ours(int pid) {
    for (int i = 0; i < options.n_pids; i++)
        if (options.pids[i] == pid) return 1;
    return pid == getpid();
}

// Reads a small file of /proc; "" where it is gone.
static void slurp(const char *name, char *text, size_t room) {
    FILE *file = fopen(name, "r");
    size_t size = file ? fread(text, 1, room - 1, file) : 0;
    text[size] = 0;
    if (file) fclose(file);
}

// Ticks of one process and of the children it has buried: who ends meanwhile is counted with its parent.
static unsigned long ticks_of(int pid) {
    char name[64], text[1024];
    unsigned long user, kernel, parent;
    long children_user, children_kernel;
    snprintf(name, sizeof name, "/proc/%d/stat", pid);
    slurp(name, text, sizeof text);
    const char *rest = strrchr(text, ')');  // the name before it may hold anything
    if (!rest || sscanf(rest + 2, STAT, &parent, &user, &kernel, &children_user, &children_kernel) != 5)
        return 0;
    return parent == KERNEL ? 0 : user + kernel + (unsigned long)(children_user + children_kernel);
}

static unsigned long stolen(void) {
    char text[256];
    unsigned long ticks = 0;
    slurp("/proc/stat", text, sizeof text);
    sscanf(text, "cpu %*u %*u %*u %*u %*u %*u %*u %lu", &ticks);
    return ticks;
}

// Core seconds of all other processes, and of whoever else the machine serves. Not the kernel's own: what
// it frees and retransmits for us would be in there.
static double others(void) {
    unsigned long ticks = stolen();
    DIR *all = opendir("/proc");
    if (!all) die("/proc can't be read: this client is for Linux");
    for (struct dirent *entry; (entry = readdir(all));) {
        int pid = isdigit((unsigned char)*entry->d_name) ? atoi(entry->d_name) : 0;
        if (pid && pid != KERNEL && !is_ours(pid)) ticks += ticks_of(pid);
    }
    closedir(all);
    return (double)ticks / (double)sysconf(_SC_CLK_TCK);
}

static struct meter exact(void) {
    return (struct meter){.at = now(), .server = server(), .client = of_clock(CLOCK_PROCESS_CPUTIME_ID)};
}

// Going through /proc takes some milliseconds: they are left out on both sides.
struct meter meter_read(void) {
    double so_far = others();
    struct meter meter = exact();
    meter.others = so_far;
    return meter;
}

struct usage meter_since(struct meter before) {
    struct meter after = exact();
    after.others = others();
    return (struct usage){
        .wall = seconds(after.at - before.at),
        .server = after.server - before.server,
        .client = after.client - before.client,
        .others = after.others > before.others ? after.others - before.others : 0,
    };
}

static long resident(int pid) {
    char name[64], text[4096];
    snprintf(name, sizeof name, "/proc/%d/status", pid);
    slurp(name, text, sizeof text);
    const char *line = strstr(text, "VmRSS:");
    return line ? strtol(line + 6, NULL, 10) : 0;
}

long meter_resident(void) {
    long sum = 0;
    for (int i = 0; i < options.n_pids; i++) sum += resident(options.pids[i]);
    return sum;
}
