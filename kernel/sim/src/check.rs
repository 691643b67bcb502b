//! What must hold of a run, told from the outside.

use std::{collections::BTreeMap, sync::Arc};

use wasm_engine_abi::record::{FactFields, Facts, kind};
use wasm_engine_core_scripts::{Machine, Rig, Scripted};
use wasm_engine_log::{
    Ending, LogReader, segment_path,
    storage::memory::{Memory, Survival},
};

use crate::{
    coverage::{Coverage, Point},
    observed::{ExecutedTick, SeedRun},
    world::{World, next_tick, scene},
};

/// A closed log has every tick, and its end.
pub(crate) fn closed(run: &SeedRun, storage: &Memory) -> Result<(), String> {
    let opened = LogReader::open_in(Arc::new(storage.clone()));
    let (mut reader, report) = opened.map_err(|error| format!("a closed log: {error}"))?;
    if report.ending != Ending::Closed {
        return Err(format!("a closed log: {report}"));
    }
    let mut ticks = run.history.iter();
    while let Some(record) = reader.next().map_err(|error| format!("a closed log: {error}"))? {
        if record.kind == kind::TICK_OPEN
            && ticks.next().is_none_or(|done| done.facts != record.payload)
        {
            return Err(format!("a closed log has another tick {}", record.tick));
        }
    }
    match ticks.next() {
        Some(done) => Err(format!("a closed log lacks tick {}", done.tick)),
        None => Ok(()),
    }
}

/// Outputs go forward and are there once; so do the inputs of each source.
pub(crate) fn order(run: &SeedRun) -> Result<(), String> {
    let mut inputs = BTreeMap::new();
    let mut last = (0, 0);
    let mut senders = BTreeMap::new();
    for ExecutedTick { tick, facts, close } in &run.history {
        let facts = Facts::parse(facts).map_err(|error| format!("tick {tick}: {error}"))?;
        for fact in facts.iter().filter_map(|fact| fact.header.fields()) {
            if let FactFields::Input(input) = fact {
                let next = inputs.entry(input.source).or_insert(0);
                if input.seq != *next {
                    return Err(format!("tick {tick}: input {} and not {next}", input.seq));
                }
                *next += 1;
            }
        }
        for out in close.iter().flat_map(|(_, outputs)| outputs) {
            let before = std::mem::replace(&mut last, (out.tick, out.microstep));
            let own = senders.insert(out.from.to_bits(), out.seq);
            if before > last || out.tick != *tick || own.is_some_and(|own| own >= out.seq) {
                return Err(format!("tick {tick}: output {} of {} again", out.seq, out.from));
            }
        }
    }
    Ok(())
}

/// The run on another number of lanes is the same; and where inputs are data, so is one that never
/// stopped and had no log.
pub(crate) fn same_anywhere(run: &SeedRun) -> Result<(), String> {
    let mut rig = Rig::<Scripted>::with_workers(&scene(run.seed), 3);
    let mut world = World::new(run.seed, 0);
    let mut met = Coverage::default();
    for ExecutedTick { tick, facts, close } in &run.history {
        if !World::is_live(run.seed) {
            let next = next_tick(&mut rig);
            let own = world.facts(next, rig.machine.core(), &rig.sink, &mut met);
            if next != *tick || own != *facts {
                return Err(format!("never stopped, the run comes to tick {next} and not {tick}"));
            }
            world.pass(&own);
        }
        let again = rig.feed(facts).map_err(|error| format!("tick {tick}: {error}"))?;
        if close.as_ref().map(|(close, _)| *close) != Some(again) {
            return Err(format!("on other lanes tick {tick} is not what it was"));
        }
    }
    Ok(())
}

/// One changed bit in the log is found.
pub(crate) fn damage(run: &mut SeedRun) -> Result<(), String> {
    let storage = run.storage.crash(Survival::ALL);
    let names = (0..).map(|number| segment_path("".as_ref(), number).display().to_string());
    let names: Vec<_> = names.take_while(|name| storage.content(name).is_some()).collect();
    let name = &names[run.mix.below(names.len() as u64) as usize];
    let bytes = storage.content(name).map_or(0, |content| content.len());
    let at = run.mix.below(bytes as u64) as usize;
    storage.damage(name, at, run.mix.below(8) as u32);
    match LogReader::open_in(Arc::new(storage)) {
        Ok((_, report)) if !matches!(report.ending, Ending::Torn(_)) => {
            Err(format!("byte {at} of {name} was changed, and nothing is said: {report}"))
        }
        _ => {
            run.met.hit(Point::Damage);
            Ok(())
        }
    }
}
