/* A monitor in C: cc -std=c11 -I ui-bridge/include monitor.c && ./a.out NAME */
#define _GNU_SOURCE
#include "wasm_engine_monitor.h"

int main(int count, char **arguments) {
    we_region region;
    we_owner_status owner;
    uint64_t page[WE_KERNEL_PAGE_WORDS];
    if (count != 2)
        return fprintf(stderr, "usage: %s NAME\n", arguments[0]), 2;
    if (we_open_name(&region, arguments[1]) != WE_OK || we_owner(&region, &owner) != WE_OK ||
        we_kernel(&region, page) != WE_OK)
        return fprintf(stderr, "error: %s\n", region.error), 1;
    printf("state %" PRIu64 ", tick %" PRIu64 ", turns %" PRIu64 ", agents %" PRIu32 "\n", owner.state,
           we_u64(page, WE_KERNEL_PAGE_TICK), we_u64(page, WE_KERNEL_PAGE_TURNS),
           we_u32(page, WE_KERNEL_PAGE_AGENTS));
    we_close(&region);
    return 0;
}
