// What was asked for on the command line, and the templates that paths and bodies are made from.
#pragma once
#include <stddef.h>

#define MOST_PIDS 64
#define MOST_STREAMS 60000

struct options {
    int port;
    const char *path;     // of a stream: {i} is its number
    const char *publish;  // where one event for all is POSTed
    const char *body;     // of that: {event} is the event
    const char *produce;  // where the server is asked to produce: {n} streams for {s} seconds
    const char *health;   // what is asked for while streams come back
    const char *headers;  // of each POST, every line ended by \r\n
    int size;             // bytes of an event
    int in_flight;        // streams that open at once
    int silent;           // the server answers nothing before the first event: connected is open
    int patience;         // seconds for what is under way to come
    int pids[MOST_PIDS];  // the server's processes
    int n_pids;
};

extern struct options options;

// Reads the command line into `options`; ends the program with a sentence where it makes no sense.
void options_read(int argc, char **argv);

// What stands in the places of a template: {i}, {n}, {s} and {event}.
struct places {
    long i, n, s;
    const char *event;  // NULL: it has no such place
};

// Writes the template with its places filled.
void fill(char *out, size_t room, const char *template, struct places places);

// Ends the program with a sentence.
void die(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));
