//! The descriptor file: where the region of a name is, and whose it is.
//!
//! Little-endian; [`field`] declares the fields, of which the table in `docs/REGION.md` is made.
//! The first [`DESCRIPTOR_LEN`] bytes are frozen; later versions only append, as version 2 did. A
//! reader takes what it knows of any later version. Were a later form not readable so, the last
//! digit of the magic would change.
//!
//! What this does not do: it locates and never authorises.

use std::path::{Path, PathBuf};

use crate::identity::{Identity, OwnerProcess};
use crate::map::Map;
use crate::os;

/// Declares the fields of the file and the list of them; each begins where the one before it ends.
macro_rules! fields {
    ($($(#[doc = $doc:literal])* $name:ident = $at:literal, $bytes:literal;)*) => {
        /// First bytes of the fields.
        pub mod field {
            $($(#[doc = $doc])* pub const $name: usize = $at;)*

            /// All of them in order: first byte, number of bytes, what is there.
            pub const ALL: &[(usize, usize, &str)] =
                &[$(($at, $bytes, concat!($($doc),*).trim_ascii()),)*];
        }
    };
}

fields! {
    /// Magic `WENGLOC1`.
    MAGIC = 0, 8;
    /// Version of the descriptor.
    VERSION = 8, 4;
    /// Pid of the owner.
    PID = 12, 4;
    /// Start time of that process, clock ticks since boot.
    PID_START_TIME = 16, 8;
    /// Boot id.
    BOOT_ID = 24, 16;
    /// `fd` of the region in the owner's process, an i32; -1 if the region is the file at the path.
    FD = 40, 4;
    /// Length of the path.
    PATH_LEN = 44, 4;
    /// Schema: the fingerprint that the region's header has too.
    SCHEMA = 48, 8;
    /// Bytes of the region.
    TOTAL_LEN = 56, 8;
    /// Generation: which life of the name this is.
    GENERATION = 64, 8;
    /// Path, absolute and in UTF-8, followed by zeros; the end of version 1.
    PATH = 72, 952;
    /// Inode of the owner's pid namespace, 0 if unknown; since version 2, as the next.
    NAMESPACE = 1024, 8;
    /// FNV-1a over the bytes before it.
    CHECKSUM = 1032, 8;
}

const _: () = {
    let (mut end, mut i) = (0, 0);
    while i < field::ALL.len() {
        assert!(field::ALL[i].0 == end, "a gap between fields");
        end += field::ALL[i].1;
        i += 1;
    }
    assert!(end == WRITTEN_LEN && field::NAMESPACE == DESCRIPTOR_LEN);
};

/// Bytes of the descriptor's frozen prefix.
pub const DESCRIPTOR_LEN: usize = 1024;

/// Bytes that this version writes and at most reads.
pub const WRITTEN_LEN: usize = field::CHECKSUM + 8;

const MAGIC: [u8; 8] = *b"WENGLOC1";
const VERSION: u32 = 2;
const PATH_MAX: usize = DESCRIPTOR_LEN - field::PATH;

/// Where a region is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Descriptor {
    /// Process id of the owner.
    pub pid: u32,
    /// Start time of that process, clock ticks since boot.
    pub pid_start_time: u64,
    /// Identity of the boot.
    pub boot_id: [u8; 16],
    /// Number of the owner's pid namespace, 0 if unknown.
    pub pid_namespace: u64,
    /// Where the bytes are.
    pub location: RegionLocation,
    /// Fingerprint of the layout: the region's schema.
    pub fingerprint: u64,
    /// Length of the region in bytes.
    pub total_len: u64,
    /// Which life of the name this is.
    pub generation: u64,
}

/// Where the bytes of a region are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RegionLocation {
    /// Sealed memory behind a descriptor of the owner's process.
    Fd(i32),
    /// A file.
    File(PathBuf),
}

impl Descriptor {
    /// The descriptor of a region in a map.
    #[must_use]
    pub fn of(map: &Map, identity: &Identity) -> Option<Self> {
        let location = match map.path() {
            Some(path) => RegionLocation::File(std::path::absolute(path).ok()?),
            None => RegionLocation::Fd(map.fd()?),
        };
        Some(Self {
            pid: identity.pid,
            pid_start_time: identity.pid_start_time,
            boot_id: identity.boot_id,
            pid_namespace: identity.pid_namespace,
            location,
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
    pub fn to_bytes(&self) -> Option<[u8; WRITTEN_LEN]> {
        encode(self)
    }

    /// Whether the owner lives.
    #[must_use]
    pub fn owner(&self) -> OwnerProcess {
        OwnerProcess::of(&Identity {
            pid: self.pid,
            pid_start_time: self.pid_start_time,
            boot_id: self.boot_id,
            pid_namespace: self.pid_namespace,
            ..Identity::default()
        })
    }

    /// Whether this is the run that an attached region's header names: if not, the name has a new
    /// owner and its region is another.
    #[must_use]
    pub fn is_of(&self, identity: &Identity) -> bool {
        (self.generation, self.pid, self.pid_start_time, self.boot_id)
            == (identity.generation, identity.pid, identity.pid_start_time, identity.boot_id)
    }

    /// The path to open.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        match &self.location {
            RegionLocation::Fd(fd) => os::fd_path(self.pid, *fd),
            RegionLocation::File(path) => path.clone(),
        }
    }
}

/// The bytes of the file; `None` if the path does not fit.
pub(crate) fn encode(d: &Descriptor) -> Option<[u8; WRITTEN_LEN]> {
    let (fd, path) = match &d.location {
        RegionLocation::Fd(fd) => (*fd, ""),
        RegionLocation::File(path) => (-1, path.to_str()?),
    };
    let path_len = u32::try_from(path.len()).ok().filter(|len| *len as usize <= PATH_MAX)?;
    let mut bytes = [0; WRITTEN_LEN];
    let mut put = |at: usize, part: &[u8]| bytes[at..at + part.len()].copy_from_slice(part);
    put(field::MAGIC, &MAGIC);
    put(field::VERSION, &VERSION.to_le_bytes());
    put(field::PID, &d.pid.to_le_bytes());
    put(field::PID_START_TIME, &d.pid_start_time.to_le_bytes());
    put(field::BOOT_ID, &d.boot_id);
    put(field::FD, &fd.to_le_bytes());
    put(field::PATH_LEN, &path_len.to_le_bytes());
    put(field::SCHEMA, &d.fingerprint.to_le_bytes());
    put(field::TOTAL_LEN, &d.total_len.to_le_bytes());
    put(field::GENERATION, &d.generation.to_le_bytes());
    put(field::PATH, path.as_bytes());
    put(field::NAMESPACE, &d.pid_namespace.to_le_bytes());
    let sum = checksum(&bytes[..field::CHECKSUM]);
    bytes[field::CHECKSUM..].copy_from_slice(&sum.to_le_bytes());
    Some(bytes)
}

/// FNV-1a: finds damage, resists nobody.
fn checksum(bytes: &[u8]) -> u64 {
    let step = |sum: u64, byte: &u8| (sum ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, step)
}

/// Reads a descriptor of this, an earlier or any later version.
pub(crate) fn decode(bytes: &[u8]) -> Result<Descriptor, &'static str> {
    fn read<const N: usize>(bytes: &[u8], at: usize) -> Result<[u8; N], &'static str> {
        bytes.get(at..at + N).and_then(|b| b.try_into().ok()).ok_or("it is too short")
    }
    let magic = read::<8>(bytes, field::MAGIC)?;
    if magic[..7] == MAGIC[..7] && magic != MAGIC {
        return Err(
            "it begins with WENGLOC and another digit than the 1 that this program reads: use \
                    the monitor of the same release as the kernel",
        );
    }
    if magic != MAGIC {
        return Err("it does not begin with WENGLOC1");
    }
    let mut pid_namespace = 0;
    match u32::from_le_bytes(read(bytes, field::VERSION)?) {
        0 => return Err("its version is 0"),
        1 => {}
        _ => {
            let sum = u64::from_le_bytes(read(bytes, field::CHECKSUM)?);
            if sum != checksum(&bytes[..field::CHECKSUM]) {
                return Err("its checksum does not fit, it is damaged");
            }
            pid_namespace = u64::from_le_bytes(read(bytes, field::NAMESPACE)?);
        }
    }
    let fd = i32::from_le_bytes(read(bytes, field::FD)?);
    let path_len = u32::from_le_bytes(read(bytes, field::PATH_LEN)?) as usize;
    let location = if fd >= 0 {
        RegionLocation::Fd(fd)
    } else {
        let path = bytes.get(field::PATH..).and_then(|rest| rest.get(..path_len));
        let path = path.ok_or("its path is longer than the file")?;
        let path = core::str::from_utf8(path).map_err(|_| "its path is not UTF-8")?;
        if !Path::new(path).is_absolute() {
            return Err("its path is not absolute");
        }
        RegionLocation::File(path.into())
    };
    Ok(Descriptor {
        pid: u32::from_le_bytes(read(bytes, field::PID)?),
        pid_start_time: u64::from_le_bytes(read(bytes, field::PID_START_TIME)?),
        boot_id: read(bytes, field::BOOT_ID)?,
        pid_namespace,
        location,
        fingerprint: u64::from_le_bytes(read(bytes, field::SCHEMA)?),
        total_len: u64::from_le_bytes(read(bytes, field::TOTAL_LEN)?),
        generation: u64::from_le_bytes(read(bytes, field::GENERATION)?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn descriptor(location: RegionLocation) -> Descriptor {
        Descriptor {
            pid: 1,
            pid_start_time: 2,
            boot_id: [3; 16],
            pid_namespace: 7,
            location,
            fingerprint: 4,
            total_len: 5,
            generation: 6,
        }
    }

    #[test]
    fn descriptors_survive_the_bytes() {
        for location in [RegionLocation::Fd(7), RegionLocation::File("/a/b".into())] {
            let descriptor = descriptor(location);
            let bytes = encode(&descriptor).expect("fits");
            assert_eq!(decode(&bytes), Ok(descriptor));
            for len in (0..bytes.len()).step_by(if cfg!(miri) { 97 } else { 1 }) {
                assert_eq!(decode(&bytes[..len]), Err("it is too short"), "{len}");
            }
        }
        assert_eq!(encode(&descriptor(RegionLocation::File("/x".repeat(500).into()))), None);
    }

    #[test]
    fn versions_before_and_after_are_read() {
        let mut bytes = encode(&descriptor(RegionLocation::Fd(7))).expect("fits").to_vec();
        let mut as_version = |version: u32, len: usize| {
            bytes[8..12].copy_from_slice(&version.to_le_bytes());
            let sum = checksum(&bytes[..field::CHECKSUM]);
            bytes[field::CHECKSUM..WRITTEN_LEN].copy_from_slice(&sum.to_le_bytes());
            bytes.resize(len, 0xAA);
            decode(&bytes)
        };
        // A later version has appended something.
        let later = as_version(9, 2000).expect("readable");
        assert_eq!(later, descriptor(RegionLocation::Fd(7)));
        let first = as_version(1, DESCRIPTOR_LEN.max(WRITTEN_LEN)).expect("readable");
        assert_eq!(first, Descriptor { pid_namespace: 0, ..later });
        assert_eq!(as_version(0, WRITTEN_LEN), Err("its version is 0"));
    }

    #[test]
    fn every_flipped_bit_is_found() {
        let good = encode(&descriptor(RegionLocation::File("/a/b".into()))).expect("fits");
        for bit in (0..good.len() * 8).step_by(if cfg!(miri) { 997 } else { 1 }) {
            let mut bytes = good;
            bytes[bit / 8] ^= 1 << (bit % 8);
            let found = decode(&bytes);
            // Version 1 has no checksum, and is two flips away from version 2.
            assert!(found.is_err(), "bit {bit}: {found:?}");
        }
        let mut other = good;
        other[7] = b'2';
        assert!(decode(&other).expect_err("another form").contains("same release"));
    }
}
