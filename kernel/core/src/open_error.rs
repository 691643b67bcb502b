//! Why facts cannot be those of the next tick.

use wasm_engine_abi::{AgentId, Tick, record::BadFacts};

/// Facts that cannot be those of the next tick.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The record is malformed.
    #[error("the facts of a tick cannot be read")]
    Facts(#[from] BadFacts),
    /// Ticks must increase from 0.
    #[error("tick {tick} cannot follow {last}")]
    NotNext {
        /// The tick named.
        tick: Tick,
        /// The last one, or "the start".
        last: String,
    },
    /// The record is marked as chosen by a live fact, and none can have chosen its number.
    #[error("no live fact can have chosen the number {tick}: {why}; the log was changed")]
    NotChosen {
        /// The tick.
        tick: Tick,
        /// Why.
        why: String,
    },
    /// A fact of a kind that this version does not know.
    #[error("tick {tick} holds a fact of unknown kind {kind}")]
    UnknownFact {
        /// The tick.
        tick: Tick,
        /// The kind.
        kind: u32,
    },
    /// An input names a topic or source that the run does not have.
    #[error(
        "tick {tick} holds an input for topic {topic} from source {origin}, which the run does \
         not have"
    )]
    UnknownTopic {
        /// The tick.
        tick: Tick,
        /// The topic handle.
        topic: u32,
        /// The source number.
        origin: u64,
    },
    /// Tick 0 admits no input.
    #[error("tick 0 holds an input; it only initialises")]
    InputInTickZero,
    /// A budget in tick 0, a second one, or one of nothing.
    #[error("tick {tick} holds a budget that {why}; the log was changed")]
    Budget {
        /// The tick.
        tick: Tick,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Tick 0 admits no command.
    #[error("tick 0 holds a command of the host; it only initialises")]
    CommandInTickZero,
    /// A command that does what this version does not know, or to what the run does not have.
    #[error("tick {tick} holds command {seq}, whose action {action} or subject the run has not")]
    UnknownCommand {
        /// The tick.
        tick: Tick,
        /// The host's sequence of it.
        seq: u64,
        /// What it does.
        action: u32,
    },
    /// A command that is not the next one of the configuration, or of the live host.
    #[error("tick {tick} holds command {seq}, which is not the next one; the log was changed")]
    UnexpectedCommand {
        /// The tick.
        tick: Tick,
        /// The host's sequence of it.
        seq: u64,
    },
    /// The outcome of a load that is not the next one due.
    #[error("tick {tick} holds the outcome of load {load}, which is not the next one due")]
    UnexpectedLoad {
        /// The tick.
        tick: Tick,
        /// Number of the load named.
        load: u64,
    },
    /// A load is due without an outcome.
    #[error("tick {tick} lacks the outcome of load {load}")]
    MissingLoad {
        /// The tick.
        tick: Tick,
        /// Number of the load.
        load: u64,
    },
    /// A change of provider of a model that the run does not have.
    #[error("tick {tick} holds a change of provider of model {model}, which the run does not have")]
    UnknownModel {
        /// The tick.
        tick: Tick,
        /// The model handle.
        model: u32,
    },
    /// Facts of a kind come behind those of a later one.
    #[error("tick {tick} holds its facts in another order than they are applied")]
    Order {
        /// The tick.
        tick: Tick,
    },
    /// A reply that answers no request due, or not the next one.
    #[error(
        "tick {tick} holds a reply to request {seq} of agent {agent}, which is not the next one due"
    )]
    UnexpectedReply {
        /// The tick.
        tick: Tick,
        /// The agent named.
        agent: AgentId,
        /// The sequence named.
        seq: u64,
    },
    /// More than the limits of the run admit; what enters was sized by them.
    #[error("tick {tick} holds {what} than the run's limits admit; the log was changed")]
    Exceeds {
        /// The tick.
        tick: Tick,
        /// More or longer of what.
        what: &'static str,
    },
    /// A request is due without a reply.
    #[error("tick {tick} lacks the reply to request {seq} of agent {agent}")]
    MissingReply {
        /// The tick.
        tick: Tick,
        /// The agent that waits.
        agent: AgentId,
        /// Its sequence of the call.
        seq: u64,
    },
}
