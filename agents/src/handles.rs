//! Numbers by which an agent names what it asked for and what is configured.

/// The agent's own sequence number of an accepted call. It counts on over incarnations.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Seq(u64);

impl Seq {
    /// The number as the kernel gives it.
    #[must_use]
    pub const fn from_raw(raw: u64) -> Self {
        Self(raw)
    }

    /// The number.
    #[must_use]
    pub const fn raw(self) -> u64 {
        self.0
    }
}

/// Makes the type of a handle.
macro_rules! handle {
    ($(#[doc = $doc:literal])* $name:ident) => {
        $(#[doc = $doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
        pub struct $name(u32);

        impl $name {
            /// The handle with this number, which need not exist.
            #[must_use]
            pub const fn from_raw(raw: u32) -> Self {
                Self(raw)
            }

            /// The number.
            #[must_use]
            pub const fn raw(self) -> u32 {
                self.0
            }
        }
    };
}

handle! {
    /// Handle of a configured topic, the same for every agent of a run.
    Topic
}

handle! {
    /// Handle of a configured model, the same for every agent of a run.
    Model
}
