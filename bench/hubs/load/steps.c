// The steps by name.
#include "steps.h"

#include <stdlib.h>
#include <string.h>

#include "options.h"
#include "report.h"

#define NUMBERS 2  // a step has at most

static const struct { const char *name; void (*run)(const double *numbers); } known[] = {
    {"open", open_streams}, {"stall", open_stalled}, {"vanish", open_vanished}, {"back", come_back},
    {"close", close_streams}, {"rest", rest}, {"memory", memory}, {"round", rounds}, {"flight", flight},
    {"burst", burst}, {"produce", produce},
};

void step(char *line) {
    double numbers[NUMBERS] = {0};
    report_begin(line);
    char *name = strtok(line, ":");
    for (int i = 0; i < NUMBERS; i++) {
        char *number = strtok(NULL, ":");
        numbers[i] = number ? atof(number) : 0;
    }
    size_t which = 0, count = sizeof known / sizeof *known;
    while (which < count && (!name || strcmp(name, known[which].name))) which++;
    if (which == count) die("no step is called %s", name ? name : "nothing");
    known[which].run(numbers);
    report_end();
}
