//! Looks through a model before the library sees it.
//!
//! Refuses what is no function of the input (random operators, training), what lies outside the
//! bytes that were hashed (external weights), and what would end the process instead of giving an
//! error: an integer division that overflows and a convolution in zero groups raise a signal inside
//! the library, when a request runs or already when it folds constants. It looks at every graph,
//! subgraph and function, and says which operator makes rows influence each other.
//!
//! | file | what |
//! |---|---|
//! | `wire.rs`, `proto.rs` | the bytes, and the messages that matter |
//! | `rules.rs` | what no model may hold |
//! | `values.rs`, `walk.rs` | what is known of values, followed through graphs and calls |
//! | `fault.rs` | why one is refused |
//!
//! It can refuse too much, for what it does not know may be anything; a division of floats is known
//! where the model declares its types.

mod fault;
mod proto;
mod rules;
mod values;
mod walk;
mod wire;

pub(super) use fault::ScanFault;
pub(crate) use fault::Surroundings;

/// What the scan found in a model that it lets pass.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Scanned {
    /// An operator that makes rows of a batch influence each other, always.
    pub(super) mixing: Option<String>,
}

/// Refuses a model that cannot be replayed from its bytes and inputs alone, or that could end the
/// kernel's process.
pub(super) fn model(bytes: &[u8], surroundings: Surroundings) -> Result<Scanned, ScanFault> {
    let model = proto::parse(bytes)?;
    if model.graphs == 0 {
        return Err(ScanFault::Malformed("it holds no graph"));
    }
    let mixing = rules::check(&model, surroundings)?;
    walk::check(&model, surroundings)?;
    Ok(Scanned { mixing })
}
