// What a user would write in Node.js instead: a tick of N trivial agents over worker_threads and a
// SharedArrayBuffer. benches/src/tick_50.rs runs it; no packages are needed.
//
//   node tick50.js MODULE.wasm AGENTS SEGMENTS TICKS EVENTS.jsonl
//
//   orchestrator --- commands ring ---> worker: copies 64 bytes into each agent's memory,
//   orchestrator <--- results ring ---          calls agent_receive and agent_step
//
// Both spin. All commands of a tick are published together, results are awaited together. Ticks are
// timed in segments; the medians go to standard output as JSON.
'use strict';
const fs = require('fs');
const { Worker, isMainThread, workerData } = require('worker_threads');

const PAYLOAD = 64;
// A record: agent u32, tick u32, code u32, zero u32, payload.
const WORDS = 4 + PAYLOAD / 4;
const SLOTS = 128;
// Heads and tails, each on lines of their own.
const COMMANDS_HEAD = 0, COMMANDS_TAIL = 32, RESULTS_HEAD = 64, RESULTS_TAIL = 96, DATA = 128;
const RING = SLOTS * WORDS;

function worker() {
  const { memory, wasm, agents } = workerData;
  const words = new Int32Array(memory);
  const module = new WebAssembly.Module(wasm);
  const imports = { wasm_engine: { subscribe: () => 0n } };
  const instances = [];
  for (let agent = 0; agent < agents; agent++) {
    const { exports } = new WebAssembly.Instance(module, imports);
    exports.agent_init();
    const inbox = new Int32Array(exports.memory.buffer, exports.agent_inbox(), WORDS);
    instances.push({ inbox, receive: exports.agent_receive, step: exports.agent_step,
      at: exports.agent_inbox() });
  }
  let done = 0;
  for (;;) {
    const head = Atomics.load(words, COMMANDS_HEAD);
    if (head === -1) return;
    if (head === done) continue;
    for (; done < head; done++) {
      const from = DATA + (done % SLOTS) * WORDS;
      const to = DATA + RING + (done % SLOTS) * WORDS;
      const agent = instances[words[from]];
      agent.inbox.set(words.subarray(from, from + WORDS));
      const received = agent.receive(agent.at);
      const stepped = agent.step(agent.at);
      words[to] = words[from];
      words[to + 1] = words[from + 1];
      words[to + 2] = received + stepped;
    }
    Atomics.store(words, COMMANDS_TAIL, done);
    Atomics.store(words, RESULTS_HEAD, done);
  }
}

function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[(sorted.length - 1) >> 1];
}

function main() {
  const [file, agents, segments, ticks, events] = process.argv.slice(2);
  const count = Number(agents);
  const memory = new SharedArrayBuffer(4 * (DATA + 2 * RING));
  const words = new Int32Array(memory);
  const wasm = fs.readFileSync(file);
  const thread = new Worker(__filename, { workerData: { memory, wasm, agents: count } });
  thread.on('error', (error) => { throw error; });
  const log = fs.openSync(events, 'w');
  let sent = 0, taken = 0, tick = 0, lines = [];
  const runTick = (logged) => {
    tick++;
    for (let agent = 0; agent < count; agent++, sent++) {
      const at = DATA + (sent % SLOTS) * WORDS;
      words[at] = agent;
      words[at + 1] = tick;
      words.fill(tick, at + 4, at + WORDS);
    }
    Atomics.store(words, COMMANDS_HEAD, sent);
    while (Atomics.load(words, RESULTS_HEAD) !== sent);
    for (; taken < sent; taken++) {
      const at = DATA + RING + (taken % SLOTS) * WORDS;
      if (words[at + 1] !== tick || words[at + 2] !== 0) throw new Error('a wrong result');
      if (logged) lines.push(JSON.stringify({ tick, agent: words[at], event: 'step', code: words[at + 2] }));
    }
    if (lines.length >= 4096) {
      fs.writeSync(log, lines.join('\n') + '\n');
      lines = [];
    }
  };
  const measure = (logged) => {
    const figures = [];
    for (let segment = 0; segment <= Number(segments); segment++) {
      const start = process.hrtime.bigint();
      for (let n = 0; n < Number(ticks); n++) runTick(logged);
      figures.push(Number(process.hrtime.bigint() - start) / Number(ticks));
    }
    return median(figures.slice(1));
  };
  // The worker starts while the first, unmeasured segment waits for it.
  const result = { tick_ns: measure(false), tick_logged_ns: measure(true), ticks: tick };
  Atomics.store(words, COMMANDS_HEAD, -1);
  console.log(JSON.stringify(result));
}

if (isMainThread) main(); else worker();
