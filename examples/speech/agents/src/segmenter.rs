//! The segmenter: shows probabilities, makes segments of speech of them, and a total at the end.
//!
//! ```text
//!  window/KEY   {"stream":"all","start":5632,"probability":0.9412}
//!  segment/KEY  {"stream":"all","start":5152,"end":110560,"start_s":0.322,"end_s":6.910}
//!  total/KEY    {"stream":"all","samples":395680,"segments":5,"speech":361472}
//! ```
//! Numbers without `_s` are samples. A probability is written with as many digits as tell it from
//! every other `f32`. Seconds are rounded to thousandths, half up.

use core::fmt::Write as _;

use wasm_engine_agent::{Agent, Code, Host, Init, Item, Text, Topic};

use crate::code;
use crate::ear::{RATE, WINDOW};
use crate::heard::Heard;
use crate::hysteresis::{Hysteresis, Segment};
use crate::stream::Stream;

/// Longest line: the key as JSON, four numbers and the words around them.
const LINE_BYTES_MAX: usize = 1024;

/// The agent.
#[derive(Debug)]
pub struct Segmenter {
    stream: Stream,
    probabilities: Topic,
    windows: Topic,
    segments: Topic,
    totals: Topic,
    hysteresis: Hysteresis,
    count: u32,
    speech: u64,
}

impl Agent for Segmenter {
    fn init(init: &Init<'_>, host: &mut Host) -> Result<Self, Code> {
        let stream = Stream::from_args(init)?;
        let probabilities = stream.topic("probability", host)?;
        host.subscribe(probabilities)?;
        Ok(Self {
            stream,
            probabilities,
            windows: stream.topic("window", host)?,
            segments: stream.topic("segment", host)?,
            totals: stream.topic("total", host)?,
            hysteresis: Hysteresis::default(),
            count: 0,
            speech: 0,
        })
    }

    fn receive(&mut self, item: &Item<'_>, host: &mut Host) -> Result<(), Code> {
        if item.topic() != Some(self.probabilities) {
            return Ok(());
        }
        let heard: Heard = item.payload_as().ok_or(code::BAD_PAYLOAD)?;
        if heard.samples > 0 {
            let mut line = self.line();
            line.str(",\"start\":").integer(heard.start as i64);
            // What does not fit is left out whole: no line is so long.
            let _ = write!(line, ",\"probability\":{}}}", heard.probability);
            host.publish(self.windows, line.as_bytes())?;
        }
        if let Some(segment) = self.hysteresis.take(&heard) {
            self.count += 1;
            self.speech += segment.samples();
            host.publish(self.segments, self.segment(segment).as_bytes())?;
        }
        if (heard.samples as usize) < WINDOW {
            let samples = heard.start + u64::from(heard.samples);
            let mut line = self.line();
            line.str(",\"samples\":").integer(samples as i64);
            line.str(",\"segments\":").integer(self.count.into());
            line.str(",\"speech\":").integer(self.speech as i64).str("}");
            host.publish(self.totals, line.as_bytes())?;
        }
        Ok(())
    }
}

impl Segmenter {
    fn segment(&self, segment: Segment) -> Text<LINE_BYTES_MAX> {
        let (start, end) = (segment.start as i64, segment.end as i64);
        let thousandths = |samples: i64| (samples * 1_000 + RATE / 2) / RATE;
        let mut line = self.line();
        line.str(",\"start\":").integer(start).str(",\"end\":").integer(end);
        line.str(",\"start_s\":").decimal(thousandths(start), 3);
        line.str(",\"end_s\":").decimal(thousandths(end), 3).str("}");
        line
    }

    fn line(&self) -> Text<LINE_BYTES_MAX> {
        let mut line = Text::new();
        line.str("{\"stream\":").quoted(self.stream.key());
        line
    }
}

#[cfg(test)]
mod tests {
    use std::string::String;
    use std::vec::Vec;

    use wasm_engine_agent::recording::Call;
    use wasm_engine_agent::{Context, ItemHeader, bytemuck, frame};

    use super::*;

    #[test]
    fn segments_and_a_total_are_published() {
        let mut host = Host::recording();
        let init = Init::new(Context::default(), b"one");
        let mut segmenter = Segmenter::init(&init, &mut host).expect("all is there");
        host.take();
        for window in 0..30_u64 {
            let samples = if window == 29 { 100 } else { 512 };
            let probability = if (3..15).contains(&window) || window > 20 { 0.9 } else { 0.1 };
            let heard = Heard { start: 512 * window, samples, probability };
            let (kind, topic) = (frame::item::MESSAGE, segmenter.probabilities.raw());
            let header = ItemHeader { kind, topic, ..ItemHeader::default() };
            let item = Item::new(header, bytemuck::bytes_of(&heard));
            assert_eq!(segmenter.receive(&item, &mut host), Ok(()));
        }
        let lines: Vec<(String, String)> = host
            .take()
            .into_iter()
            .map(|recorded| match recorded.call {
                Call::Publish { topic, payload } => {
                    (topic, String::from_utf8(payload).expect("a text"))
                }
                call => panic!("{call:?}"),
            })
            .collect();
        let lines: Vec<_> = lines.iter().map(|(topic, line)| (&**topic, &**line)).collect();
        let (windows, lines): (Vec<_>, Vec<_>) =
            lines.into_iter().partition(|(topic, _)| *topic == "window/one");
        assert_eq!(windows.len(), 30);
        assert_eq!(windows[3].1, r#"{"stream":"one","start":1536,"probability":0.9}"#);
        let expected = [
            (
                "segment/one",
                r#"{"stream":"one","start":1056,"end":8160,"start_s":0.066,"end_s":0.510}"#,
            ),
            (
                "segment/one",
                r#"{"stream":"one","start":10272,"end":14948,"start_s":0.642,"end_s":0.934}"#,
            ),
            ("total/one", r#"{"stream":"one","samples":14948,"segments":2,"speech":11780}"#),
        ];
        assert_eq!(lines, expected);
    }
}
