/* The guest contract of Wasm-Engine, ABI v1, for agents in C.
 *
 * What: the layouts, imports and exports of a module, the same as `wasm_engine_abi` (calls.rs,
 * frame.rs) has for Rust. Why a header and no library: there is nothing to link, the kernel
 * provides the calls. What it does not do: it keeps no state and checks nothing.
 *
 * Build (clang and lld 14 or newer):
 *   clang --target=wasm32 -O2 -nostdlib -ffreestanding -Wl,--no-entry -Wl,-z,stack-size=16384 \
 *     -Wl,--initial-memory=65536 -Wl,--max-memory=65536 -o agent.wasm agent.c
 *
 * A module:
 *   #include "wasm_engine_agent.h"
 *   WE_MANIFEST("name = \"echo\"\nversion = \"1.0.0\"\nabi = 1\n"
 *               "capabilities = [\"subscribe:in\", \"publish:out\"]\n")
 *   WE_INBOX(4096)
 *   static int32_t out;
 *   WE_EXPORT(agent_init) int32_t agent_init(void) {
 *     int32_t in = we_topic("in", 2);
 *     out = we_topic("out", 3);
 *     return in < 0 || out < 0 || we_subscribe(in) < 0 ? -1 : 0;
 *   }
 *   WE_EXPORT(agent_receive) int32_t agent_receive(const we_item *item) {
 *     return we_publish(out, we_payload(item), item->len) < 0 ? 1 : 0;
 *   }
 *   WE_EXPORT(agent_step) int32_t agent_step(const we_context *context) { return 0; }
 *   WE_EXPORT(agent_shutdown) int32_t agent_shutdown(void) { return 0; }
 *
 * A function returns 0 for ok, a positive code of its own (logged and digested) or a negative one,
 * which is a fault: the turn's effects are discarded and so is the agent's state.
 *
 * Numbers are little-endian. All text is UTF-8 with a length, without a closing zero.
 */
#ifndef WASM_ENGINE_AGENT_H
#define WASM_ENGINE_AGENT_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define WE_ABI_VERSION 1

/* Kinds of item. */
enum {
  WE_MESSAGE = 1, /* from an agent: from its address, from_seq its sequence number */
  WE_INPUT = 2,   /* from a source: from the source, from_seq its sequence number */
  WE_REPLY = 3,   /* answer to we_infer: request, topic the model, code; payload the output row */
  WE_OUTCOME = 4, /* answer to another call: request, code, from the agent it is about */
  WE_TIMER = 5    /* request, from_seq the tag */
};

/* `topic` of an item that came by no topic, and of one that came through a channel. */
#define WE_NO_TOPIC UINT32_C(0xffffffff)
#define WE_CHANNEL UINT32_C(0xfffffffe)

/* Statuses: results of calls below 0, and `code` of a reply or an outcome. */
enum {
  WE_OK = 0,
  WE_DENIED = -1,        /* the agent has no right to it */
  WE_UNKNOWN = -2,       /* no topic or model of that name, no such handle */
  WE_INVALID = -3,       /* longer than the limit, or an argument outside its range */
  WE_QUOTA = -4,         /* effects or payload bytes of this turn are used up */
  WE_BUSY = -5,          /* none of the agent's answer places is free */
  WE_GONE = -6,          /* the addressed agent is gone */
  WE_INBOX_FULL = -7,    /* the receiver's inbox is full */
  WE_KERNEL_FULL = -8,   /* a limit of the whole kernel is reached */
  WE_DROPPED = -9,       /* a drop rule of the topic removed it */
  WE_NOT_LOADED = -10,   /* a configured thing of that name is not loaded */
  WE_NO_SLOT = -11,      /* no free agent slot */
  WE_MODEL_FAILED = -12, /* the model failed on this request */
  WE_ALREADY = -13       /* the agent was already in that state */
};

/* Levels of we_log. */
enum { WE_LOG_ERROR = 1, WE_LOG_WARN = 2, WE_LOG_INFO = 3, WE_LOG_DEBUG = 4 };

/* What lies at the pointer of agent_receive; `len` payload bytes follow. */
typedef struct we_item {
  uint32_t kind;      /*  0 WE_MESSAGE ... */
  uint32_t len;       /*  4 bytes of the payload */
  uint64_t from;      /*  8 sender, by kind */
  uint64_t from_seq;  /* 16 the sender's own sequence number, by kind */
  uint64_t tick;      /* 24 tick in which it was committed, or opened */
  uint32_t topic;     /* 32 topic handle, by kind */
  int32_t code;       /* 36 status, by kind */
  uint32_t microstep; /* 40 microstep in which it was committed; 0 at open */
  uint32_t reserved;  /* 44 zero */
  uint64_t request;   /* 48 sequence number of the call that it answers, by kind */
  uint64_t trace;     /* 56 trace id: that of its cause */
} we_item;

/* What lies at the pointer of agent_step, and in the inbox at agent_init, where `args_len` bytes
 * of arguments follow. */
typedef struct we_context {
  uint64_t tick;        /*  0 current tick */
  uint64_t agent;       /*  8 the agent's own address */
  uint32_t microstep;   /* 16 current microstep */
  uint32_t incarnation; /* 20 raised by each restart */
  uint32_t items;       /* 24 items received in this turn */
  uint32_t copy;        /* 28 number among the copies of its configuration entry */
  uint32_t args_len;    /* 32 bytes of arguments that follow; 0 in a step */
  uint32_t reserved;    /* 36 zero */
} we_context;

#ifdef __cplusplus
static_assert(sizeof(we_item) == 64, "layout of we_item");
static_assert(sizeof(we_context) == 40, "layout of we_context");
#else
_Static_assert(sizeof(we_item) == 64, "layout of we_item");
_Static_assert(offsetof(we_item, request) == 48, "layout of we_item");
_Static_assert(sizeof(we_context) == 40, "layout of we_context");
#endif

/* The payload behind an item, and the arguments behind the context of agent_init. */
static inline const void *we_payload(const we_item *item) { return item + 1; }
static inline const void *we_args(const we_context *context) { return context + 1; }

#ifdef __wasm__
#define WE_IMPORT(name) __attribute__((import_module("wasm_engine"), import_name(name)))
#define WE_EXPORT(name) __attribute__((export_name(#name)))
#define WE_SECTION(name) __attribute__((section(name), used))
#else /* for editors and syntax checks; such a build has no kernel to call */
#define WE_IMPORT(name)
#define WE_EXPORT(name)
#define WE_SECTION(name) __attribute__((used))
#endif

/* The manifest, once per module: the text of the section `wasm_engine.manifest`, in which the
 * compiler must not put a closing zero, hence the assembler. */
#ifdef __wasm__
#define WE_MANIFEST(text)                                                                          \
  __asm__(".section .custom_section.wasm_engine.manifest,\"\",@\n.ascii " WE_QUOTE(text) "\n.text\n");
#define WE_QUOTE(text) #text
#else
#define WE_MANIFEST(text) static const char we_manifest[] WE_SECTION("manifest") = text;
#endif

/* The inbox, once per module: at least 128 bytes. An item of up to `bytes` - 64 fits. */
#define WE_INBOX(bytes)                                                                            \
  static unsigned char we_inbox[bytes] __attribute__((aligned(8)));                                 \
  WE_EXPORT(agent_inbox) int32_t agent_inbox(void) { return (int32_t)(uintptr_t)we_inbox; }        \
  WE_EXPORT(agent_inbox_cap) int32_t agent_inbox_cap(void) { return (int32_t)sizeof we_inbox; }

/* What a module exports beside memory and the two functions of WE_INBOX. */
int32_t agent_init(void);
int32_t agent_receive(const we_item *item);
int32_t agent_step(const we_context *context);
int32_t agent_shutdown(void);

/* Host calls. Those that return int64_t give the agent's own sequence number (>= 0) of the accepted
 * call, or a status (< 0); the others a handle or 0, or a status. Accepted means accepted for
 * commit: what depends on others comes back as an item. */
WE_IMPORT("cast") int64_t we_cast(const char *name, size_t name_len, const void *data, size_t len);
WE_IMPORT("infer") int64_t we_infer(int32_t model, const float *row, size_t bytes);
WE_IMPORT("join") int64_t we_join(const char *name, size_t name_len);
WE_IMPORT("leave") int64_t we_leave(const char *name, size_t name_len);
WE_IMPORT("log") int32_t we_log(int32_t level, const char *text, size_t len);
WE_IMPORT("model") int32_t we_model(const char *name, size_t name_len);
WE_IMPORT("pause") int64_t we_pause(uint64_t agent);
WE_IMPORT("publish") int64_t we_publish(int32_t topic, const void *data, size_t len);
WE_IMPORT("random") uint64_t we_random(void);
WE_IMPORT("resume") int64_t we_resume(uint64_t agent);
WE_IMPORT("send") int64_t we_send(uint64_t to, const void *data, size_t len);
WE_IMPORT("spawn")
int64_t we_spawn(const char *name, size_t name_len, const void *args, size_t args_len);
WE_IMPORT("subscribe") int64_t we_subscribe(int32_t topic);
WE_IMPORT("terminate") int64_t we_terminate(uint64_t agent);
WE_IMPORT("tick") uint64_t we_tick(void);
WE_IMPORT("timer") int64_t we_timer(uint64_t delay_ticks, uint64_t tag);
WE_IMPORT("topic") int32_t we_topic(const char *name, size_t name_len);
WE_IMPORT("unsubscribe") int64_t we_unsubscribe(int32_t topic);

#ifdef __cplusplus
}
#endif

#endif
