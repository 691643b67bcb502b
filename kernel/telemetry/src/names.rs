//! What the numbers that monitors read point to: one JSON text in a page of its own.
//!
//! The kernel writes it once, before the region is ready; a monitor reads it when it attaches.

use serde::{Deserialize, Serialize};
use wasm_engine_abi::ids::AgentId;
use wasm_engine_abi::limits::NAME_BYTES_MAX;
use wasm_engine_abi::plain::is_plain;

/// Longest name of an agent in the page, in bytes; a longer one is shortened.
const AGENT_NAME_BYTES_MAX: usize = 64;
/// Bytes of agents' names in the page; the agents behind them go without.
const AGENT_NAMES_BYTES_MAX: usize = 256 << 10;

/// The names that rows point to.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Names {
    /// Name of the kernel.
    pub name: String,
    /// Templates of agents.
    pub templates: Vec<String>,
    /// Models.
    pub models: Vec<String>,
    /// Rings between threads.
    pub rings: Vec<String>,
    /// Topics.
    pub topics: Vec<String>,
    /// Sources of inputs.
    pub sources: Vec<String>,
    /// Configured agents, by slot; a long list ends early.
    pub agents: Vec<String>,
    /// Number of lanes.
    pub lanes: u32,
    /// Agent slots.
    pub agents_max: u32,
}

impl Names {
    /// The agents' names that the page has room for, by slot.
    #[must_use]
    pub fn fit_agents<'a>(names: impl Iterator<Item = &'a str>) -> Vec<String> {
        let mut left = AGENT_NAMES_BYTES_MAX;
        let end = |name: &str| name.floor_char_boundary(AGENT_NAME_BYTES_MAX.min(name.len()));
        names
            .map(|name| &name[..end(name)])
            .take_while(|name| {
                // With its quotation marks and comma.
                let room = left.checked_sub(name.len() + 3);
                left = room.unwrap_or(0);
                room.is_some()
            })
            .map(str::to_owned)
            .collect()
    }

    /// The text of the page.
    ///
    /// # Errors
    /// None in practice: names are strings and numbers.
    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(self)
    }

    /// Name of the configured agent at this address: the first agent of a slot is the configured
    /// one.
    #[must_use]
    pub fn agent(&self, address: AgentId) -> Option<&str> {
        let configured = self.agents.get(address.index() as usize);
        configured.filter(|_| address.generation() == 0).map(String::as_str)
    }

    /// Names from the JSON text of the names page. What is not plain is replaced, long names cut.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub fn parse(text: &[u8]) -> Result<Self, serde_json::Error> {
        let mut names: Self = serde_json::from_slice(text)?;
        let max = NAME_BYTES_MAX as usize;
        let lists = [
            &mut names.templates,
            &mut names.models,
            &mut names.rings,
            &mut names.topics,
            &mut names.sources,
            &mut names.agents,
        ];
        for name in lists.into_iter().flatten().chain([&mut names.name]) {
            *name = clean(name, max).replace(|c| !is_plain(c), "\u{fffd}");
        }
        Ok(names)
    }
}

/// Text from outside made safe for a terminal and a table: no control characters, at most `max`
/// characters.
#[must_use]
pub fn clean(text: &str, max: usize) -> String {
    text.chars().take(max).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back_clean_and_agents_end_where_the_page_does() {
        let agents = Names::fit_agents(
            (0..10_000).map(|_| "é".repeat(100)).collect::<Vec<_>>().iter().map(String::as_str),
        );
        assert_eq!(agents[0].len(), AGENT_NAME_BYTES_MAX);
        assert_eq!(agents.len(), AGENT_NAMES_BYTES_MAX / (AGENT_NAME_BYTES_MAX + 3));
        let names = Names {
            name: "k".into(),
            templates: vec!["a\u{1b}[2J".into(), "\u{9b}\u{202e}é\u{200b}".into()],
            agents,
            ..Names::default()
        };
        let text = names.to_json().expect("strings and numbers");
        let read = Names::parse(text.as_bytes()).expect("just written");
        assert_eq!(read.templates, ["a\u{fffd}[2J", "\u{fffd}\u{fffd}é\u{fffd}"]);
        assert_eq!(read.agents, names.agents);
        assert_eq!(clean("a\u{1b}[2Jbcd", 5), "a\u{fffd}[2J");
    }
}
