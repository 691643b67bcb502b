/* The guest contract of Wasm-Engine, ABI v1, for agents in C.
 *
 * What: the layouts, imports and exports of a module, the same as `wasm_engine_abi` (calls.rs,
 * frame.rs) has for Rust. Why a header and no library: there is nothing to link, the kernel
 * provides the calls. What it does not do: it keeps no state and checks nothing.
 *
 * Build (clang and lld 14 or newer):
 *   clang --target=wasm32 -O2 -mbulk-memory -nostdlib -ffreestanding -Wl,--no-entry \
 *     -Wl,--stack-first -Wl,-z,stack-size=16384 -Wl,--initial-memory=65536 \
 *     -Wl,--max-memory=65536 -o agent.wasm agent.c
 * In C++ the same with clang++ and -fno-exceptions -fno-rtti -fno-c++-static-destructors.
 * With --stack-first a stack that is too deep is a fault; without, it overwrites static data.
 * With -mbulk-memory copies of structs are operators; without, they are calls of a missing memcpy.
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
 * A function returns 0 for ok, a positive code of its own (counted and digested) or a negative one,
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
/* generated: kinds of item */
enum {
  /* From an agent: from its address, from_seq its sequence, topic or NO_TOPIC. By a channel: topic is CHANNEL, request the sequence of the receiver's own last accepted join of it. */
  WE_MESSAGE = 1,
  /* From a source: from the source's number, from_seq its sequence, topic. */
  WE_INPUT = 2,
  /* Answer to infer or infer_tensors: request its sequence, topic the model, code a status; the payload is the output row or the list of tensors, or with the status Mismatch a text; else it is empty. */
  WE_REPLY = 3,
  /* Answer to another call: request its sequence, code a status, from the agent it is about (the new one for spawn). Of schedule, when the task has ended: from_seq the attempts times 2^32 and the code that agent_step returned for the last. */
  WE_OUTCOME = 4,
  /* A timer: request its sequence, from_seq its tag. */
  WE_TIMER = 5,
  /* A task, which agent_step gets behind its context: from who scheduled it, from_seq its sequence of that, code the attempt, from 1. */
  WE_TASK = 6,
  /* The first item of an incarnation whose state is that of a save point: from_seq the tick of that. */
  WE_RESTARTED = 7,
};
/* end of generated */

/* `topic` of an item that came by no topic, and of one that came through a channel: its `request`
 * is the sequence number of the receiver's own last we_join of the channel. */
#define WE_NO_TOPIC UINT32_C(0xffffffff)
#define WE_CHANNEL UINT32_C(0xfffffffe)

/* Statuses: results of calls below 0, and `code` of a reply or an outcome. */
/* generated: statuses */
enum {
  /* Done. */
  WE_OK = 0,
  /* The agent has no right to it. */
  WE_DENIED = -1,
  /* No topic or model of that name, no such handle, no task of that name any more. */
  WE_UNKNOWN = -2,
  /* Longer than the limit, or an argument outside its range. */
  WE_INVALID = -3,
  /* The agent's quota of effects or payload bytes in this turn is used up. */
  WE_QUOTA = -4,
  /* None of the agent's pending-call slots is free. */
  WE_BUSY = -5,
  /* The addressed agent is gone (its slot is empty or of another generation). */
  WE_GONE = -6,
  /* The receiver's inbox is full, by count or bytes, or its list of tasks. */
  WE_INBOX_FULL = -7,
  /* A limit of the whole kernel is reached. */
  WE_KERNEL_FULL = -8,
  /* No free agent slot. */
  WE_NO_SLOT = -11,
  /* The model failed on this request. */
  WE_MODEL_FAILED = -12,
  /* The agent was already in that state. */
  WE_ALREADY = -13,
  /* The payload is longer than the receiver's inbox takes. */
  WE_TOO_LONG = -14,
  /* The model takes other tensors; the reply's payload says in UTF-8 what differs. */
  WE_MISMATCH = -15,
  /* The model did not answer before its deadline. */
  WE_LATE = -16,
  /* The model is configured and not loaded. */
  WE_NOT_LOADED = -17,
  /* The attempts of the task are used up. */
  WE_TASK_FAILED = -18,
  /* The task will not run: one that it waited for did not succeed. */
  WE_CANCELLED = -19,
  /* The task was left out: one that it waited for did not succeed. */
  WE_SKIPPED = -20,
  /* The quota of the topic is used up by what inboxes hold of it. */
  WE_TOPIC_FULL = -21,
};
/* end of generated */

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
  uint32_t hash;      /* 44 low half of the payload's xxh3-64, 0 for an empty one */
  uint64_t request;   /* 48 sequence number of the call that it answers or comes by, by kind */
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

/* Lists of tensors: what we_infer_tensors takes and its reply holds.
 *   list   we_tensors, then `count` values
 *   value  we_tensor, uint64_t dims[rank], `len` bytes of elements, zeros up to a multiple of 8
 * A list begins at a multiple of 8, as payloads in the inbox do, and so do all elements in it. */
typedef struct we_tensors {
  uint32_t version; /* 0 WE_TENSORS_VERSION */
  uint32_t count;   /* 4 values that follow */
} we_tensors;

typedef struct we_tensor {
  uint32_t port; /*  0 number of the model's input or output: we_model_input, we_model_output */
  uint32_t kind; /*  4 WE_F32 ... */
  uint32_t rank; /*  8 dimensions that follow */
  uint32_t len;  /* 12 bytes of the elements */
} we_tensor;

#ifdef __cplusplus
static_assert(sizeof(we_tensor) == 16, "layout of we_tensor");
#else
_Static_assert(sizeof(we_tensor) == 16, "layout of we_tensor");
#endif

#define WE_TENSORS_VERSION 1
/* Kinds of value. WE_TEXT: n + 1 offsets uint32_t, then the text that they cut up. WE_SEQUENCE: rank
 * 1, as many values follow. WE_MAP: rank 0, its keys and its values follow. */
/* generated: kinds of value */
enum {
  /* 32-bit floats. */
  WE_F32 = 1,
  /* 8-bit unsigned integers. */
  WE_U8 = 2,
  /* 8-bit integers. */
  WE_I8 = 3,
  /* 16-bit unsigned integers. */
  WE_U16 = 4,
  /* 16-bit integers. */
  WE_I16 = 5,
  /* 32-bit integers. */
  WE_I32 = 6,
  /* 64-bit integers. */
  WE_I64 = 7,
  /* Texts. */
  WE_TEXT = 8,
  /* One byte each, 0 or 1. */
  WE_BOOL = 9,
  /* 16-bit floats of IEEE 754. */
  WE_F16 = 10,
  /* 64-bit floats. */
  WE_F64 = 11,
  /* 32-bit unsigned integers. */
  WE_U32 = 12,
  /* 64-bit unsigned integers. */
  WE_U64 = 13,
  /* The upper 16 bits of a 32-bit float. */
  WE_BF16 = 16,
  /* Values one after the other. */
  WE_SEQUENCE = 256,
  /* Keys and values. */
  WE_MAP = 257,
};
/* end of generated */

/* The payload behind an item, and the arguments behind the context of agent_init. */
static inline const void *we_payload(const we_item *item) { return item + 1; }
static inline const void *we_args(const we_context *context) { return context + 1; }

/* Dimensions and elements of a value, and the value behind it; of a sequence or a map that is the
 * first one inside it. */
static inline const uint64_t *we_tensor_dims(const we_tensor *value) {
  return (const uint64_t *)(const void *)(value + 1);
}
static inline const void *we_tensor_data(const we_tensor *value) {
  return we_tensor_dims(value) + value->rank;
}
static inline const we_tensor *we_tensor_next(const we_tensor *value) {
  return (const we_tensor *)((const char *)we_tensor_data(value) + ((value->len + 7u) & ~7u));
}

/* The first value of a list with this port; null if there is none. For lists without sequences and
 * maps, of which a model without them gives no other. */
static inline const we_tensor *we_tensors_find(const void *list, uint32_t port) {
  const we_tensors *head = (const we_tensors *)list;
  const we_tensor *value = (const we_tensor *)(const void *)(head + 1);
  for (uint32_t i = 0; i < head->count; i++, value = we_tensor_next(value))
    if (value->port == port) return value;
  return 0;
}

/* Begins a list in `list`, which is aligned to 8. */
static inline void we_tensors_begin(void *list) {
  we_tensors *head = (we_tensors *)list;
  head->version = WE_TENSORS_VERSION;
  head->count = 0;
}

/* Appends a tensor of `len` bytes to the list of `list_len` bytes in memory of `capacity` bytes, and
 * gives where its elements are to be written; null if there is no room. The first one is appended to
 * the 8 bytes of we_tensors_begin. */
static inline void *we_tensors_add(void *list, size_t *list_len, size_t capacity, uint32_t port,
                                   uint32_t kind, uint32_t rank, const uint64_t *dims,
                                   uint32_t len) {
  size_t padded = ((size_t)len + 7u) & ~(size_t)7u;
  size_t need = sizeof(we_tensor) + 8u * (size_t)rank + padded;
  if (*list_len > capacity || need > capacity - *list_len) return 0;
  we_tensor *value = (we_tensor *)(void *)((char *)list + *list_len);
  value->port = port;
  value->kind = kind;
  value->rank = rank;
  value->len = len;
  uint64_t *to = (uint64_t *)(void *)(value + 1);
  for (uint32_t i = 0; i < rank; i++) to[i] = dims[i];
  unsigned char *data = (unsigned char *)(to + rank);
  for (size_t i = len; i < padded; i++) data[i] = 0;
  ((we_tensors *)list)->count++;
  *list_len += need;
  return data;
}

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

/* The inbox, once per module: at least 128 bytes. An item of up to `bytes` - 64 fits.
 * With it comes _initialize, which the kernel calls once per incarnation, before all else: it runs
 * the constructors of static objects. Without one the linker would run them before every call. */
#define WE_INBOX(bytes)                                                                            \
  WE_INITIALIZE                                                                                    \
  static unsigned char we_inbox[bytes] __attribute__((aligned(8)));                                 \
  WE_EXPORT(agent_inbox) int32_t agent_inbox(void) { return (int32_t)(uintptr_t)we_inbox; }        \
  WE_EXPORT(agent_inbox_cap) int32_t agent_inbox_cap(void) { return (int32_t)sizeof we_inbox; }

#ifdef __wasm__
/* Made by the linker; weak, because a C library may bring an _initialize of its own. */
void __wasm_call_ctors(void);
#define WE_INITIALIZE                                                                              \
  WE_EXPORT(_initialize) __attribute__((weak)) void _initialize(void) { __wasm_call_ctors(); }
#else
#define WE_INITIALIZE
#endif

/* What a module exports beside memory and the two functions of WE_INBOX. */
int32_t agent_init(void);
int32_t agent_receive(const we_item *item);
int32_t agent_step(const we_context *context);
int32_t agent_shutdown(void);

/* Host calls. Those that return int64_t give the agent's own sequence number (>= 0) of the accepted
 * call, or a status (< 0); the others a handle or 0, or a status. Accepted means accepted for
 * commit: what depends on others comes back as an item. */
/* generated: calls */
/* Message to every member of a channel. */
WE_IMPORT("cast")
int64_t we_cast(const char *name, size_t name_len, const void *payload, size_t payload_len);
/* One row of f32 for a model; exactly one reply item. */
WE_IMPORT("infer")
int64_t we_infer(int32_t model, const float *row, size_t row_bytes);
/* A list of tensors for a model; exactly one reply item, such a list too. */
WE_IMPORT("infer_tensors")
int64_t we_infer_tensors(int32_t model, const void *tensors, size_t tensors_len);
/* Becomes a member of a channel. */
WE_IMPORT("join")
int64_t we_join(const char *name, size_t name_len);
/* Ends the membership of a channel. */
WE_IMPORT("leave")
int64_t we_leave(const char *name, size_t name_len);
/* A line for the operator: level 1 error, 2 warning, 3 information, 4 and more detail. */
WE_IMPORT("log")
int32_t we_log(int32_t level, const char *text, size_t text_len);
/* Handle of a configured model. */
WE_IMPORT("model")
int32_t we_model(const char *name, size_t name_len);
/* Number of a model's input, which a tensor for it has as its port. */
WE_IMPORT("model_input")
int32_t we_model_input(int32_t model, const char *name, size_t name_len);
/* Number of a model's output, which a tensor of its reply has as its port. */
WE_IMPORT("model_output")
int32_t we_model_output(int32_t model, const char *name, size_t name_len);
/* Handle of the next topic behind after, 2^32 - 1 to begin, that the pattern matches. */
WE_IMPORT("next_topic")
int32_t we_next_topic(const char *pattern, size_t pattern_len, int32_t after);
/* Why the agent is about to trap: shown with the fault; no effect and not digested. */
WE_IMPORT("panic")
int32_t we_panic(const char *message, size_t message_len);
/* Pauses an agent; exactly one outcome item. */
WE_IMPORT("pause")
int64_t we_pause(uint64_t agent);
/* Message to every subscriber of a topic. */
WE_IMPORT("publish")
int64_t we_publish(int32_t topic, const void *payload, size_t payload_len);
/* 64 bits from the seed, the agent's key and the place in time (SEMANTICS A6). */
WE_IMPORT("random")
uint64_t we_random(void);
/* Ends the pause of an agent; exactly one outcome item. */
WE_IMPORT("resume")
int64_t we_resume(uint64_t agent);
/* Makes the state behind this turn the save point; costs fuel for the whole memory. */
WE_IMPORT("save")
int64_t we_save(void);
/* A task for an agent; exactly one outcome item, when it has ended. */
WE_IMPORT("schedule")
int64_t we_schedule(uint64_t agent, const void *task, size_t task_len);
/* Message to one agent. */
WE_IMPORT("send")
int64_t we_send(uint64_t to, const void *payload, size_t payload_len);
/* New agent from a configured one; exactly one outcome item. */
WE_IMPORT("spawn")
int64_t we_spawn(const char *name, size_t name_len, const void *args, size_t args_len);
/* Subscribes to a topic. */
WE_IMPORT("subscribe")
int64_t we_subscribe(int32_t topic);
/* Ends an agent; exactly one outcome item. */
WE_IMPORT("terminate")
int64_t we_terminate(uint64_t agent);
/* The current tick. */
WE_IMPORT("tick")
uint64_t we_tick(void);
/* One timer item after delay_ticks, at least 1. */
WE_IMPORT("timer")
int64_t we_timer(uint64_t delay_ticks, uint64_t tag);
/* Handle of a configured topic. */
WE_IMPORT("topic")
int32_t we_topic(const char *name, size_t name_len);
/* Ends the subscription of a topic. */
WE_IMPORT("unsubscribe")
int64_t we_unsubscribe(int32_t topic);
/* end of generated */

/* Ends the call with a fault that says which condition does not hold, and where. */
#ifdef __wasm__
#define WE_ASSERT(condition) ((condition) ? (void)0 : we_fail(#condition ", at " WE_PLACE_))
#else
#define WE_ASSERT(condition) ((void)sizeof(condition))
#endif
#define WE_PLACE_ __FILE__ ":" WE_TEXT_(__LINE__)
#define WE_TEXT_(token) WE_TEXT_OF_(token)
#define WE_TEXT_OF_(token) #token

/* Ends the call with a fault that carries `message`, which is closed with a zero. */
static inline void we_fail(const char *message) {
  size_t len = 0;
  while (len < 1024 && message[len] != 0) len++;
  we_panic(message, len);
  __builtin_trap();
}

#ifdef __cplusplus
}
#endif

#endif
