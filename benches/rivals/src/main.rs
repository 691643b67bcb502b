//! `rivals [--out FILE] [--tiny]`: S1 against rtrb and crossbeam's ArrayQueue, asked by the very code
//! that asks our rings, all in turn. Its report has the form of `bench`, which merges it.

use std::process::ExitCode;
use std::sync::Arc;

use crossbeam_queue::ArrayQueue;
use rtrb::{Consumer, Producer, RingBuffer};
use wasm_engine_benches::machine::{banner, line_round_trips};
use wasm_engine_benches::measure::{Scale, median, median_ratio, quantile};
use wasm_engine_benches::rings::{
    CAPACITY, HEADER_BYTES, Receive1, ReceiveMany, Send1, SendMany, bytes_ring, cell_ring, message,
    ns_per_message, round_trips,
};
use wasm_engine_benches::row::{Row, Unit, report, table};

const RTRB: &str = "rtrb 0.3";
const RTRB_CHUNKS: &str = "rtrb 0.3, chunks";
const ARRAY_QUEUE: &str = "crossbeam ArrayQueue 0.3";
/// Messages sent and received together.
const BATCH: usize = 64;
/// Bytes of a `cell`.
const CELL: usize = 56;

/// rtrb's ends, one message at a time or in chunks.
struct RtrbSender<const N: usize>(Producer<[u8; N]>);
struct RtrbReceiver<const N: usize>(Consumer<[u8; N]>);

fn rtrb<const N: usize>() -> (RtrbSender<N>, RtrbReceiver<N>) {
    let (sender, receiver) = RingBuffer::new(CAPACITY);
    (RtrbSender(sender), RtrbReceiver(receiver))
}

impl<const N: usize> Send1 for RtrbSender<N> {
    #[inline]
    fn send(&mut self, value: u64) -> bool {
        self.0.push(message(value)).is_ok()
    }
}

impl<const N: usize> Receive1 for RtrbReceiver<N> {
    #[inline]
    fn receive(&mut self) -> Option<u64> {
        let bytes = self.0.pop().ok()?;
        bytes.first_chunk().map(|head| u64::from_le_bytes(*head))
    }
}

impl<const N: usize> SendMany<N> for RtrbSender<N> {
    #[inline]
    fn send(&mut self, first: u64, count: usize) -> usize {
        if count == 1 {
            return usize::from(self.0.push(message(first)).is_ok());
        }
        let count = count.min(self.0.slots());
        match self.0.write_chunk_uninit(count) {
            Ok(chunk) => chunk.fill_from_iter((first..).take(count).map(message)),
            Err(_) => 0,
        }
    }
}

impl<const N: usize> ReceiveMany<N> for RtrbReceiver<N> {
    #[inline]
    fn receive(&mut self, count: usize, each: &mut impl FnMut(&[u8])) -> usize {
        if count == 1 {
            return self.0.pop().map_or(0, |bytes| {
                each(&bytes);
                1
            });
        }
        let count = count.min(self.0.slots());
        let Ok(chunk) = self.0.read_chunk(count) else { return 0 };
        let (front, back) = chunk.as_slices();
        front.iter().chain(back).for_each(|bytes| each(bytes));
        chunk.commit_all();
        count
    }
}

/// crossbeam's queue, whose ends are the queue itself.
struct Queue<const N: usize>(Arc<ArrayQueue<[u8; N]>>);

fn queue<const N: usize>() -> (Queue<N>, Queue<N>) {
    let queue = Arc::new(ArrayQueue::new(CAPACITY));
    (Queue(Arc::clone(&queue)), Queue(queue))
}

impl<const N: usize> Send1 for Queue<N> {
    #[inline]
    fn send(&mut self, value: u64) -> bool {
        self.0.push(message(value)).is_ok()
    }
}

impl<const N: usize> Receive1 for Queue<N> {
    #[inline]
    fn receive(&mut self) -> Option<u64> {
        let bytes = self.0.pop()?;
        bytes.first_chunk().map(|head| u64::from_le_bytes(*head))
    }
}

impl<const N: usize> SendMany<N> for Queue<N> {
    #[inline]
    fn send(&mut self, first: u64, count: usize) -> usize {
        (first..).take(count).take_while(|number| self.0.push(message(*number)).is_ok()).count()
    }
}

impl<const N: usize> ReceiveMany<N> for Queue<N> {
    #[inline]
    fn receive(&mut self, count: usize, each: &mut impl FnMut(&[u8])) -> usize {
        let mut received = 0;
        while received < count {
            let Some(bytes) = self.0.pop() else { break };
            each(&bytes);
            received += 1;
        }
        received
    }
}

/// Round trips of 56 bytes.
fn ping_pong(scale: Scale) -> Vec<Row> {
    let rounds = scale.of(20_000);
    let mut figures: [[Vec<f64>; 2]; 4] = Default::default();
    for _ in 0..scale.segments {
        let times = [
            line_round_trips(rounds),
            round_trips(rounds, cell_ring),
            round_trips(rounds, rtrb::<CELL>),
            round_trips(rounds, queue::<CELL>),
        ];
        for (figures, times) in figures.iter_mut().zip(times) {
            for (figures, q) in figures.iter_mut().zip([0.5, 0.99]) {
                figures.push(quantile(&times, q));
            }
        }
    }
    let [line, ours, peers @ ..] = &figures;
    let mut rows = Vec::new();
    for (peer, name) in peers.iter().zip([RTRB, ARRAY_QUEUE]) {
        for (at, q) in ["p50", "p99"].into_iter().enumerate() {
            let ratio = median_ratio(&peer[at], &ours[at]);
            let case = format!("cell ring, round trip of {CELL} bytes, {q}");
            rows.push(
                Row::new("S1", case, Unit::Ns, median(&ours[at]))
                    .against(name, median(&peer[at]), Some(ratio))
                    .limit(median(&line[at])),
            );
        }
    }
    rows
}

/// One at a time; the goals are rtrb's speed and three times that of the queue.
fn single<const N: usize>(scale: Scale) -> Vec<Row> {
    let (mut ours, mut ring, mut slow) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..scale.segments {
        ours.push(ns_per_message::<N, _, _>(scale.of(200), 1, bytes_ring::<N>));
        ring.push(ns_per_message::<N, _, _>(scale.of(200), 1, rtrb::<N>));
        slow.push(ns_per_message::<N, _, _>(scale.of(200), 1, queue::<N>));
    }
    let row = |name, peer: &[f64]| {
        let case = format!("bytes ring, {N} bytes, one at a time");
        Row::new("S1", case, Unit::MillionPerS, 1e3 / median(&ours)).against(
            name,
            1e3 / median(peer),
            Some(median_ratio(peer, &ours)),
        )
    };
    vec![row(RTRB, &ring).goal(1.0), row(ARRAY_QUEUE, &slow).goal(3.0)]
}

/// In batches, in bytes that our ring moves, its record headers among them; and in messages.
fn batched<const N: usize>(scale: Scale) -> Vec<Row> {
    let (mut ours, mut chunks) = (Vec::new(), Vec::new());
    for _ in 0..scale.segments {
        ours.push(ns_per_message::<N, _, _>(scale.of(200), BATCH, bytes_ring::<N>));
        chunks.push(ns_per_message::<N, _, _>(scale.of(200), BATCH, rtrb::<N>));
    }
    let (our, peer, ratio) = (median(&ours), median(&chunks), median_ratio(&chunks, &ours));
    let with_header = (N + HEADER_BYTES) as f64;
    let case = format!("bytes ring, {N} bytes in batches of {BATCH}");
    vec![
        Row::new("S1", format!("{case}, with headers"), Unit::GigabytesPerS, with_header / our)
            .against(RTRB_CHUNKS, N as f64 / peer, Some(ratio * with_header / N as f64))
            .goal(1.0),
        Row::new("S1", format!("{case}, messages"), Unit::MillionPerS, 1e3 / our).against(
            RTRB_CHUNKS,
            1e3 / peer,
            Some(ratio),
        ),
    ]
}

fn main() -> ExitCode {
    let (mut out, mut scale) = (None, Scale::FULL);
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--out" => out = args.next(),
            "--tiny" => scale = Scale::TINY,
            _ => {
                eprintln!("error: there is no option {arg}; usage: rivals [--out FILE] [--tiny]");
                return ExitCode::FAILURE;
            }
        }
    }
    let machine = banner(scale);
    let mut rows = ping_pong(scale);
    rows.extend(single::<64>(scale));
    rows.extend(single::<1024>(scale));
    rows.extend(batched::<64>(scale));
    rows.extend(batched::<1024>(scale));
    let rows: Vec<_> = rows.iter().map(Row::to_json).collect();
    let text = format!("{:#}\n", report(&machine, &rows));
    let Some(file) = out else {
        eprintln!("{}", table(&rows));
        print!("{text}");
        return ExitCode::SUCCESS;
    };
    match std::fs::write(&file, text) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {file}: {error}");
            ExitCode::FAILURE
        }
    }
}
