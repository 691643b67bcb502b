//! The modules of a log, admitted again.

use std::{collections::BTreeMap, sync::Arc};

use wasm_engine_guest::admission::{Admitted, ModuleLimits, admit};
use wasm_engine_log::run_header::RunHeader;

/// A module of the log that is not what the setup names.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the module of template {template} is not the one the run used: {what}")]
pub struct ModuleMismatch {
    /// The template, by position.
    pub index: usize,
    /// Its name.
    pub template: String,
    /// What differs.
    pub what: String,
}

/// Admits the module of each template again.
///
/// # Errors
/// [`ModuleMismatch`] for the first template whose module is missing, is another one, or is not
/// admitted.
pub(crate) fn admit_modules(header: &RunHeader) -> Result<Vec<Arc<Admitted>>, ModuleMismatch> {
    let setup = &header.run.setup;
    let mut admitted: BTreeMap<&str, Arc<Admitted>> = BTreeMap::new();
    let mut all = Vec::with_capacity(setup.templates.len());
    for (index, template) in setup.templates.iter().enumerate() {
        let mismatch = |what| ModuleMismatch { index, template: template.name.clone(), what };
        if let Some(known) = admitted.get(template.module.as_str()) {
            all.push(Arc::clone(known));
            continue;
        }
        let wasm = header
            .modules
            .get(&template.module)
            .ok_or_else(|| mismatch(format!("the log has no module {}", template.module)))?;
        let found = blake3::hash(wasm).to_hex();
        if found.as_str() != template.module {
            return Err(mismatch(format!("its blake3 is {found}, not {}", template.module)));
        }
        let memory_bytes_max = setup.limits.memory_bytes_max;
        let limits = ModuleLimits { memory_bytes_max, ..ModuleLimits::default() };
        let module =
            admit(&template.name, wasm, &limits).map_err(|error| mismatch(error.to_string()))?;
        let module = Arc::new(module);
        admitted.insert(&template.module, Arc::clone(&module));
        all.push(module);
    }
    Ok(all)
}
