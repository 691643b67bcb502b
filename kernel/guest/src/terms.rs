//! What host calls ask about a template: its rights, its quotas, the names of the run.

use std::collections::BTreeMap;
use std::sync::Arc;

use wasm_engine_setup::{ModelSetup, PortSetup, Setup};

use crate::rights::Rights;

/// Configured names and what host calls ask of them; handles are places in the setup.
#[derive(Debug, Default)]
pub(crate) struct NameTable {
    /// Topics by name.
    pub(crate) topics: BTreeMap<String, u32>,
    /// Models by name.
    pub(crate) models: BTreeMap<String, u32>,
    /// Templates by name.
    pub(crate) templates: BTreeMap<String, u32>,
    /// Names of topics by handle.
    pub(crate) topic_names: Vec<String>,
    /// What host calls ask about models, by handle.
    pub(crate) known_models: Vec<KnownModel>,
}

/// What host calls ask about a model.
#[derive(Debug)]
pub(crate) struct KnownModel {
    /// Bytes of a row, where it is asked with rows.
    pub(crate) row_bytes: Option<u64>,
    /// Bytes of the longest request.
    pub(crate) request_bytes_max: u64,
    /// Inputs by name.
    pub(crate) inputs: BTreeMap<String, u32>,
    /// Those outputs by name that it gives.
    pub(crate) outputs: BTreeMap<String, u32>,
}

impl KnownModel {
    fn of(model: &ModelSetup) -> Self {
        let ports = |ports: &[PortSetup]| -> BTreeMap<String, u32> {
            let given = ports.iter().zip(0..).filter(|(port, _)| port.given);
            given.map(|(port, number)| (port.name.clone(), number)).collect()
        };
        Self {
            row_bytes: model.row().map(|row| (row.input_len * size_of::<f32>()) as u64),
            request_bytes_max: model.request_bytes_max.into(),
            inputs: ports(&model.inputs),
            outputs: ports(&model.outputs),
        }
    }
}

impl NameTable {
    pub(crate) fn of(setup: &Setup) -> Self {
        fn table<'a>(names: impl Iterator<Item = &'a String>) -> BTreeMap<String, u32> {
            names.cloned().zip(0..).collect()
        }
        Self {
            topics: table(setup.topics.iter().map(|t| &t.name)),
            models: model_names(setup),
            templates: table(setup.templates.iter().map(|t| &t.name)),
            topic_names: setup.topics.iter().map(|t| t.name.clone()).collect(),
            known_models: setup.model_handles().into_iter().map(KnownModel::of).collect(),
        }
    }
}

/// Handles of models by name and, of versions, by `name@version`.
fn model_names(setup: &Setup) -> BTreeMap<String, u32> {
    let models = setup.models.iter().zip(0..);
    let mut names: BTreeMap<_, _> =
        models.flat_map(|(m, at)| [(m.name.clone(), at), (m.full_name(), at)]).collect();
    let versioned = setup.versioned_names().into_iter();
    names.extend(versioned.map(|(name, _)| name.to_owned()).zip(setup.models.len() as u32..));
    names
}

/// The terms under which the agents of one template run.
#[derive(Debug)]
pub(crate) struct Terms {
    /// What its agents may do.
    pub(crate) rights: Rights,
    /// Names of the run.
    pub(crate) names: Arc<NameTable>,
    /// Fuel of one call of a function of the contract.
    pub(crate) fuel_per_call: u64,
    /// Bytes that the memory of one of its agents may grow to.
    pub(crate) memory_bytes_max: u64,
    /// Effects of one turn.
    pub(crate) effects_max: u32,
    /// Payload blocks of one turn.
    pub(crate) blocks_max: u32,
    /// Blocks of the requests to models of one turn.
    pub(crate) inference_blocks_max: u32,
    /// Tasks that one waits for.
    pub(crate) dependencies_max: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a13_4_a_name_is_a_handle_of_its_own_where_it_has_versions() {
        let model = |name: &str, version| ModelSetup { version, ..ModelSetup::of_rows(name, 1, 1) };
        let models =
            vec![model("m", Some(10)), model("n", None), model("m", Some(9)), model("o", Some(1))];
        let setup = Setup { models, ..crate::rights::tests::setup(&[], &[], &[]) };
        assert_eq!(setup.versioned_names(), [("m", vec![2, 0])], "from the lowest to the highest");
        let names: Vec<_> = model_names(&setup).into_iter().collect();
        let named = |name: &str, handle| (name.to_owned(), handle);
        assert_eq!(
            names,
            [
                named("m", 4),
                named("m@10", 0),
                named("m@9", 2),
                named("n", 1),
                named("o", 3),
                named("o@1", 3)
            ]
        );
        let asked = NameTable::of(&setup).known_models.len();
        assert_eq!(asked, 5, "each handle is known");
    }
}
