/* Follows the events of a kernel until it ends: cc -std=c11 -I ui-bridge/include trace.c && ./a.out NAME */
#define _GNU_SOURCE
#include "wasm_engine_monitor.h"
#include <time.h>

int main(int count, char **arguments) {
    we_region region;
    we_follower follower;
    we_seen seen;
    uint64_t event[WE_TRACE_EVENT_WORDS];
    struct timespec nap = {0, 1000000};
    if (count != 2)
        return fprintf(stderr, "usage: %s NAME\n", arguments[0]), 2;
    if (we_open_name(&region, arguments[1]) != WE_OK || we_trace(&region, &follower) != WE_OK)
        return fprintf(stderr, "error: %s\n", region.error), 1;
    for (int ended = 0; ;) {
        we_status status = we_next_event(&region, &follower, event, &seen);
        if (status == WE_OK)
            printf("%" PRIu64 " tick %" PRIu64 " %s\n", seen.number, we_u64(event, WE_TRACE_EVENT_TICK),
                   we_event_word(we_u32(event, WE_TRACE_EVENT_KIND)));
        else if (status == WE_OVERRUN)
            printf("%" PRIu64 " events lost\n", seen.lost);
        else if (status != WE_NOTHING || ended)
            return we_close(&region), status != WE_NOTHING;
        else if (fflush(stdout), !(ended = we_ended(&region)))
            nanosleep(&nap, NULL);
    }
}
