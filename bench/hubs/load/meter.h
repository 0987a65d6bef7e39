// What a span of time has cost: CPU of the server, of this client and of all others; memory.
#pragma once
#include <stdint.h>

struct meter { uint64_t at; double server, client, others; };

// Taken at the start of a span.
struct meter meter_read(void);

// Since then: wall seconds, and seconds of CPU.
struct usage { double wall, server, client, others; };
struct usage meter_since(struct meter before);

// KiB that the server's processes have resident.
long meter_resident(void);
