//! The kernel's calls as a module imports them, made from the table of calls.
//!
//! Unsafe is each call itself: it passes addresses, which the kernel reads while the call lasts.
//! Nothing here decides anything; types are in `host.rs`.

/// The kernel's calls.
#[derive(Debug)]
pub(crate) struct Raw(());

impl Raw {
    /// The only way to them; for [`Host::kernel`](crate::Host::kernel).
    pub(crate) const fn new() -> Self {
        Self(())
    }
}

/// Makes a method of each call of the table: numbers as they are, slices as address and length.
macro_rules! raw_calls {
    ($(
        $name:ident($($param:ident: $form:ident),*) -> $answer:ident; $fuel:literal;
        $needs:ident $(($what:literal))?; $($effect:ident = $number:literal $fields:literal)?;
        $doc:literal;
    )*) => {
        impl Raw {
            $(raw_calls! { @ $name -> $answer, [] [] [] $($param: $form,)* })*
        }
    };
    (@ $name:ident -> $answer:ident, [$($params:tt)*] [$($import:ty,)*] [$($args:tt)*]) => {
        pub(crate) fn $name(&mut self, $($params)*) -> raw_calls!(@$answer) {
            #[link(wasm_import_module = "wasm_engine")]
            unsafe extern "C" {
                fn $name($(_: $import,)*) -> raw_calls!(@$answer);
            }
            // SAFETY: each address and length are those of a live slice, which the kernel only
            // reads, and only during the call.
            unsafe { $name($($args)*) }
        }
    };
    (@ $name:ident -> $answer:ident, [$($params:tt)*] [$($import:tt)*] [$($args:tt)*]
        $param:ident: u32, $($rest:tt)*) => {
        raw_calls! { @ $name -> $answer,
            [$($params)* $param: u32,] [$($import)* u32,] [$($args)* $param,] $($rest)* }
    };
    (@ $name:ident -> $answer:ident, [$($params:tt)*] [$($import:tt)*] [$($args:tt)*]
        $param:ident: u64, $($rest:tt)*) => {
        raw_calls! { @ $name -> $answer,
            [$($params)* $param: u64,] [$($import)* u64,] [$($args)* $param,] $($rest)* }
    };
    // Text, bytes, floats.
    (@ $name:ident -> $answer:ident, [$($params:tt)*] [$($import:tt)*] [$($args:tt)*]
        $param:ident: $slice:ident, $($rest:tt)*) => {
        raw_calls! { @ $name -> $answer,
            [$($params)* $param: &[u8],] [$($import)* *const u8, usize,]
            [$($args)* $param.as_ptr(), $param.len(),] $($rest)* }
    };
    (@sequence) => { i64 };
    (@number) => { u64 };
    (@handle) => { i32 };
    (@status) => { i32 };
}
wasm_engine_abi::calls!(raw_calls);
