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
