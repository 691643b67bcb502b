/* Prints all that is published in regions, as `wasm_engine_monitor.py --dump` does. */
#define _GNU_SOURCE
#include "wasm_engine_monitor.h"

/* Looks at one ring: all that was sent up to now, and an end if that is too much. */
enum { LOOKS = 1000 };

static void hex(const uint64_t *words, size_t count) {
    const unsigned char *bytes = (const unsigned char *)words;
    for (size_t at = 0; at < count; at++)
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
            hex(words, (size_t)s->params[1] * 8);
        }
    }
    return status;
}

static we_status ring(we_region *r, const we_section *s) {
    static uint64_t words[1 << 17];
    uint64_t sent;
    we_follower f;
    we_seen seen;
    we_status status = we_follow(r, s, &f);
    if (status != WE_OK || (status = we_sent(r, &f, &sent)) != WE_OK)
        return status;
    printf("ring %" PRIu32 " sent %" PRIu64 "\n", s->id, sent);
    for (int look = 0; look < LOOKS && f.next < sent; look++) {
        status = we_next(r, &f, words, 1 << 17, &seen);
        if (status == WE_OK) {
            printf("message %" PRIu32 ".%" PRIu64 " ", s->id, seen.number);
            hex(words, (size_t)seen.bytes);
        } else if (status == WE_OVERRUN) {
            printf("lost %" PRIu32 ".%" PRIu64 " %" PRIu64 " %s\n", s->id, seen.number, seen.lost,
                   seen.reading ? "reading" : "polling");
        } else if (status == WE_NOTHING) {
            break;
        } else {
            return status;
        }
    }
    printf("passed %" PRIu32 " %" PRIu64 " lost %" PRIu64 " %" PRIu64 "\n", s->id, f.next, f.lost_polling,
           f.lost_reading);
    return WE_OK;
}

static we_status counters(we_region *r, const we_section *s) {
    we_counter_list list;
    we_counter c;
    uint64_t value;
    we_status status = we_list(r, s, &list);
    while (status == WE_OK && (status = we_next_counter(r, &list, &c)) == WE_OK) {
        status = we_value(r, &c, &value);
        printf("counter %" PRIu32 " %08" PRIx32 " ", s->id, c.id);
        if (status == WE_OK)
            printf("%" PRIu64, value);
        else
            printf("%s", we_status_word(status));
        printf(" %s|%s|%s|%s\n", c.kind, c.unit, c.label, c.help);
        if (status == WE_GONE)
            status = WE_OK;
    }
    return status == WE_NOTHING ? WE_OK : status;
}

/* How many events are read, and tick and kind of the last; how many counters there are. */
static void events_and_counters(we_region *r) {
    uint64_t event[WE_TRACE_EVENT_WORDS], tick = 0, events = 0, sent = 0, count = 0;
    uint32_t kind = 0;
    we_follower f;
    we_seen seen;
    we_counter_list list;
    we_counter c;
    we_status status = we_trace(r, &f);
    if (status == WE_OK)
        status = we_sent(r, &f, &sent);
    for (int look = 0; (status == WE_OK || status == WE_OVERRUN) && look < LOOKS && f.next < sent; look++) {
        status = we_next_event(r, &f, event, &seen);
        if (status == WE_OK) {
            events++;
            tick = we_u64(event, WE_TRACE_EVENT_TICK);
            kind = we_u32(event, WE_TRACE_EVENT_KIND);
        }
    }
    if (status == WE_OK || status == WE_OVERRUN || status == WE_NOTHING)
        printf("trace %" PRIu64 " %" PRIu64 " %" PRIu32 "\n", events, tick, kind);
    else
        printf("trace %s\n", we_status_word(status));
    status = we_counters(r, &list);
    while (status == WE_OK && (status = we_next_counter(r, &list, &c)) == WE_OK)
        count++;
    if (status == WE_NOTHING)
        printf("counters %" PRIu64 "\n", count);
    else
        printf("counters %s\n", we_status_word(status));
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
    events_and_counters(r);
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
                hex(words, count * 8);
            }
        }
        if (status == WE_OK && s.kind == WE_ROWS)
            status = rows(r, &s);
        if (status == WE_OK && s.kind == WE_BROADCAST)
            status = ring(r, &s);
        if (status == WE_OK && s.kind == WE_COUNTERS)
            status = counters(r, &s);
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
