/* A follower and a list of counters at each moment of a writer that overtakes them: the writer runs when
 * they read for the n-th time. Prints what they find, as overtaken.py does. */
#define _GNU_SOURCE
#include <string.h>
#include <unistd.h>

static ssize_t read_memory(int file, void *to, size_t bytes, off_t at);
#define pread read_memory
#include "wasm_engine_monitor.h"

enum { SLOTS = 4, MESSAGE_WORDS = 6, STRIDE = 8, WORDS = 16 + SLOTS * STRIDE };

static uint64_t memory[WORDS];
static uint64_t sent;
static int reads, moment, more, half, counting;

static void fill(uint64_t *slot, uint64_t number) {
    slot[0] = 2 * number + 1;
    slot[1] = MESSAGE_WORDS * 8 - number % 8;
    for (int at = 0; at < MESSAGE_WORDS; at++)
        slot[2 + at] = (number + 1) * UINT64_C(0x0101010101010101);
}

static void sends(int count, int begins) {
    for (; count > 0; count--, sent++) {
        uint64_t *slot = memory + 16 + sent % SLOTS * STRIDE;
        fill(slot, sent);
        slot[0]++;
        memory[0] = sent + 1;
    }
    if (begins)
        fill(memory + 16 + sent % SLOTS * STRIDE, sent);
}

/* One counter, replaced wholly or in part. */
static void replaces(const char *label, uint64_t generation, uint64_t value) {
    memory[0] = 1;
    memory[16] = generation;
    memory[20] = 0;
    memcpy(memory + 20, label, strlen(label));
    memory[32] = value;
}

static ssize_t read_memory(int file, void *to, size_t bytes, off_t at) {
    (void)file;
    if (reads++ == moment && counting)
        replaces("new", half ? 3 : 4, 7);
    else if (reads - 1 == moment)
        sends(more, half);
    memcpy(to, (unsigned char *)memory + at, bytes);
    return (ssize_t)bytes;
}

static void count(void) {
    we_region r;
    we_section s;
    we_counter_list list;
    we_counter c;
    uint64_t value;
    memset(memory, 0, sizeof memory);
    memset(&r, 0, sizeof r);
    memset(&s, 0, sizeof s);
    r.words = WORDS;
    s.length = sizeof memory;
    for (counting = 1, moment = 0; moment <= 6; moment++)
        for (half = 0; half <= 1; half++) {
            replaces("old", 2, 5);
            reads = 0;
            printf("counter %d %d ", moment, half);
            if (we_list(&r, &s, &list) != WE_OK || we_next_counter(&r, &list, &c) != WE_OK)
                printf("none\n");
            else if (we_value(&r, &c, &value) == WE_OK)
                printf("%s %" PRIu64 "\n", c.label, value);
            else
                printf("%s gone\n", c.label);
        }
}

int main(void) {
    static const char *const found[] = {"message", "nothing", "overrun"};
    for (int before = 0; before <= 6; before++)
        for (moment = 0; moment <= 5; moment++)
            for (more = 0; more <= 9; more++)
                for (half = 0; half <= 1; half++) {
                    we_region r;
                    we_section s;
                    we_follower f;
                    we_seen seen;
                    uint64_t words[MESSAGE_WORDS] = {0};
                    memset(memory, 0, sizeof memory);
                    memset(&r, 0, sizeof r);
                    memset(&s, 0, sizeof s);
                    r.words = WORDS;
                    s.length = sizeof memory;
                    s.params[0] = SLOTS;
                    s.params[1] = MESSAGE_WORDS * 8;
                    if (we_follow(&r, &s, &f) != WE_OK)
                        return 1;
                    sent = 0;
                    sends(before, 0);
                    reads = 0;
                    we_status status = we_next(&r, &f, words, MESSAGE_WORDS, &seen);
                    int index = status == WE_OK ? 0 : status == WE_NOTHING ? 1 : 2;
                    printf("%d %d %d %d %s", before, moment, more, half, found[index]);
                    if (index == 0) {
                        printf(" ");
                        for (size_t at = 0; at < seen.bytes; at++)
                            printf("%02x", ((unsigned char *)words)[at]);
                    } else if (index == 2) {
                        printf(" %" PRIu64 " %s", seen.lost, seen.reading ? "reading" : "polling");
                    }
                    printf(" next %" PRIu64 "\n", f.next);
                }
    count();
    return 0;
}
