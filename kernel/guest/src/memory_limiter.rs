//! How far a guest's memory and table may grow.

use wasmtime::ResourceLimiter;

use crate::profile::TABLE_ELEMENTS_MAX;

/// Decides growth from declared numbers only, never from what the machine has left.
#[derive(Debug, Default)]
pub(crate) struct MemoryLimiter {
    /// Bytes that the memory of the agent whose turn it is may grow to.
    pub(crate) bytes_max: usize,
}

/// The machine could not give what the limits grant.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct GrowFailed(pub(crate) String);

impl ResourceLimiter for MemoryLimiter {
    fn memory_growing(
        &mut self,
        _current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(desired <= self.bytes_max && maximum.is_none_or(|maximum| desired <= maximum))
    }

    /// Only reached within the limits above: T10, never −1 for the guest.
    fn memory_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        Err(GrowFailed(format!("{error:#}")).into())
    }

    /// Admitted modules cannot grow a table; this is asked once, for its initial size.
    fn table_growing(
        &mut self,
        _current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let max = TABLE_ELEMENTS_MAX as usize;
        Ok(desired <= max && maximum.is_none_or(|maximum| desired <= maximum))
    }

    /// How many seats a lane has, it decides itself (`seats/`).
    fn instances(&self) -> usize {
        usize::MAX
    }

    fn memories(&self) -> usize {
        usize::MAX
    }

    fn tables(&self) -> usize {
        usize::MAX
    }

    fn table_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        Err(GrowFailed(format!("{error:#}")).into())
    }
}
