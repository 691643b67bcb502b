/* What reading costs in C: `readers PATH SECONDS` prints "name ns-per-read failed" a line. */
#define _GNU_SOURCE
#include "../../ui-bridge/include/wasm_engine_monitor.h"
#include <time.h>

static uint64_t buffer[1 << 17];

static double now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static we_status once(we_region *r, const we_section *s) {
    if (s->kind == WE_PAGE) {
        uint64_t number;
        size_t words;
        return we_read_page(r, s->id, buffer, sizeof buffer / 8, &number, &words);
    }
    uint64_t cut, written;
    we_status status = we_cut(r, s, &cut);
    for (uint64_t row = 0; status == WE_OK && row < s->params[0]; row++)
        status = we_read_row(r, s, cut, row, buffer, &written);
    return status;
}

int main(int count, char **arguments) {
    we_region r;
    if (count != 3 || we_open_path(&r, arguments[1]) != WE_OK)
        return fprintf(stderr, "usage: readers PATH SECONDS\n"), 2;
    double limit_ns = strtod(arguments[2], NULL) * 1e9;
    for (uint32_t index = 0; index < r.sections; index++) {
        we_section s;
        if (we_section_at(&r, index, &s) != WE_OK)
            return 1;
        double start = now_ns(), end = start;
        unsigned long reads = 0, failed = 0;
        while (end - start < limit_ns) {
            if (once(&r, &s) != WE_OK)
                failed++;
            reads++;
            if (reads % 16 == 0 || s.kind == WE_ROWS)
                end = now_ns();
        }
        printf("%" PRIu32 " %f %f\n", s.id, (end - start) / (double)reads, (double)failed / (double)reads);
    }
    return 0;
}
