//! Agents that behave, among a crowd that does not (SEMANTICS C5): chatty, silent, trapping,
//! looping, hoarding and spawning ones, with which they share neither a topic nor a limit that
//! binds. What they put out is what they put out alone.

use std::fmt::Write as _;

use wasm_engine::host::{Host, TickPoll};
use wasm_engine_abi::frame::item;
use wasm_engine_core_scripts::SELF;
use xxhash_rust::xxh3::xxh3_64;

use crate::host::builder;
use crate::support::{Prog, prog, run::toml_string};

/// Groups of agents that behave, and members of each.
const GROUPS: u32 = 5;
const MEMBERS: u32 = 4;
/// Topics: the host's, that of each group, then those of the crowd.
const OUT: u32 = 0;
const GROUP: u32 = 1;
const NOISE: u32 = GROUP + GROUPS;
const HOARD: u32 = NOISE + 1;

/// A program that begins anew whenever its timer fires.
fn every(ticks: u64, what: &Prog) -> Prog {
    let again = prog().timer(ticks, 0);
    again.clone().on(item::TIMER, &again.then(what))
}

/// One of `[[agent]]`, `count` times.
fn agents(text: &mut String, name: &str, count: u32, restart: &str, program: &Prog) {
    let args = toml_string(&program.args());
    let _ = write!(
        text,
        "[[agent]]\nname = \"{name}\"\nmodule = \"agent.wasm\"\ngrant = \"declared\"\n\
         count = {count}\nargs = {args}\n{restart}\n"
    );
}

const RESTART: &str =
    "restart = { kind = \"fresh\", backoff_ticks = 3, restarts_max = 1000000, window_ticks = 1 }";

/// The crowd: half of it silent, the rest of every kind.
fn crowd(text: &mut String, count: u32) {
    let of = |percent: u32| (count * percent / 100).max(1);
    let chatty = prog().publish_len(NOISE, 100).publish(HOARD, b"more").random(NOISE);
    agents(text, "chatty", of(10), "", &every(20, &chatty));
    agents(text, "silent", of(50), "", &prog());
    agents(text, "listening", of(1), "", &prog().subscribe(NOISE));
    agents(text, "trapping", of(10), RESTART, &every(17, &prog().publish(NOISE, b"lost").trap()));
    agents(text, "looping", of(4), RESTART, &every(101, &prog().forever()));
    // They take memory up to the limit, then never take a message again.
    let hoarding = prog().subscribe(HOARD).on(item::MESSAGE, &prog().grow());
    agents(
        text,
        "hoarding",
        of(1),
        "",
        &hoarding.timer(50, 0).on(item::TIMER, &prog().pause(SELF)),
    );
    let child = prog().publish(NOISE, b"born").timer(2, 0).on(item::TIMER, &prog().trap());
    agents(text, "spawning", of(24), "", &every(40, &prog().spawn("child", &child)));
    agents(text, "child", 0, "", &prog());
}

fn config(strangers: u32) -> String {
    let all = strangers + strangers / 4 + 64;
    let mut text = format!(
        "[kernel]\nname = \"strangers\"\n[limits]\nagents_max = {all}\neffects_max = 8\n\
         payload_bytes_max = 1024\nmemory_bytes_max = 131072\nfuel_per_call = 50000\n\
         turns_per_microstep_max = {all}\neffects_per_microstep_max = 16777216\n\
         payload_bytes_per_microstep_max = \"64 MiB\"\nmessages_held_max = 1000000\n\
         payload_bytes_held_max = \"64 MiB\"\ndeliveries_per_microstep_max = 4000000\n\
         [region]\nbytes_max = \"2 GiB\"\n"
    );
    let mut topic = |name: &str, rest: &str| {
        let _ = write!(text, "[[topic]]\nname = \"{name}\"\n{rest}\n");
    };
    topic("out", "");
    (0..GROUPS).for_each(|group| topic(&format!("group/{group}"), ""));
    // Nobody empties what the hoarders hold, and it fills nobody else's limit.
    topic("noise", "messages_held_max = 200000");
    topic("hoard", "messages_held_max = 500\npolicy = \"drop_oldest\"");
    text += "[[output]]\ntopic = \"out\"\n";
    for group in 0..GROUPS {
        let topic = GROUP + group;
        let acts = prog().publish_len(topic, 64).random(topic).count(OUT);
        let behaves = prog().subscribe(topic).on(item::MESSAGE, &prog().random(OUT).count(OUT));
        let program = behaves.then(&every(u64::from(3 + group), &acts));
        agents(&mut text, &format!("good{group}"), MEMBERS, "", &program);
    }
    if strangers > 0 {
        crowd(&mut text, strangers);
    }
    text
}

/// What the agents that behave put out in so many ticks, and the faults of all.
fn put_out(strangers: u32, ticks: u64, workers: u32) -> (Vec<u64>, u64) {
    let host = builder(&config(strangers)).set(format!("kernel.workers={workers}")).ticks(ticks);
    let mut host = host.start().expect("it starts");
    let mut put_out = Vec::new();
    while let TickPoll::Done(_) = host.tick().expect("it runs") {
        put_out.extend(of_tick(&host));
    }
    (put_out, host.close().expect("it ends").faults)
}

/// Each output of the last tick, whole, as a hash.
fn of_tick(host: &Host) -> impl Iterator<Item = u64> {
    host.outputs().map(|output| {
        let words = [output.tick, output.microstep.into(), output.from.to_bits(), output.seq];
        let words = words.map(u64::to_le_bytes).concat();
        xxh3_64(&[&words[..], output.topic.as_bytes(), output.payload].concat())
    })
}

fn compared(strangers: u32, ticks: u64, workers: u32) {
    let (alone, _) = put_out(0, ticks, 0);
    let (among, faults) = put_out(strangers, ticks, workers);
    println!("{strangers} strangers, {ticks} ticks: {} outputs, {faults} faults", among.len());
    let expected = ticks * u64::from(GROUPS * MEMBERS) / 8;
    assert!(alone.len() as u64 > expected && faults > 0, "{} outputs", alone.len());
    let differs = alone.iter().zip(&among).position(|(one, other)| one != other);
    assert_eq!((differs, alone.len()), (None, among.len()), "the first that differs");
}

#[test]
fn c5_1_a_crowd_changes_nothing_for_those_who_share_nothing_with_it() {
    compared(400, 150, 1);
}

#[test]
#[ignore = "takes minutes"]
fn c5_1_ten_thousand_strangers_over_a_hundred_thousand_ticks_change_nothing() {
    compared(10_000, 100_000, 1);
}
