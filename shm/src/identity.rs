//! Who formatted a region, and whether that process lives.
//!
//! A pid alone may be used again, so an identity also holds the start of the process, the boot and
//! the pid namespace.

use crate::os;

/// Who formats a region.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Identity {
    /// What the bytes of the sections mean; compared by readers, never interpreted here.
    pub schema: u64,
    /// Which life of the owner's name this is; differs from that of every earlier region.
    pub generation: u64,
    /// Process id of the owner.
    pub pid: u32,
    /// Start time of that process in clock ticks since boot.
    pub pid_start_time: u64,
    /// Identity of the boot.
    pub boot_id: [u8; 16],
    /// Number of its pid namespace, in which alone its pid means something; 0 if unknown.
    pub pid_namespace: u64,
    /// Wall clock at the start in nanoseconds since 1970; for people only.
    pub started_unix_ns: u64,
}

impl Identity {
    /// This process in this boot.
    #[must_use]
    pub fn of_this_process(schema: u64, generation: u64, started_unix_ns: u64) -> Self {
        let pid = os::pid();
        Self {
            schema,
            generation,
            pid,
            pid_start_time: os::pid_start_time(pid).unwrap_or(0),
            boot_id: os::boot_id(),
            pid_namespace: os::pid_namespace(),
            started_unix_ns,
        }
    }
}

/// Whether the owner of a region lives.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OwnerProcess {
    /// The very process that formatted the region exists.
    Alive,
    /// It ended; the descriptor is a left-over.
    Dead,
    /// It belongs to an earlier boot.
    OtherBoot,
    /// It lives, or lived, in another pid namespace: its pid means nothing here.
    OtherNamespace,
    /// A process of that pid exists, of another user, and the system does not show it.
    Hidden,
}

impl OwnerProcess {
    /// Classifies the process that an identity names.
    #[must_use]
    pub fn of(identity: &Identity) -> Self {
        if identity.boot_id != os::boot_id() {
            return Self::OtherBoot;
        }
        let here = os::pid_namespace();
        if identity.pid_namespace != 0 && here != 0 && identity.pid_namespace != here {
            return Self::OtherNamespace;
        }
        match os::process(identity.pid) {
            os::ProcessState::Started(start) if start == identity.pid_start_time => Self::Alive,
            os::ProcessState::Hidden => Self::Hidden,
            _ => Self::Dead,
        }
    }

    /// Whether it is known that the owner ended.
    #[must_use]
    pub fn is_gone(self) -> bool {
        matches!(self, Self::Dead | Self::OtherBoot)
    }
}
