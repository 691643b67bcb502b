//! From probabilities to segments: speech begins at one bound and ends below a lower one.
//!
//! ```text
//!  probability
//!   0.50 ----------*--------------------------------  begins at the first window that reaches it
//!   0.35 -------------------*-----------------------  may end at the first one below it ...
//!                  |<-speech>|<- 100 ms or more ->|   ... if none in 100 ms from there reaches 0.5
//! ```
//! Speech of 250 ms or less is dropped. A segment is made 30 ms longer at both ends, within the
//! stream. That is the rule of the package with its defaults; segments are never so close that
//! these 30 ms would meet, for the silence between them has at least 100. There is no longest
//! segment.

use crate::heard::Heard;

/// Speech begins at this probability.
const BEGIN: f64 = 0.5;
/// And may end below this one. Compared as 64 bits: the nearest `f32` lies below it.
const END: f64 = 0.35;
/// Samples of silence that end it: 100 ms.
const SILENCE_MIN: u64 = 1_600;
/// It has more samples than this: 250 ms.
const SPEECH_MIN: u64 = 4_000;
/// By which it is made longer at each end: 30 ms.
const PADDING: u64 = 480;
/// Samples of a whole window.
const WINDOW: u32 = 512;

/// Speech, in samples from the beginning of the stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Segment {
    /// First sample.
    pub start: u64,
    /// Sample behind the last one.
    pub end: u64,
}

impl Segment {
    /// Samples in it.
    #[must_use]
    pub const fn samples(self) -> u64 {
        self.end.saturating_sub(self.start)
    }

    /// Speech between two samples of a stream that has `stream` samples at least, with what is
    /// added at the ends; none if it is too short.
    fn padded(start: u64, end: u64, stream: u64) -> Option<Self> {
        let is_long = end.saturating_sub(start) > SPEECH_MIN;
        let padded =
            Self { start: start.saturating_sub(PADDING), end: (end + PADDING).min(stream) };
        is_long.then_some(padded)
    }
}

/// Where a stream stands.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub enum Hysteresis {
    /// Between segments.
    #[default]
    Silence,
    /// In one.
    Speech {
        /// Its first sample.
        start: u64,
        /// Since when the probability is below the lower bound, or between the two.
        silent_from: Option<u64>,
    },
}

impl Hysteresis {
    /// Takes the next window; gives a segment that ends with it. A window of fewer than 512
    /// samples ends the stream.
    pub fn take(&mut self, heard: &Heard) -> Option<Segment> {
        let segment = if heard.samples > 0 { self.probable(heard) } else { None };
        let stream = heard.start + u64::from(heard.samples);
        match *self {
            Self::Speech { start, .. } if heard.samples < WINDOW => {
                *self = Self::Silence;
                Segment::padded(start, stream, stream)
            }
            _ => segment,
        }
    }

    fn probable(&mut self, heard: &Heard) -> Option<Segment> {
        let now = heard.start;
        let probability = f64::from(heard.probability);
        let is_speech = probability >= BEGIN;
        match *self {
            Self::Silence if is_speech => {
                *self = Self::Speech { start: now, silent_from: None };
            }
            Self::Silence => {}
            Self::Speech { start, .. } if is_speech => {
                *self = Self::Speech { start, silent_from: None };
            }
            Self::Speech { start, silent_from } if probability < END => {
                // The package knows no silence from sample 0 on; there none can be in speech.
                let from = silent_from.unwrap_or(now);
                if now - from >= SILENCE_MIN {
                    *self = Self::Silence;
                    // There is more of the stream than is added behind.
                    return Segment::padded(start, from, now);
                }
                *self = Self::Speech { start, silent_from: Some(from) };
            }
            // Between the bounds a silence that began goes on, and none begins or ends.
            Self::Speech { .. } => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;

    /// The segments of a stream: a digit is a window of so many tenths, the rest of its samples.
    fn segments(windows: &str, rest: u32) -> Vec<(u64, u64)> {
        let mut state = Hysteresis::default();
        let mut found = Vec::new();
        let digits: Vec<f32> =
            windows.bytes().map(|digit| f32::from(digit - b'0') / 10.0 + 0.01).collect();
        for (index, probability) in digits.iter().enumerate() {
            let last = index + 1 == digits.len();
            let samples = if last && rest > 0 { rest } else { WINDOW };
            let start = 512 * index as u64;
            found.extend(state.take(&Heard { start, samples, probability: *probability }));
        }
        if rest == 0 {
            let start = 512 * digits.len() as u64;
            found.extend(state.take(&Heard { start, samples: 0, probability: 0.0 }));
        }
        assert_eq!(state, Hysteresis::Silence, "the stream has ended");
        found.iter().map(|segment| (segment.start, segment.end)).collect()
    }

    #[test]
    fn speech_ends_with_a_silence_of_100_ms() {
        // Four windows later is 2,048 samples, the first beyond 1,600.
        assert_eq!(segments("00999999999900000", 0), [(2 * 512 - 480, 12 * 512 + 480)]);
        // Three windows of silence are 1,536 samples.
        let one = [(2 * 512 - 480, 25 * 512)];
        assert_eq!(segments("0099999999990000999999999", 0), one);
        let two = [(2 * 512 - 480, 12 * 512 + 480), (17 * 512 - 480, 26 * 512)];
        assert_eq!(segments("00999999999900000999999999", 0), two);
    }

    #[test]
    fn between_the_bounds_nothing_begins_or_ends() {
        assert_eq!(segments("444444444444444444", 0), []);
        assert_eq!(segments("994444444444444444444", 0), [(0, 21 * 512)]);
        // A silence goes on through it: it began at window 10.
        assert_eq!(segments("99999999990444000000", 0), [(0, 10 * 512 + 480)]);
    }

    #[test]
    fn what_is_short_is_dropped() {
        // 7 windows are 3,584 samples, 8 are 4,096.
        assert_eq!(segments("0999999900000", 0), []);
        assert_eq!(segments("09999999900000", 0), [(32, 9 * 512 + 480)]);
        // At the end of the stream as well: 3,584 + 416 are 4,000.
        assert_eq!(segments("099999999", 416), []);
        assert_eq!(segments("099999999", 417), [(32, 512 + 4_001)]);
    }

    #[test]
    fn the_end_of_the_stream_ends_speech() {
        assert_eq!(segments("99999999999", 100), [(0, 10 * 512 + 100)]);
        // Also after a silence that was too short to end it.
        assert_eq!(segments("9999999999900", 0), [(0, 13 * 512)]);
        assert_eq!(segments("", 0), []);
    }
}
