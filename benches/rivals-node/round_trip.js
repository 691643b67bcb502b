// What a user would write in Node.js instead of a host's push and its output: 64 bytes to an agent of
// WebAssembly and the message that it publishes back. benches/src/host_push.rs runs it; no packages
// are needed.
//
//   node round_trip.js MODULE.wasm WAYS
//
//   message  postMessage to a worker, which calls the agent, and postMessage back
//   shared   the same over a SharedArrayBuffer, both sides spin
//   inline   the agent is called in this thread, the bytes copied in and out
//
// Nothing is metered, ordered, digested or logged. Each way is timed alone, and its answer checked;
// the first tenth, in which code is compiled, is not counted. Quantiles go to standard output as JSON.
'use strict';
const fs = require('fs');
const { Worker, isMainThread, parentPort, workerData } = require('worker_threads');

const PAYLOAD = 64, HEADER = 64;
// Words of the shared memory: the number asked, the number answered, payload, answer.
const ASKED = 0, ANSWERED = 32, INTO = 128, BACK = 160;

function agent(wasm) {
  let published;
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(wasm), {
    wasm_engine: {
      subscribe: () => 0n,
      publish: (topic, at, len) => {
        published = bytes.slice(at, at + len);
        return 0n;
      },
    },
  });
  const bytes = new Uint8Array(exports.memory.buffer);
  const words = new Uint32Array(exports.memory.buffer);
  const at = exports.agent_inbox();
  exports.agent_init();
  return (payload) => {
    words[at / 4 + 1] = PAYLOAD;
    bytes.set(payload, at + HEADER);
    if (exports.agent_receive(at) !== 0 || exports.agent_step(at) !== 0) throw new Error('a fault');
    return published;
  };
}

function worker() {
  const { memory, wasm } = workerData;
  const words = new Int32Array(memory), bytes = new Uint8Array(memory);
  const answer = agent(wasm);
  parentPort.on('message', (payload) => {
    if (payload !== 'spin') return parentPort.postMessage(answer(payload));
    for (let done = 0; ; ) {
      const asked = Atomics.load(words, ASKED);
      if (asked === -1) return parentPort.close();
      if (asked === done) continue;
      bytes.set(answer(bytes.subarray(4 * INTO, 4 * INTO + PAYLOAD)), 4 * BACK);
      Atomics.store(words, ANSWERED, done = asked);
    }
  });
  parentPort.postMessage('ready');
}

function quantiles(ns) {
  const sorted = Float64Array.from(ns.slice(ns.length / 10)).sort();
  const at = (q) => sorted[Math.ceil(sorted.length * q) - 1];
  return [at(0.5), at(0.99), at(0.999)];
}

async function main() {
  const [file, count] = process.argv.slice(2);
  const wasm = fs.readFileSync(file);
  const ways = Math.ceil(Number(count) / 0.9);
  const payload = new Uint8Array(PAYLOAD);
  const number = new Uint32Array(payload.buffer);
  const check = (answer, n) => {
    if (answer.length !== PAYLOAD || answer[0] !== (n & 255) || answer[1] !== (n >> 8 & 255)) {
      throw new Error('a wrong answer');
    }
  };
  const timed = async (way) => {
    const ns = [];
    for (let n = 1; n <= ways; n++) {
      number[0] = n;
      const begin = process.hrtime.bigint();
      const made = way();
      const answer = made instanceof Promise ? await made : made;
      ns.push(Number(process.hrtime.bigint() - begin));
      check(answer, n);
    }
    return quantiles(ns);
  };
  const own = agent(wasm);
  const inline = await timed(() => own(payload));

  const memory = new SharedArrayBuffer(4 * (BACK + PAYLOAD));
  const words = new Int32Array(memory), bytes = new Uint8Array(memory);
  const thread = new Worker(__filename, { workerData: { memory, wasm } });
  thread.on('error', (error) => { throw error; });
  let heard;
  thread.on('message', (answer) => heard(answer));
  await new Promise((ready) => { heard = ready; });
  const message = await timed(() => new Promise((answered) => {
    heard = answered;
    thread.postMessage(payload);
  }));
  thread.postMessage('spin');
  let asked = 0;
  const shared = await timed(() => {
    bytes.set(payload, 4 * INTO);
    Atomics.store(words, ASKED, ++asked);
    while (Atomics.load(words, ANSWERED) !== asked);
    return bytes.slice(4 * BACK, 4 * BACK + PAYLOAD);
  });
  Atomics.store(words, ASKED, -1);
  console.log(JSON.stringify({ ways, message, shared, inline }));
}

if (isMainThread) main(); else worker();
