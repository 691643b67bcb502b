// What a user would write in Node.js instead: N agents that pass messages of 64 bytes on through an
// orchestrator. benches/src/brokered.rs runs it; no packages are needed.
//
//   node brokered.js MODULE.wasm AGENTS SEGMENTS ROUNDS
//
//   inline  one thread: for each message of a round, 64 bytes into the receiver's memory,
//           agent_receive, agent_step, whose send copies 64 bytes out into a new array and puts it
//           into the mailbox that a map has for the receiver
//   tuned   the same without an allocation: words copied one by one into buffers of their own size,
//           receivers by number in a table, as somebody writes it who has measured
//   worker  the same agents on a worker thread; commands and results through rings in a
//           SharedArrayBuffer, all of a round published together; both spin
//
// The agents check that no message is lost: each knows the count that it must find. Rounds are timed
// in segments; the medians, in ns a message, go to standard output as JSON.
'use strict';
const fs = require('fs');
const { Worker, isMainThread, workerData } = require('worker_threads');

const MESSAGE = 16; // words
const HEADER = 16; // words between the inbox and the payload
// A record of a ring: agent u32, 15 words of zeros, payload.
const WORDS = 16 + MESSAGE;
// Heads, each on lines of its own.
const COMMANDS = 0, RESULTS = 64, DATA = 128;

// Makes the agents; send is called as send(words of the sender, receiver, word address).
function start(wasm, count, send) {
  const module = new WebAssembly.Module(wasm);
  const agents = [];
  for (let number = 0; number < count; number++) {
    let words;
    const imports = { wasm_engine: { send: (to, at, len) => {
      if (to >= count || len !== MESSAGE * 4) return -1;
      send(words, to, at >> 2);
      return 0;
    } } };
    const { exports } = new WebAssembly.Instance(module, imports);
    words = new Int32Array(exports.memory.buffer);
    const at = exports.agent_inbox();
    words[(at >> 2) + 7] = number;
    agents.push({ words, at, payload: (at >> 2) + HEADER, receive: exports.agent_receive,
      step: exports.agent_step, init: exports.agent_init });
  }
  for (const agent of agents) agent.init();
  return agents;
}

function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[(sorted.length - 1) >> 1];
}

function measure(segments, rounds, count, round) {
  const figures = [];
  for (let segment = 0; segment <= segments; segment++) {
    const start = process.hrtime.bigint();
    for (let n = 0; n < rounds; n++) round();
    figures.push(Number(process.hrtime.bigint() - start) / rounds / count);
  }
  return median(figures.slice(1));
}

function inline(wasm, count, segments, rounds) {
  // What is sent in a round is received in the next.
  let sent = new Map(), got = new Map();
  for (let number = 0; number < count; number++) {
    sent.set(number, []);
    got.set(number, []);
  }
  const agents = start(wasm, count, (words, to, from) => {
    sent.get(to).push(words.slice(from, from + MESSAGE));
  });
  let messages = 0;
  const figure = measure(segments, rounds, count, () => {
    [sent, got] = [got, sent];
    for (const [to, mailbox] of got) {
      const agent = agents[to];
      for (const message of mailbox) {
        agent.words.set(message, agent.payload);
        if (agent.receive(agent.at) + agent.step(agent.at) !== 0) throw new Error('a wrong result');
        messages++;
      }
      mailbox.length = 0;
    }
  });
  return { figure, messages };
}

function tuned(wasm, count, segments, rounds) {
  // What is sent in a round is received in the next.
  let sent = { to: new Int32Array(count), data: new Int32Array(count * MESSAGE), length: 0 };
  let got = { to: new Int32Array(count), data: new Int32Array(count * MESSAGE), length: 0 };
  const agents = start(wasm, count, (words, to, from) => {
    const { data, length } = sent;
    const at = length * MESSAGE;
    for (let n = 0; n < MESSAGE; n++) data[at + n] = words[from + n];
    sent.to[length] = to;
    sent.length = length + 1;
  });
  let messages = 0;
  const figure = measure(segments, rounds, count, () => {
    [sent, got] = [got, sent];
    sent.length = 0;
    const { to, data, length } = got;
    for (let number = 0; number < length; number++) {
      const agent = agents[to[number]];
      const { words, payload } = agent;
      const at = number * MESSAGE;
      for (let n = 0; n < MESSAGE; n++) words[payload + n] = data[at + n];
      if (agent.receive(agent.at) + agent.step(agent.at) !== 0) throw new Error('a wrong result');
    }
    messages += length;
  });
  return { figure, messages };
}

function worker() {
  const { memory, wasm, count, slots } = workerData;
  const words = new Int32Array(memory);
  const results = DATA + slots * WORDS;
  let sent = 0, done = 0;
  const agents = start(wasm, count, (from, to, at) => {
    const record = results + (sent % slots) * WORDS;
    words[record] = to;
    for (let n = 0; n < MESSAGE; n++) words[record + 16 + n] = from[at + n];
    sent++;
  });
  Atomics.store(words, RESULTS, sent);
  for (;;) {
    const head = Atomics.load(words, COMMANDS);
    if (head === -1) return;
    if (head === done) continue;
    for (; done < head; done++) {
      const record = DATA + (done % slots) * WORDS;
      const agent = agents[words[record]];
      for (let n = 0; n < MESSAGE; n++) agent.words[agent.payload + n] = words[record + 16 + n];
      if (agent.receive(agent.at) + agent.step(agent.at) !== 0) throw new Error('a wrong result');
    }
    Atomics.store(words, RESULTS, sent);
  }
}

function apart(wasm, count, segments, rounds) {
  const slots = 1 << Math.ceil(Math.log2(count + 1));
  const memory = new SharedArrayBuffer(4 * (DATA + 2 * slots * WORDS));
  const words = new Int32Array(memory);
  const thread = new Worker(__filename, { workerData: { memory, wasm, count, slots } });
  thread.on('error', (error) => { throw error; });
  const results = DATA + slots * WORDS;
  let sent = 0, taken = 0;
  const figure = measure(segments, rounds, count, () => {
    while (Atomics.load(words, RESULTS) !== taken + count);
    for (const end = taken + count; taken < end; taken++, sent++) {
      const from = results + (taken % slots) * WORDS;
      const to = DATA + (sent % slots) * WORDS;
      // The receiver was looked up by the sender's side; here it is checked.
      if (words[from] >>> 0 >= count) throw new Error('nobody is there');
      for (let n = 0; n < WORDS; n++) words[to + n] = words[from + n];
    }
    Atomics.store(words, COMMANDS, sent);
  });
  while (Atomics.load(words, RESULTS) !== taken + count);
  Atomics.store(words, COMMANDS, -1);
  return { figure, messages: sent };
}

function main() {
  const [file, ...numbers] = process.argv.slice(2);
  const [count, segments, rounds] = numbers.map(Number);
  const wasm = fs.readFileSync(file);
  const all = [inline, tuned, apart].map((way) => way(wasm, count, segments, rounds));
  console.log(JSON.stringify({ ns: all.map((one) => one.figure),
    messages: all.map((one) => one.messages) }));
}

if (isMainThread) main(); else worker();
