//! What a host says before its kernel starts: `we_builder_*`.
#![expect(unsafe_code, reason = "their names are exported as C knows them")]
#![expect(non_camel_case_types, reason = "their names in C")]

use wasm_engine::{
    Host,
    host::{HostBuilder, HostOutput, LogLine},
    report::FaultReport,
};

use crate::{
    guard::{c_text, enter},
    handles::HandleTable,
    host::HOSTS,
    raw::{BytesArg, CallerContext, OutU64, TextArg, call_on_fault, call_on_log, call_on_output},
    result::{Failure, we_result},
    structs::{we_fault, we_host_output, we_log_line, we_on_fault, we_on_log, we_on_output},
};

/// A kernel that is to be started. A number, which never comes again; no number is 0. It may be
/// used in any thread, in one at a time.
pub type we_builder = u64;

static BUILDERS: HandleTable<HostBuilder> = HandleTable::new(0x5742, "builder");

/// Makes a builder, which is to be started or freed. Any thread.
#[unsafe(no_mangle)]
pub extern "C" fn we_builder_new(builder: OutU64<'_>) -> we_result {
    enter(|| {
        builder.check("builder")?;
        builder.write(BUILDERS.insert(|_| Host::builder())?);
        Ok(we_result::Ok)
    })
}

/// Frees a builder that is not to be started; what it was given is freed with it.
#[unsafe(no_mangle)]
pub extern "C" fn we_builder_free(builder: we_builder) -> we_result {
    enter(|| BUILDERS.take(builder).map(|_| we_result::Ok))
}

/// Starts the kernel: reads what the configuration names, compiles modules, loads models, and with
/// `we_builder_resume` executes the log again. Tick 0 is left to the first tick call. The builder
/// is gone afterwards, whatever comes of it, unless `host` is null or the builder is busy. The
/// thread needs a stack of 2 MiB; it need not be the one of later calls.
#[unsafe(no_mangle)]
pub extern "C" fn we_builder_start(builder: we_builder, host: OutU64<'_>) -> we_result {
    enter(|| {
        host.check("host")?;
        let started = BUILDERS.take(builder)?.start()?;
        host.write(HOSTS.insert(|handle| crate::host::HostState::new(started, handle))?);
        Ok(we_result::Ok)
    })
}

/// The configuration is in this TOML file; paths in it are relative to its folder.
#[unsafe(no_mangle)]
pub extern "C" fn we_builder_config_file(builder: we_builder, file: TextArg<'_>) -> we_result {
    text(builder, &file, "file", |it, file| it.config_file(file))
}

/// The configuration is this TOML text, which is copied; paths in it are relative to the working
/// directory.
#[unsafe(no_mangle)]
pub extern "C" fn we_builder_config_text(builder: we_builder, toml: TextArg<'_>) -> we_result {
    text(builder, &toml, "toml", |it, toml| it.config_text(toml))
}

/// Overrides a key of the configuration, as `section.key=value`; may be called again.
#[unsafe(no_mangle)]
pub extern "C" fn we_builder_set(builder: we_builder, assignment: TextArg<'_>) -> we_result {
    text(builder, &assignment, "assignment", |it, assignment| it.set(assignment))
}

/// Gives the bytes of a module or model, or of the manifest beside a module, that the configuration
/// calls `name`, so that no file is read for it. They are copied.
#[unsafe(no_mangle)]
pub extern "C" fn we_builder_attach(
    builder: we_builder,
    name: TextArg<'_>,
    bytes: BytesArg<'_>,
    len: usize,
) -> we_result {
    enter(|| {
        let (name, bytes) = (name.get("name")?, bytes.get(len, "bytes")?);
        change(builder, |it| it.attach(name, bytes))
    })
}

/// Monitors find the kernel under this name, which no other may have at the time.
#[unsafe(no_mangle)]
pub extern "C" fn we_builder_name(builder: we_builder, name: TextArg<'_>) -> we_result {
    text(builder, &name, "name", |it, name| it.name(name))
}

/// Writes a log into this directory, which is new or empty.
#[unsafe(no_mangle)]
pub extern "C" fn we_builder_log(builder: we_builder, dir: TextArg<'_>) -> we_result {
    text(builder, &dir, "dir", |it, dir| it.log(dir))
}

/// Goes on with the log in this directory. What was pushed and is in it enters again from there.
#[unsafe(no_mangle)]
pub extern "C" fn we_builder_resume(builder: we_builder, dir: TextArg<'_>) -> we_result {
    text(builder, &dir, "dir", |it, dir| it.resume(dir))
}

/// Keeps compiled modules in this folder, which is made if missing.
#[unsafe(no_mangle)]
pub extern "C" fn we_builder_code_cache(builder: we_builder, folder: TextArg<'_>) -> we_result {
    text(builder, &folder, "folder", |it, folder| it.code_cache(folder))
}

/// The `wasm-engine` program, which serves models that have a process of their own.
#[unsafe(no_mangle)]
pub extern "C" fn we_builder_model_program(builder: we_builder, file: TextArg<'_>) -> we_result {
    text(builder, &file, "file", |it, file| it.model_program(file))
}

/// Worker threads, in place of `kernel.workers`.
#[unsafe(no_mangle)]
pub extern "C" fn we_builder_workers(builder: we_builder, workers: u32) -> we_result {
    enter(|| change(builder, |it| it.workers(workers)))
}

/// Ends before the tick of this number, in place of `kernel.ticks`.
#[unsafe(no_mangle)]
pub extern "C" fn we_builder_ticks(builder: we_builder, ticks: u64) -> we_result {
    enter(|| change(builder, |it| it.ticks(ticks)))
}

/// Ticks per second, in place of `kernel.pace`.
#[unsafe(no_mangle)]
pub extern "C" fn we_builder_pace(builder: we_builder, pace: f64) -> we_result {
    enter(|| change(builder, |it| it.pace(pace)))
}

/// Unless `allowed` is 0 the engine handles SIGSEGV, SIGILL and SIGFPE for the whole process, for
/// ever, which makes loops over memory faster. Handlers set later would take agents' faults.
#[unsafe(no_mangle)]
pub extern "C" fn we_builder_signal_handlers(builder: we_builder, allowed: u32) -> we_result {
    enter(|| change(builder, |it| it.signal_handlers(allowed != 0)))
}

/// Unless `timed` is 0: times the stages of each tick, for `we_host_last_tick`, which reads the
/// clock some ten times a tick.
#[unsafe(no_mangle)]
pub extern "C" fn we_builder_time_stages(builder: we_builder, timed: u32) -> we_result {
    enter(|| change(builder, |it| it.time_stages(timed != 0)))
}

/// Calls `callback` with `context` and each message on an output topic, after its tick, in the
/// thread of the call that executes ticks. The struct and all it points to are valid until it
/// returns. It must return, without an exception or `longjmp`; calls with this host are
/// `WE_RESULT_BUSY` in it. Both must stay valid until the host is closed.
#[unsafe(no_mangle)]
pub extern "C" fn we_builder_on_output(
    builder: we_builder,
    callback: we_on_output,
    context: CallerContext,
) -> we_result {
    let context = context.number();
    let hear = move |output: &HostOutput<'_>| {
        let (topic, name) = (c_text(output.topic), c_text(&output.agent()));
        call_on_output(callback, context, &we_host_output::of(output, &topic, &name));
    };
    enter(|| {
        given(callback.is_some())?;
        change(builder, |it| it.on_output(hear))
    })
}

/// Calls `callback` with each line that an agent logs; all else as in `we_builder_on_output`.
#[unsafe(no_mangle)]
pub extern "C" fn we_builder_on_log(
    builder: we_builder,
    callback: we_on_log,
    context: CallerContext,
) -> we_result {
    let context = context.number();
    let hear = move |line: &LogLine<'_>| {
        let name = c_text(line.agent);
        let mut text = line.text.to_owned();
        text.push('\0');
        let line = we_log_line {
            size: size_of::<we_log_line>() as u32,
            level: u32::try_from(line.level).unwrap_or(u32::MAX),
            tick: line.tick,
            agent_name: name.as_ptr(),
            text: text.as_ptr().cast(),
            text_len: text.len() - 1,
        };
        call_on_log(callback, context, &line);
    };
    enter(|| {
        given(callback.is_some())?;
        change(builder, |it| it.on_log(hear))
    })
}

/// Calls `callback` with each fault of an agent, at most the first 64 of a tick; all else as in
/// `we_builder_on_output`.
#[unsafe(no_mangle)]
pub extern "C" fn we_builder_on_fault(
    builder: we_builder,
    callback: we_on_fault,
    context: CallerContext,
) -> we_result {
    let context = context.number();
    let hear = move |fault: &FaultReport| {
        let json = serde_json::to_string(fault).unwrap_or_default();
        let [name, what, advice, json] =
            [&fault.agent, &fault.what, &fault.advice, &json].map(|text| c_text(text));
        let fault = we_fault {
            size: size_of::<we_fault>() as u32,
            microstep: fault.microstep,
            tick: fault.tick,
            agent_name: name.as_ptr(),
            what: what.as_ptr(),
            advice: advice.as_ptr(),
            json: json.as_ptr(),
        };
        call_on_fault(callback, context, &fault);
    };
    enter(|| {
        given(callback.is_some())?;
        change(builder, |it| it.on_fault(hear))
    })
}

fn given(callback: bool) -> Result<(), Failure> {
    if callback { Ok(()) } else { Err(Failure::new(we_result::Null, "callback is null")) }
}

/// Changes a builder by a text.
fn text(
    builder: we_builder,
    text: &TextArg<'_>,
    what: &str,
    by: impl FnOnce(HostBuilder, &str) -> HostBuilder,
) -> we_result {
    enter(|| {
        let text = text.get(what)?;
        change(builder, |it| by(it, text))
    })
}

fn change(
    builder: we_builder,
    by: impl FnOnce(HostBuilder) -> HostBuilder,
) -> Result<we_result, Failure> {
    BUILDERS.with(builder, |it| {
        *it = by(std::mem::take(it));
        Ok(we_result::Ok)
    })
}
