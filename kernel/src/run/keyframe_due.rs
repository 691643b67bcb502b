//! A run makes a keyframe behind a tick that was closed, if one is due (SEMANTICS L9).

use wasm_engine_abi::Tick;

use crate::{
    machine::TickError,
    run::{error::RunError, poll::Run},
};

impl Run {
    /// A keyframe behind the tick that was closed, if one is due.
    pub(crate) fn keyframe(&mut self, tick: Tick) -> Result<(), RunError> {
        let Self { keyframes: Some(keyframes), kernel, ingest, sinks, log, .. } = self else {
            return Ok(());
        };
        let durable = || log.as_ref().and_then(|log| log.durable().get());
        let made = keyframes.closed(kernel, ingest, sinks, durable);
        Ok(made.map_err(|source| TickError::Machine { tick, source })?)
    }
}
