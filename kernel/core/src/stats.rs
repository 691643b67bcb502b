//! Counts of a run.

use wasm_engine_abi::{counters, page::KernelPage};

use crate::codec::coded;

/// The counters that the table gives to the state machine.
macro_rules! stats {
    (
        core { $($name:ident $(as $report:ident)?: $kind:ident $unit:ident, $help:literal;)* }
        $($rest:tt)*
    ) => {
        /// Counts over the run so far; all logical, so equal in every execution.
        #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
        pub struct Stats { $(#[doc = $help] pub $name: u64,)* }

        impl Stats {
            /// Writes all of them to the page that monitors read.
            pub fn write_to(&self, page: &mut KernelPage) {
                $(page.$name = self.$name;)*
            }
        }

        coded!(Stats { $($name),* });
    };
}
counters!(stats);
