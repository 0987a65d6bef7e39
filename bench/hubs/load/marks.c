// Writing and finding marks. Pure.
#include "marks.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

void mark_write(char *out, size_t size, struct mark mark) {
    snprintf(out, MARK + 1, "~S%08" PRIx32 "T%016" PRIx64 "~", mark.number, mark.sent);
    if (size <= MARK) return;
    memset(out + MARK, 'x', size - MARK);
    out[size] = 0;
}

// The number that so many lower-case hex digits spell; *right becomes 0 where one is none.
static inline uint64_t hex(const char *text, int digits, int *right) {
    uint64_t value = 0;
    for (int i = 0; i < digits; i++) {
        unsigned letter = (unsigned char)text[i];
        unsigned digit = letter <= '9' ? letter - '0' : letter - 'a' + 10;
        *right &= digit < 16;
        value = value << 4 | digit;
    }
    return value;
}

static inline int mark_read(const char *text, struct mark *mark) {
    int right = text[1] == 'S' && text[10] == 'T' && text[MARK - 1] == '~';
    if (!right) return 0;
    mark->number = (uint32_t)hex(text + 2, 8, &right);
    mark->sent = hex(text + 11, 16, &right);
    return right;
}

int mark_next(const char **at, const char *end, struct mark *mark) {
    for (const char *text = *at; (text = memchr(text, '~', (size_t)(end - text))); text++) {
        if (end - text < MARK) {
            if (end - text > 1 && text[1] != 'S') continue;
            *at = text;
            return 0;
        }
        if (mark_read(text, mark)) {
            *at = text + MARK;
            return 1;
        }
    }
    *at = end;
    return 0;
}
