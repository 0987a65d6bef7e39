// The command line of the load client.
#include "options.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct options options = {
    .path = "/sub", .publish = "/pub", .body = "{event}", .produce = "/produce?clients={n}&seconds={s}",
    .health = "/healthz", .headers = "", .size = 100, .in_flight = 128, .patience = 8,
};

void die(const char *format, ...) {
    va_list values;
    va_start(values, format);
    fputs("sseload: ", stderr);
    vfprintf(stderr, format, values);
    fputc('\n', stderr);
    va_end(values);
    exit(2);
}

static void read_pids(const char *value) {
    for (char *list = strdup(value), *pid = strtok(list, ","); pid; pid = strtok(NULL, ",")) {
        if (options.n_pids == MOST_PIDS) die("more than %d processes in --pids", MOST_PIDS);
        options.pids[options.n_pids++] = atoi(pid);
    }
}

// Appends one line to the headers of each POST.
static void add_header(const char *line) {
    char *all;
    if (asprintf(&all, "%s%s\r\n", options.headers, line) < 0) die("out of memory");
    options.headers = all;
}

void options_read(int argc, char **argv) {
    struct { const char *name; const char **text; int *number; void (*read)(const char *); } known[] = {
        {"--port", .number = &options.port},           {"--path", .text = &options.path},
        {"--publish", .text = &options.publish},       {"--body", .text = &options.body},
        {"--produce", .text = &options.produce},       {"--health", .text = &options.health},
        {"--header", .read = add_header},              {"--size", .number = &options.size},
        {"--in-flight", .number = &options.in_flight}, {"--silent", .number = &options.silent},
        {"--patience", .number = &options.patience},   {"--pids", .read = read_pids},
    };
    for (int at = 1; at < argc; at += 2) {
        size_t k = 0;
        while (k < sizeof known / sizeof *known && strcmp(known[k].name, argv[at])) k++;
        if (k == sizeof known / sizeof *known) die("no option is called %s", argv[at]);
        if (at + 1 == argc) die("%s needs a value", argv[at]);
        if (known[k].text) *known[k].text = argv[at + 1];
        else if (known[k].number) *known[k].number = atoi(argv[at + 1]);
        else known[k].read(argv[at + 1]);
    }
    if (!options.port) die("--port is missing: the server's, on 127.0.0.1");
}

// What a place of the template stands for, written to `text`; returns the bytes of the place, 0 for none.
static size_t place(const char *template, struct places places, char *text, size_t room) {
    const char *names[] = {"{i}", "{n}", "{s}"};
    const long numbers[] = {places.i, places.n, places.s};
    for (size_t k = 0; k < 3; k++) {
        if (strncmp(template, names[k], 3)) continue;
        snprintf(text, room, "%ld", numbers[k]);
        return 3;
    }
    if (!places.event || strncmp(template, "{event}", 7)) return 0;
    snprintf(text, room, "%s", places.event);
    return 7;
}

void fill(char *out, size_t room, const char *template, struct places places) {
    size_t used = 0;
    while (*template && used < room) {
        size_t length = *template == '{' ? place(template, places, out + used, room - used) : 0;
        if (length) used += strlen(out + used);
        else out[used++] = *template;
        template += length ? length : 1;
    }
    if (used + 1 >= room) die("a path or a body has more than %zu bytes", room - 1);
    out[used] = 0;
}
