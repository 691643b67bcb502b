//! Reading a file that a user names: never more of it than anybody can mean.
//!
//! Why: `/dev/zero`, a pipe that never ends or a wrong path must be an error in words, and not take
//! the memory of the machine first.
//!
//! It says nothing about what is in a file, and does not read logs.

use std::{
    fs::File,
    io::{Error, ErrorKind, Read, Result},
    path::Path,
};

use flate2::read::MultiGzDecoder;

/// Bytes of a configuration, a module or a manifest. What a module may have is less (`admission`).
pub(crate) const SMALL_BYTES_MAX: u64 = 64 << 20;

/// Bytes of a model: no ONNX file has more.
pub(crate) const MODEL_BYTES_MAX: u64 = 2 << 30;

/// Bytes of a data file.
pub(crate) const DATA_BYTES_MAX: u64 = 4 << 30;

/// Bytes of a packed data file when it is unpacked: a small file can stand for any number of them.
pub(crate) const UNPACKED_BYTES_MAX: u64 = 1 << 30;

/// The content of `file`, which has at most `bytes_max` bytes.
pub(crate) fn read(file: &Path, bytes_max: u64) -> Result<Vec<u8>> {
    let opened = File::open(file)?;
    // A length is a promise of a regular file only, and 0 of all others.
    let length = opened.metadata()?.len();
    if length > bytes_max {
        return Err(too_large(bytes_max));
    }
    read_sized(opened, length, bytes_max)
}

/// All that comes from a pipe, which is at most `bytes_max` bytes.
pub(crate) fn read_all(from: impl Read, bytes_max: u64) -> Result<Vec<u8>> {
    read_sized(from, 0, bytes_max)
}

fn read_sized(from: impl Read, expected: u64, bytes_max: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(usize::try_from(expected).unwrap_or(usize::MAX))?;
    from.take(bytes_max + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > bytes_max { Err(too_large(bytes_max)) } else { Ok(bytes) }
}

fn too_large(bytes_max: u64) -> Error {
    Error::new(ErrorKind::FileTooLarge, format!("it has more than {bytes_max} bytes"))
}

/// As [`read`], and unpacked into at most `unpacked_bytes_max` bytes if its name ends with `.gz`.
pub(crate) fn read_unpacked(
    file: &Path,
    bytes_max: u64,
    unpacked_bytes_max: u64,
) -> Result<Vec<u8>> {
    let bytes = read(file, bytes_max)?;
    let packed = file.extension().is_some_and(|end| end.eq_ignore_ascii_case("gz"));
    if !packed {
        return Ok(bytes);
    }
    let mut unpacked = Vec::new();
    MultiGzDecoder::new(bytes.as_slice())
        .take(unpacked_bytes_max.saturating_add(1))
        .read_to_end(&mut unpacked)
        .map_err(|error| Error::new(error.kind(), format!("it is no whole gzip file: {error}")))?;
    if unpacked.len() as u64 > unpacked_bytes_max {
        let problem = format!("it unpacks to more than {unpacked_bytes_max} bytes");
        return Err(Error::new(ErrorKind::FileTooLarge, problem));
    }
    Ok(unpacked)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_of_a_file_is_read_or_nothing() {
        let dir = tempfile::TempDir::new().expect("a folder");
        let file = dir.path().join("file");
        std::fs::write(&file, b"1234").expect("written");
        assert_eq!(read(&file, 4).expect("it is not longer"), b"1234");
        assert_eq!(read(&file, 3).expect_err("it is longer").kind(), ErrorKind::FileTooLarge);
        if cfg!(unix) {
            let endless = read(Path::new("/dev/zero"), 1 << 20).expect_err("it is longer");
            assert_eq!(endless.to_string(), "it has more than 1048576 bytes");
        }
    }

    #[test]
    fn a_packed_file_is_unpacked_within_its_bound() {
        use std::io::Write as _;
        let packed = |bytes: &[u8]| {
            let mut encoder =
                flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
            encoder.write_all(bytes).expect("memory");
            encoder.finish().expect("memory")
        };
        let dir = tempfile::TempDir::new().expect("a folder");
        let file = dir.path().join("file.csv.gz");
        let unpack = |bytes: &[u8]| {
            std::fs::write(&file, bytes).expect("written");
            read_unpacked(&file, 1 << 20, 1 << 16)
        };
        // Several members one behind the other are one file.
        let two = [packed(b"12"), packed(b"34")].concat();
        assert_eq!(unpack(&two).expect("whole"), b"1234");
        let bomb = packed(&vec![0; 64 << 20]);
        let error = unpack(&bomb).expect_err("it is longer");
        assert_eq!(error.to_string(), "it unpacks to more than 65536 bytes");
        for bad in [&two[..two.len() - 1], b"no gzip", b""] {
            let error = unpack(bad).expect_err("it is not whole");
            assert!(error.to_string().contains("no whole gzip file"), "{error}");
        }
    }
}
