//! Looks through a model before the library sees it.
//!
//! Refuses what is no function of the input (random operators, training), what takes it out of all
//! proportion to load, and what would end the process instead of giving an error: an integer
//! division that overflows and a convolution in zero groups raise a signal inside the library, when
//! a request runs or already when it folds constants. It looks at every graph, subgraph and
//! function, and says which operator makes rows influence each other. Data in other files are put
//! where the library does not read files for them.
//!
//! | file | what |
//! |---|---|
//! | `wire.rs`, `proto.rs` | the bytes, and the messages that matter |
//! | `external.rs` | data in other files |
//! | `declared.rs` | what a model declares, for people |
//! | `bounds.rs` | what takes too long to load |
//! | `rules.rs` | what no model may hold |
//! | `values.rs`, `walk.rs` | what is known of values, followed through graphs and calls |
//! | `fault.rs`, `found.rs` | why one is refused, and what is known of one that is not |
//!
//! It can refuse too much, for what it does not know may be anything; a division of floats is known
//! where the model declares its types.

mod bounds;
mod declared;
mod external;
mod fault;
mod found;
mod proto;
mod rules;
mod values;
mod walk;
mod wire;

pub(crate) use declared::{DeclaredPort, declared};
#[cfg(feature = "onnx")]
pub(crate) use external::Embedded;
pub(crate) use external::{embed, names as external_names};
pub(crate) use fault::{ScanFault, Surroundings};
pub(crate) use found::Scanned;

/// Refuses a model that cannot be replayed from its bytes and inputs alone, or that could end the
/// kernel's process. Its data in other files are [embedded](embed).
pub(crate) fn model(bytes: &[u8], surroundings: Surroundings) -> Result<Scanned, ScanFault> {
    let model = proto::parse(bytes)?;
    if model.graphs == 0 {
        return Err(ScanFault::Malformed("it holds no graph"));
    }
    bounds::check(&model)?;
    let scanned = rules::check(&model, surroundings)?;
    walk::check(&model, surroundings)?;
    Ok(scanned)
}
