//! Numbered codes: number, word and meaning, declared once by [`codes!`](crate::codes).
//!
//! A code may be added; none changes its number or its meaning, and a reserved number stays without
//! one. A reader shows a code that it does not know as `unknown`. Outputs take the words from these
//! tables, `docs/REGION.md` the meanings too.

/// One code of a table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CodeEntry<T = u32> {
    /// The number.
    pub value: T,
    /// Its word.
    pub text: &'static str,
    /// What it means: its documentation.
    pub doc: &'static str,
}

/// Declares numbered codes: `module: type { NAME = number "word", }` makes a constant of each,
/// `enum Name: type { Variant = number "word", }` a type; both with all of them as a list, their
/// words, and the numbers `reserved [..]` for what does not exist.
#[macro_export]
macro_rules! codes {
    ($(#[doc = $about:literal])* enum $name:ident: $type:ident $(, reserved [$($hole:literal),+])? {
        $($(#[doc = $doc:literal])* $variant:ident = $value:literal $text:expr,)*
    }) => {
        $(#[doc = $about])*
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        #[repr($type)]
        pub enum $name { $($(#[doc = $doc])* $variant = $value,)* }

        impl $name {
            /// All of them, in order.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The same as number, word and meaning.
            pub const CODES: &'static [$crate::code::CodeEntry<$type>] = &[$(
                $crate::code::CodeEntry {
                    value: $value,
                    text: $text,
                    doc: concat!($($doc),*).trim_ascii(),
                },
            )*];

            /// Numbers that none of them may take.
            pub const RESERVED: &'static [$type] = &[$($($hole),+)?];

            /// The one with this number, if there is one.
            #[must_use]
            pub const fn from_code(code: $type) -> Option<Self> {
                match code {
                    $($value => Some(Self::$variant),)*
                    _ => None,
                }
            }

            /// What it is, in words.
            #[must_use]
            pub const fn text(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }
        }
    };
    ($(#[doc = $about:literal])* $module:ident: $type:ident $(, reserved [$($hole:literal),+])? {
        $($(#[doc = $doc:literal])* $name:ident = $value:literal $text:expr,)*
    } $($item:item)*) => {
        $(#[doc = $about])*
        pub mod $module {
            $($(#[doc = $doc])* pub const $name: $type = $value;)*

            /// What they are: the documentation of this module.
            pub const ABOUT: &str = concat!($($about),*).trim_ascii();

            /// All of them, in order.
            pub const ALL: &[$crate::code::CodeEntry<$type>] = &[$($crate::code::CodeEntry {
                value: $value,
                text: $text,
                doc: concat!($($doc),*).trim_ascii(),
            },)*];

            /// Numbers that none of them may take.
            pub const RESERVED: &[$type] = &[$($($hole),+)?];

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

#[cfg(test)]
mod tests {
    use crate::calls::Status;
    use crate::frame::{effect, fault, item, turn};
    use crate::page::{agent_state, event, lane_state, model_state, run_state, section, stall};
    use crate::record::{fact, kind};
    use crate::task::{on_failure, task_state};

    /// Checks a table: its codes apart from each other and from the reserved numbers.
    macro_rules! check {
        ($($table:path => $all:expr, $reserved:expr, $text:expr;)*) => {$(
            for (at, code) in $all.iter().enumerate() {
                let later = &$all[at + 1..];
                assert!(later.iter().all(|b| code.value != b.value && code.text != b.text));
                assert!(code.doc.ends_with('.') && !code.text.is_empty(), "{code:?}");
                assert!(!$reserved.contains(&code.value), "{code:?} has a reserved number");
                assert_eq!($text(code.value), code.text);
            }
            assert!($reserved.iter().all(|number| $text(*number) == "unknown"));
        )*};
        ($($module:ident)*) => {
            check! { $($module::text => $module::ALL, $module::RESERVED, $module::text;)* }
        };
    }

    #[test]
    fn codes_and_words_are_unique_and_documented() {
        check! {
            agent_state effect event fact fault item kind lane_state model_state on_failure
            run_state section stall task_state turn
        }
        let text = |code| Status::from_code(code).map_or("unknown", Status::text);
        check! { Status => Status::CODES, Status::RESERVED, text; }
        assert_eq!((fault::text(7), fault::text(99)), ("misuse of a host call", "unknown"));
    }

    #[test]
    fn a_status_has_the_number_of_its_code() {
        for (status, code) in Status::ALL.iter().zip(Status::CODES) {
            assert_eq!(
                (*status as i32, Status::from_code(code.value)),
                (code.value, Some(*status))
            );
        }
        let other = (-20..=20).filter(|code| Status::CODES.iter().all(|c| c.value != *code));
        assert!(other.map(Status::from_code).all(|status| status.is_none()));
    }
}
