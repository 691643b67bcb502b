// Counts the messages on a topic and publishes the count after each turn, as `counter.rs` does. Its
// argument is the topic; it needs `TOPIC` and `TOPIC/count` to be configured.
@external("wasm_engine", "topic") declare function topic(name: usize, len: i32): i32;
@external("wasm_engine", "subscribe") declare function subscribe(topic: i32): i64;
@external("wasm_engine", "publish") declare function publish(topic: i32, at: usize, len: i32): i64;
@external("wasm_engine", "panic") declare function panic(message: usize, len: i32): i32;

const INBOX = memory.data(4096, 8);
const COUNT = memory.data(8, 8);
let out: i32 = -2;

// What the language calls where an assertion fails: `--use abort=counter/abort`.
function abort(message: string | null, file: string | null, line: u32, column: u32): void {
  const text = String.UTF8.encode(`${message}, at ${file}:${line}:${column}`);
  panic(changetype<usize>(text), text.byteLength);
  unreachable();
}

function named(name: string): i32 {
  const text = String.UTF8.encode(name);
  return topic(changetype<usize>(text), text.byteLength);
}

export function agent_inbox(): usize { return INBOX; }
export function agent_inbox_cap(): i32 { return 4096; }

export function agent_init(): i32 {
  // A context of 40 bytes, the length of the arguments at 32, then the arguments.
  const len = load<u32>(INBOX, 32);
  assert(len > 0, "no topic");
  const name = String.UTF8.decodeUnsafe(INBOX + 40, len);
  const from = named(name);
  if (from < 0 || subscribe(from) < 0) return -1001;
  out = named(name + "/count");
  return out < 0 ? out : 0;
}

export function agent_receive(item: usize): i32 {
  // The topic is at 32; the two highest numbers are none and a channel.
  if (load<u32>(item, 32) < 0xfffffffe) store<u64>(COUNT, load<u64>(COUNT) + 1);
  return 0;
}

export function agent_step(context: usize): i32 {
  return publish(out, COUNT, 8) < 0 ? 1 : 0;
}

export function agent_shutdown(): i32 { return 0; }
