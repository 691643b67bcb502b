//! Names of things inside a run: agents by address, states by digest, time by tick.
//!
//! Ids are logical: they depend on the configuration and the inputs only, never on threads,
//! pointers or the clock.

use core::fmt;

use bytemuck::{Pod, Zeroable};

/// Number of a tick, the logical clock of a run (SEMANTICS T1). Tick 0 initialises.
pub type Tick = u64;

/// An agent's address: slot index and the generation of that slot (SEMANTICS A7).
///
/// The generation changes when a slot is reused, so that mail to a former agent has a defined
/// answer. A restart keeps the address. On the wire and for guests it is one `u64`:
/// `generation << 32 | index`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Pod, Zeroable)]
#[repr(transparent)]
pub struct AgentId(u64);

impl AgentId {
    /// No agent: what a host, a source or the kernel itself appears as.
    pub const NONE: Self = Self(u64::MAX);

    /// The agent in slot `index` of generation `generation`.
    #[inline]
    #[must_use]
    pub const fn new(index: u32, generation: u32) -> Self {
        Self((generation as u64) << 32 | index as u64)
    }

    /// The address from its wire form; any value is an address, not every one names an agent.
    #[inline]
    #[must_use]
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// The wire form.
    #[inline]
    #[must_use]
    pub const fn to_bits(self) -> u64 {
        self.0
    }

    /// The slot.
    #[inline]
    #[must_use]
    pub const fn index(self) -> u32 {
        self.0 as u32
    }

    /// The generation of the slot.
    #[inline]
    #[must_use]
    pub const fn generation(self) -> u32 {
        (self.0 >> 32) as u32
    }
}

impl fmt::Display for AgentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::NONE {
            return f.write_str("none");
        }
        write!(f, "{}.{}", self.index(), self.generation())
    }
}

impl fmt::Debug for AgentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AgentId({self})")
    }
}

/// A 128-bit digest (xxh3-128) of a tick, a turn or a state (SEMANTICS D).
///
/// Displayed as 32 hexadecimal digits, most significant first.
#[derive(Clone, Copy, PartialEq, Eq, Default, Pod, Zeroable)]
#[repr(transparent)]
pub struct Digest([u64; 2]);

impl Digest {
    /// The digest with this value.
    #[inline]
    #[must_use]
    pub const fn new(value: u128) -> Self {
        Self([value as u64, (value >> 64) as u64])
    }

    /// The value.
    #[inline]
    #[must_use]
    pub const fn value(self) -> u128 {
        self.0[0] as u128 | (self.0[1] as u128) << 64
    }

    /// The low half, enough to tell turns apart in a log that is checked by the whole anyway.
    #[inline]
    #[must_use]
    pub const fn low(self) -> u64 {
        self.0[0]
    }

    /// Little-endian bytes.
    #[inline]
    #[must_use]
    pub const fn to_bytes(self) -> [u8; 16] {
        self.value().to_le_bytes()
    }

    /// From little-endian bytes.
    #[inline]
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self::new(u128::from_le_bytes(bytes))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.value())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    extern crate std;
    use std::string::ToString;

    #[test]
    fn address_and_digest_keep_their_parts() {
        let id = AgentId::new(7, 3);
        assert_eq!((id.index(), id.generation()), (7, 3));
        assert_eq!(AgentId::from_bits(id.to_bits()), id);
        let digest = Digest::new(0x0123_4567_89ab_cdef_0011_2233_4455_6677);
        assert_eq!(digest.to_string(), "0123456789abcdef0011223344556677");
        assert_eq!(Digest::from_bytes(digest.to_bytes()), digest);
    }
}
