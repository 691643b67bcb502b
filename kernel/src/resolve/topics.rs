//! Topics of a run: those of `[[topic]]`, then the sources', then the outputs', in this order.
//!
//! A name that occurs again is the same topic; only two `[[topic]]` entries for one name are an
//! error, because they could differ in policy.

use std::collections::BTreeMap;

use crate::{
    config::{Config, ConfigError, OutputConfig, check_topic_name},
    sources::Source,
};
use wasm_engine_guest::admission::Pattern;
use wasm_engine_log::outputs::OutputFormat;
use wasm_engine_setup::{Policy, TopicSetup};

#[derive(Default)]
struct Topics {
    list: Vec<TopicSetup>,
    handles: BTreeMap<String, u32>,
    /// By handle.
    formats: Vec<Option<OutputFormat>>,
}

impl Topics {
    /// The topic's handle, and whether it is new.
    fn add(&mut self, name: String) -> (u32, bool) {
        if let Some(handle) = self.handles.get(&name) {
            return (*handle, false);
        }
        let handle = self.list.len() as u32;
        self.handles.insert(name.clone(), handle);
        self.list.push(TopicSetup::new(name, Policy::default(), false));
        self.formats.push(None);
        (handle, true)
    }

    fn mark_output(&mut self, handle: u32, format: Option<OutputFormat>) {
        self.list[handle as usize].output = true;
        let declared = &mut self.formats[handle as usize];
        *declared = declared.or(format);
    }
}

/// The topics of `config` and, by their handles, the formats of outputs. Gives each source
/// the handles of its streams.
pub(super) fn resolve(
    config: &Config,
    sources: &mut [Source],
) -> Result<(Vec<TopicSetup>, Vec<Option<OutputFormat>>), ConfigError> {
    let mut topics = Topics::default();
    for topic in &config.topic {
        let key = format!("topic.{}.name", topic.name);
        for name in expand(config, &key, &topic.name, topic.for_each.as_deref(), sources)? {
            let (handle, new) = topics.add(name.clone());
            if !new {
                let problem =
                    format!("gives topic `{name}` a second time; use {{key}} or remove it");
                return Err(config.value_error(key, problem));
            }
            let added = &mut topics.list[handle as usize];
            added.policy = topic.policy;
            added.messages_held_max = topic.messages_held_max;
            added.payload_bytes_held_max = topic.payload_bytes_held_max;
        }
    }
    for source in sources.iter_mut() {
        let names = source.stream_topics(source.topic());
        check(config, &format!("source.{}.topic", source.id()), &names)?;
        source.bind_topics(names.into_iter().map(|name| topics.add(name).0).collect());
    }
    for output in &config.output {
        let key = format!("output.{}.topic", output.topic);
        if output.topic.contains('*') {
            mark_matching(config, key, output, &mut topics)?;
            continue;
        }
        for name in expand(config, &key, &output.topic, output.for_each.as_deref(), sources)? {
            let (handle, _) = topics.add(name);
            topics.mark_output(handle, output.format);
        }
    }
    Ok((topics.list, topics.formats))
}

/// The names a template stands for: one, or one for each stream of the source it names.
fn expand(
    config: &Config,
    key: &str,
    template: &str,
    for_each: Option<&str>,
    sources: &[Source],
) -> Result<Vec<String>, ConfigError> {
    let source = for_each.and_then(|id| sources.iter().find(|source| source.id() == id));
    let names = source.map_or_else(|| vec![template.to_owned()], |s| s.stream_topics(template));
    check(config, key, &names)?;
    Ok(names)
}

fn check(config: &Config, key: &str, names: &[String]) -> Result<(), ConfigError> {
    let problem = names.iter().find_map(|name| check_topic_name(name).err());
    problem.map_or(Ok(()), |problem| Err(config.value_error(key, format!("= {problem}"))))
}

fn mark_matching(
    config: &Config,
    key: String,
    output: &OutputConfig,
    topics: &mut Topics,
) -> Result<(), ConfigError> {
    let Some(pattern) = Pattern::new(&output.topic) else {
        let problem = "is no pattern; `*` is a whole segment between slashes, `**` the last";
        return Err(config.value_error(key, problem));
    };
    let matches = |(_, topic): &(u32, &TopicSetup)| pattern.matches(&topic.name);
    let matched: Vec<u32> = (0..).zip(&topics.list).filter(matches).map(|(at, _)| at).collect();
    for handle in &matched {
        topics.mark_output(*handle, output.format);
    }
    if !matched.is_empty() {
        return Ok(());
    }
    Err(config.value_error(key, "matches no topic; name one, or add the topics to [[topic]]"))
}
