//! The one store of a lane.
//!
//! Instances of a store live as long as it does, so to be rid of some the store is replaced.

use std::ops::{Deref, DerefMut};

use wasmtime::{Engine, Store};

use crate::turn::Host;

/// The store of a lane, which is there but for the moment in which the next takes over.
pub(crate) struct LaneStore(Option<Store<Host>>);

impl LaneStore {
    pub(crate) fn new(engine: &Engine, host: Host) -> Self {
        let mut store = Store::new(engine, host);
        store.limiter(Host::limiter);
        Self(Some(store))
    }

    /// Drops all instances; their memories are free before another is made.
    pub(crate) fn renew(&mut self, engine: &Engine) {
        if let Some(former) = self.0.take() {
            *self = Self::new(engine, former.into_data());
        }
    }
}

const PRESENT: &str = "a lane has a store whenever `renew` is not at work";

impl Deref for LaneStore {
    type Target = Store<Host>;

    #[inline]
    fn deref(&self) -> &Store<Host> {
        self.0.as_ref().expect(PRESENT)
    }
}

impl DerefMut for LaneStore {
    #[inline]
    fn deref_mut(&mut self) -> &mut Store<Host> {
        self.0.as_mut().expect(PRESENT)
    }
}
