//! Names of segment files, and the checksum of what they hold.

use std::path::{Path, PathBuf};

/// Path of a segment's file.
#[must_use]
pub fn segment_path(dir: &Path, segment: u32) -> PathBuf {
    dir.join(segment_name(segment))
}

/// File name of a segment.
pub(crate) fn segment_name(segment: u32) -> String {
    format!("{segment:06}.log")
}

/// The number in a segment's file name; `None` for other files.
pub(crate) fn segment_number(name: &str) -> Option<u32> {
    let digits = name.strip_suffix(".log")?;
    let plain = digits.len() == 6 && digits.bytes().all(|byte| byte.is_ascii_digit());
    if plain { digits.parse().ok() } else { None }
}

/// The CRC-32C of the processor, where it has one.
pub(crate) fn crc(crc: u32, bytes: &[u8]) -> u32 {
    crc32c::crc32c_append(crc, bytes)
}
