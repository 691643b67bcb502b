//! The collector of a group: a verdict for each file, a summary after each tick that brought some.
//!
//! ```text
//!  verdict/GROUP  {"file":"rust","bytes":4012,"type":"rust","model":"rust","score":0.99997}
//!  summary/GROUP  {"group":"code","files":17,"bytes":61230,"types":{"rust":2,...},
//!                  "least":{"file":"cpp","score":0.617}}
//! ```
//! `model` and `score` are null where no model was asked. A score is written with as many digits as
//! tell it from every other `f32`. `least` is the file of which the model was least sure.

use core::fmt::Write as _;

use wasm_engine_agent::{Agent, Code, Host, Init, Item, Step, Text, Topic};

use crate::code;
use crate::groups::Group;
use crate::kinds::KINDS;
use crate::sorted::{NAME_BYTES_MAX, Sorted};

/// Longest verdict and summary; a name may need six bytes for each of its own.
const LINE_BYTES_MAX: usize = 2048;
/// Types that a summary counts by name; of further ones only the files are counted.
const TYPES_MAX: usize = 32;

/// The agent.
#[derive(Debug)]
pub struct Collector {
    group: Group,
    sorted: Topic,
    verdicts: Topic,
    summaries: Topic,
    files: u32,
    bytes: u64,
    /// Number of a kind and of its files, in the order in which they came.
    types: [(u16, u32); TYPES_MAX],
    least: Option<(Text<NAME_BYTES_MAX>, f32)>,
    is_changed: bool,
}

impl Agent for Collector {
    fn init(init: &Init<'_>, host: &mut Host) -> Result<Self, Code> {
        let group = init.args_str().and_then(Group::named).ok_or(code::BAD_GROUP)?;
        let mut topic = |subject| {
            let mut name = Text::<32>::new();
            host.topic(name.str(subject).str("/").str(group.name()).as_str())
        };
        let (sorted, verdicts, summaries) =
            (topic("sorted")?, topic("verdict")?, topic("summary")?);
        host.subscribe(sorted)?;
        Ok(Self {
            group,
            sorted,
            verdicts,
            summaries,
            files: 0,
            bytes: 0,
            types: [(0, 0); TYPES_MAX],
            least: None,
            is_changed: false,
        })
    }

    fn receive(&mut self, item: &Item<'_>, host: &mut Host) -> Result<(), Code> {
        if item.topic() != Some(self.sorted) {
            return Ok(());
        }
        let file = Sorted::read(item.payload()).ok_or(code::BAD_PAYLOAD)?;
        self.count(&file);
        let mut line = Text::<LINE_BYTES_MAX>::new();
        line.str("{\"file\":").quoted(file.name);
        // What does not fit is left out whole, and the line then is no JSON: none is so long.
        let _ = write!(line, ",\"bytes\":{},\"type\":\"{}\"", file.len, file.kind().label);
        match file.model {
            Some((model, score)) => {
                let label = KINDS[usize::from(model)].label;
                let _ = write!(line, ",\"model\":\"{label}\",\"score\":{score}}}");
            }
            None => {
                line.str(",\"model\":null,\"score\":null}");
            }
        }
        host.publish(self.verdicts, line.as_bytes())?;
        Ok(())
    }

    fn step(&mut self, _step: &Step, host: &mut Host) -> Result<(), Code> {
        if core::mem::take(&mut self.is_changed) {
            host.publish(self.summaries, self.summary().as_bytes())?;
        }
        Ok(())
    }
}

impl Collector {
    fn count(&mut self, file: &Sorted<'_>) {
        self.is_changed = true;
        self.files = self.files.saturating_add(1);
        self.bytes = self.bytes.saturating_add(file.len);
        let slot = self.types.iter_mut().find(|(kind, n)| *n == 0 || *kind == file.kind);
        if let Some(slot) = slot {
            *slot = (file.kind, slot.1.saturating_add(1));
        }
        if let Some((_, score)) = file.model
            && self.least.is_none_or(|(_, least)| score < least)
        {
            let mut name = Text::new();
            name.str(file.name);
            self.least = Some((name, score));
        }
    }

    fn summary(&self) -> Text<LINE_BYTES_MAX> {
        let mut line = Text::new();
        let (group, files, bytes) = (self.group.name(), self.files, self.bytes);
        let _ = write!(
            line,
            "{{\"group\":\"{group}\",\"files\":{files},\"bytes\":{bytes},\"types\":{{"
        );
        let counted = self.types.iter().filter(|(_, n)| *n > 0);
        for (index, (kind, n)) in counted.enumerate() {
            let comma = if index > 0 { "," } else { "" };
            let _ = write!(line, "{comma}\"{}\":{n}", KINDS[usize::from(*kind)].label);
        }
        line.str("},\"least\":");
        match &self.least {
            Some((name, score)) => {
                line.str("{\"file\":").quoted(name.as_str());
                let _ = write!(line, ",\"score\":{score}}}}}");
            }
            None => {
                line.str("null}");
            }
        }
        line
    }
}

#[cfg(test)]
mod tests {
    use std::string::String;
    use std::vec::Vec;

    use wasm_engine_agent::recording::Call;
    use wasm_engine_agent::{Context, ItemHeader, frame};

    use super::*;
    use crate::kinds::TXT;
    use crate::sorted::BYTES_MAX;

    fn published(host: &mut Host) -> Vec<(String, String)> {
        let call = |call| match call {
            Call::Publish { topic, payload } => {
                Some((topic, String::from_utf8(payload).expect("a text")))
            }
            _ => None,
        };
        host.take().into_iter().filter_map(|recorded| call(recorded.call)).collect()
    }

    #[test]
    fn files_are_counted_by_type() {
        let mut host = Host::recording();
        let init = Init::new(Context::default(), b"text");
        let mut collector = Collector::init(&init, &mut host).expect("a group");
        let step = Step::new(Context::default());
        for (name, kind, model) in [
            ("a", TXT, None),
            ("b\"", TXT, Some((TXT, 0.625))),
            ("c", 0, Some((0, 0.1))),
            ("d", 0, Some((1, 0.25))),
        ] {
            let file = Sorted { name, len: 10, kind, model };
            let mut buffer = [0; BYTES_MAX];
            let header = ItemHeader {
                kind: frame::item::MESSAGE,
                topic: collector.sorted.raw(),
                ..ItemHeader::default()
            };
            let item = Item::new(header, file.write(&mut buffer));
            assert_eq!(collector.receive(&item, &mut host), Ok(()));
        }
        assert_eq!(collector.step(&step, &mut host), Ok(()));
        assert_eq!(collector.step(&step, &mut host), Ok(()), "nothing new, nothing said");
        let lines = published(&mut host);
        let expected = [
            ("verdict/text", r#"{"file":"a","bytes":10,"type":"txt","model":null,"score":null}"#),
            (
                "verdict/text",
                r#"{"file":"b\"","bytes":10,"type":"txt","model":"txt","score":0.625}"#,
            ),
            ("verdict/text", r#"{"file":"c","bytes":10,"type":"3gp","model":"3gp","score":0.1}"#),
            ("verdict/text", r#"{"file":"d","bytes":10,"type":"3gp","model":"ace","score":0.25}"#),
            (
                "summary/text",
                concat!(
                    r#"{"group":"text","files":4,"bytes":40,"types":{"txt":2,"3gp":2},"#,
                    r#""least":{"file":"c","score":0.1}}"#
                ),
            ),
        ];
        let lines: Vec<_> = lines.iter().map(|(topic, line)| (&**topic, &**line)).collect();
        assert_eq!(lines, expected);
    }

    #[test]
    fn the_longest_summary_fits() {
        let mut host = Host::recording();
        let init = Init::new(Context::default(), b"code");
        let mut collector = Collector::init(&init, &mut host).expect("a group");
        let name = "\u{1}".repeat(NAME_BYTES_MAX);
        for kind in 0..64 {
            let model = Some((kind, f32::MIN_POSITIVE * (64 - kind) as f32));
            collector.count(&Sorted { name: &name, len: u64::MAX, kind, model });
        }
        let summary = collector.summary();
        assert!(!summary.is_cut() && summary.as_str().ends_with("}}"), "{}", summary.as_str());
        assert!(summary.as_bytes().len() > 1700);
    }
}
