// What the client can be told to do: one function for each step, which is handed its numbers and reports.
#pragma once

// Does what a line says, like `flight:4:1.5`, and prints the result as one line of JSON.
void step(char *line);

// opening.c
void open_streams(const double *numbers);   // open:N         until there are N
void open_stalled(const double *numbers);   // stall:N        N more, which read nothing
void open_vanished(const double *numbers);  // vanish:N       N more, which drop even the packets
void come_back(const double *numbers);      // back:N:S       the first N return, over S seconds, 0: at once
void close_streams(const double *numbers);  // close:MS       all, and rest
void rest(const double *numbers);           // rest:MS        nothing but read
void memory(const double *numbers);         // memory:MS      rest, and look what is resident

// broadcasting.c
void rounds(const double *numbers);  // round:COUNT:MS   how long one takes to reach all, after a rest
void flight(const double *numbers);  // flight:W:S       W broadcasts on their way at any time
void burst(const double *numbers);   // burst:COUNT:SIZE as fast as they are taken

// producing.c
void produce(const double *numbers);  // produce:S:R     the server's own streams; R connections/s are reset
