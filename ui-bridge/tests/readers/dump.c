/* Prints all that is published in regions, as `wasm_engine_monitor.py --dump` does. */
#define _GNU_SOURCE
#include "wasm_engine_monitor.h"

static void hex(const uint64_t *words, size_t count) {
    const unsigned char *bytes = (const unsigned char *)words;
    for (size_t at = 0; at < count * 8; at++)
        printf("%02x", bytes[at]);
    printf("\n");
}

static we_status rows(we_region *r, const we_section *s) {
    static uint64_t words[1 << 16];
    uint64_t cut, written;
    we_status status = we_cut(r, s, &cut);
    for (uint64_t row = 0; status == WE_OK && row < s->params[0]; row++) {
        status = s->params[1] <= 1 << 16 ? we_read_row(r, s, cut, row, words, &written) : WE_SECTION;
        if (status == WE_OK && written > 0) {
            printf("row %" PRIu32 ".%" PRIu64 " cut %" PRIu64 " ", s->id, row, cut);
            hex(words, (size_t)s->params[1]);
        }
    }
    return status;
}

/* What reading fields gives: the kernel's tick, one more than the last row there is; or the kind of error. */
static void typed(we_region *r) {
    static const struct { const char *name; uint32_t id; size_t words; } tables[] = {
        {"agents", 2, WE_AGENT_ROW_WORDS}, {"lanes", 3, WE_LANE_ROW_WORDS},
        {"models", 4, WE_MODEL_ROW_WORDS}, {"rings", 5, WE_RING_ROW_WORDS}};
    uint64_t page[WE_KERNEL_PAGE_WORDS], row[WE_MODEL_ROW_WORDS], cut, written;
    we_status status = we_kernel(r, page);
    if (status == WE_OK)
        printf("kernel %" PRIu64 "\n", we_u64(page, WE_KERNEL_PAGE_TICK));
    else
        printf("kernel %s\n", we_status_word(status));
    for (int at = 0; at < 4; at++) {
        we_section s;
        uint64_t last = 0;
        int there = we_find(r, WE_ROWS, tables[at].id, &s) == WE_OK;
        status = we_table(r, tables[at].id, tables[at].words, &s);
        if (!there && status == WE_SECTION) {
            printf("%s 0\n", tables[at].name);
            continue;
        }
        if (status == WE_OK)
            status = we_cut(r, &s, &cut);
        for (uint64_t n = 0; status == WE_OK && n < s.params[0]; n++) {
            status = we_read_row(r, &s, cut, n, row, &written);
            if (status == WE_OK && written > 0)
                last = n + 1;
        }
        if (status == WE_OK)
            printf("%s %" PRIu64 "\n", tables[at].name, last);
        else
            printf("%s %s\n", tables[at].name, we_status_word(status));
    }
}

static we_status dump(we_region *r) {
    static const char *const states[] = {"starting", "running", "idle", "waiting for a model",
                                         "waiting for the log", "waiting for a source", "driven by its host",
                                         "stopped"};
    static uint64_t words[1 << 17];
    we_owner_status owner;
    we_status status = we_owner(r, &owner);
    if (status != WE_OK)
        return status;
    printf("region %" PRIu32 ".%" PRIu32 " schema %016" PRIx64 " generation %" PRIu64 " pid %" PRIu64
           " started %" PRIu64 "\n", r->major, r->minor, r->schema, r->generation, r->pid, r->started_unix_ns);
    printf("status %s heartbeat %" PRIu64 " tick %" PRIu64 "\n",
           owner.state < 8 ? states[owner.state] : "unknown", owner.heartbeat, owner.tick);
    typed(r);
    for (uint32_t index = 0; status == WE_OK && index < r->sections; index++) {
        we_section s;
        if ((status = we_section_at(r, index, &s)) != WE_OK)
            break;
        printf("section %" PRIu32 " %" PRIu32 " version %" PRIu32 " at %" PRIu64 " bytes %" PRIu64
               " (%" PRIu64 ", %" PRIu64 ")\n", s.kind, s.id, s.version, s.offset, s.length, s.params[0], s.params[1]);
        if (s.kind == WE_PAGE) {
            uint64_t number;
            size_t count;
            status = we_read_page(r, s.id, words, 1 << 17, &number, &count);
            if (status == WE_OK) {
                printf("page %" PRIu32 " number %" PRIu64 " ", s.id, number);
                hex(words, count);
            }
        }
        if (status == WE_OK && s.kind == WE_ROWS)
            status = rows(r, &s);
    }
    return status;
}

int main(int count, char **paths) {
    for (int at = 1; at < count; at++) {
        we_region region;
        we_status status = we_open_path(&region, paths[at]);
        if (status == WE_OK) {
            status = dump(&region);
            we_close(&region);
        }
        if (status != WE_OK)
            printf("error %s\n", we_status_word(status));
        printf("end %d\n", at);
    }
    return 0;
}
