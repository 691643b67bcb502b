/* Wrong use of each call: each gives the result that the header names, and nothing crashes. Prints a line
 * a part; the test that runs it compares, and runs it under valgrind. `counter.wasm` lies in the working
 * directory. The names of wasm_engine_monitor.h do not collide. */
#define _POSIX_C_SOURCE 200809L
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "wasm_engine_monitor.h"

#include "wasm_engine.h"

static const char CONFIG[] =
    "[[source]]\n"
    "id = \"readings\"\n"
    "kind = \"live\"\n"
    "topic = \"reading\"\n"
    "payload_bytes_max = 64\n"
    "queue_bytes = 256\n"
    "[[agent]]\n"
    "name = \"counter\"\n"
    "module = \"counter.wasm\"\n"
    "grant = [\"subscribe:reading\", \"publish:stats\"]\n"
    "args = \"reading\"\n"
    "[[output]]\n"
    "topic = \"stats\"\n";

static const char NOT_UTF8[] = "\xff\xfe";
static int wrong;

/* A result other than expected, or one without a text, is reported with its line. */
static void expect(we_result got, we_result wanted, int line) {
    int says = got == WE_RESULT_OK || got == WE_RESULT_NONE || *we_last_error();
    if (got == wanted && says)
        return;
    printf("line %d: %s, not %s: %s\n", line, we_result_name(got), we_result_name(wanted), we_last_error());
    wrong++;
}
#define EXPECT(wanted, call) expect(call, WE_RESULT_##wanted, __LINE__)

static we_host start(void) {
    we_builder builder = 0;
    we_host host = 0;
    EXPECT(OK, we_builder_new(&builder));
    EXPECT(OK, we_builder_config_text(builder, CONFIG));
    EXPECT(OK, we_builder_start(builder, &host));
    return host;
}

/* What each call says to a handle that names nothing. */
static void bad_handle(uint64_t handle) {
    uint64_t number;
    const char *report = "";
    we_host_poll poll = {.size = sizeof poll};
    we_host_output output = {.size = sizeof output};
    we_host_outcome outcome = {.size = sizeof outcome};
    we_task_outcome ended = {.size = sizeof ended};
    we_host_snapshot snapshot = {.size = sizeof snapshot};
    we_tick_report tick = {.size = sizeof tick};
    EXPECT(HANDLE, we_builder_free(handle));
    EXPECT(HANDLE, we_builder_start(handle, &number));
    EXPECT(HANDLE, we_builder_config_file(handle, "x"));
    EXPECT(HANDLE, we_builder_config_text(handle, "x"));
    EXPECT(HANDLE, we_builder_set(handle, "x"));
    EXPECT(HANDLE, we_builder_attach(handle, "x", "x", 1));
    EXPECT(HANDLE, we_builder_name(handle, "x"));
    EXPECT(HANDLE, we_builder_log(handle, "x"));
    EXPECT(HANDLE, we_builder_resume(handle, "x"));
    EXPECT(HANDLE, we_builder_code_cache(handle, "x"));
    EXPECT(HANDLE, we_builder_model_program(handle, "x"));
    EXPECT(HANDLE, we_builder_workers(handle, 1));
    EXPECT(HANDLE, we_builder_ticks(handle, 1));
    EXPECT(HANDLE, we_builder_pace(handle, 1));
    EXPECT(HANDLE, we_builder_signal_handlers(handle, 0));
    EXPECT(HANDLE, we_builder_time_stages(handle, 1));
    EXPECT(HANDLE, we_host_find_stream(handle, "readings", "readings", &number));
    EXPECT(HANDLE, we_host_push(handle, "readings", "readings", "x", 1, NULL));
    EXPECT(HANDLE, we_host_push_to(handle, 0, "x", 1, NULL));
    EXPECT(HANDLE, we_host_next_seq(handle, "readings", &number));
    EXPECT(HANDLE, we_host_close_source(handle, "readings"));
    EXPECT(HANDLE, we_host_poll_tick(handle, &poll));
    EXPECT(HANDLE, we_host_tick(handle, &poll));
    EXPECT(HANDLE, we_host_run_until_idle(handle, 1, NULL));
    EXPECT(HANDLE, we_host_next_due(handle, &number));
    EXPECT(HANDLE, we_host_next_output(handle, &output));
    EXPECT(HANDLE, we_host_take_snapshot(handle, &snapshot));
    EXPECT(HANDLE, we_host_set_tick_budget(handle, 1, 1));
    EXPECT(HANDLE, we_host_last_tick(handle, &tick));
    EXPECT(HANDLE, we_host_find_agent(handle, "counter/0", &number));
    EXPECT(HANDLE, we_host_pause_agent(handle, 0, NULL));
    EXPECT(HANDLE, we_host_resume_agent(handle, 0, NULL));
    EXPECT(HANDLE, we_host_terminate_agent(handle, 0, NULL));
    EXPECT(HANDLE, we_host_spawn_agent(handle, "counter", NULL, 0, NULL));
    EXPECT(HANDLE, we_host_load_model(handle, "m", NULL));
    EXPECT(HANDLE, we_host_unload_model(handle, "m", NULL));
    EXPECT(HANDLE, we_host_swap_model(handle, "m", NULL));
    EXPECT(HANDLE, we_host_next_outcome(handle, &outcome));
    EXPECT(HANDLE, we_host_schedule_task(handle, 0, 0, 1, 0, NULL, 0, NULL, 0, NULL));
    EXPECT(HANDLE, we_host_next_task_outcome(handle, &ended));
    EXPECT(HANDLE, we_host_close(handle, &report));
    if (report)
        printf("a report of nothing\n"), wrong++;
}

static void ignore_output(void *context, const we_host_output *output) { (void)context, (void)output; }
static void ignore_log(void *context, const we_log_line *line) { (void)context, (void)line; }
static void ignore_fault(void *context, const we_fault *fault) { (void)context, (void)fault; }

static void builders(void) {
    we_builder builder = 0;
    we_host host = 0;
    size_t len = (16 << 20) + 2;
    char *endless = malloc(len);
    memset(endless, 'x', len);
    EXPECT(NULL, we_builder_new(NULL));
    EXPECT(OK, we_builder_new(&builder));
    EXPECT(NULL, we_builder_start(builder, NULL));
    we_result (*const texts[])(we_builder, const char *) = {
        we_builder_config_file, we_builder_config_text, we_builder_set,        we_builder_name,
        we_builder_log,         we_builder_resume,      we_builder_code_cache, we_builder_model_program};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        EXPECT(NULL, texts[i](builder, NULL));
        EXPECT(UTF8, texts[i](builder, NOT_UTF8));
        EXPECT(LENGTH, texts[i](builder, endless));
    }
    EXPECT(NULL, we_builder_attach(builder, NULL, "x", 1));
    EXPECT(UTF8, we_builder_attach(builder, NOT_UTF8, "x", 1));
    EXPECT(NULL, we_builder_attach(builder, "x", NULL, 1));
    EXPECT(LENGTH, we_builder_attach(builder, "x", "x", SIZE_MAX));
    EXPECT(OK, we_builder_attach(builder, "x", NULL, 0));
    EXPECT(NULL, we_builder_on_output(builder, NULL, NULL));
    EXPECT(NULL, we_builder_on_log(builder, NULL, NULL));
    EXPECT(NULL, we_builder_on_fault(builder, NULL, NULL));
    EXPECT(OK, we_builder_on_output(builder, ignore_output, NULL));
    EXPECT(OK, we_builder_on_log(builder, ignore_log, NULL));
    EXPECT(OK, we_builder_on_fault(builder, ignore_fault, NULL));
    EXPECT(OK, we_builder_free(builder));
    EXPECT(HANDLE, we_builder_free(builder));
    free(endless);
    /* Without a configuration; with a wrong one; with a pace that is none. Each is gone afterwards. */
    EXPECT(OK, we_builder_new(&builder));
    EXPECT(USAGE, we_builder_start(builder, &host));
    EXPECT(HANDLE, we_builder_start(builder, &host));
    EXPECT(OK, we_builder_new(&builder));
    EXPECT(OK, we_builder_config_text(builder, "[[agen]]\n"));
    EXPECT(USAGE, we_builder_start(builder, &host));
    EXPECT(OK, we_builder_new(&builder));
    EXPECT(OK, we_builder_config_text(builder, CONFIG));
    EXPECT(OK, we_builder_pace(builder, -1));
    EXPECT(USAGE, we_builder_start(builder, &host));
    EXPECT(OK, we_builder_new(&builder));
    EXPECT(OK, we_builder_config_text(builder, CONFIG));
    EXPECT(OK, we_builder_attach(builder, "counter.wasm", "no module", 9));
    EXPECT(REFUSED, we_builder_start(builder, &host));
    EXPECT(OK, we_builder_new(&builder));
    EXPECT(OK, we_builder_config_file(builder, "nothing.toml"));
    EXPECT(USAGE, we_builder_start(builder, &host));
    printf("builders\n");
}

static void pushes(we_host host, we_host other) {
    uint64_t number = 0, stream = 0, foreign = 0;
    char big[65] = {0};
    EXPECT(NULL, we_host_push(host, NULL, "readings", "x", 1, NULL));
    EXPECT(NULL, we_host_push(host, "readings", NULL, "x", 1, NULL));
    EXPECT(NULL, we_host_push(host, "readings", "readings", NULL, 1, NULL));
    EXPECT(LENGTH, we_host_push(host, "readings", "readings", "x", SIZE_MAX, NULL));
    EXPECT(UTF8, we_host_push(host, NOT_UTF8, "readings", "x", 1, NULL));
    EXPECT(UTF8, we_host_push(host, "readings", NOT_UTF8, "x", 1, NULL));
    EXPECT(UNKNOWN_SOURCE, we_host_push(host, "reading", "readings", "x", 1, NULL));
    EXPECT(UNKNOWN_KEY, we_host_push(host, "readings", "key", "x", 1, NULL));
    EXPECT(TOO_LARGE, we_host_push(host, "readings", "readings", big, sizeof big, NULL));
    EXPECT(NULL, we_host_find_stream(host, "readings", "readings", NULL));
    EXPECT(NULL, we_host_find_stream(host, NULL, "readings", &stream));
    EXPECT(UTF8, we_host_find_stream(host, "readings", NOT_UTF8, &stream));
    EXPECT(UNKNOWN_SOURCE, we_host_find_stream(host, "x", "readings", &stream));
    EXPECT(UNKNOWN_KEY, we_host_find_stream(host, "readings", "x", &stream));
    EXPECT(OK, we_host_find_stream(host, "readings", "readings", &stream));
    EXPECT(OK, we_host_find_stream(host, "readings", "readings", &number));
    if (number != stream)
        printf("two numbers of one stream\n"), wrong++;
    EXPECT(OK, we_host_find_stream(other, "readings", "readings", &foreign));
    EXPECT(UNKNOWN_STREAM, we_host_push_to(host, foreign, "x", 1, NULL));
    EXPECT(UNKNOWN_STREAM, we_host_push_to(host, stream + 1, "x", 1, NULL));
    EXPECT(UNKNOWN_STREAM, we_host_push_to(host, 0, "x", 1, NULL));
    EXPECT(NULL, we_host_push_to(host, stream, NULL, 1, NULL));
    EXPECT(LENGTH, we_host_push_to(host, stream, "x", SIZE_MAX, NULL));
    EXPECT(TOO_LARGE, we_host_push_to(host, stream, big, sizeof big, NULL));
    for (uint64_t i = 0; i < 4; i++) {
        EXPECT(OK, we_host_push_to(host, stream, NULL, 0, &number));
        if (number != i)
            printf("sequence %" PRIu64 "\n", number), wrong++;
    }
    EXPECT(FULL, we_host_push_to(host, stream, "x", 1, &number));
    EXPECT(FULL, we_host_push(host, "readings", "readings", "x", 1, &number));
    EXPECT(NULL, we_host_next_seq(host, "readings", NULL));
    EXPECT(NULL, we_host_next_seq(host, NULL, &number));
    EXPECT(UTF8, we_host_next_seq(host, NOT_UTF8, &number));
    EXPECT(UNKNOWN_SOURCE, we_host_next_seq(host, "x", &number));
    EXPECT(OK, we_host_next_seq(host, "readings", &number));
    if (number != 4)
        printf("next sequence %" PRIu64 "\n", number), wrong++;
    EXPECT(NULL, we_host_close_source(host, NULL));
    EXPECT(UTF8, we_host_close_source(host, NOT_UTF8));
    EXPECT(UNKNOWN_SOURCE, we_host_close_source(host, "x"));
    EXPECT(OK, we_host_close_source(host, "readings"));
    EXPECT(CLOSED, we_host_push_to(host, stream, "x", 1, NULL));
    printf("pushes\n");
}

static void structs(we_host host) {
    uint64_t number = 0;
    we_host_poll poll = {.size = sizeof poll};
    we_host_output output = {.size = 0};
    we_host_outcome outcome = {.size = UINT32_MAX};
    we_tick_report tick = {.size = 92};
    struct {
        we_host_snapshot snapshot;
        unsigned char beyond[16];
    } larger;
    EXPECT(NULL, we_host_poll_tick(host, NULL));
    EXPECT(NULL, we_host_tick(host, NULL));
    EXPECT(NULL, we_host_next_due(host, NULL));
    EXPECT(NULL, we_host_next_output(host, NULL));
    EXPECT(NULL, we_host_take_snapshot(host, NULL));
    EXPECT(NULL, we_host_next_outcome(host, NULL));
    EXPECT(SIZE, we_host_next_output(host, &output));
    EXPECT(SIZE, we_host_next_outcome(host, &outcome));
    EXPECT(NULL, we_host_last_tick(host, NULL));
    EXPECT(SIZE, we_host_last_tick(host, &tick));
    tick.size = sizeof tick;
    EXPECT(NONE, we_host_last_tick(host, &tick));
    poll.size = 4;
    EXPECT(SIZE, we_host_poll_tick(host, &poll));
    EXPECT(SIZE, we_host_tick(host, &poll));
    memset(&larger, 0xaa, sizeof larger);
    larger.snapshot.size = sizeof larger;
    EXPECT(OK, we_host_take_snapshot(host, &larger.snapshot));
    for (size_t i = 0; i < sizeof larger.beyond; i++)
        if (larger.beyond[i] != 0xaa)
            printf("written beyond the struct\n"), wrong++;
    if (larger.snapshot.size != sizeof larger || larger.snapshot.tick != WE_NONE)
        printf("a wrong snapshot\n"), wrong++;
    EXPECT(OK, we_host_next_due(host, &number));
    EXPECT(OK, we_host_run_until_idle(host, 100, &number));
    EXPECT(NONE, we_host_next_due(host, &number));
    EXPECT(OK, we_host_last_tick(host, &tick));
    if (tick.size != sizeof tick || tick.turns == 0 || tick.fuel == 0 || tick.step_ns != 0)
        printf("a wrong report of a tick\n"), wrong++;
    EXPECT(OK, we_host_set_tick_budget(host, 1, UINT64_MAX));
    EXPECT(OK, we_host_set_tick_budget(host, 0, 0));
    poll.size = sizeof poll;
    EXPECT(OK, we_host_poll_tick(host, &poll));
    printf("structs: poll %u ended %u\n", (unsigned)poll.what, (unsigned)poll.ended);
}

static void commands(we_host host) {
    uint64_t agent = 0, number = 0;
    we_host_outcome outcome = {.size = sizeof outcome};
    char *args = calloc(1, 8 << 20);
    EXPECT(NULL, we_host_find_agent(host, NULL, &agent));
    EXPECT(NULL, we_host_find_agent(host, "counter/0", NULL));
    EXPECT(UTF8, we_host_find_agent(host, NOT_UTF8, &agent));
    EXPECT(UNKNOWN_AGENT, we_host_find_agent(host, "nobody", &agent));
    EXPECT(OK, we_host_find_agent(host, "counter/0", &agent));
    EXPECT(NULL, we_host_spawn_agent(host, NULL, NULL, 0, NULL));
    EXPECT(NULL, we_host_spawn_agent(host, "counter", NULL, 1, NULL));
    EXPECT(LENGTH, we_host_spawn_agent(host, "counter", "x", SIZE_MAX, NULL));
    EXPECT(UTF8, we_host_spawn_agent(host, NOT_UTF8, NULL, 0, NULL));
    EXPECT(UNKNOWN_AGENT, we_host_spawn_agent(host, "nobody", NULL, 0, NULL));
    EXPECT(TOO_LARGE, we_host_spawn_agent(host, "counter", args, 8 << 20, NULL));
    we_result (*const models[])(we_host, const char *, uint64_t *) = {
        we_host_load_model, we_host_unload_model, we_host_swap_model};
    for (int i = 0; i < 3; i++) {
        EXPECT(NULL, models[i](host, NULL, &number));
        EXPECT(UTF8, models[i](host, NOT_UTF8, &number));
        EXPECT(UNKNOWN_MODEL, models[i](host, "nothing", &number));
    }
    EXPECT(OK, we_host_pause_agent(host, agent, &number));
    EXPECT(OK, we_host_resume_agent(host, UINT64_MAX, NULL));
    EXPECT(OK, we_host_run_until_idle(host, 100, NULL));
    EXPECT(OK, we_host_next_outcome(host, &outcome));
    if (outcome.number != number || outcome.status != 0 || outcome.agent != agent)
        printf("a wrong outcome\n"), wrong++;
    EXPECT(OK, we_host_next_outcome(host, &outcome));
    if (outcome.status == 0)
        printf("nobody was resumed\n"), wrong++;
    EXPECT(NONE, we_host_next_outcome(host, &outcome));
    EXPECT(OK, we_host_resume_agent(host, agent, NULL));
    for (int i = 1; i < 4096; i++)
        we_host_pause_agent(host, UINT64_MAX, NULL);
    EXPECT(FULL, we_host_terminate_agent(host, agent, NULL));
    free(args);
    printf("commands\n");
}

/* Tasks as no agent gets them, and three that wait for each other. */
static void tasks(we_host host) {
    uint64_t agent = 0, numbers[3] = {0};
    we_host_outcome outcome = {.size = sizeof outcome};
    we_task_outcome ended = {.size = 44};
    char *large = calloc(1, 8 << 20);
    EXPECT(OK, we_host_find_agent(host, "counter/0", &agent));
    EXPECT(NULL, we_host_schedule_task(host, agent, 0, 1, 0, NULL, 1, NULL, 0, NULL));
    EXPECT(NULL, we_host_schedule_task(host, agent, 0, 1, 0, NULL, 0, NULL, 1, NULL));
    EXPECT(LENGTH, we_host_schedule_task(host, agent, 0, 1, 0, numbers, SIZE_MAX, NULL, 0, NULL));
    EXPECT(LENGTH, we_host_schedule_task(host, agent, 0, 1, 0, numbers, SIZE_MAX / 8, NULL, 0, NULL));
    EXPECT(LENGTH, we_host_schedule_task(host, agent, 0, 1, 0, NULL, 0, "x", SIZE_MAX, NULL));
    EXPECT(TOO_LARGE, we_host_schedule_task(host, agent, 0, 1, 0, NULL, 0, large, 8 << 20, NULL));
    EXPECT(TOO_LARGE, we_host_schedule_task(host, agent, 0, 1, 0, (uint64_t *)large, 1 << 20, NULL, 0, NULL));
    EXPECT(NULL, we_host_next_task_outcome(host, NULL));
    EXPECT(SIZE, we_host_next_task_outcome(host, &ended));
    ended.size = sizeof ended;
    EXPECT(NONE, we_host_next_task_outcome(host, &ended));
    /* What is wrong with a task itself is its outcome. */
    EXPECT(OK, we_host_schedule_task(host, agent, 0, 0, 0, NULL, 0, NULL, 0, NULL));
    EXPECT(OK, we_host_schedule_task(host, agent, 0, 1, 3, NULL, 0, NULL, 0, NULL));
    EXPECT(OK, we_host_schedule_task(host, UINT64_MAX, 0, 1, 0, NULL, 0, NULL, 0, NULL));
    EXPECT(OK, we_host_run_until_idle(host, 100, NULL));
    for (int i = 0; i < 3; i++) {
        EXPECT(OK, we_host_next_outcome(host, &outcome));
        if (outcome.status == 0)
            printf("a wrong task was taken\n"), wrong++;
    }
    for (int i = 0; i < 3; i++)
        EXPECT(OK, we_host_schedule_task(host, agent, -i, 2, WE_ON_FAILURE_RUN, numbers, (size_t)i, "do",
                                         2, &numbers[i]));
    EXPECT(OK, we_host_run_until_idle(host, 100, NULL));
    for (int i = 0; i < 3; i++) {
        EXPECT(OK, we_host_next_task_outcome(host, &ended));
        if (ended.number != numbers[i] || ended.status != 0 || ended.agent != agent ||
            ended.state != WE_TASK_STATE_DONE || ended.attempts != 1 || ended.code != 0)
            printf("task %d ended in state %u after %u attempts, status %d\n", i, (unsigned)ended.state,
                   (unsigned)ended.attempts, (int)ended.status), wrong++;
    }
    EXPECT(NONE, we_host_next_task_outcome(host, &ended));
    free(large);
    printf("tasks\n");
}

/* Calls with the host that is executing, and with another, from its callback. */
struct heard {
    we_host host, other;
    int count;
};

static void on_output(void *context, const we_host_output *output) {
    struct heard *heard = context;
    uint64_t number;
    we_host_snapshot snapshot = {.size = sizeof snapshot};
    heard->count += output->size >= sizeof *output && !strcmp(output->topic, "stats");
    EXPECT(BUSY, we_host_close(heard->host, NULL));
    EXPECT(BUSY, we_host_push(heard->host, "readings", "readings", "x", 1, NULL));
    EXPECT(BUSY, we_host_run_until_idle(heard->host, 1, NULL));
    EXPECT(BUSY, we_host_next_due(heard->host, &number));
    EXPECT(OK, we_host_take_snapshot(heard->other, &snapshot));
}

static void *other_thread(void *context) {
    const we_host *host = context;
    if (*we_last_error())
        printf("a text of another thread\n"), wrong++;
    EXPECT(UNKNOWN_SOURCE, we_host_close_source(*host, "x"));
    EXPECT(OK, we_host_push(*host, "readings", "readings", "x", 1, NULL));
    EXPECT(OK, we_host_run_until_idle(*host, 100, NULL));
    return NULL;
}

/* In a fork of the process each call with a host of the parent is refused; a kernel of its own runs. */
static void forked(we_host host) {
    int status = -1;
    pid_t child = fork();
    if (child == 0) {
        we_host_poll poll = {.size = sizeof poll};
        EXPECT(FORKED, we_host_push(host, "readings", "readings", "x", 1, NULL));
        EXPECT(FORKED, we_host_tick(host, &poll));
        EXPECT(FORKED, we_host_pause_agent(host, 0, NULL));
        EXPECT(FORKED, we_host_close(host, NULL));
        EXPECT(FORKED, we_host_close(host, NULL));
        we_host own = start();
        EXPECT(OK, we_host_run_until_idle(own, 100, NULL));
        EXPECT(OK, we_host_close(own, NULL));
        fflush(stdout);
        _exit(wrong != 0);
    }
    if (child < 0 || waitpid(child, &status, 0) != child || status != 0)
        printf("the fork ended with %d\n", status), wrong++;
    printf("forked\n");
}

static void callbacks_and_threads(we_host other) {
    struct heard heard = {.other = other};
    we_builder builder = 0;
    pthread_t thread;
    const char *report = NULL;
    EXPECT(OK, we_builder_new(&builder));
    EXPECT(OK, we_builder_config_text(builder, CONFIG));
    EXPECT(OK, we_builder_on_output(builder, on_output, &heard));
    EXPECT(OK, we_builder_start(builder, &heard.host));
    EXPECT(OK, we_host_push(heard.host, "readings", "readings", "x", 1, NULL));
    EXPECT(OK, we_host_run_until_idle(heard.host, 100, NULL));
    if (pthread_create(&thread, NULL, other_thread, &heard.host) || pthread_join(thread, NULL))
        printf("no thread\n"), wrong++;
    EXPECT(OK, we_host_close(heard.host, &report));
    if (!report || !strstr(report, "\"wasm-engine/run/1\""))
        printf("no report\n"), wrong++;
    EXPECT(HANDLE, we_host_close(heard.host, &report));
    printf("callbacks and threads: %d outputs\n", heard.count);
}

int main(void) {
    static const uint64_t garbage[] = {0, 1, 7, UINT64_MAX, 0xdeadbeefdeadbeef};
    if (we_abi_version() != WE_HOST_ABI_VERSION || !*we_version())
        return puts("another version"), 1;
    if (*we_last_error() || strcmp(we_result_name(40), "WE_RESULT_FULL") ||
        strcmp(we_result_name(-7), "WE_RESULT_OTHER"))
        return puts("a wrong text"), 1;
    for (size_t i = 0; i < sizeof garbage / sizeof *garbage; i++)
        bad_handle(garbage[i]);
    printf("garbage\n");
    builders();
    we_host one = start(), two = start();
    EXPECT(HANDLE, we_builder_free(one));
    pushes(one, two);
    structs(one);
    tasks(two);
    commands(two);
    callbacks_and_threads(two);
    fflush(stdout);
    forked(two);
    EXPECT(OK, we_host_close(one, NULL));
    bad_handle(one);
    EXPECT(OK, we_host_close(two, NULL));
    bad_handle(two);
    printf("closed\n%d wrong\n", wrong);
    return wrong != 0;
}
