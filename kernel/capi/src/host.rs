//! A kernel that runs: `we_host_*`.
#![expect(unsafe_code, reason = "their names are exported as C knows them")]
#![expect(non_camel_case_types, reason = "their names in C")]

use std::{
    collections::BTreeMap,
    ffi::{CStr, CString, c_char},
    num::NonZeroU64,
    time::Duration,
};

use wasm_engine::{
    Host,
    host::{
        HostOutput, HostSnapshot, LiveStream, PendingOn, StageTimes, TickBudget, TickPoll,
        TickReport,
    },
    report::{Ended, document},
};

use crate::{
    guard::{c_text, enter, keep_report},
    handles::HandleTable,
    raw::{BytesArg, OutOutput, OutPoll, OutSnapshot, OutText, OutTickReport, OutU64, TextArg},
    result::{Failure, we_result},
    structs::{
        WE_NONE, we_ending, we_host_output, we_host_poll, we_host_snapshot, we_pending, we_poll,
        we_tick_report,
    },
};

/// A kernel that runs. A number, which never comes again; no number is 0. It may be used in any
/// thread whose stack has 2 MiB, in one at a time; a process may have any number of them.
pub type we_host = u64;
/// One stream of a live source of one host, for `we_host_push_to`; valid as long as the host.
pub type we_host_stream = u64;

pub(crate) static HOSTS: HandleTable<HostState> = HandleTable::new(0x5748, "host");

/// A host, and what its calls remember.
pub(crate) struct HostState {
    pub(crate) host: Host,
    /// Upper half of the numbers of its streams.
    number: u32,
    streams: Vec<LiveStream>,
    by_stream: BTreeMap<LiveStream, u32>,
    /// Which output and which outcomes come next.
    next_output: usize,
    pub(crate) next_outcome: usize,
    pub(crate) next_task_outcome: usize,
    /// Names of the output that was given last.
    topic: CString,
    agent_name: CString,
}

impl HostState {
    pub(crate) fn new(host: Host, handle: u64) -> Self {
        Self {
            host,
            number: handle as u32,
            streams: Vec::new(),
            by_stream: BTreeMap::new(),
            next_output: 0,
            next_outcome: 0,
            next_task_outcome: 0,
            topic: CString::default(),
            agent_name: CString::default(),
        }
    }

    /// The host for a call that executes ticks: outputs and outcomes begin anew.
    fn executing(&mut self) -> &mut Host {
        (self.next_output, self.next_outcome, self.next_task_outcome) = (0, 0, 0);
        &mut self.host
    }
}

/// Looks up the stream of live source `source` that `key` names; of a source without `keys` that is
/// the source's id.
#[unsafe(no_mangle)]
pub extern "C" fn we_host_find_stream(
    host: we_host,
    source: TextArg<'_>,
    key: TextArg<'_>,
    stream: OutU64<'_>,
) -> we_result {
    enter(|| {
        stream.check("stream")?;
        let (source, key) = (source.get("source")?, key.get("key")?);
        HOSTS.with(host, |it| {
            let found = it.host.stream(source, key)?;
            let next = it.streams.len() as u32;
            let index = *it.by_stream.entry(found).or_insert(next);
            if index == next {
                it.streams.push(found);
            }
            stream.write(u64::from(it.number) << 32 | u64::from(index));
            Ok(we_result::Ok)
        })
    })
}

/// Pushes an input, which enters the next tick that has room for it, and gives its sequence number
/// in the source, unless `seq` is null. The payload is copied; it may be null if `len` is 0.
/// Refusals change nothing: `WE_RESULT_FULL`, `_TOO_LARGE`, `_UNKNOWN_SOURCE`, `_UNKNOWN_KEY`,
/// `_CLOSED`.
#[unsafe(no_mangle)]
pub extern "C" fn we_host_push(
    host: we_host,
    source: TextArg<'_>,
    key: TextArg<'_>,
    payload: BytesArg<'_>,
    len: usize,
    seq: OutU64<'_>,
) -> we_result {
    enter(|| {
        let (source, key) = (source.get("source")?, key.get("key")?);
        let payload = payload.get(len, "payload")?;
        HOSTS.with(host, |it| {
            seq.write(it.host.push(source, key, payload)?);
            Ok(we_result::Ok)
        })
    })
}

/// As `we_host_push`, into a stream that was looked up before.
#[unsafe(no_mangle)]
pub extern "C" fn we_host_push_to(
    host: we_host,
    stream: we_host_stream,
    payload: BytesArg<'_>,
    len: usize,
    seq: OutU64<'_>,
) -> we_result {
    enter(|| {
        let payload = payload.get(len, "payload")?;
        HOSTS.with(host, |it| {
            let of_this = (stream >> 32) as u32 == it.number;
            let found = it.streams.get(stream as u32 as usize).filter(|_| of_this);
            let found = *found.ok_or_else(|| {
                let text = format!("{stream:#x} is no stream of this host; look it up");
                Failure::new(we_result::UnknownStream, text)
            })?;
            seq.write(it.host.push_to(found, payload)?);
            Ok(we_result::Ok)
        })
    })
}

/// Gives the sequence number of the next input of a live source. After resuming it continues behind
/// the last input that is in the log; what was pushed after that is to be pushed again.
#[unsafe(no_mangle)]
pub extern "C" fn we_host_next_seq(
    host: we_host,
    source: TextArg<'_>,
    seq: OutU64<'_>,
) -> we_result {
    enter(|| {
        seq.check("seq")?;
        let source = source.get("source")?;
        HOSTS.with(host, |it| {
            seq.write(it.host.next_seq(source)?);
            Ok(we_result::Ok)
        })
    })
}

/// Closes a live source: it takes no more inputs, and those that wait still enter.
#[unsafe(no_mangle)]
pub extern "C" fn we_host_close_source(host: we_host, source: TextArg<'_>) -> we_result {
    enter(|| {
        let source = source.get("source")?;
        HOSTS.with(host, |it| Ok(it.host.close_source(source).map(|()| we_result::Ok)?))
    })
}

/// Executes at most one tick and never waits for the pace, a model or the log; `poll` says what
/// came of it. With worker threads it waits for their turns.
#[unsafe(no_mangle)]
pub extern "C" fn we_host_poll_tick(host: we_host, poll: OutPoll<'_>) -> we_result {
    enter(|| {
        poll.check("poll")?;
        HOSTS.with(host, |it| {
            poll.write(&we_host_poll::of(it.executing().poll_tick()?));
            Ok(we_result::Ok)
        })
    })
}

/// As `we_host_poll_tick`, but waits for the pace, for models and for the log until a tick was
/// executed, nothing is due or the run has ended.
#[unsafe(no_mangle)]
pub extern "C" fn we_host_tick(host: we_host, poll: OutPoll<'_>) -> we_result {
    enter(|| {
        poll.check("poll")?;
        HOSTS.with(host, |it| {
            poll.write(&we_host_poll::of(it.executing().tick()?));
            Ok(we_result::Ok)
        })
    })
}

/// Executes ticks until nothing is due at once, `ticks_max` were executed or the run has ended;
/// gives how many were, unless `ticks` is null. It waits for models and the log and not for the
/// pace.
#[unsafe(no_mangle)]
pub extern "C" fn we_host_run_until_idle(
    host: we_host,
    ticks_max: u64,
    ticks: OutU64<'_>,
) -> we_result {
    enter(|| {
        HOSTS.with(host, |it| {
            ticks.write(it.executing().run_until_idle(ticks_max)?);
            Ok(we_result::Ok)
        })
    })
}

/// Gives how many nanoseconds a host may sleep before the next tick is due if nothing is pushed;
/// `WE_RESULT_NONE` if nothing is due at all.
#[unsafe(no_mangle)]
pub extern "C" fn we_host_next_due(host: we_host, wait_ns: OutU64<'_>) -> we_result {
    enter(|| {
        wait_ns.check("wait_ns")?;
        HOSTS.with(host, |it| {
            let Some(wait) = it.host.next_due() else { return Ok(we_result::None) };
            wait_ns.write(nanoseconds(wait));
            Ok(we_result::Ok)
        })
    })
}

/// Gives this budget to each tick from the next on: no turn is planned beyond `turns`, no microstep
/// begins once `fuel` is used up, and what is left goes on in the next tick. 0 is no bound. Both
/// are counted and not timed, so the run replays. Tick 0 executes all inits whatever it says, and a
/// run that is resumed begins without a budget.
#[unsafe(no_mangle)]
pub extern "C" fn we_host_set_tick_budget(host: we_host, turns: u64, fuel: u64) -> we_result {
    enter(|| {
        HOSTS.with(host, |it| {
            let (turns, fuel) = (NonZeroU64::new(turns), NonZeroU64::new(fuel));
            it.host.set_tick_budget(TickBudget { turns, fuel });
            Ok(we_result::Ok)
        })
    })
}

/// Says what the last tick did; `WE_RESULT_NONE` before this process has executed one.
#[unsafe(no_mangle)]
pub extern "C" fn we_host_last_tick(host: we_host, report: OutTickReport<'_>) -> we_result {
    enter(|| {
        report.check("report")?;
        HOSTS.with(host, |it| {
            let Some(found) = it.host.last_tick() else { return Ok(we_result::None) };
            report.write(&we_tick_report::of(&found));
            Ok(we_result::Ok)
        })
    })
}

/// Gives the next of the outputs of the last call that executed ticks, in the order of their
/// commits; `WE_RESULT_NONE` if there is no more. Nothing is to be freed.
#[unsafe(no_mangle)]
pub extern "C" fn we_host_next_output(host: we_host, output: OutOutput<'_>) -> we_result {
    enter(|| {
        output.check("output")?;
        HOSTS.with(host, |it| {
            let HostState { host, next_output, topic, agent_name, .. } = it;
            let Some(next) = host.output(*next_output) else { return Ok(we_result::None) };
            *next_output += 1;
            (*topic, *agent_name) = (c_text(next.topic), c_text(&next.agent()));
            output.write(&we_host_output::of(&next, topic, agent_name));
            Ok(we_result::Ok)
        })
    })
}

/// Says how the kernel stands.
#[unsafe(no_mangle)]
pub extern "C" fn we_host_take_snapshot(host: we_host, snapshot: OutSnapshot<'_>) -> we_result {
    enter(|| {
        snapshot.check("snapshot")?;
        HOSTS.with(host, |it| {
            let Some(found) = it.host.snapshot() else { return Ok(we_result::None) };
            snapshot.write(&we_host_snapshot::of(&found));
            Ok(we_result::Ok)
        })
    })
}

/// Ends the run: writes and syncs log and outputs, ends all threads, gives back memory and name.
/// The host is gone afterwards, whatever comes of it, unless it is busy. Inputs that wait are
/// dropped. `report`, unless null, becomes the run's report as JSON (`wasm-engine/run/1`, as the
/// command prints it), or null where there is none; the text is the library's and valid until the
/// next close in this thread.
#[unsafe(no_mangle)]
pub extern "C" fn we_host_close(host: we_host, report: OutText<'_>) -> we_result {
    enter(|| {
        report.write(std::ptr::null());
        let ended = HOSTS.take(host)?.host.close()?;
        let json = serde_json::Value::from(document("run", &ended)).to_string();
        report.write(keep_report(&json));
        Ok(we_result::Ok)
    })
}

fn nanoseconds(of: Duration) -> u64 {
    u64::try_from(of.as_nanos()).unwrap_or(u64::MAX)
}

impl we_host_poll {
    fn of(poll: TickPoll) -> Self {
        let nothing = Self {
            size: size_of::<Self>() as u32,
            what: we_poll::Other as u32,
            tick: WE_NONE,
            wait_ns: 0,
            pending_on: 0,
            ended: 0,
        };
        match poll {
            TickPoll::Done(tick) => Self { what: we_poll::Done as u32, tick, ..nothing },
            TickPoll::IdleUntil(wait) => {
                Self { what: we_poll::IdleUntil as u32, wait_ns: nanoseconds(wait), ..nothing }
            }
            TickPoll::Idle => Self { what: we_poll::Idle as u32, ..nothing },
            TickPoll::Pending(on) => {
                let pending_on = match on {
                    PendingOn::Model => we_pending::Model,
                    PendingOn::LogSpace => we_pending::LogSpace,
                    _ => we_pending::Other,
                };
                let what = we_poll::Pending as u32;
                Self { what, pending_on: pending_on as u32, ..nothing }
            }
            TickPoll::Ended(why) => {
                let ended = match why {
                    Ended::Done => we_ending::Done,
                    Ended::Ticks => we_ending::Ticks,
                    Ended::Interrupted => we_ending::Interrupted,
                    Ended::Timeout => we_ending::Timeout,
                    Ended::Fault => we_ending::Fault,
                };
                Self { what: we_poll::Ended as u32, ended: ended as u32, ..nothing }
            }
            _ => nothing,
        }
    }
}

impl we_host_output {
    /// An output whose names are `topic` and `agent_name`.
    pub(crate) fn of(output: &HostOutput<'_>, topic: &CStr, agent_name: &CStr) -> Self {
        Self {
            size: size_of::<Self>() as u32,
            microstep: output.microstep,
            tick: output.tick,
            agent: output.from.to_bits(),
            seq: output.seq,
            topic: topic.as_ptr(),
            agent_name: agent_name.as_ptr(),
            payload: output.payload.as_ptr(),
            payload_len: output.payload.len(),
        }
    }
}

impl we_host_snapshot {
    fn of(of: &HostSnapshot) -> Self {
        Self {
            size: size_of::<Self>() as u32,
            agents: of.agents,
            runnable: of.runnable,
            inferences_pending: of.inferences_pending,
            tick: of.tick.unwrap_or(WE_NONE),
            ticks: of.ticks,
            inputs_waiting: of.inputs_waiting,
            inputs: of.inputs,
            messages: of.messages,
            faults: of.faults,
            durable_tick: of.durable_tick.unwrap_or(WE_NONE),
            digest: digits(&of.digest),
            fuel_digest: digits(&of.fuel_digest),
        }
    }
}

impl we_tick_report {
    fn of(of: &TickReport) -> Self {
        let stages = of.stages.unwrap_or_default();
        let StageTimes { gather, open, plan, step, commit, close, log, publish, .. } = stages;
        Self {
            size: size_of::<Self>() as u32,
            microsteps: of.microsteps,
            turns: of.turns,
            carried_over: of.carried_over,
            tick: of.tick,
            fuel: of.fuel,
            gather_ns: nanoseconds(gather),
            open_ns: nanoseconds(open),
            plan_ns: nanoseconds(plan),
            step_ns: nanoseconds(step),
            commit_ns: nanoseconds(commit),
            close_ns: nanoseconds(close),
            log_ns: nanoseconds(log),
            publish_ns: nanoseconds(publish),
        }
    }
}

/// A digest's digits, ended by NULs.
fn digits(of: &impl std::fmt::Display) -> [c_char; 40] {
    let mut digits = [0; 40];
    for (slot, digit) in digits.iter_mut().take(32).zip(of.to_string().bytes()) {
        *slot = digit as c_char;
    }
    digits
}
