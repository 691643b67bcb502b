//! The descriptor file: where the region of a name is, and whose it is.
//!
//! The descriptor has a frozen binary prefix (little-endian, [`DESCRIPTOR_LEN`] bytes); later
//! versions only append:
//! ```text
//!   0 magic "WENGLOC1"     8 version u32   12 pid u32          16 pid start time u64
//!  24 boot id [16]        40 fd i32 (-1: file)  44 path length u32   48 layout fingerprint u64
//!  56 region length u64   64 generation u64     72 path, up to 952 bytes, zero-padded
//! ```
//!
//! What this does not do: it locates and never authorises.

use std::path::{Path, PathBuf};

use crate::header::Identity;
use crate::map::Map;
use crate::os;

/// Bytes of the descriptor's frozen prefix.
pub const DESCRIPTOR_LEN: usize = 1024;

const MAGIC: [u8; 8] = *b"WENGLOC1";
const VERSION: u32 = 1;
const PATH_AT: usize = 72;
const PATH_MAX: usize = DESCRIPTOR_LEN - PATH_AT;

/// Where a region is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Descriptor {
    /// Process id of the owner.
    pub pid: u32,
    /// Start time of that process, clock ticks since boot.
    pub pid_start_time: u64,
    /// Identity of the boot.
    pub boot_id: [u8; 16],
    /// Where the bytes are.
    pub place: Place,
    /// Fingerprint of the layout: the region's schema.
    pub fingerprint: u64,
    /// Length of the region in bytes.
    pub total_len: u64,
    /// Which life of the name this is.
    pub generation: u64,
}

/// Where the bytes of a region are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Place {
    /// Sealed memory behind a descriptor of the owner's process.
    Fd(i32),
    /// A file.
    File(PathBuf),
}

/// Whether the owner of a descriptor lives.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Owner {
    /// The very process that wrote the descriptor exists.
    Alive,
    /// It ended; the descriptor is a left-over.
    Dead,
    /// It belongs to an earlier boot.
    OtherBoot,
}

impl Descriptor {
    /// The descriptor of a region in a map.
    #[must_use]
    pub fn of(map: &Map, identity: &Identity) -> Option<Self> {
        let place = match map.path() {
            Some(path) => Place::File(std::path::absolute(path).ok()?),
            None => Place::Fd(map.fd()?),
        };
        Some(Self {
            pid: identity.pid,
            pid_start_time: identity.pid_start_time,
            boot_id: identity.boot_id,
            place,
            fingerprint: identity.schema,
            total_len: map.len_bytes() as u64,
            generation: identity.generation,
        })
    }

    /// Reads the bytes of a descriptor file, of this or any later version.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, &'static str> {
        decode(bytes)
    }

    /// The bytes of a descriptor file; `None` if the path does not fit.
    #[must_use]
    pub fn to_bytes(&self) -> Option<[u8; DESCRIPTOR_LEN]> {
        encode(self)
    }

    /// Whether the owner lives.
    #[must_use]
    pub fn owner(&self) -> Owner {
        if self.boot_id != os::boot_id() {
            return Owner::OtherBoot;
        }
        match os::pid_start_time(self.pid) {
            Some(start) if start == self.pid_start_time => Owner::Alive,
            _ => Owner::Dead,
        }
    }

    /// The path to open.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        match &self.place {
            Place::Fd(fd) => os::fd_path(self.pid, *fd),
            Place::File(path) => path.clone(),
        }
    }
}

/// The frozen prefix; `None` if the path does not fit.
pub(crate) fn encode(d: &Descriptor) -> Option<[u8; DESCRIPTOR_LEN]> {
    let (fd, path) = match &d.place {
        Place::Fd(fd) => (*fd, ""),
        Place::File(path) => (-1, path.to_str()?),
    };
    let path_len = u32::try_from(path.len()).ok().filter(|len| *len as usize <= PATH_MAX)?;
    let mut bytes = [0; DESCRIPTOR_LEN];
    let mut put = |at: usize, field: &[u8]| bytes[at..at + field.len()].copy_from_slice(field);
    put(0, &MAGIC);
    put(8, &VERSION.to_le_bytes());
    put(12, &d.pid.to_le_bytes());
    put(16, &d.pid_start_time.to_le_bytes());
    put(24, &d.boot_id);
    put(40, &fd.to_le_bytes());
    put(44, &path_len.to_le_bytes());
    put(48, &d.fingerprint.to_le_bytes());
    put(56, &d.total_len.to_le_bytes());
    put(64, &d.generation.to_le_bytes());
    put(PATH_AT, path.as_bytes());
    Some(bytes)
}

/// Reads the frozen prefix of this or any later version.
pub(crate) fn decode(bytes: &[u8]) -> Result<Descriptor, &'static str> {
    fn field<const N: usize>(bytes: &[u8], at: usize) -> Result<[u8; N], &'static str> {
        bytes.get(at..at + N).and_then(|b| b.try_into().ok()).ok_or("it is too short")
    }
    if field::<8>(bytes, 0)? != MAGIC {
        return Err("it does not begin with WENGLOC1");
    }
    if u32::from_le_bytes(field(bytes, 8)?) == 0 {
        return Err("its version is 0");
    }
    let fd = i32::from_le_bytes(field(bytes, 40)?);
    let path_len = u32::from_le_bytes(field(bytes, 44)?) as usize;
    let place = if fd >= 0 {
        Place::Fd(fd)
    } else {
        let path = bytes.get(PATH_AT..).and_then(|rest| rest.get(..path_len));
        let path = path.ok_or("its path is longer than the file")?;
        let path = core::str::from_utf8(path).map_err(|_| "its path is not UTF-8")?;
        if !Path::new(path).is_absolute() {
            return Err("its path is not absolute");
        }
        Place::File(path.into())
    };
    Ok(Descriptor {
        pid: u32::from_le_bytes(field(bytes, 12)?),
        pid_start_time: u64::from_le_bytes(field(bytes, 16)?),
        boot_id: field(bytes, 24)?,
        place,
        fingerprint: u64::from_le_bytes(field(bytes, 48)?),
        total_len: u64::from_le_bytes(field(bytes, 56)?),
        generation: u64::from_le_bytes(field(bytes, 64)?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_survive_the_bytes() {
        for place in [Place::Fd(7), Place::File("/tmp/x".into())] {
            let descriptor = Descriptor {
                pid: 1,
                pid_start_time: 2,
                boot_id: [3; 16],
                place,
                fingerprint: 4,
                total_len: 5,
                generation: 6,
            };
            let bytes = encode(&descriptor).expect("fits");
            assert_eq!(decode(&bytes), Ok(descriptor));
            assert!(decode(&bytes[..60]).is_err());
        }
    }
}
