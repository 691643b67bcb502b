//! Codes in published bytes: number, word and meaning, declared once by `codes!`.
//!
//! A code may be added; none changes its meaning. A reader shows one that it does not know as
//! `unknown`. Outputs take the words from these tables, `docs/REGION.md` the meanings too.

/// One code of a table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Code {
    /// The number.
    pub value: u32,
    /// Its word.
    pub text: &'static str,
    /// What it means: its documentation.
    pub doc: &'static str,
}

/// Declares a module of codes: a constant each, all of them as a list, and their words.
macro_rules! codes {
    ($(#[doc = $about:literal])* $module:ident: $type:ty {
        $($(#[doc = $doc:literal])* $name:ident = $value:literal $text:literal,)*
    } $($item:item)*) => {
        $(#[doc = $about])*
        pub mod $module {
            $($(#[doc = $doc])* pub const $name: $type = $value;)*

            /// What they are: the documentation of this module.
            pub const ABOUT: &str = concat!($($about),*).trim_ascii();

            /// All of them, in order.
            pub const ALL: &[$crate::code::Code] = &[$($crate::code::Code {
                value: $value,
                text: $text,
                doc: concat!($($doc),*).trim_ascii(),
            },)*];

            /// The word for a code.
            #[must_use]
            pub const fn text(code: $type) -> &'static str {
                match code {
                    $($name => $text,)*
                    _ => "unknown",
                }
            }

            $($item)*
        }
    };
}
pub(crate) use codes;

#[cfg(test)]
mod tests {
    use crate::frame::fault;
    use crate::page::{
        agent_state, event, lane_state, model_state, provider, run_state, section, stall,
    };

    #[test]
    fn codes_and_words_are_unique_and_documented() {
        let tables = [
            agent_state::ALL,
            event::ALL,
            fault::ALL,
            lane_state::ALL,
            model_state::ALL,
            provider::ALL,
            run_state::ALL,
            section::ALL,
            stall::ALL,
        ];
        for table in tables {
            for (at, code) in table.iter().enumerate() {
                let later = &table[at + 1..];
                assert!(later.iter().all(|b| code.value != b.value && code.text != b.text));
                assert!(code.doc.ends_with('.'), "{code:?}");
            }
        }
        assert_eq!((fault::text(7), fault::text(99)), ("misuse of a host call", "unknown"));
        assert_eq!((stall::TEXT[stall::LOG], stall::text(stall::LOG)), ("log", "log"));
    }
}
