/* Reads the shared region of a running Wasm-Engine kernel, in C11 (with __atomic builtins: GCC, Clang),
 * on systems with POSIX. One header, no library, no allocation. The format is docs/REGION.md.
 *
 *   we_region region;
 *   uint64_t page[WE_KERNEL_PAGE_WORDS];
 *   if (we_open_name(&region, "weather") != WE_OK || we_kernel(&region, page) != WE_OK)
 *       return puts(region.error), 1;
 *   printf("tick %" PRIu64 "\n", we_u64(page, WE_KERNEL_PAGE_TICK));
 *   we_close(&region);
 *
 * Events, one by one (examples/c/trace.c), and counters, which may be of another release:
 *
 *   we_trace(&region, &follower);     then again and again   we_next_event(&region, &follower, event, &seen)
 *   we_counters(&region, &list);      then until it ends     we_next_counter(&region, &list, &counter)
 *
 * Nothing is ever written: the file is opened and mapped read-only, and the kernel does not know of its
 * readers. Shared words are read with relaxed 64-bit loads and acquire fences, which is all that a
 * read-only mapping allows; each page, row, event and counter is copied between two loads of its
 * sequence. Region memory whose length is sealed is mapped; a plain file is read with pread, because
 * reading a mapping of a file that somebody cuts short ends the process.
 *
 * A we_region may be used by one thread at a time; open several for several threads. Functions give
 * WE_OK or the kind of error, whose text is in `error`. Each does a bounded amount of work, whatever the
 * region holds. Opening takes some 33 KiB of stack, for the check of the directory. */
#ifndef WASM_ENGINE_MONITOR_H
#define WASM_ENGINE_MONITOR_H

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* generated: layouts */
#define WE_SCHEMA_FINGERPRINT UINT64_C(0x380d54fdee9209f5)
enum {
    WE_KERNEL_PAGE_WORDS = 90,
    WE_KERNEL_PAGE_NOW_NS = 0,
    WE_KERNEL_PAGE_START_NS = 8,
    WE_KERNEL_PAGE_TICK = 16,
    WE_KERNEL_PAGE_TICKS_END = 24,
    WE_KERNEL_PAGE_DURABLE_TICK = 32,
    WE_KERNEL_PAGE_DIGEST = 40,
    WE_KERNEL_PAGE_FUEL_DIGEST = 56,
    WE_KERNEL_PAGE_TICKS = 72,
    WE_KERNEL_PAGE_MICROSTEPS = 80,
    WE_KERNEL_PAGE_TURNS = 88,
    WE_KERNEL_PAGE_ITEMS = 96,
    WE_KERNEL_PAGE_MESSAGES = 104,
    WE_KERNEL_PAGE_REFUSED = 112,
    WE_KERNEL_PAGE_DROPPED = 120,
    WE_KERNEL_PAGE_DEAD_LETTERS = 128,
    WE_KERNEL_PAGE_INPUTS = 136,
    WE_KERNEL_PAGE_OUTPUTS = 144,
    WE_KERNEL_PAGE_INFERENCES = 152,
    WE_KERNEL_PAGE_LATE_REPLIES = 160,
    WE_KERNEL_PAGE_INFERENCES_REFUSED = 168,
    WE_KERNEL_PAGE_MODEL_LOADS = 176,
    WE_KERNEL_PAGE_MODEL_LOADS_FAILED = 184,
    WE_KERNEL_PAGE_MODEL_UNLOADS = 192,
    WE_KERNEL_PAGE_MODEL_EVICTIONS = 200,
    WE_KERNEL_PAGE_FAULTS = 208,
    WE_KERNEL_PAGE_OWN_CODES = 216,
    WE_KERNEL_PAGE_RESTARTS = 224,
    WE_KERNEL_PAGE_FUEL = 232,
    WE_KERNEL_PAGE_TASKS = 240,
    WE_KERNEL_PAGE_TASKS_DONE = 248,
    WE_KERNEL_PAGE_TASKS_FAILED = 256,
    WE_KERNEL_PAGE_TASKS_SKIPPED = 264,
    WE_KERNEL_PAGE_TASKS_CANCELLED = 272,
    WE_KERNEL_PAGE_TASKS_BLOCKED = 280,
    WE_KERNEL_PAGE_TASKS_READY = 288,
    WE_KERNEL_PAGE_LOG_RECORDS = 296,
    WE_KERNEL_PAGE_LOG_BYTES = 304,
    WE_KERNEL_PAGE_STALLS_MODEL = 312,
    WE_KERNEL_PAGE_STALLS_LOG = 320,
    WE_KERNEL_PAGE_STALL_MODEL_NS = 328,
    WE_KERNEL_PAGE_STALL_LOG_NS = 336,
    WE_KERNEL_PAGE_MODEL_FALLBACKS = 344,
    WE_KERNEL_PAGE_TICK_NS_SUM = 352,
    WE_KERNEL_PAGE_TICK_NS_MAX = 360,
    WE_KERNEL_PAGE_TICK_NS_LAST = 368,
    WE_KERNEL_PAGE_PAYLOAD_BYTES_HELD = 376,
    WE_KERNEL_PAGE_REGION_BYTES = 384,
    WE_KERNEL_PAGE_FEEDS_CONNECTED = 392,
    WE_KERNEL_PAGE_FEEDS_LAGGING = 400,
    WE_KERNEL_PAGE_FEEDS_GONE = 408,
    WE_KERNEL_PAGE_FEEDS_REFUSED = 416,
    WE_KERNEL_PAGE_FEED_GAP_INPUTS = 424,
    WE_KERNEL_PAGE_TICK_NS_BUCKETS = 432,
    WE_KERNEL_PAGE_RUN_STATE = 688,
    WE_KERNEL_PAGE_EXIT_CODE = 692,
    WE_KERNEL_PAGE_AGENTS = 696,
    WE_KERNEL_PAGE_AGENTS_MAX = 700,
    WE_KERNEL_PAGE_MESSAGES_HELD = 704,
    WE_KERNEL_PAGE_INFERENCES_PENDING = 708,
    WE_KERNEL_PAGE_INPUTS_LEFT = 712,
    WE_KERNEL_PAGE_RUNNABLE = 716,
    WE_AGENT_ROW_WORDS = 12,
    WE_AGENT_ROW_ADDRESS = 0,
    WE_AGENT_ROW_LAST_TICK = 8,
    WE_AGENT_ROW_UNTIL_TICK = 16,
    WE_AGENT_ROW_TURNS = 24,
    WE_AGENT_ROW_ITEMS = 32,
    WE_AGENT_ROW_EFFECTS = 40,
    WE_AGENT_ROW_FUEL = 48,
    WE_AGENT_ROW_STATE = 56,
    WE_AGENT_ROW_TEMPLATE = 60,
    WE_AGENT_ROW_COPY = 64,
    WE_AGENT_ROW_INCARNATION = 68,
    WE_AGENT_ROW_INBOX_ITEMS = 72,
    WE_AGENT_ROW_INBOX_BYTES = 76,
    WE_AGENT_ROW_FAULTS = 80,
    WE_AGENT_ROW_LAST_FAULT = 84,
    WE_AGENT_ROW_LANE = 88,
    WE_AGENT_ROW_LAST_CODE = 92,
    WE_LANE_ROW_WORDS = 10,
    WE_LANE_ROW_TURNS = 0,
    WE_LANE_ROW_BUSY_NS = 8,
    WE_LANE_ROW_WAIT_NS = 16,
    WE_LANE_ROW_COMMANDS = 24,
    WE_LANE_ROW_RESULTS = 32,
    WE_LANE_ROW_OUTBOX_BYTES = 40,
    WE_LANE_ROW_OUTBOX_CAPACITY = 48,
    WE_LANE_ROW_OUTBOX_HIGH_BYTES = 56,
    WE_LANE_ROW_AGENTS = 64,
    WE_LANE_ROW_CORE = 68,
    WE_LANE_ROW_STATE = 72,
    WE_LANE_ROW_RESERVED = 76,
    WE_MODEL_ROW_WORDS = 42,
    WE_MODEL_ROW_REQUESTS = 0,
    WE_MODEL_ROW_BATCHES = 8,
    WE_MODEL_ROW_ROWS_PADDED = 16,
    WE_MODEL_ROW_ERRORS = 24,
    WE_MODEL_ROW_RUN_NS_LAST = 32,
    WE_MODEL_ROW_RUN_NS_MAX = 40,
    WE_MODEL_ROW_RUN_NS_SUM = 48,
    WE_MODEL_ROW_RUN_NS_BUCKETS = 56,
    WE_MODEL_ROW_PENDING = 312,
    WE_MODEL_ROW_BATCH = 316,
    WE_MODEL_ROW_LATENCY_TICKS = 320,
    WE_MODEL_ROW_STATE = 328,
    WE_MODEL_ROW_RESERVED = 332,
    WE_RING_ROW_WORDS = 5,
    WE_RING_ROW_USED_BYTES = 0,
    WE_RING_ROW_CAPACITY_BYTES = 8,
    WE_RING_ROW_HIGH_BYTES = 16,
    WE_RING_ROW_RECORDS = 24,
    WE_RING_ROW_STALLS = 32,
    WE_TRACE_EVENT_WORDS = 6,
    WE_TRACE_EVENT_TIME_NS = 0,
    WE_TRACE_EVENT_TICK = 8,
    WE_TRACE_EVENT_SUBJECT = 16,
    WE_TRACE_EVENT_A = 24,
    WE_TRACE_EVENT_B = 32,
    WE_TRACE_EVENT_KIND = 40,
    WE_TRACE_EVENT_MICROSTEP = 44,
    WE_ID_KERNEL = 1,
    WE_ID_AGENTS = 2,
    WE_ID_LANES = 3,
    WE_ID_MODELS = 4,
    WE_ID_RINGS = 5,
    WE_ID_NAMES = 6,
    WE_ID_TRACE = 7,
    WE_ID_COUNTERS = 8,
    WE_EVENT_REFUSED = 2,
    WE_EVENT_DROPPED = 3,
    WE_EVENT_OUTCOME = 4,
    WE_EVENT_REPLY_DROPPED = 5,
    WE_EVENT_TIMER = 6,
    WE_EVENT_RESTARTED = 7,
    WE_EVENT_SPAWNED = 8,
    WE_EVENT_ENDED = 9,
    WE_EVENT_PAUSED = 10,
    WE_EVENT_RESUMED = 11,
    WE_EVENT_FAULTED = 12,
    WE_EVENT_BACKOFF = 13,
    WE_EVENT_DEAD_LETTERS = 14,
    WE_EVENT_REQUESTED = 15,
    WE_EVENT_GROUP_STOPPED = 16,
    WE_EVENT_MODEL_LOADING = 17,
    WE_EVENT_MODEL_LOADED = 18,
    WE_EVENT_MODEL_UNLOADED = 19,
    WE_EVENT_MODEL_SWAPPED = 20,
    WE_EVENT_COMMANDED = 21,
    WE_EVENT_TASK_SCHEDULED = 22,
    WE_EVENT_TASK_ENDED = 23,
    WE_EVENT_SAVED = 24,
    WE_EVENT_RESTORED = 25,
    WE_EVENT_TICK_OPEN = 32,
    WE_EVENT_TICK_CLOSE = 33,
    WE_EVENT_MICROSTEP = 34,
    WE_EVENT_TURN = 35,
    WE_EVENT_STALL = 36,
    WE_EVENT_INPUT = 37,
    WE_EVENT_DELIVERED = 38,
    WE_LAYOUTS_END
};
/* The word of an event's kind. */
static inline const char *we_event_word(uint32_t kind) {
    switch (kind) {
    case WE_EVENT_REFUSED: return "refused";
    case WE_EVENT_DROPPED: return "dropped";
    case WE_EVENT_OUTCOME: return "outcome";
    case WE_EVENT_REPLY_DROPPED: return "reply_dropped";
    case WE_EVENT_TIMER: return "timer";
    case WE_EVENT_RESTARTED: return "restarted";
    case WE_EVENT_SPAWNED: return "spawned";
    case WE_EVENT_ENDED: return "ended";
    case WE_EVENT_PAUSED: return "paused";
    case WE_EVENT_RESUMED: return "resumed";
    case WE_EVENT_FAULTED: return "faulted";
    case WE_EVENT_BACKOFF: return "backoff";
    case WE_EVENT_DEAD_LETTERS: return "dead_letters";
    case WE_EVENT_REQUESTED: return "requested";
    case WE_EVENT_GROUP_STOPPED: return "group_stopped";
    case WE_EVENT_MODEL_LOADING: return "model_loading";
    case WE_EVENT_MODEL_LOADED: return "model_loaded";
    case WE_EVENT_MODEL_UNLOADED: return "model_unloaded";
    case WE_EVENT_MODEL_SWAPPED: return "model_swapped";
    case WE_EVENT_COMMANDED: return "commanded";
    case WE_EVENT_TASK_SCHEDULED: return "task_scheduled";
    case WE_EVENT_TASK_ENDED: return "task_ended";
    case WE_EVENT_SAVED: return "saved";
    case WE_EVENT_RESTORED: return "restored";
    case WE_EVENT_TICK_OPEN: return "tick_open";
    case WE_EVENT_TICK_CLOSE: return "tick_close";
    case WE_EVENT_MICROSTEP: return "microstep";
    case WE_EVENT_TURN: return "turn";
    case WE_EVENT_STALL: return "stall";
    case WE_EVENT_INPUT: return "input";
    case WE_EVENT_DELIVERED: return "delivered";
    default: return "unknown";
    }
}
/* end of generated */

enum {
    WE_HEADER_WORDS = 32,
    WE_ENTRY_WORDS = 8,
    WE_SECTIONS_MAX = 4096,
    WE_LAYOUT_MAJOR = 1,
    WE_SECTION_VERSION = 1, /* of the inner layout of what is published */
    WE_BROADCAST = 7,
    WE_PAGE = 8,
    WE_ROWS = 9,
    WE_COUNTERS = 10,
    WE_KNOWN_MAX = 16, /* sections for monitors that are remembered; a kernel has 8 */
    WE_PAGE_SLOTS = 4,
    WE_RING_SLOTS_MAX = 1 << 24,
    WE_MESSAGE_BYTES_MAX = 1 << 28,
    WE_COUNTERS_MAX = 1 << 16,
    WE_DESCRIPTOR_V1_BYTES = 1024,
    WE_DESCRIPTOR_BYTES = 1040,
    WE_ATTEMPTS = 64
};

/* Why something could not be read. The order is fixed; later versions append. */
typedef enum {
    WE_OK,
    WE_SYSTEM,     /* a system call failed: errno */
    WE_NOT_FOUND,  /* no kernel of this name */
    WE_DESCRIPTOR, /* not a descriptor */
    WE_DEAD,       /* its kernel is gone */
    WE_SHORT,      /* too short for a header */
    WE_NOT_READY,  /* being formatted */
    WE_MAGIC,      /* no region */
    WE_ENDIAN,     /* other byte order */
    WE_VERSION,    /* other major version */
    WE_LENGTH,     /* not as long as it says */
    WE_FIELD,      /* a damaged header */
    WE_CHECKSUM,   /* a damaged header or directory */
    WE_SECTION,    /* an impossible or missing section */
    WE_SCHEMA,     /* sections of another release */
    WE_NOT_YET,    /* nothing published */
    WE_BUSY,       /* changed during every attempt */
    WE_LOST,       /* its file was cut short */
    WE_ROOM,       /* the caller's buffer is too small */
    WE_DIRECTORY,  /* a runtime directory that others can write */
    WE_NAMESPACE,  /* its kernel runs in another pid namespace */
    WE_NOTHING,    /* no error: nothing new, no more, or none of it */
    WE_OVERRUN,    /* no error: messages were lost, as we_seen says */
    WE_GONE        /* the counter's place belongs to another one: list them again */
} we_status;

/* The same as words that programs can compare. */
static inline const char *we_status_word(we_status status) {
    static const char *const words[] = {
        "ok",     "system",  "not_found", "descriptor", "dead",    "short",  "not_ready", "magic", "endian",
        "version", "length", "field",     "checksum",   "section", "schema", "not_yet",   "busy",  "lost",
        "room",   "directory", "namespace", "nothing", "overrun", "gone"};
    return words[status];
}

typedef struct {
    uint32_t kind, version, id;
    uint64_t offset, length; /* bytes from the start of the region */
    uint64_t params[2];
} we_section;

typedef struct {
    uint64_t state, heartbeat, tick, since_ns;
} we_owner_status;

typedef struct {
    int file;
    const uint64_t *map; /* NULL if the file is read with pread */
    size_t words;
    uint32_t major, minor;
    uint64_t schema, generation, pid, pid_start_time, started_unix_ns;
    uint64_t pid_namespace;
    uint32_t sections;
    we_section known[WE_KNOWN_MAX]; /* those for monitors, copied when the directory was checked */
    uint32_t known_count;
    int more; /* whether there are others */
    char error[256];
} we_region;

static inline we_status we_fail(we_region *r, we_status status, const char *text) {
    snprintf(r->error, sizeof r->error, "%s", text);
    return status;
}

/* Copies `count` words from `word` on. The words may change meanwhile: callers look at a sequence. */
static inline we_status we_copy(we_region *r, size_t word, uint64_t *to, size_t count) {
    if (word > r->words || count > r->words - word)
        return we_fail(r, WE_SECTION, "a section reaches beyond the region");
    if (r->map != NULL) {
        for (size_t at = 0; at < count; at++)
            to[at] = __atomic_load_n(&r->map[word + at], __ATOMIC_RELAXED);
        return WE_OK;
    }
    ssize_t got = pread(r->file, to, count * 8, (off_t)(word * 8));
    if (got < 0 || (size_t)got != count * 8)
        return we_fail(r, WE_LOST, "the file of the region was cut short; its kernel is gone");
    return WE_OK;
}

static inline void we_fence(void) {
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
}

static inline void we_close(we_region *r) {
    if (r->map != NULL)
        munmap((void *)(uintptr_t)r->map, r->words * 8);
    if (r->file >= 0)
        close(r->file);
    r->map = NULL;
    r->file = -1;
}

static inline uint64_t we_sum(uint64_t sum, uint64_t word) {
    sum = (sum ^ word) * UINT64_C(0x100000001b3);
    return sum << 23 | sum >> 41;
}

/* First byte behind a directory of `count` entries. */
static inline uint64_t we_directory_end(uint64_t count) {
    return (256 + count * 64 + 127) / 128 * 128;
}

/* The section at `index` of the directory, which lies inside the region. */
static inline we_status we_section_at(we_region *r, uint32_t index, we_section *out) {
    uint64_t w[WE_ENTRY_WORDS];
    if (index >= r->sections)
        return we_fail(r, WE_SECTION, "the region has no such section");
    we_status status = we_copy(r, WE_HEADER_WORDS + (size_t)index * WE_ENTRY_WORDS, w, WE_ENTRY_WORDS);
    if (status != WE_OK)
        return status;
    out->kind = (uint32_t)w[0];
    out->version = (uint32_t)(w[0] >> 32);
    out->id = (uint32_t)w[1];
    out->offset = w[2];
    out->length = w[3];
    out->params[0] = w[4];
    out->params[1] = w[5];
    uint64_t end = w[2] + w[3];
    if (w[3] == 0 || end < w[2] || end > r->words * 8 || w[2] % 128 || w[3] % 128 ||
        w[2] < we_directory_end(r->sections))
        return we_fail(r, WE_SECTION, "a section does not lie inside the region");
    return WE_OK;
}

/* Sorts in place: a heapsort, which needs no memory and has no bad case. */
static inline void we_sort(uint64_t *keys, size_t count) {
    for (size_t start = count / 2, end = count; end > 1;) {
        uint64_t key;
        if (start > 0) {
            key = keys[--start];
        } else {
            key = keys[--end];
            keys[end] = keys[0];
        }
        size_t root = start, child;
        while ((child = 2 * root + 1) < end) {
            if (child + 1 < end && keys[child] < keys[child + 1])
                child++;
            if (key >= keys[child])
                break;
            keys[root] = keys[child];
            root = child;
        }
        keys[root] = key;
    }
}

/* Sections lie inside, aligned, apart, and are named once. Remembers those for monitors. */
static inline we_status we_check_sections(we_region *r) {
    uint64_t keys[WE_SECTIONS_MAX], taken = 0;
    we_section s;
    we_status status;
    for (uint32_t i = 0; i < r->sections; i++) {
        if ((status = we_section_at(r, i, &s)) != WE_OK)
            return status;
        /* Whole blocks of 128 bytes of at most 1 TiB leave room for the index. */
        keys[i] = s.offset / 128 << 12 | i;
        if (s.kind < WE_BROADCAST || s.kind > WE_COUNTERS)
            continue;
        if (r->known_count < WE_KNOWN_MAX)
            r->known[r->known_count++] = s;
        else
            r->more = 1;
    }
    we_sort(keys, r->sections);
    for (uint32_t i = 0; i < r->sections; i++) {
        if ((status = we_section_at(r, (uint32_t)(keys[i] & 0xfff), &s)) != WE_OK)
            return status;
        if (s.offset < taken || s.offset / 128 != keys[i] >> 12)
            return we_fail(r, WE_SECTION, "two sections have one place");
        taken = s.offset + s.length;
        keys[i] = (uint64_t)s.kind << 32 | s.id;
    }
    we_sort(keys, r->sections);
    for (uint32_t i = 1; i < r->sections; i++)
        if (keys[i] == keys[i - 1])
            return we_fail(r, WE_SECTION, "two sections have one name");
    return WE_OK;
}

static inline we_status we_attach(we_region *r) {
    uint64_t h[16], entry[WE_ENTRY_WORDS], sum = UINT64_C(0xcbf29ce484222325);
    we_status status = we_copy(r, 0, h, 1);
    if (status != WE_OK)
        return status;
    we_fence();
    if (h[0] == 0)
        return we_fail(r, WE_NOT_READY, "the region is not ready; try again");
    if (h[0] != UINT64_C(0x314d4853474e4557))
        return we_fail(r, WE_MAGIC, "the file is no region of Wasm-Engine");
    status = we_copy(r, 0, h, 16);
    if (status != WE_OK)
        return status;
    if (h[1] != UINT64_C(0x0102030405060708))
        return we_fail(r, WE_ENDIAN, "the region comes from a machine with another byte order");
    r->major = (uint32_t)(h[2] >> 32);
    r->minor = (uint32_t)h[2];
    if (r->major != WE_LAYOUT_MAJOR) {
        snprintf(r->error, sizeof r->error, "the region has layout %" PRIu32 ".%" PRIu32
                 ", this reader knows %d; use the one of the same release", r->major, r->minor, WE_LAYOUT_MAJOR);
        return WE_VERSION;
    }
    if (h[4] != r->words * 8)
        return we_fail(r, WE_LENGTH, "the region is not as long as it says");
    uint64_t count = h[7], end = we_directory_end(count);
    if (count > WE_SECTIONS_MAX || h[8] != 64 || h[3] != end || end > h[4] || h[9] == 0 ||
        (h[9] & (h[9] - 1)) != 0 || h[10] >> 32 != 0)
        return we_fail(r, WE_FIELD, "the header of the region is damaged");
    for (int at = 1; at < 15; at++)
        sum = we_sum(sum, h[at]);
    for (size_t at = 0; at < count; at++) {
        status = we_copy(r, WE_HEADER_WORDS + at * WE_ENTRY_WORDS, entry, WE_ENTRY_WORDS);
        if (status != WE_OK)
            return status;
        for (int word = 0; word < WE_ENTRY_WORDS; word++)
            sum = we_sum(sum, entry[word]);
    }
    if (sum != h[15])
        return we_fail(r, WE_CHECKSUM, "the header of the region is damaged");
    r->schema = h[5];
    r->generation = h[6];
    r->sections = (uint32_t)count;
    r->pid = h[10];
    r->pid_start_time = h[11];
    r->started_unix_ns = h[14];
    status = we_copy(r, 24, &r->pid_namespace, 1);
    return status == WE_OK ? we_check_sections(r) : status;
}

/* Opens a region by the path of its file, or /proc/PID/fd/N. */
static inline we_status we_open_path(we_region *r, const char *path) {
    struct stat facts;
    memset(r, 0, sizeof *r);
    r->file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (r->file < 0 || fstat(r->file, &facts) != 0) {
        snprintf(r->error, sizeof r->error, "cannot open %.150s: %.80s", path, strerror(errno));
        we_close(r);
        return WE_SYSTEM;
    }
    r->words = (size_t)facts.st_size / 8;
    if (!S_ISREG(facts.st_mode) || r->words < WE_HEADER_WORDS) {
        we_close(r);
        return we_fail(r, WE_SHORT, "the file is too short for a region");
    }
    if ((uint64_t)facts.st_size > UINT64_C(1) << 40) {
        we_close(r);
        return we_fail(r, WE_LENGTH, "the file is longer than any region");
    }
    int seals = fcntl(r->file, 1034); /* F_GET_SEALS */
    if (seals >= 0 && (seals & 2) != 0) { /* F_SEAL_SHRINK */
        void *map = mmap(NULL, r->words * 8, PROT_READ, MAP_SHARED, r->file, 0);
        if (map == MAP_FAILED) {
            we_close(r);
            return we_fail(r, WE_SYSTEM, "cannot map the region");
        }
        r->map = (const uint64_t *)map;
    }
    we_status status = we_attach(r);
    if (status != WE_OK)
        we_close(r);
    return status;
}

static inline uint64_t we_little(const unsigned char *bytes, int count) {
    uint64_t value = 0;
    while (count-- > 0)
        value = value << 8 | bytes[count];
    return value;
}

/* Start of a process in clock ticks since boot, 0 if it is gone. */
static inline uint64_t we_start_of(uint64_t pid) {
    char text[1024], path[64];
    snprintf(path, sizeof path, "/proc/%" PRIu64 "/stat", pid);
    FILE *file = fopen(path, "r");
    if (file == NULL)
        return 0;
    size_t got = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    text[got] = 0;
    char *at = strrchr(text, ')');
    for (int field = 2; at != NULL && field < 22; field++)
        at = strchr(at + 1, ' ');
    return at == NULL ? 0 : strtoull(at, NULL, 10);
}

/* Whether this pid namespace is known to be another one. */
static inline int we_foreign(uint64_t home) {
    struct stat facts;
    return home != 0 && stat("/proc/self/ns/pid", &facts) == 0 && (uint64_t)facts.st_ino != home;
}

/* The descriptor in the file `path`: WE_DESCRIPTOR_BYTES, of which version 1 has zeros at the end. */
static inline we_status we_descriptor(we_region *r, const char *path, unsigned char *d) {
    int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
    if (file < 0)
        return we_fail(r, WE_NOT_FOUND, "there is no kernel of this name; is it running?");
    memset(d, 0, WE_DESCRIPTOR_BYTES);
    ssize_t got = read(file, d, WE_DESCRIPTOR_BYTES);
    close(file);
    uint64_t version = we_little(d + 8, 4), sum = UINT64_C(0xcbf29ce484222325);
    if (got < WE_DESCRIPTOR_V1_BYTES || memcmp(d, "WENGLOC1", 8) != 0 || version == 0)
        return we_fail(r, WE_DESCRIPTOR, "the file of this name is no descriptor of a region");
    if (version == 1) {
        memset(d + WE_DESCRIPTOR_V1_BYTES, 0, WE_DESCRIPTOR_BYTES - WE_DESCRIPTOR_V1_BYTES);
        return WE_OK;
    }
    for (int at = 0; at < WE_DESCRIPTOR_BYTES - 8; at++)
        sum = (sum ^ d[at]) * UINT64_C(0x100000001b3);
    if (got < WE_DESCRIPTOR_BYTES || sum != we_little(d + WE_DESCRIPTOR_BYTES - 8, 8))
        return we_fail(r, WE_DESCRIPTOR, "the descriptor of this name is damaged");
    return WE_OK;
}

/* Opens the region of a running kernel of this user, by name. */
static inline we_status we_open_name(we_region *r, const char *name) {
    unsigned char d[WE_DESCRIPTOR_BYTES];
    struct stat facts;
    char folder[900], path[1024], boot[40] = "", hex[40] = "";
    const char *dir = getenv("XDG_RUNTIME_DIR"), *tmp = getenv("TMPDIR");
    memset(r, 0, sizeof *r);
    r->file = -1;
    if (strchr(name, '/') != NULL)
        return we_fail(r, WE_NOT_FOUND, "a name has no slash");
    if (dir != NULL && *dir != 0)
        snprintf(folder, sizeof folder, "%s", dir);
    else
        snprintf(folder, sizeof folder, "%s/wasm-engine-%lu", tmp != NULL && *tmp != 0 ? tmp : "/tmp",
                 (unsigned long)geteuid());
    if (lstat(folder, &facts) != 0)
        return we_fail(r, WE_NOT_FOUND, "there is no kernel of this name; is it running?");
    if (!S_ISDIR(facts.st_mode) || facts.st_uid != geteuid() || (facts.st_mode & 077) != 0)
        return we_fail(r, WE_DIRECTORY, "the runtime directory is not this user's alone; set XDG_RUNTIME_DIR");
    if (snprintf(path, sizeof path, "%s/%s.region", folder, name) >= (int)sizeof path)
        return we_fail(r, WE_NOT_FOUND, "the name is too long");
    we_status status = we_descriptor(r, path, d);
    if (status != WE_OK)
        return status;
    FILE *id = fopen("/proc/sys/kernel/random/boot_id", "r");
    if (id != NULL) {
        if (fgets(boot, sizeof boot, id) == NULL)
            boot[0] = 0;
        fclose(id);
    }
    size_t digits = 0;
    for (const char *c = boot; *c != 0 && digits < 32; c++)
        if (*c != '-' && *c != '\n')
            hex[digits++] = *c;
    for (int at = 0; at < 16; at++) {
        char two[3];
        snprintf(two, sizeof two, "%02x", d[24 + at]);
        if (memcmp(two, hex + (size_t)2 * at, 2) != 0)
            return we_fail(r, WE_DEAD, "the kernel of this name ran before the last start of the machine");
    }
    uint64_t pid = we_little(d + 12, 4), length = we_little(d + 44, 4), home = we_little(d + 1024, 8);
    int32_t fd = (int32_t)we_little(d + 40, 4);
    int foreign = we_foreign(home);
    /* The pid of another namespace means nothing here; a file can be opened all the same. */
    if (foreign && fd >= 0)
        return we_fail(r, WE_NAMESPACE, "the kernel runs in another pid namespace, such as a container");
    if (!foreign && we_start_of(pid) != we_little(d + 16, 8))
        return we_fail(r, WE_DEAD, "the kernel of this name is not running any more");
    if (fd >= 0) {
        snprintf(path, sizeof path, "/proc/%" PRIu64 "/fd/%" PRId32, pid, fd);
    } else if (length > 0 && length <= WE_DESCRIPTOR_V1_BYTES - 72 && d[72] == '/') {
        memcpy(path, d + 72, (size_t)length);
        path[length] = 0;
    } else {
        return we_fail(r, WE_DESCRIPTOR, "the path in the descriptor is too long or not absolute");
    }
    return we_open_path(r, path);
}

/* The section of this kind and id. */
static inline we_status we_find(we_region *r, uint32_t kind, uint32_t id, we_section *out) {
    for (uint32_t at = 0; at < r->known_count; at++) {
        *out = r->known[at];
        if (out->kind == kind && out->id == id)
            return WE_OK;
    }
    int known = kind >= WE_BROADCAST && kind <= WE_COUNTERS && !r->more;
    for (uint32_t index = 0; !known && index < r->sections; index++) {
        we_status status = we_section_at(r, index, out);
        if (status != WE_OK)
            return status;
        if (out->kind == kind && out->id == id)
            return WE_OK;
    }
    return we_fail(r, WE_SECTION, "the region has no such section");
}

/* What the owner says right now. */
static inline we_status we_owner(we_region *r, we_owner_status *out) {
    uint64_t w[4];
    we_status status = we_copy(r, 16, w, 4);
    if (status != WE_OK)
        return status;
    out->state = w[0];
    out->heartbeat = w[1];
    out->tick = w[2];
    out->since_ns = w[3];
    return WE_OK;
}

/* Whether nothing more will come of this run: its owner said so, or is known to be gone. */
static inline int we_ended(we_region *r) {
    we_owner_status owner;
    if (we_owner(r, &owner) != WE_OK || owner.state == 7)
        return 1;
    return !we_foreign(r->pid_namespace) && we_start_of(r->pid) != r->pid_start_time;
}

/* Copies the newest publication of page `id` into `to`, which has room for `room` words, at least those
 * that the page can have; gives its number and its words. */
static inline we_status we_read_page(we_region *r, uint32_t id, uint64_t *to, size_t room, uint64_t *number,
                                     size_t *words) {
    we_section s;
    uint64_t latest, first, bytes, again;
    we_status status = we_find(r, WE_PAGE, id, &s);
    if (status != WE_OK)
        return status;
    uint64_t all = s.params[0], stride = (2 + all + 15) / 16 * 16;
    if (all == 0 || all > s.length || 16 + WE_PAGE_SLOTS * stride > s.length / 8)
        return we_fail(r, WE_SECTION, "the page is longer than its section");
    if (room < all)
        return we_fail(r, WE_ROOM, "the page is longer than the room for it");
    size_t base = (size_t)(s.offset / 8), count = (size_t)all;
    for (int attempt = 0; attempt < WE_ATTEMPTS; attempt++) {
        if ((status = we_copy(r, base, &latest, 1)) != WE_OK)
            return status;
        we_fence();
        if (latest == 0)
            return we_fail(r, WE_NOT_YET, "the page was not published yet");
        uint64_t n = latest - 1;
        size_t slot = base + 16 + (size_t)(n % WE_PAGE_SLOTS * stride);
        if ((status = we_copy(r, slot, &first, 1)) != WE_OK)
            return status;
        if (first != 2 * n + 2)
            continue;
        we_fence();
        if ((status = we_copy(r, slot + 1, &bytes, 1)) != WE_OK ||
            (status = we_copy(r, slot + 2, to, count)) != WE_OK)
            return status;
        we_fence();
        if ((status = we_copy(r, slot, &again, 1)) != WE_OK)
            return status;
        if (again == first) {
            *number = n;
            *words = (size_t)((bytes < all * 8 ? bytes : all * 8) / 8);
            return WE_OK;
        }
    }
    return we_fail(r, WE_BUSY, "the page changed during every attempt; try again");
}

/* Words from row to row of a table, 0 if the table cannot be. */
static inline uint64_t we_stride(const we_section *table) {
    uint64_t rows = table->params[0], words = table->params[1];
    if (rows == 0 || words == 0 || rows > table->length || words > table->length)
        return 0;
    uint64_t stride = (2 * (1 + words) + 7) / 8 * 8;
    return 16 + rows * stride > table->length / 8 ? 0 : stride;
}

/* Number of a table's newest cut; 0 before the first. */
static inline we_status we_cut(we_region *r, const we_section *table, uint64_t *cut) {
    if (we_stride(table) == 0)
        return we_fail(r, WE_SECTION, "the table is longer than its section");
    we_status status = we_copy(r, (size_t)(table->offset / 8), cut, 1);
    we_fence();
    return status;
}

/* Copies a row as it was in a cut. `written` is the cut it was written in, 0 if it was not up to then;
 * WE_BUSY means that the row was replaced: begin again with the newest cut. `to` has room for the
 * table's `params[1]` words. */
static inline we_status we_read_row(we_region *r, const we_section *table, uint64_t cut, uint64_t row,
                                    uint64_t *to, uint64_t *written) {
    uint64_t words = table->params[1], stride = we_stride(table), seq[2], stamp[2], again;
    we_status status;
    if (stride == 0 || row >= table->params[0])
        return we_fail(r, WE_SECTION, "the table has no such row");
    size_t at = (size_t)(table->offset / 8 + 16 + row * stride);
    for (int v = 0; v < 2; v++) {
        if ((status = we_copy(r, at + (size_t)((uint64_t)v * (1 + words)), &seq[v], 1)) != WE_OK)
            return status;
        stamp[v] = seq[v] % 2 == 1 && seq[v] / 2 <= cut ? seq[v] / 2 : 0;
    }
    int newest = stamp[1] > stamp[0];
    size_t place = at + (newest ? (size_t)(1 + words) : 0);
    if (stamp[newest] > 0 && (status = we_copy(r, place + 1, to, (size_t)words)) != WE_OK)
        return status;
    we_fence();
    *written = stamp[newest];
    if (stamp[newest] > 0) {
        if ((status = we_copy(r, place, &again, 1)) != WE_OK)
            return status;
        return again == seq[newest] ? WE_OK : we_fail(r, WE_BUSY, "the row was replaced; read a newer cut");
    }
    for (int v = 0; v < 2; v++) {
        if ((status = we_copy(r, at + (size_t)((uint64_t)v * (1 + words)), &again, 1)) != WE_OK)
            return status;
        if (again == 0)
            return WE_OK;
    }
    return we_fail(r, WE_BUSY, "the row was replaced; read a newer cut");
}

/* Whether the sections are those that this header knows. */
static inline we_status we_know(we_region *r) {
    if (r->schema != WE_SCHEMA_FINGERPRINT)
        return we_fail(r, WE_SCHEMA, "the kernel is of another release; use the header of that release");
    return WE_OK;
}

/* The kernel's page: WE_KERNEL_PAGE_WORDS words, whose fields we_u64 and we_u32 take out. */
static inline we_status we_kernel(we_region *r, uint64_t *page) {
    we_section s;
    uint64_t number;
    size_t words = 0;
    we_status status = we_know(r);
    if (status == WE_OK)
        status = we_find(r, WE_PAGE, 1, &s);
    if (status == WE_OK && s.params[0] == WE_KERNEL_PAGE_WORDS)
        status = we_read_page(r, 1, page, WE_KERNEL_PAGE_WORDS, &number, &words);
    if (status == WE_OK && words != WE_KERNEL_PAGE_WORDS)
        return we_fail(r, WE_SECTION, "the kernel's page has another length than its schema says");
    return status;
}

/* The table of this id (2 agents, 3 lanes, 4 models, 5 rings), whose rows have `row_words` words, such as
 * WE_AGENT_ROW_WORDS: the room that we_read_row needs. */
static inline we_status we_table(we_region *r, uint32_t id, size_t row_words, we_section *table) {
    we_status status = we_know(r);
    if (status == WE_OK)
        status = we_find(r, WE_ROWS, id, table);
    if (status == WE_OK && (table->params[1] != row_words || we_stride(table) == 0))
        return we_fail(r, WE_SECTION, "the table has rows of another length than its schema says");
    return status;
}

/* A field of 64 bits by its byte. */
static inline uint64_t we_u64(const uint64_t *words, size_t byte) {
    return words[byte / 8];
}

/* A field of 32 bits by its byte. */
static inline uint32_t we_u32(const uint64_t *words, size_t byte) {
    uint32_t value;
    memcpy(&value, (const unsigned char *)words + byte, sizeof value);
    return value;
}

/* A place in a broadcast ring. Any number of followers may go through one ring. */
typedef struct {
    size_t base;                         /* word of the ring's first */
    uint64_t slots, stride, bytes;       /* words from slot to slot; bytes of a message at most */
    uint64_t next;                       /* number of the next message: those before were read or lost */
    uint64_t lost_polling, lost_reading; /* because the follower came too late; was overtaken in a copy */
} we_follower;

/* What a follower found: message `number` of `bytes`, or from `number` on `lost` messages. */
typedef struct {
    uint64_t number, bytes, lost;
    int reading; /* whether they were lost by reading, else by polling */
} we_seen;

/* A follower of the ring in `s`, from message 0, or the loss of what is gone. */
static inline we_status we_follow(we_region *r, const we_section *s, we_follower *f) {
    uint64_t slots = s->params[0], bytes = s->params[1];
    memset(f, 0, sizeof *f);
    if (slots < 2 || slots > WE_RING_SLOTS_MAX || (slots & (slots - 1)) != 0 || bytes == 0 ||
        bytes > WE_MESSAGE_BYTES_MAX)
        return we_fail(r, WE_SECTION, "the ring has an impossible number of slots or length of messages");
    f->base = (size_t)(s->offset / 8);
    f->slots = slots;
    f->stride = (2 + (bytes + 7) / 8 + 7) / 8 * 8;
    f->bytes = bytes;
    if (16 + slots * f->stride > s->length / 8)
        return we_fail(r, WE_SECTION, "the ring is longer than its section");
    return WE_OK;
}

/* Number of messages sent so far. */
static inline we_status we_sent(we_region *r, const we_follower *f, uint64_t *sent) {
    we_status status = we_copy(r, f->base, sent, 1);
    we_fence();
    return status;
}

/* Takes the next message: copies it into `to`, or its front if that has less `room` in words, filled up
 * with zeros to whole words. WE_NOTHING: it is not there yet. WE_OVERRUN: it is lost, and the next call
 * goes on half a ring behind the newest. Never waits, and makes one copy at most. */
static inline we_status we_next(we_region *r, we_follower *f, uint64_t *to, size_t room, we_seen *seen) {
    uint64_t there = 2 * f->next + 2, first, again, latest;
    size_t slot = f->base + 16 + (size_t)((f->next & (f->slots - 1)) * f->stride);
    we_status status = we_copy(r, slot, &first, 1);
    memset(seen, 0, sizeof *seen);
    seen->number = f->next;
    if (status != WE_OK)
        return status;
    if (first < there)
        return WE_NOTHING;
    if (first == there) {
        we_fence();
        if ((status = we_copy(r, slot + 1, &seen->bytes, 1)) != WE_OK)
            return status;
        if (seen->bytes > f->bytes)
            seen->bytes = f->bytes;
        size_t bytes = (size_t)seen->bytes, words = (bytes + 7) / 8;
        if (words > room)
            words = room;
        if ((status = we_copy(r, slot + 2, to, words)) != WE_OK)
            return status;
        we_fence();
        if ((status = we_copy(r, slot, &again, 1)) != WE_OK)
            return status;
        if (again == first) {
            if (words * 8 > bytes)
                memset((unsigned char *)to + bytes, 0, words * 8 - bytes);
            f->next++;
            return WE_OK;
        }
        seen->bytes = 0;
        seen->reading = 1;
    }
    if ((status = we_sent(r, f, &latest)) != WE_OK)
        return status;
    uint64_t next = f->next + 1, half = f->slots / 2, behind = latest > half ? latest - half : 0;
    next = behind > next ? behind : next;
    seen->lost = next - f->next;
    *(seen->reading ? &f->lost_reading : &f->lost_polling) += seen->lost;
    f->next = next;
    return WE_OVERRUN;
}

/* A follower of the kernel's trace; WE_NOTHING if it has none (`region.trace` is "off"). */
static inline we_status we_trace(we_region *r, we_follower *f) {
    we_section s;
    we_status status = we_know(r);
    if (status != WE_OK)
        return status;
    if (we_find(r, WE_BROADCAST, WE_ID_TRACE, &s) != WE_OK)
        return we_fail(r, WE_NOTHING, "this kernel has no trace: set region.trace to \"events\" or \"full\"");
    if (s.version != WE_SECTION_VERSION)
        return we_fail(r, WE_VERSION, "the trace has another layout; use the reader of the kernel's release");
    if (s.params[1] != WE_TRACE_EVENT_WORDS * 8)
        return we_fail(r, WE_SECTION, "the trace has events of another length than its schema says");
    return we_follow(r, &s, f);
}

/* As we_next, of a trace: WE_TRACE_EVENT_WORDS words, whose fields we_u64 and we_u32 take out. */
static inline we_status we_next_event(we_region *r, we_follower *f, uint64_t *event, we_seen *seen) {
    memset(event, 0, WE_TRACE_EVENT_WORDS * 8);
    return we_next(r, f, event, WE_TRACE_EVENT_WORDS, seen);
}

/* A counter and what it is. The texts are UTF-8 without control characters. */
typedef struct {
    uint32_t id;
    char kind[25], unit[25], label[97], help[193];
    uint64_t generation;
    size_t entry, word; /* of its entry and value in the region */
} we_counter;

/* A way through a list of counters. */
typedef struct {
    size_t base, words;
    uint64_t count, at;
} we_counter_list;

/* Copies text of `size` bytes, up to a zero, into 3 * size + 1 bytes. Control characters and each
 * sequence that is no UTF-8 become U+FFFD, so that it may be shown on a terminal. */
static inline void we_text(const unsigned char *from, size_t size, char *to) {
    for (size_t at = 0, bytes; at < size && from[at] != 0; at += bytes) {
        unsigned char lead = from[at], low = 0x80, high = 0xbf;
        size_t whole = lead < 0x80 ? 1 : lead < 0xc2 ? 0 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : lead < 0xf5 ? 4 : 0;
        if (lead == 0xe0)
            low = 0xa0;
        if (lead == 0xed)
            high = 0x9f;
        if (lead == 0xf0)
            low = 0x90;
        if (lead == 0xf4)
            high = 0x8f;
        for (bytes = 1; bytes < whole && at + bytes < size; bytes++) {
            if (from[at + bytes] < low || from[at + bytes] > high)
                break;
            low = 0x80;
            high = 0xbf;
        }
        int control = lead < 0x20 || lead == 0x7f || (lead == 0xc2 && bytes == 2 && from[at + 1] < 0xa0);
        int good = bytes == whole && !control;
        memcpy(to, good ? (const char *)from + at : "\xef\xbf\xbd", good ? bytes : 3);
        to += good ? bytes : 3;
    }
    *to = 0;
}

/* Begins a list of the counters in `s`. */
static inline we_status we_list(we_region *r, const we_section *s, we_counter_list *list) {
    uint64_t room = (s->length / 8 - 16) / 16;
    list->base = (size_t)(s->offset / 8);
    list->words = (size_t)(s->length / 8);
    list->count = list->at = 0;
    we_status status = we_copy(r, list->base, &list->count, 1);
    we_fence();
    if (list->count > room)
        list->count = room;
    if (list->count > WE_COUNTERS_MAX)
        list->count = WE_COUNTERS_MAX;
    return status;
}

/* Begins a list of the kernel's counters, whatever its release. */
static inline we_status we_counters(we_region *r, we_counter_list *list) {
    we_section s;
    we_status status = we_find(r, WE_COUNTERS, WE_ID_COUNTERS, &s);
    if (status == WE_OK && s.version != WE_SECTION_VERSION)
        return we_fail(r, WE_VERSION, "the counters have another layout; use the reader of the kernel's release");
    return status == WE_OK ? we_list(r, &s, list) : status;
}

/* The next counter of a list; WE_NOTHING after the last. Those that are being replaced just now are left
 * out, and such as point outside their section. */
static inline we_status we_next_counter(we_region *r, we_counter_list *list, we_counter *out) {
    while (list->at < list->count) {
        uint64_t w[16], again;
        size_t entry = list->base + 16 + (size_t)list->at++ * 16;
        we_status status = we_copy(r, entry, w, 1);
        if (status == WE_OK && w[0] % 2 == 1)
            continue;
        we_fence();
        if (status != WE_OK || (status = we_copy(r, entry + 1, w + 1, 15)) != WE_OK)
            return status;
        we_fence();
        if ((status = we_copy(r, entry, &again, 1)) != WE_OK)
            return status;
        uint64_t word = 16 + list->count * 16 + (w[1] >> 32);
        if (again != w[0] || word >= list->words)
            continue;
        const unsigned char *bytes = (const unsigned char *)w;
        out->id = (uint32_t)w[1];
        we_text(bytes + 16, 8, out->kind);
        we_text(bytes + 24, 8, out->unit);
        we_text(bytes + 32, 32, out->label);
        we_text(bytes + 64, 64, out->help);
        out->generation = w[0];
        out->entry = entry;
        out->word = list->base + (size_t)word;
        return WE_OK;
    }
    return WE_NOTHING;
}

/* The value of a counter of a list, now; WE_GONE if its place was given to another one since. */
static inline we_status we_value(we_region *r, const we_counter *counter, uint64_t *value) {
    uint64_t generation;
    we_status status = we_copy(r, counter->word, value, 1);
    we_fence();
    if (status == WE_OK)
        status = we_copy(r, counter->entry, &generation, 1);
    if (status == WE_OK && generation != counter->generation)
        return we_fail(r, WE_GONE, "the counter gave its place to another one; list them again");
    return status;
}

#endif
