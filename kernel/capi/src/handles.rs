//! Numbers in place of pointers: what a handle names, and that one call at a time uses it.
//!
//! A number is never used twice, so one that is over never means something else. Each thing has a
//! lock that nobody waits for: a call that finds it taken is refused. The table's own lock is held
//! for a look only; in a fork of the process, where another thread may have held it, it is tried
//! and given up.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, OnceLock, RwLock, RwLockReadGuard, RwLockWriteGuard, TryLockError,
        TryLockResult,
    },
};

use crate::result::{Failure, we_result};

/// Times that a fork of the process looks whether the table's lock is free.
const TRIES: u32 = 1000;
/// Bits of a number below its kind.
const KIND_SHIFT: u32 = 48;

/// The process that first had a handle.
static OWNER: OnceLock<u32> = OnceLock::new();

/// All things of one kind.
pub(crate) struct HandleTable<T> {
    kind: u16,
    /// In words, for messages.
    what: &'static str,
    entries: RwLock<HeldThings<T>>,
}

struct HeldThings<T> {
    made: u64,
    by_handle: BTreeMap<u64, Arc<HeldThing<T>>>,
}

struct HeldThing<T> {
    /// Nothing once it was taken.
    value: Mutex<Option<T>>,
    pid: u32,
}

impl<T> HandleTable<T> {
    pub(crate) const fn new(kind: u16, what: &'static str) -> Self {
        let entries = HeldThings { made: 0, by_handle: BTreeMap::new() };
        Self { kind, what, entries: RwLock::new(entries) }
    }

    /// Gives a thing its number, which it may know.
    pub(crate) fn insert(&self, make: impl FnOnce(u64) -> T) -> Result<u64, Failure> {
        OWNER.get_or_init(std::process::id);
        let mut entries = self.write()?;
        entries.made += 1;
        let handle = u64::from(self.kind) << KIND_SHIFT | entries.made;
        let entry = HeldThing { value: Mutex::new(Some(make(handle))), pid: std::process::id() };
        entries.by_handle.insert(handle, Arc::new(entry));
        Ok(handle)
    }

    /// Uses a thing.
    pub(crate) fn with<R>(
        &self,
        handle: u64,
        usage: impl FnOnce(&mut T) -> Result<R, Failure>,
    ) -> Result<R, Failure> {
        let entry = self.find(handle)?;
        let mut value = match entry.value.try_lock() {
            Ok(value) => value,
            Err(TryLockError::WouldBlock) => return Err(self.busy(&entry)),
            Err(TryLockError::Poisoned(_)) => {
                let text = format!("an earlier call with this {} had a bug; close it", self.what);
                return Err(Failure::new(we_result::Failed, text));
            }
        };
        usage(value.as_mut().ok_or_else(|| self.gone(handle))?)
    }

    /// Takes a thing out: its number names nothing from now on. A fork takes nothing of its
    /// parent's, whose threads are not there to be ended.
    pub(crate) fn take(&self, handle: u64) -> Result<T, Failure> {
        let entry = self.find(handle)?;
        if entry.pid != std::process::id() {
            return Err(forked());
        }
        let value = match entry.value.try_lock() {
            Ok(mut value) => value.take(),
            Err(TryLockError::WouldBlock) => return Err(self.busy(&entry)),
            // What a panic left can still be ended.
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner().take(),
        };
        self.write()?.by_handle.remove(&handle);
        value.ok_or_else(|| self.gone(handle))
    }

    fn find(&self, handle: u64) -> Result<Arc<HeldThing<T>>, Failure> {
        let entries = self.read()?;
        entries.by_handle.get(&handle).cloned().ok_or_else(|| self.gone(handle))
    }

    fn read(&self) -> Result<RwLockReadGuard<'_, HeldThings<T>>, Failure> {
        acquire(
            || self.entries.try_read(),
            || self.entries.read().unwrap_or_else(|e| e.into_inner()),
        )
    }

    fn write(&self) -> Result<RwLockWriteGuard<'_, HeldThings<T>>, Failure> {
        acquire(
            || self.entries.try_write(),
            || self.entries.write().unwrap_or_else(|e| e.into_inner()),
        )
    }

    fn gone(&self, handle: u64) -> Failure {
        let text = format!(
            "{handle:#x} is not a {}: it never was, or it has been closed, started or freed",
            self.what
        );
        Failure::new(we_result::Handle, text)
    }

    fn busy(&self, entry: &HeldThing<T>) -> Failure {
        if entry.pid != std::process::id() {
            return forked();
        }
        let text = format!(
            "another call with this {} is under way, in another thread or around this callback; \
             wait until it has returned",
            self.what
        );
        Failure::new(we_result::Busy, text)
    }
}

/// A lock of the table, waited for unless this is a fork.
fn acquire<G>(
    attempt: impl Fn() -> TryLockResult<G>,
    wait: impl FnOnce() -> G,
) -> Result<G, Failure> {
    let tried = || match attempt() {
        Ok(guard) => Some(guard),
        Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    };
    if let Some(guard) = tried() {
        return Ok(guard);
    }
    if OWNER.get().is_none_or(|owner| *owner == std::process::id()) {
        return Ok(wait());
    }
    let again = || {
        std::thread::yield_now();
        tried()
    };
    (0..TRIES).find_map(|_| again()).ok_or_else(forked)
}

fn forked() -> Failure {
    let text = "this process was forked from the one that the handle is of, whose threads it does \
                not have; start another kernel here";
    Failure::new(we_result::Forked, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result<R: std::fmt::Debug>(of: Result<R, Failure>) -> we_result {
        of.expect_err("it is refused").result
    }

    #[test]
    fn a_number_names_one_thing_and_after_it_nothing() {
        let handles: HandleTable<u32> = HandleTable::new(7, "number");
        let one = handles.insert(|_| 1).expect("room");
        let two = handles.insert(|_| 2).expect("room");
        assert_eq!(handles.with(one, |value| Ok(*value)).expect("it is there"), 1);
        assert_eq!(handles.take(one).expect("it is there"), 1);
        assert_eq!(result(handles.take(one)), we_result::Handle);
        assert_eq!(result(handles.with(one, |_| Ok(()))), we_result::Handle);
        let three = handles.insert(|_| 3).expect("room");
        assert!(three != one && three != two, "no number comes again");
        for garbage in [0, 1, 2, u64::MAX, one ^ 1 << 60] {
            assert_eq!(result(handles.with(garbage, |_| Ok(()))), we_result::Handle);
        }
    }

    #[test]
    fn a_thing_in_use_is_busy_and_after_a_panic_only_to_be_taken() {
        let handles: HandleTable<u32> = HandleTable::new(7, "number");
        let one = handles.insert(|_| 1).expect("room");
        let inside = handles.with(one, |_| {
            assert_eq!(result(handles.with(one, |_| Ok(()))), we_result::Busy);
            std::thread::scope(|scope| {
                let other = scope.spawn(|| result(handles.take(one)));
                assert_eq!(other.join().expect("it ends"), we_result::Busy);
            });
            Ok(())
        });
        inside.expect("it is there");
        let usage = || handles.with(one, |_| -> Result<(), Failure> { panic!("a bug") });
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(usage)).is_err());
        assert_eq!(result(handles.with(one, |_| Ok(()))), we_result::Failed);
        assert_eq!(handles.take(one).expect("what is left"), 1);
    }
}
