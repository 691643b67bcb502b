/* Counts the messages on a topic and publishes the count after each turn, as `counter.rs` does. Its
 * argument is the topic; it needs `TOPIC` and `TOPIC/count` to be configured. */
#include "wasm_engine_agent.h"

WE_MANIFEST("name = \"counter-c\"\nversion = \"1.0.0\"\nabi = 1\n"
            "capabilities = [\"subscribe:**\", \"publish:**\"]\n")
WE_INBOX(4096)

static const char END[] = "/count";
static uint64_t count;
static int32_t out;

WE_EXPORT(agent_init) int32_t agent_init(void) {
  const we_context *context = (const we_context *)we_inbox;
  const char *name = we_args(context);
  size_t len = context->args_len;
  char text[128];
  WE_ASSERT(len > 0);
  WE_ASSERT(len + sizeof END <= sizeof text);
  int32_t topic = we_topic(name, len);
  if (topic < 0 || we_subscribe(topic) < 0) return -1001;
  __builtin_memcpy(text, name, len);
  __builtin_memcpy(text + len, END, sizeof END - 1);
  out = we_topic(text, len + sizeof END - 1);
  return out < 0 ? out : 0;
}

WE_EXPORT(agent_receive) int32_t agent_receive(const we_item *item) {
  count += item->topic < WE_CHANNEL;
  return 0;
}

WE_EXPORT(agent_step) int32_t agent_step(const we_context *context) {
  (void)context;
  return we_publish(out, &count, sizeof count) < 0 ? 1 : 0;
}

WE_EXPORT(agent_shutdown) int32_t agent_shutdown(void) { return 0; }
