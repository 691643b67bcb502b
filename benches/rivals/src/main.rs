//! `rivals [--out FILE] [--tiny]`: S1 against other people's rings, asked by the very code that
//! asks ours, all in turn. Its report has the form of `bench`, which merges it.
//!
//! ```text
//! peers.rs      rtrb, disruptor, crossbeam's queue and channel, between two threads
//! processes.rs  our rings and iceoryx2, between two processes
//! pages.rs      S2: our page and mmap-sync
//! ```

#[cfg(target_os = "linux")]
mod pages;
mod peers;
#[cfg(all(target_os = "linux", feature = "iceoryx2"))]
mod processes;

use std::process::ExitCode;

use wasm_engine_benches::machine::{banner, line_round_trips, memcpy_gb_per_s};
use wasm_engine_benches::measure::{Scale, median, median_ratio, on_core, quantile};
use wasm_engine_benches::rings::{
    HEADER_BYTES, bytes_ring, cell_ring, ns_per_message, round_trips, steady,
};
use wasm_engine_benches::row::{Row, Unit, report, table};

/// Messages sent and received together.
const BATCH: usize = 64;
/// Bytes of a `cell`.
const CELL: usize = 56;
/// The quantiles shown.
const QUANTILES: [(&str, f64); 3] = [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999)];

/// Who is asked for round trips; the first is ours.
type Asked<'a> = (&'static str, &'a dyn Fn() -> Vec<f64>);

/// Rows of round trips: each quantile of the first against each other's, the bare line beside it.
fn latencies(scale: Scale, what: &str, rounds: usize, asked: &[Asked<'_>]) -> Vec<Row> {
    let mut figures = vec![vec![Vec::new(); QUANTILES.len()]; asked.len()];
    let mut line = vec![Vec::new(); QUANTILES.len()];
    for _ in 0..scale.segments {
        let (_, (bare, times)) = steady(|| {
            let times: Vec<_> = asked.iter().map(|(_, ask)| ask()).collect();
            (line_round_trips(rounds), times)
        });
        let of = |times: &[f64], into: &mut Vec<Vec<f64>>| {
            for (into, (_, q)) in into.iter_mut().zip(QUANTILES) {
                into.push(quantile(times, q));
            }
        };
        of(&bare, &mut line);
        times.iter().zip(&mut figures).for_each(|(times, into)| of(times, into));
    }
    let mut rows = Vec::new();
    for (at, (q, _)) in QUANTILES.into_iter().enumerate() {
        let ours = &figures[0][at];
        for ((name, _), theirs) in asked.iter().zip(&figures).skip(1) {
            let ratio = median_ratio(&theirs[at], ours);
            rows.push(
                Row::new("S1", format!("{what}, {q}"), Unit::Ns, median(ours))
                    .against(name, median(&theirs[at]), Some(ratio))
                    .limit(median(&line[at])),
            );
        }
    }
    rows
}

/// Round trips of `N` bytes between two threads; the cell ring as well, where it has room.
fn threads<const N: usize>(scale: Scale) -> Vec<Row> {
    let rounds = scale.of(10_000);
    let peers: [Asked<'_>; 4] = [
        ("rtrb 0.4", &|| round_trips::<N, _, _>(rounds, peers::rtrb::<N>)),
        ("disruptor 4.4", &|| round_trips::<N, _, _>(rounds, peers::disruptor::<N>)),
        ("crossbeam ArrayQueue 0.3", &|| round_trips::<N, _, _>(rounds, peers::array_queue::<N>)),
        ("crossbeam channel 0.5", &|| round_trips::<N, _, _>(rounds, peers::channel::<N>)),
    ];
    let mut rows = Vec::new();
    if N <= CELL {
        let ours = || round_trips::<N, _, _>(rounds, cell_ring);
        let asked: Vec<Asked<'_>> = [("ours", &ours as _)].into_iter().chain(peers).collect();
        let what = format!("cell ring, round trip of {N} bytes");
        rows.extend(latencies(scale, &what, rounds, &asked));
    }
    let ours = || round_trips::<N, _, _>(rounds, bytes_ring::<N>);
    let asked: Vec<Asked<'_>> = [("ours", &ours as _)].into_iter().chain(peers).collect();
    let what = format!("bytes ring, round trip of {N} bytes");
    rows.extend(latencies(scale, &what, rounds, &asked));
    rows
}

/// One at a time; the goals are rtrb's speed and three times that of the queue.
fn single<const N: usize>(scale: Scale) -> Vec<Row> {
    let mut figures: [Vec<f64>; 5] = Default::default();
    let count = scale.of(200);
    for _ in 0..scale.segments {
        let (_, times) = steady(|| {
            [
                ns_per_message::<N, _, _>(count, 1, bytes_ring::<N>),
                ns_per_message::<N, _, _>(count, 1, peers::rtrb::<N>),
                ns_per_message::<N, _, _>(count, 1, peers::array_queue::<N>),
                ns_per_message::<N, _, _>(count, 1, peers::disruptor::<N>),
                ns_per_message::<N, _, _>(count, 1, peers::channel::<N>),
            ]
        });
        figures.iter_mut().zip(times).for_each(|(into, ns)| into.push(ns));
    }
    let [ours, peers @ ..] = &figures;
    let row = |name, peer: &[f64]| {
        let case = format!("bytes ring, {N} bytes, one at a time");
        Row::new("S1", case, Unit::MillionPerS, 1e3 / median(ours)).against(
            name,
            1e3 / median(peer),
            Some(median_ratio(peer, ours)),
        )
    };
    // The goals speak of 64 bytes and 1 KiB.
    let goal = |row: Row, ratio| if N >= 64 { row.goal(ratio) } else { row };
    vec![
        goal(row("rtrb 0.4", &peers[0]), 1.0),
        goal(row("crossbeam ArrayQueue 0.3", &peers[1]), 3.0),
        row("disruptor 4.4", &peers[2]),
        row("crossbeam channel 0.5", &peers[3]),
    ]
}

/// In batches, in bytes that our ring moves, its record headers among them; and in messages.
fn batched<const N: usize>(scale: Scale) -> Vec<Row> {
    let mut figures: [Vec<f64>; 3] = Default::default();
    let count = scale.of(200);
    for _ in 0..scale.segments {
        let (_, times) = steady(|| {
            [
                ns_per_message::<N, _, _>(count, BATCH, bytes_ring::<N>),
                ns_per_message::<N, _, _>(count, BATCH, peers::rtrb::<N>),
                ns_per_message::<N, _, _>(count, BATCH, peers::disruptor::<N>),
            ]
        });
        figures.iter_mut().zip(times).for_each(|(into, ns)| into.push(ns));
    }
    let limit = on_core(0, || memcpy_gb_per_s(256 << 10, scale));
    let [ours, peers @ ..] = &figures;
    let our = median(ours);
    let with_header = (N + HEADER_BYTES) as f64;
    let case = format!("bytes ring, {N} bytes in batches of {BATCH}");
    let mut rows = Vec::new();
    for (name, theirs) in ["rtrb 0.4, chunks", "disruptor 4.4, batches"].into_iter().zip(peers) {
        let (peer, ratio) = (median(theirs), median_ratio(theirs, ours));
        let row =
            Row::new("S1", format!("{case}, with headers"), Unit::GigabytesPerS, with_header / our)
                .against(name, N as f64 / peer, Some(ratio * with_header / N as f64))
                .limit(limit);
        let is_goal = N >= 64 && name.starts_with("rtrb");
        rows.push(if is_goal { row.goal(1.0) } else { row });
        rows.push(
            Row::new("S1", format!("{case}, messages"), Unit::MillionPerS, 1e3 / our).against(
                name,
                1e3 / peer,
                Some(ratio),
            ),
        );
    }
    rows
}

/// Round trips between two processes.
#[cfg(all(target_os = "linux", feature = "iceoryx2"))]
fn across<const N: usize>(scale: Scale) -> Vec<Row> {
    const PEER: &str = "iceoryx2 0.10, publish-subscribe";
    let rounds = scale.of(10_000);
    if let Err(reason) = processes::iceoryx2::<N>(16) {
        return vec![Row::skipped("S1", "round trips between processes", Unit::Ns, reason)];
    }
    let theirs = || processes::iceoryx2::<N>(rounds).unwrap_or_default();
    let mut rows = Vec::new();
    if N <= CELL {
        let asked: [Asked<'_>; 2] =
            [("ours", &|| processes::our_cells::<N>(rounds)), (PEER, &theirs)];
        let what = format!("cell ring, two processes, round trip of {N} bytes");
        rows.extend(latencies(scale, &what, rounds, &asked));
    }
    let asked: [Asked<'_>; 2] = [("ours", &|| processes::our_bytes::<N>(rounds)), (PEER, &theirs)];
    let what = format!("bytes ring, two processes, round trip of {N} bytes");
    rows.extend(latencies(scale, &what, rounds, &asked));
    rows
}

/// Without the library of LLVM that iceoryx2 is built with, or elsewhere than on Linux.
#[cfg(not(all(target_os = "linux", feature = "iceoryx2")))]
fn across<const N: usize>(_: Scale) -> Vec<Row> {
    let case = format!("round trips of {N} bytes between processes");
    vec![Row::skipped("S1", case, Unit::Ns, "built without the feature `iceoryx2`")]
}

fn rows(scale: Scale) -> Vec<Row> {
    let mut rows = threads::<8>(scale);
    rows.extend(threads::<56>(scale));
    rows.extend(threads::<64>(scale));
    rows.extend(threads::<1024>(scale));
    for part in [single::<8>, single::<56>, single::<64>, single::<1024>] {
        rows.extend(part(scale));
    }
    for part in [batched::<8>, batched::<56>, batched::<64>, batched::<1024>] {
        rows.extend(part(scale));
    }
    for part in [across::<8>, across::<56>, across::<64>, across::<1024>] {
        rows.extend(part(scale));
    }
    #[cfg(target_os = "linux")]
    rows.extend(pages::rows(scale));
    rows
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
    let rows: Vec<_> = rows(scale).iter().map(Row::to_json).collect();
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
