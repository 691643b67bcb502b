//! What the numbers that monitors read point to.

use wasm_engine_abi::page::NAMES_BYTES_MAX;

use crate::machine::region;
use wasm_engine_setup::{ModelSetup, Setup};

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

/// Bytes of the page for all but the names in lists.
const OTHER_BYTES_MAX: usize = 4 << 10;

/// Bytes left for names, and how many names had no room.
struct NameRoom {
    left: usize,
    left_out: usize,
}

impl NameRoom {
    /// As many of the names, from the first on, as there is room for: monitors are no reason to
    /// refuse a run.
    fn take<'a>(&mut self, names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
        let mut names = names.peekable();
        let mut taken = Vec::new();
        while let Some(name) = names.peek() {
            // With its quotation marks and comma; a character is written as 6 bytes at most.
            let plain = name.bytes().all(|byte| byte >= b' ' && !matches!(byte, b'"' | b'\\'));
            let bytes = if plain { name.len() } else { 6 * name.len() } + 3;
            let Some(left) = self.left.checked_sub(bytes) else { break };
            self.left = left;
            taken.extend(names.next());
        }
        self.left_out += names.count();
        taken
    }
}

/// The text that tells monitors what the numbers point to.
pub(super) fn names(setup: &Setup, name: &str, lanes: u32) -> String {
    let agents = agent_names(setup);
    let agents_bytes = serde_json::json!(agents).to_string().len();
    let others = NAMES_BYTES_MAX as usize - OTHER_BYTES_MAX;
    let mut room = NameRoom { left: others.saturating_sub(agents_bytes), left_out: 0 };
    let rings: Vec<String> =
        region::rings(setup, lanes).into_iter().map(|(_, name)| name).collect();
    let rings = room.take(rings.iter().map(String::as_str));
    let models: Vec<String> = setup.models.iter().map(ModelSetup::full_name).collect();
    let models = room.take(models.iter().map(String::as_str));
    let sources = room.take(setup.sources.iter().map(|s| s.id.as_str()));
    let templates = room.take(setup.templates.iter().map(|t| t.name.as_str()));
    let topics = room.take(setup.topics.iter().map(|t| t.name.as_str()));
    if room.left_out > 0 {
        tracing::warn!("monitors show {} names as numbers, there are too many", room.left_out);
    }
    let agents_max = setup.limits.agents_max;
    serde_json::json!({
        "name": name, "templates": templates, "models": models, "rings": rings,
        "topics": topics, "sources": sources, "left_out": room.left_out,
        "lanes": lanes, "agents_max": agents_max, "agents": agents,
    })
    .to_string()
}
