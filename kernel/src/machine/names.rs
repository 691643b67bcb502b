//! What the numbers that monitors read point to.

use crate::machine::region;
use wasm_engine_setup::Setup;

/// Longest name of an agent that monitors see, in bytes; a longer one is cut.
const AGENT_NAME_BYTES_MAX: usize = 64;
/// Bytes of agents' names that monitors see; the agents behind them go without.
const AGENT_NAMES_BYTES_MAX: usize = 256 << 10;

/// Names of the configured agents by slot, within the limits.
fn agent_names(setup: &Setup) -> Vec<&str> {
    let mut left = AGENT_NAMES_BYTES_MAX;
    let cut = |name: &str| name.floor_char_boundary(AGENT_NAME_BYTES_MAX.min(name.len()));
    let names = setup.agents.iter().map(|agent| &agent.name[..cut(&agent.name)]);
    names
        .take_while(|name| {
            // With its quotation marks and comma.
            let room = left.checked_sub(name.len() + 3);
            left = room.unwrap_or(0);
            room.is_some()
        })
        .collect()
}

/// The text that tells monitors what the numbers point to.
pub(super) fn names(setup: &Setup, name: &str, lanes: u32) -> String {
    let templates: Vec<&str> = setup.templates.iter().map(|t| t.name.as_str()).collect();
    let models: Vec<&str> = setup.models.iter().map(|m| m.name.as_str()).collect();
    let rings: Vec<String> =
        region::rings(setup, lanes).into_iter().map(|(_, name)| name).collect();
    let topics: Vec<&str> = setup.topics.iter().map(|t| t.name.as_str()).collect();
    let sources: Vec<&str> = setup.sources.iter().map(|s| s.id.as_str()).collect();
    let agents_max = setup.limits.agents_max;
    serde_json::json!({
        "name": name, "templates": templates, "models": models, "rings": rings,
        "topics": topics, "sources": sources,
        "lanes": lanes, "agents_max": agents_max, "agents": agent_names(setup),
    })
    .to_string()
}
