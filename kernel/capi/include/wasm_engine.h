/* Wasm-Engine inside a C program: the host owns the thread, pushes inputs and executes ticks. Made by
 * kernel/capi/header of the library's source; do not edit.
 *
 *   we_builder_new -> we_builder_config_text, _attach, ... -> we_builder_start
 *   we_host_push -> we_host_run_until_idle, _tick, _poll_tick -> we_host_next_output, again and again
 *   we_host_next_due -> sleep or do something else             -> we_host_close
 *
 * Results. Each call says how it ended by a number of we_result. WE_RESULT_OK is 0; WE_RESULT_NONE
 * is no error. What we_last_error says is for people: what, which, and what to do next.
 *
 * Owners. Handles are numbers, never used twice. Wrong ones, ones that are over, ones of another kind
 * and ones that another call is using, in another thread or around a callback, are results and never
 * crashes. A builder is ended by we_builder_start or we_builder_free, a host by we_host_close; a
 * process may have any number of each. All memory is its maker's: the library copies what it is given,
 * and what it gives it frees itself.
 *
 * Threads. Any function may be called in any thread whose stack has 2 MiB. One call at a time uses a
 * handle: a second one is WE_RESULT_BUSY and waits for nothing. In a fork of the process that started
 * a kernel, calls with its handle are WE_RESULT_FORKED.
 *
 * Lifetimes. Text and bytes that are given need to live for the call only; callbacks and their
 * contexts until the host is closed. Text and bytes that are got live as long as their function or
 * struct says, and are never to be written.
 *
 * Pointers. Where nothing else is said none may be null. That a pointer names memory of its type is
 * the caller's promise. Text is UTF-8 and ends with NUL within 16 MiB. A struct to be filled has its
 * size in its first field, set by the caller: later versions add fields at the end.
 *
 * No panic crosses into the caller. The library sets no signal handler (unless asked), no environment
 * variable, and starts no thread but those that the configuration asks for. It stays loaded when it is
 * unloaded. Names do not collide with those of wasm_engine_monitor.h. */

#ifndef WASM_ENGINE_H
#define WASM_ENGINE_H

#include <stddef.h>
#include <stdint.h>

/**
 * No number: no tick yet, no log, no agent.
 */
#define WE_NONE UINT64_MAX

/**
 * Version of the functions and structs of this header; it changes when a program has to.
 */
#define WE_HOST_ABI_VERSION 1

/**
 * How a call ended. Numbers keep their meaning for ever and later versions add to them, so a
 * number that a program does not know is an error. `we_last_error` has the text.
 */
enum we_result
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * It is done.
     */
    WE_RESULT_OK = 0,
    /**
     * No error: there is nothing, or no more.
     */
    WE_RESULT_NONE = 1,
    /**
     * A pointer is null that may not be.
     */
    WE_RESULT_NULL = 10,
    /**
     * A text is not UTF-8.
     */
    WE_RESULT_UTF8 = 11,
    /**
     * A text does not end within 16 MiB, or a length is impossible.
     */
    WE_RESULT_LENGTH = 12,
    /**
     * The field `size` of a struct is not the size of this struct in any version.
     */
    WE_RESULT_SIZE = 13,
    /**
     * The number names nothing: it never did, or what it named was closed, started or freed.
     */
    WE_RESULT_HANDLE = 20,
    /**
     * Another call with this handle is under way, in another thread or around this callback.
     */
    WE_RESULT_BUSY = 21,
    /**
     * This process is a fork of the one that the handle is from; start another kernel here.
     */
    WE_RESULT_FORKED = 22,
    /**
     * An earlier call has failed; the kernel can only be closed.
     */
    WE_RESULT_FAILED = 23,
    /**
     * A bug in the library, kept from crossing into the caller; the handle can only be closed.
     */
    WE_RESULT_PANIC = 24,
    /**
     * Something is to be written differently: configuration, names of files, options.
     */
    WE_RESULT_USAGE = 30,
    /**
     * A module, a model or the run exceeds what is allowed.
     */
    WE_RESULT_REFUSED = 31,
    /**
     * A file is damaged.
     */
    WE_RESULT_CORRUPT = 32,
    /**
     * A log that was resumed did not give again what it says.
     */
    WE_RESULT_DIVERGED = 33,
    /**
     * The machine or the kernel failed: disk, memory, a library that is missing.
     */
    WE_RESULT_MACHINE = 34,
    /**
     * As much waits as the source, or one tick's commands, may hold; execute a tick.
     */
    WE_RESULT_FULL = 40,
    /**
     * The payload is longer than the source takes, or the arguments than any.
     */
    WE_RESULT_TOO_LARGE = 41,
    /**
     * The configuration has no such source of kind "live".
     */
    WE_RESULT_UNKNOWN_SOURCE = 42,
    /**
     * The source has no such key.
     */
    WE_RESULT_UNKNOWN_KEY = 43,
    /**
     * The source was closed, or the run has ended.
     */
    WE_RESULT_CLOSED = 44,
    /**
     * The configuration has no such agent.
     */
    WE_RESULT_UNKNOWN_AGENT = 45,
    /**
     * The configuration has no such model, or more than one is meant.
     */
    WE_RESULT_UNKNOWN_MODEL = 46,
    /**
     * The stream is not one of this host.
     */
    WE_RESULT_UNKNOWN_STREAM = 47,
    /**
     * Something that has no number yet.
     */
    WE_RESULT_OTHER = 99,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum we_result we_result;
#else
typedef int32_t we_result;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * What a poll came to: `what` of a `we_host_poll`. Later versions add to it.
 */
enum we_poll
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * Something that has no number yet.
     */
    WE_POLL_OTHER = 0,
    /**
     * `tick` was executed; its outputs are there.
     */
    WE_POLL_DONE = 1,
    /**
     * By the pace the next tick is not due for `wait_ns`.
     */
    WE_POLL_IDLE_UNTIL = 2,
    /**
     * Nothing is due until an input is pushed.
     */
    WE_POLL_IDLE = 3,
    /**
     * The next tick, or the end of this one, waits for `pending_on`.
     */
    WE_POLL_PENDING = 4,
    /**
     * No more ticks are executed; `ended` says why.
     */
    WE_POLL_ENDED = 5,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum we_poll we_poll;
#else
typedef uint32_t we_poll;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * What a tick waits for. Later versions add to it.
 */
enum we_pending
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * Something that has no number yet.
     */
    WE_PENDING_OTHER = 0,
    /**
     * The reply of a model or the outcome of a load.
     */
    WE_PENDING_MODEL = 1,
    /**
     * Room in the log, whose disk is slower than the ticks.
     */
    WE_PENDING_LOG_SPACE = 2,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum we_pending we_pending;
#else
typedef uint32_t we_pending;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * Why a run has ended. Later versions add to it.
 */
enum we_ending
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * Every source is closed and nothing is due.
     */
    WE_ENDING_DONE = 0,
    /**
     * The limit of ticks was reached.
     */
    WE_ENDING_TICKS = 1,
    /**
     * It was interrupted.
     */
    WE_ENDING_INTERRUPTED = 2,
    /**
     * The time was up.
     */
    WE_ENDING_TIMEOUT = 3,
    /**
     * An agent faulted where by configuration a fault ends the run.
     */
    WE_ENDING_FAULT = 4,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum we_ending we_ending;
#else
typedef uint32_t we_ending;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * What becomes of a task when one that it waits for did not succeed.
 */
enum we_on_failure
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * It is cancelled, and has itself not succeeded.
     */
    WE_ON_FAILURE_FAIL = 0,
    /**
     * It is skipped; tasks that wait for it go on as if it had succeeded.
     */
    WE_ON_FAILURE_SKIP = 1,
    /**
     * It runs nevertheless.
     */
    WE_ON_FAILURE_RUN = 2,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum we_on_failure we_on_failure;
#else
typedef uint32_t we_on_failure;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * How a task ended. Later versions add to it.
 */
enum we_task_state
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * It succeeded.
     */
    WE_TASK_STATE_DONE = 3,
    /**
     * Its attempts are used up, or its agent is gone or cannot hold it.
     */
    WE_TASK_STATE_FAILED = 4,
    /**
     * It was left out, because another one did not succeed.
     */
    WE_TASK_STATE_SKIPPED = 5,
    /**
     * It will not run: another one did not succeed.
     */
    WE_TASK_STATE_CANCELLED = 6,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum we_task_state we_task_state;
#else
typedef uint32_t we_task_state;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * A kernel that is to be started. A number, which never comes again; no number is 0. It may be
 * used in any thread, in one at a time.
 */
typedef uint64_t we_builder;

/**
 * A message on an output topic. `payload` is valid until the next call with this host that
 * executes ticks, or its close; `topic` and `agent_name` until the next call with this host at
 * all.
 */
typedef struct {
    /**
     * `sizeof` this struct; in `we_host_next_output` set by the caller.
     */
    uint32_t size;
    /**
     * Microstep in which it was committed.
     */
    uint32_t microstep;
    /**
     * Tick in which it was committed.
     */
    uint64_t tick;
    /**
     * Address of the agent that published it.
     */
    uint64_t agent;
    /**
     * That agent's sequence number.
     */
    uint64_t seq;
    /**
     * Name of the topic.
     */
    const char *topic;
    /**
     * Name of the agent.
     */
    const char *agent_name;
    /**
     * Its payload; not null, and not aligned to anything.
     */
    const uint8_t *payload;
    /**
     * Bytes of the payload.
     */
    size_t payload_len;
} we_host_output;

/**
 * Takes each message on an output topic, after its tick.
 */
typedef void (*we_on_output)(void *context, const we_host_output *output);

/**
 * A line that an agent logged; all of it is valid until the callback returns.
 */
typedef struct {
    /**
     * `sizeof` this struct.
     */
    uint32_t size;
    /**
     * 1 an error, 2 a warning, 3 information, above that for debugging.
     */
    uint32_t level;
    /**
     * The tick.
     */
    uint64_t tick;
    /**
     * Name of the agent.
     */
    const char *agent_name;
    /**
     * What it says, UTF-8 and a NUL: anything that a module may write, NULs among it.
     */
    const char *text;
    /**
     * Bytes of the text without the last NUL.
     */
    size_t text_len;
} we_log_line;

/**
 * Takes each line that an agent logs, after its tick.
 */
typedef void (*we_on_log)(void *context, const we_log_line *line);

/**
 * An agent's fault; all of it is valid until the callback returns.
 */
typedef struct {
    /**
     * `sizeof` this struct.
     */
    uint32_t size;
    /**
     * Microstep of the faulted turn.
     */
    uint32_t microstep;
    /**
     * Tick of it.
     */
    uint64_t tick;
    /**
     * Name of the agent.
     */
    const char *agent_name;
    /**
     * What happened, in one sentence.
     */
    const char *what;
    /**
     * What to do about it.
     */
    const char *advice;
    /**
     * All that is known, as JSON: as `first_fault` of a run's report.
     */
    const char *json;
} we_fault;

/**
 * Takes each fault of an agent, after its tick and at most the first 64 of it.
 */
typedef void (*we_on_fault)(void *context, const we_fault *fault);

/**
 * A kernel that runs. A number, which never comes again; no number is 0. It may be used in any
 * thread whose stack has 2 MiB, in one at a time; a process may have any number of them.
 */
typedef uint64_t we_host;

/**
 * One stream of a live source of one host, for `we_host_push_to`; valid as long as the host.
 */
typedef uint64_t we_host_stream;

/**
 * What a poll came to.
 */
typedef struct {
    /**
     * `sizeof` this struct, set by the caller.
     */
    uint32_t size;
    /**
     * One of `we_poll`.
     */
    uint32_t what;
    /**
     * With `WE_POLL_DONE`: number of the tick.
     */
    uint64_t tick;
    /**
     * With `WE_POLL_IDLE_UNTIL`: nanoseconds to wait.
     */
    uint64_t wait_ns;
    /**
     * With `WE_POLL_PENDING`: one of `we_pending`.
     */
    uint32_t pending_on;
    /**
     * With `WE_POLL_ENDED`: one of `we_ending`.
     */
    uint32_t ended;
} we_host_poll;

/**
 * What came of a command.
 */
typedef struct {
    /**
     * `sizeof` this struct, set by the caller.
     */
    uint32_t size;
    /**
     * 0, or the status by which it was refused: those of the guest contract.
     */
    int32_t status;
    /**
     * The number that giving the command returned.
     */
    uint64_t number;
    /**
     * Tick at whose open it was applied.
     */
    uint64_t tick;
    /**
     * The agent that it was about, or that it made; else `WE_NONE`.
     */
    uint64_t agent;
} we_host_outcome;

/**
 * How a task of the host ended.
 */
typedef struct {
    /**
     * `sizeof` this struct, set by the caller.
     */
    uint32_t size;
    /**
     * 0, or why it did not succeed: a status of the guest contract.
     */
    int32_t status;
    /**
     * The number that scheduling it returned.
     */
    uint64_t number;
    /**
     * Tick in which it ended.
     */
    uint64_t tick;
    /**
     * The agent that it was for.
     */
    uint64_t agent;
    /**
     * One of `we_task_state`.
     */
    uint32_t state;
    /**
     * Attempts made.
     */
    uint32_t attempts;
    /**
     * What `agent_step` returned in the last of them.
     */
    int32_t code;
    /**
     * 0.
     */
    uint32_t reserved;
} we_task_outcome;

/**
 * How a kernel stands between two ticks.
 */
typedef struct {
    /**
     * `sizeof` this struct, set by the caller.
     */
    uint32_t size;
    /**
     * Agents that exist.
     */
    uint32_t agents;
    /**
     * Agents that have something to do.
     */
    uint32_t runnable;
    /**
     * Requests to models whose reply has not been received.
     */
    uint32_t inferences_pending;
    /**
     * Number of the last tick; `WE_NONE` before tick 0.
     */
    uint64_t tick;
    /**
     * Ticks executed, those of a resumed log among them.
     */
    uint64_t ticks;
    /**
     * Inputs that wait for the next tick.
     */
    uint64_t inputs_waiting;
    /**
     * Inputs that entered.
     */
    uint64_t inputs;
    /**
     * Messages delivered.
     */
    uint64_t messages;
    /**
     * Turns that faulted.
     */
    uint64_t faults;
    /**
     * The last tick whose facts are on disk; `WE_NONE` without a log.
     */
    uint64_t durable_tick;
    /**
     * Digest of the last tick, 32 hexadecimal digits and NUL.
     */
    char digest[40];
    /**
     * Fuel chain, alike.
     */
    char fuel_digest[40];
} we_host_snapshot;

/**
 * What a tick did. Times are in nanoseconds and all 0 unless `we_builder_time_stages` asked for
 * them; waits for a model, for the pace and, between two calls, for the log are in none of them.
 */
typedef struct {
    /**
     * `sizeof` this struct, set by the caller.
     */
    uint32_t size;
    /**
     * Microsteps executed.
     */
    uint32_t microsteps;
    /**
     * Turns taken.
     */
    uint32_t turns;
    /**
     * Agents that are left to go on in the next tick.
     */
    uint32_t carried_over;
    /**
     * The tick.
     */
    uint64_t tick;
    /**
     * Fuel that its turns took.
     */
    uint64_t fuel;
    /**
     * Inputs, replies and commands were put together.
     */
    uint64_t gather_ns;
    /**
     * They were applied, with timers and backoffs.
     */
    uint64_t open_ns;
    /**
     * Turns were chosen.
     */
    uint64_t plan_ns;
    /**
     * Turns ran.
     */
    uint64_t step_ns;
    /**
     * What they did was applied.
     */
    uint64_t commit_ns;
    /**
     * Digests were closed, of states as well where due.
     */
    uint64_t close_ns;
    /**
     * Records were handed to the log.
     */
    uint64_t log_ns;
    /**
     * Outputs left, and monitors were shown the tick.
     */
    uint64_t publish_ns;
} we_tick_report;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * Version of the interface that the library has: `WE_HOST_ABI_VERSION` of its header. Any thread.
 */
uint32_t we_abi_version(void);

/**
 * Version of the library, as `0.1.0`. Any thread; the text is valid for ever.
 */
const char *we_version(void);

/**
 * What the last call that failed in this thread said: what, which, and what to do next. Empty if
 * none has failed. Any thread; the text is the library's and valid until the next call that fails
 * in this thread.
 */
const char *we_last_error(void);

/**
 * The name of a result, as `WE_RESULT_FULL`; of other numbers `WE_RESULT_OTHER`. Any thread; the
 * text is valid for ever.
 */
const char *we_result_name(int32_t result);

/**
 * Makes a builder, which is to be started or freed. Any thread.
 */
we_result we_builder_new(uint64_t *builder);

/**
 * Frees a builder that is not to be started; what it was given is freed with it.
 */
we_result we_builder_free(we_builder builder);

/**
 * Starts the kernel: reads what the configuration names, compiles modules, loads models, and with
 * `we_builder_resume` executes the log again. Tick 0 is left to the first tick call. The builder
 * is gone afterwards, whatever comes of it, unless `host` is null or the builder is busy. The
 * thread needs a stack of 2 MiB; it need not be the one of later calls.
 */
we_result we_builder_start(we_builder builder, uint64_t *host);

/**
 * The configuration is in this TOML file; paths in it are relative to its folder.
 */
we_result we_builder_config_file(we_builder builder, const char *file);

/**
 * The configuration is this TOML text, which is copied; paths in it are relative to the working
 * directory.
 */
we_result we_builder_config_text(we_builder builder, const char *toml);

/**
 * Overrides a key of the configuration, as `section.key=value`; may be called again.
 */
we_result we_builder_set(we_builder builder, const char *assignment);

/**
 * Gives the bytes of a module or model, or of the manifest beside a module, that the configuration
 * calls `name`, so that no file is read for it. They are copied.
 */
we_result we_builder_attach(we_builder builder, const char *name, const void *bytes, size_t len);

/**
 * Monitors find the kernel under this name, which no other may have at the time.
 */
we_result we_builder_name(we_builder builder, const char *name);

/**
 * Writes a log into this directory, which is new or empty.
 */
we_result we_builder_log(we_builder builder, const char *dir);

/**
 * Goes on with the log in this directory. What was pushed and is in it enters again from there.
 */
we_result we_builder_resume(we_builder builder, const char *dir);

/**
 * Keeps compiled modules in this folder, which is made if missing.
 */
we_result we_builder_code_cache(we_builder builder, const char *folder);

/**
 * The `wasm-engine` program, which serves models that have a process of their own.
 */
we_result we_builder_model_program(we_builder builder, const char *file);

/**
 * Worker threads, in place of `kernel.workers`.
 */
we_result we_builder_workers(we_builder builder, uint32_t workers);

/**
 * Ends before the tick of this number, in place of `kernel.ticks`.
 */
we_result we_builder_ticks(we_builder builder, uint64_t ticks);

/**
 * Ticks per second, in place of `kernel.pace`.
 */
we_result we_builder_pace(we_builder builder, double pace);

/**
 * Unless `allowed` is 0 the engine handles SIGSEGV, SIGILL and SIGFPE for the whole process, for
 * ever, which makes loops over memory faster. Handlers set later would take agents' faults.
 */
we_result we_builder_signal_handlers(we_builder builder, uint32_t allowed);

/**
 * Unless `timed` is 0: times the stages of each tick, for `we_host_last_tick`, which reads the
 * clock some ten times a tick.
 */
we_result we_builder_time_stages(we_builder builder, uint32_t timed);

/**
 * Calls `callback` with `context` and each message on an output topic, after its tick, in the
 * thread of the call that executes ticks. The struct and all it points to are valid until it
 * returns. It must return, without an exception or `longjmp`; calls with this host are
 * `WE_RESULT_BUSY` in it. Both must stay valid until the host is closed.
 */
we_result we_builder_on_output(we_builder builder, we_on_output callback, void *context);

/**
 * Calls `callback` with each line that an agent logs; all else as in `we_builder_on_output`.
 */
we_result we_builder_on_log(we_builder builder, we_on_log callback, void *context);

/**
 * Calls `callback` with each fault of an agent, at most the first 64 of a tick; all else as in
 * `we_builder_on_output`.
 */
we_result we_builder_on_fault(we_builder builder, we_on_fault callback, void *context);

/**
 * Looks up the stream of live source `source` that `key` names; of a source without `keys` that is
 * the source's id.
 */
we_result we_host_find_stream(we_host host,
                              const char *source,
                              const char *key,
                              uint64_t *stream);

/**
 * Pushes an input, which enters the next tick that has room for it, and gives its sequence number
 * in the source, unless `seq` is null. The payload is copied; it may be null if `len` is 0.
 * Refusals change nothing: `WE_RESULT_FULL`, `_TOO_LARGE`, `_UNKNOWN_SOURCE`, `_UNKNOWN_KEY`,
 * `_CLOSED`.
 */
we_result we_host_push(we_host host,
                       const char *source,
                       const char *key,
                       const void *payload,
                       size_t len,
                       uint64_t *seq);

/**
 * As `we_host_push`, into a stream that was looked up before.
 */
we_result we_host_push_to(we_host host,
                          we_host_stream stream,
                          const void *payload,
                          size_t len,
                          uint64_t *seq);

/**
 * Gives the sequence number of the next input of a live source. After resuming it continues behind
 * the last input that is in the log; what was pushed after that is to be pushed again.
 */
we_result we_host_next_seq(we_host host, const char *source, uint64_t *seq);

/**
 * Closes a live source: it takes no more inputs, and those that wait still enter.
 */
we_result we_host_close_source(we_host host, const char *source);

/**
 * Executes at most one tick and never waits for the pace, a model or the log; `poll` says what
 * came of it. With worker threads it waits for their turns.
 */
we_result we_host_poll_tick(we_host host, we_host_poll *poll);

/**
 * As `we_host_poll_tick`, but waits for the pace, for models and for the log until a tick was
 * executed, nothing is due or the run has ended.
 */
we_result we_host_tick(we_host host, we_host_poll *poll);

/**
 * Executes ticks until nothing is due at once, `ticks_max` were executed or the run has ended;
 * gives how many were, unless `ticks` is null. It waits for models and the log and not for the
 * pace.
 */
we_result we_host_run_until_idle(we_host host, uint64_t ticks_max, uint64_t *ticks);

/**
 * Gives how many nanoseconds a host may sleep before the next tick is due if nothing is pushed;
 * `WE_RESULT_NONE` if nothing is due at all.
 */
we_result we_host_next_due(we_host host, uint64_t *wait_ns);

/**
 * Gives this budget to each tick from the next on: no turn is planned beyond `turns`, no microstep
 * begins once `fuel` is used up, and what is left goes on in the next tick. 0 is no bound. Both
 * are counted and not timed, so the run replays. Tick 0 executes all inits whatever it says, and a
 * run that is resumed begins without a budget.
 */
we_result we_host_set_tick_budget(we_host host, uint64_t turns, uint64_t fuel);

/**
 * Says what the last tick did; `WE_RESULT_NONE` before this process has executed one.
 */
we_result we_host_last_tick(we_host host, we_tick_report *report);

/**
 * Gives the next of the outputs of the last call that executed ticks, in the order of their
 * commits; `WE_RESULT_NONE` if there is no more. Nothing is to be freed.
 */
we_result we_host_next_output(we_host host, we_host_output *output);

/**
 * Says how the kernel stands.
 */
we_result we_host_take_snapshot(we_host host, we_host_snapshot *snapshot);

/**
 * Ends the run: writes and syncs log and outputs, ends all threads, gives back memory and name.
 * The host is gone afterwards, whatever comes of it, unless it is busy. Inputs that wait are
 * dropped. `report`, unless null, becomes the run's report as JSON (`wasm-engine/run/1`, as the
 * command prints it), or null where there is none; the text is the library's and valid until the
 * next close in this thread.
 */
we_result we_host_close(we_host host, const char **report);

/**
 * Gives the address of an agent that exists from tick 0, by the name that outputs give it.
 */
we_result we_host_find_agent(we_host host, const char *name, uint64_t *agent);

/**
 * Pauses an agent at the open of the next tick. `number`, unless null, becomes the number under
 * which `we_host_next_outcome` says what came of it; so with all commands.
 */
we_result we_host_pause_agent(we_host host, uint64_t agent, uint64_t *number);

/**
 * Ends the pause of an agent.
 */
we_result we_host_resume_agent(we_host host, uint64_t agent, uint64_t *number);

/**
 * Ends an agent, after a last turn.
 */
we_result we_host_terminate_agent(we_host host, uint64_t agent, uint64_t *number);

/**
 * Makes an agent, one of the configured `agent`, and gives `args` to its `agent_init`. They are
 * copied, and may be null if `len` is 0.
 */
we_result we_host_spawn_agent(we_host host,
                              const char *agent,
                              const void *args,
                              size_t len,
                              uint64_t *number);

/**
 * Loads a model, by name or `name@version`.
 */
we_result we_host_load_model(we_host host, const char *model, uint64_t *number);

/**
 * Unloads a model, by name or `name@version`.
 */
we_result we_host_unload_model(we_host host, const char *model, uint64_t *number);

/**
 * Lets the name of a model mean this version, `name@version`.
 */
we_result we_host_swap_model(we_host host, const char *model, uint64_t *number);

/**
 * Gives what came of the next of the commands that the last call of ticks applied, in their order;
 * `WE_RESULT_NONE` if there is no more.
 */
we_result we_host_next_outcome(we_host host, we_host_outcome *outcome);

/**
 * Gives an agent a task, at the open of the next tick. `number` is as with all commands, and by
 * it later tasks wait for this one. It may be taken when the `after_len` tasks of the host whose
 * numbers are in `after` have ended; it is tried up to `attempts` times, 1 to 65,536, before it
 * has failed; `on_failure`, one of `we_on_failure`, says what becomes of it if one of those did
 * not succeed. Of an agent's tasks the one of the greatest `priority` comes first. `payload` is
 * copied, and both pointers may be null where there is nothing. `we_host_next_outcome` says
 * whether it was taken, `we_host_next_task_outcome` how it ended.
 */
we_result we_host_schedule_task(we_host host,
                                uint64_t agent,
                                int32_t priority,
                                uint32_t attempts,
                                uint32_t on_failure,
                                const uint64_t *after,
                                size_t after_len,
                                const void *payload,
                                size_t len,
                                uint64_t *number);

/**
 * Gives how the next of the host's tasks that ended in the last call of ticks did;
 * `WE_RESULT_NONE` if there is no more.
 */
we_result we_host_next_task_outcome(we_host host, we_task_outcome *outcome);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* WASM_ENGINE_H */
