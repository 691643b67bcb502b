//! Who hears what agents say, in place of `tracing`: the callbacks of an embedding host.

use wasm_engine_abi::Tick;

use crate::report::FaultReport;

/// A line that an agent logged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LogLine<'a> {
    /// Name of the agent.
    pub agent: &'a str,
    /// The tick.
    pub tick: Tick,
    /// 1 an error, 2 a warning, 3 information, above that for debugging.
    pub level: u64,
    /// What it says: anything that a module may write.
    pub text: &'a str,
}

/// Takes the lines that agents log.
pub(crate) type OnLog = Box<dyn FnMut(&LogLine<'_>) + Send>;
/// Takes the faults of agents, at most the first 64 of a tick.
pub(crate) type OnFault = Box<dyn FnMut(&FaultReport) + Send>;

/// Callbacks, where a host has set them.
#[derive(Default)]
pub(crate) struct Listener {
    pub(crate) log: Option<OnLog>,
    pub(crate) fault: Option<OnFault>,
}

impl std::fmt::Debug for Listener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Listener(log: {}, fault: {})", self.log.is_some(), self.fault.is_some())
    }
}
