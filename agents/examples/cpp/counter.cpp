/* Counts the messages on a topic and publishes the count after each turn, as `counter.rs` does. Its
 * argument is the topic; it needs `TOPIC` and `TOPIC/count` to be configured. */
#include "wasm_engine_agent.h"

WE_MANIFEST("name = \"counter-cpp\"\nversion = \"1.0.0\"\nabi = 1\n"
            "capabilities = [\"subscribe:**\", \"publish:**\"]\n")
WE_INBOX(4096)

namespace {

/* Its constructor runs before agent_init. */
class Counter {
 public:
  Counter() : count_(0), out_(WE_UNKNOWN) {}

  int32_t start(const char *name, size_t len) {
    static const char END[] = "/count";
    char text[128];
    WE_ASSERT(len > 0);
    WE_ASSERT(len + sizeof END <= sizeof text);
    int32_t topic = we_topic(name, len);
    if (topic < 0 || we_subscribe(topic) < 0) return -1001;
    __builtin_memcpy(text, name, len);
    __builtin_memcpy(text + len, END, sizeof END - 1);
    out_ = we_topic(text, len + sizeof END - 1);
    return out_ < 0 ? out_ : 0;
  }

  void add(const we_item &item) { count_ += item.topic < WE_CHANNEL; }

  int32_t publish() const { return we_publish(out_, &count_, sizeof count_) < 0 ? 1 : 0; }

 private:
  uint64_t count_;
  int32_t out_;
};

Counter counter;

}  // namespace

WE_EXPORT(agent_init) int32_t agent_init() {
  const we_context *context = reinterpret_cast<const we_context *>(we_inbox);
  return counter.start(static_cast<const char *>(we_args(context)), context->args_len);
}

WE_EXPORT(agent_receive) int32_t agent_receive(const we_item *item) {
  counter.add(*item);
  return 0;
}

WE_EXPORT(agent_step) int32_t agent_step(const we_context *) { return counter.publish(); }

WE_EXPORT(agent_shutdown) int32_t agent_shutdown() { return 0; }
