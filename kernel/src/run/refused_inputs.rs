//! Says to the operator that an agent's inbox refuses inputs: no source hears of it, and an agent
//! does not learn of what it did not get.

use std::collections::BTreeSet;

use wasm_engine_abi::calls::Status;
use wasm_engine_abi::frame::ItemHeader;
use wasm_engine_core::RefusedInput;
use wasm_engine_setup::Setup;

/// Lines that are shown at most; all are counted in the report.
const LINES_MAX: usize = 16;

/// Which agents refused inputs, and why: each reason of each is said once.
#[derive(Debug, Default)]
pub(crate) struct RefusedInputs {
    seen: BTreeSet<(u64, i32)>,
    lines: Vec<String>,
}

impl RefusedInputs {
    /// An input was refused.
    pub(crate) fn note(&mut self, setup: &Setup, refused: &RefusedInput) {
        if self.seen.len() >= LINES_MAX {
            return;
        }
        if self.seen.insert((refused.agent.to_bits(), refused.status as i32)) {
            self.lines.push(line(setup, refused));
            if self.seen.len() == LINES_MAX {
                self.lines.push("further agents that refuse inputs are only counted".to_owned());
            }
        }
    }

    /// What is to be shown, once.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = String> + '_ {
        self.lines.drain(..)
    }
}

fn line(setup: &Setup, refused: &RefusedInput) -> String {
    let RefusedInput { agent, status, source, len, item_bytes_max } = *refused;
    let name = match setup.agents.get(agent.index() as usize) {
        Some(configured) if agent.generation() == 0 => configured.name.clone(),
        _ => format!("spawned agent {agent}"),
    };
    let source = usize::try_from(source).ok().and_then(|at| setup.sources.get(at));
    let source = source.map_or("?", |source| source.id.as_str());
    let header = size_of::<ItemHeader>() as u32;
    match (status, item_bytes_max) {
        (Status::TooLong, Some(max)) => format!(
            "{name} cannot receive an input of source {source}: its inbox is {} bytes, the input \
             needs {} ({header} of header and {len}); enlarge the inbox in the module (inputs \
             refused are counted)",
            u64::from(max) + u64::from(header),
            u64::from(len) + u64::from(header),
        ),
        _ => format!(
            "{name} does not receive an input of source {source}: {}; see limits.inbox_items_max, \
             limits.inbox_bytes_max and the topic's policy (inputs refused are counted)",
            status.text(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use wasm_engine_abi::AgentId;
    use wasm_engine_core_scripts::Scene;

    use super::*;

    #[test]
    fn each_agent_is_named_once_for_a_reason_and_the_lines_are_bounded() {
        let setup = Scene::empty().setup;
        let refused = |slot, status| RefusedInput {
            agent: AgentId::new(slot, 1),
            status,
            source: 0,
            len: 176,
            item_bytes_max: Some(64),
        };
        let mut lines = RefusedInputs::default();
        for _ in 0..3 {
            lines.note(&setup, &refused(4, Status::TooLong));
            lines.note(&setup, &refused(4, Status::InboxFull));
        }
        let shown: Vec<_> = lines.drain().collect();
        assert_eq!(shown.len(), 2);
        let size = "cannot receive an input of source host: its inbox is 128 bytes, the input \
                    needs 240";
        assert!(shown[0].contains(size), "{}", shown[0]);
        (0..100).for_each(|slot| lines.note(&setup, &refused(slot, Status::TooLong)));
        let shown = lines.drain().count();
        assert_eq!(shown, LINES_MAX - 2 + 1, "and one for all others");
    }
}
