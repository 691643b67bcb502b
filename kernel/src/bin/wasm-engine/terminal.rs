//! What a terminal may be sent: colours, and characters that move the cursor.

use std::env;

/// Whether to write colours to a stream that is a terminal or is not.
///
/// `NO_COLOR` with any value, `CLICOLOR=0` and `TERM=dumb` mean no; `CLICOLOR_FORCE` with a value
/// other than 0 means yes even where no terminal is.
pub(crate) fn colour(terminal: bool) -> bool {
    colour_by(|name| env::var_os(name).map(|value| value.to_string_lossy().into_owned()), terminal)
}

/// Whether a terminal obeys characters that move the cursor.
pub(crate) fn moves() -> bool {
    env::var_os("TERM").is_none_or(|term| term != "dumb")
}

fn colour_by(get: impl Fn(&str) -> Option<String>, terminal: bool) -> bool {
    let is = |name: &str, wanted: &str| get(name).is_some_and(|value| value == wanted);
    let set = |name: &str| get(name).is_some_and(|value| !value.is_empty());
    if set("NO_COLOR") {
        return false;
    }
    if set("CLICOLOR_FORCE") && !is("CLICOLOR_FORCE", "0") {
        return true;
    }
    terminal && !is("CLICOLOR", "0") && !is("TERM", "dumb")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_wants_no_colour_gets_none() {
        for (set, terminal, expected) in [
            (&[][..], true, true),
            (&[], false, false),
            (&[("NO_COLOR", "1")], true, false),
            (&[("NO_COLOR", "")], true, true),
            (&[("CLICOLOR", "0")], true, false),
            (&[("CLICOLOR", "1")], true, true),
            (&[("TERM", "dumb")], true, false),
            (&[("CLICOLOR_FORCE", "1")], false, true),
            (&[("CLICOLOR_FORCE", "0")], false, false),
            (&[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")], false, false),
        ] {
            let get = |name: &str| {
                let found = set.iter().find(|(key, _)| *key == name);
                found.map(|(_, value)| (*value).to_owned())
            };
            assert_eq!(colour_by(get, terminal), expected, "{set:?} {terminal}");
        }
    }
}
