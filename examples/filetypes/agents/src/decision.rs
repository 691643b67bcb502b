//! From the model's scores to the kind that a file is given.
//!
//! The best label is believed if its score reaches the label's threshold. Else, and for labels that
//! are always replaced, the file is text or unknown: the model mostly knows that much.

use crate::kinds::{KINDS, OF_MODEL, REPLACED, TXT, UNKNOWN};

/// What the model takes a file for.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Guess {
    /// Number of its label.
    pub kind: u16,
    /// How sure it is.
    pub score: f32,
}

impl Guess {
    /// The first of the best scores; none if they are not one for each label.
    #[must_use]
    pub fn best(scores: &[f32]) -> Option<Self> {
        if scores.len() != OF_MODEL {
            return None;
        }
        let mut best = Self { kind: 0, score: *scores.first()? };
        for (kind, score) in scores.iter().enumerate() {
            if *score > best.score {
                best = Self { kind: kind as u16, score: *score };
            }
        }
        best.score.is_finite().then_some(best)
    }

    /// The kind that the file is given.
    #[must_use]
    pub fn decide(self) -> u16 {
        let replaced = REPLACED.iter().find(|(label, _)| *label == self.kind);
        let kind = replaced.map_or(self.kind, |(_, other)| *other);
        // Compared as 64 bits: 0.9 is no f32.
        if f64::from(self.score) >= KINDS[usize::from(self.kind)].threshold {
            return kind;
        }
        generic(KINDS[usize::from(kind)].is_text)
    }
}

/// The kind of what is of no kind that is believed.
#[must_use]
pub const fn generic(is_text: bool) -> u16 {
    if is_text { TXT } else { UNKNOWN }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(label: &str) -> u16 {
        let at = KINDS.iter().position(|kind| kind.label == label).expect("a label");
        at as u16
    }

    fn decided(label: &str, score: f32) -> &'static str {
        KINDS[usize::from(Guess { kind: number(label), score }.decide())].label
    }

    #[test]
    fn a_label_is_believed_from_its_threshold_on() {
        assert_eq!(decided("rust", 0.5), "rust");
        assert_eq!(decided("rust", 0.499), "txt");
        assert_eq!(decided("png", 0.499), "unknown");
        assert_eq!(decided("markdown", 0.75), "markdown");
        assert_eq!(decided("markdown", 0.749), "txt");
        // The next f32 to 0.9 is above it, the one before below.
        assert_eq!(decided("zig", 0.9), "txt");
        assert_eq!(decided("zig", 0.900_000_04), "zig");
        assert_eq!(decided("ocaml", 0.89), "txt");
    }

    #[test]
    fn noise_is_never_believed() {
        assert_eq!(decided("randombytes", 1.0), "unknown");
        assert_eq!(decided("randomtxt", 1.0), "txt");
        assert_eq!(decided("randombytes", 0.1), "unknown");
    }

    #[test]
    fn the_first_of_equal_scores_wins() {
        let mut scores = [0.0; OF_MODEL];
        (scores[3], scores[9]) = (0.5, 0.5);
        assert_eq!(Guess::best(&scores), Some(Guess { kind: 3, score: 0.5 }));
        assert_eq!(Guess::best(&scores[1..]), None);
        assert_eq!(Guess::best(&[f32::NAN; OF_MODEL]), None);
    }
}
