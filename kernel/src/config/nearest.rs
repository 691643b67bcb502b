//! The known word that an unknown one was probably meant to be.

use strsim::damerau_levenshtein;

/// The one of `known` that is nearest to `word`, unless none is near: then a guess would mislead.
fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_ascii_lowercase();
    let far = (word.chars().count() + 1) / 3;
    let distance = |known: &str| damerau_levenshtein(&word, &known.to_ascii_lowercase());
    let near = known.into_iter().map(|known| (distance(known), known));
    near.filter(|(distance, _)| *distance <= far)
        .min_by_key(|(distance, _)| *distance)
        .map(|it| it.1)
}

/// ` (did you mean x?)`, or nothing.
#[must_use]
pub fn did_you_mean<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    nearest(word, known).map_or_else(String::new, |near| format!(" (did you mean `{near}`?)"))
}

/// A parser's message about an unknown key or word, with the nearest of those that it expects.
pub(super) fn with_nearest(message: &str) -> String {
    let Some((unknown, expected)) = message.split_once(", expected ") else {
        return message.to_owned();
    };
    let quoted = |text: &str| -> Vec<String> {
        text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
    };
    let (words, known) = (quoted(unknown), quoted(expected));
    let near = words.first().map(|word| did_you_mean(word, known.iter().map(String::as_str)));
    format!("{unknown}{}, expected {expected}", near.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_keyboard_is_near_and_another_word_is_not() {
        let known = ["seed", "schedule", "pace", "name"];
        for (word, expected) in [
            ("sede", Some("seed")),
            ("SEED", Some("seed")),
            ("shedule", Some("schedule")),
            ("packe", Some("pace")),
            ("colour", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, known), expected, "{word}");
        }
    }

    #[test]
    fn messages_of_the_parser_get_the_nearest_of_what_they_expect() {
        let one = with_nearest("unknown field `sede`, expected one of `name`, `seed`");
        let expected =
            "unknown field `sede` (did you mean `seed`?), expected one of `name`, `seed`";
        assert_eq!(one, expected);
        let far = "unknown field `colour`, expected `name` or `seed`";
        assert_eq!(with_nearest(far), far);
        assert_eq!(with_nearest("invalid type: string"), "invalid type: string");
    }
}
