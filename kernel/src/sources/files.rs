//! Reading a folder: its plain files in the order of their names, some in each tick.
//!
//! ```text
//! tick     = 1 + number of the file / per_tick        files by their names' bytes
//! payload    the whole file, or with head_bytes or tail_bytes:
//!            0 file length u64 | 8 head u32 | 12 tail u32 | 16 name u32 | 20 zero u32
//!            24 name, filled up with zeros to a multiple of 8 | head | tail
//! ```
//! Links and what else is no plain file are left out and counted: a link may lead anywhere. All
//! that enters is read before tick 0, within a bound, so that a file that changes later changes
//! nothing.

use std::{
    fs::{self, File},
    io::{Error, ErrorKind, Read as _, Result, Seek as _, SeekFrom},
    path::Path,
};

use bytemuck::bytes_of;
use wasm_engine_abi::{
    input::{FILE_NAME_ALIGN, FileHeader},
    limits::PAYLOAD_BYTES_MAX,
};

use crate::sources::error::{DataFile, LeftOut, SourceError};
use crate::sources::list::List;
use crate::sources::streams::name_of;

/// Bytes of all payloads of a folder.
const FOLDER_BYTES_MAX: u64 = 1 << 30;

/// Reads the folder; gives also the names of its keys and a hash of all that was read.
pub(crate) fn read(
    data: DataFile<'_>,
    left_out: &mut LeftOut,
) -> std::result::Result<(List, Vec<String>, [u8; 32]), SourceError> {
    let config = data.config;
    let key = config.key.as_deref().unwrap_or("files");
    let key = name_of(key).map_err(|problem| data.key("key", problem))?;
    let names = names(data.file, config.suffix.as_deref(), left_out);
    let names = names.map_err(|error| data.reading(error))?;
    let (mut list, mut payload) = (List::default(), Vec::new());
    let mut hasher = blake3::Hasher::new();
    for (number, name) in (0_u64..).zip(&names) {
        let path = data.file.join(name);
        let one = DataFile { file: &path, ..data };
        let parts = (config.head_bytes, config.tail_bytes);
        let read = match parts {
            (None, None) => whole(&path, &mut payload),
            (head, tail) => {
                let (head, tail) = (head.unwrap_or(0), tail.unwrap_or(0));
                part(&path, name.as_encoded_bytes(), (head, tail), &mut payload)
            }
        };
        read.map_err(|error| one.reading(error))?;
        if payload.len() > PAYLOAD_BYTES_MAX as usize {
            let cure = match parts {
                (None, None) => "give its beginning with source.ID.head_bytes",
                _ => "lower source.ID.head_bytes or source.ID.tail_bytes",
            };
            return Err(one.whole(format!(
                "it becomes an input of more than {PAYLOAD_BYTES_MAX} bytes; {}",
                cure.replace("ID", &config.id)
            )));
        }
        for bytes in [name.as_encoded_bytes(), &payload] {
            hasher.update(&(bytes.len() as u64).to_le_bytes());
            hasher.update(bytes);
        }
        let from = || path.display().to_string();
        list.push(1 + number / u64::from(config.per_tick), 0, &payload, from);
        if list.bytes() > FOLDER_BYTES_MAX {
            return Err(data.whole(format!(
                "its files give more than {FOLDER_BYTES_MAX} bytes; use head_bytes and tail_bytes, \
                 or fewer files"
            )));
        }
    }
    if list.is_empty() {
        let ending = config.suffix.as_ref();
        let ending =
            ending.map_or_else(String::new, |end| format!(" whose name ends with `{end}`"));
        return Err(data.whole(format!("it holds no plain file{ending}; name another")));
    }
    Ok((list, vec![key], *hasher.finalize().as_bytes()))
}

/// The names of the plain files, in the order of their bytes.
fn names(
    folder: &Path,
    suffix: Option<&str>,
    left_out: &mut LeftOut,
) -> Result<Vec<std::ffi::OsString>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        if !name.as_encoded_bytes().ends_with(suffix.unwrap_or_default().as_bytes()) {
            continue;
        }
        if entry.file_type()?.is_file() {
            names.push(name);
        } else {
            if left_out.count == 0 {
                left_out.first = format!("{} is no plain file", entry.path().display());
            }
            left_out.count += 1;
        }
    }
    names.sort_unstable_by(|one, other| one.as_encoded_bytes().cmp(other.as_encoded_bytes()));
    Ok(names)
}

/// Makes `into` the file, or more bytes of it than an input may have.
fn whole(path: &Path, into: &mut Vec<u8>) -> Result<()> {
    into.clear();
    let file = File::open(path)?;
    file.take(u64::from(PAYLOAD_BYTES_MAX) + 1).read_to_end(into)?;
    Ok(())
}

/// Makes `into` the payload of a file's first and last bytes.
fn part(path: &Path, name: &[u8], (head, tail): (u32, u32), into: &mut Vec<u8>) -> Result<()> {
    let mut file = File::open(path)?;
    let len = file.metadata()?.len();
    let of = |bytes: u32| u32::try_from(len).map_or(bytes, |len| bytes.min(len));
    let (head, tail) = (of(head), of(tail));
    let header = FileHeader { len, head, tail, name: name.len() as u32, zero: 0 };
    into.clear();
    into.extend_from_slice(bytes_of(&header));
    into.extend_from_slice(name);
    into.resize(into.len().next_multiple_of(FILE_NAME_ALIGN), 0);
    let total = into.len() as u64 + u64::from(head) + u64::from(tail);
    if total > u64::from(PAYLOAD_BYTES_MAX) {
        into.resize(PAYLOAD_BYTES_MAX as usize + 1, 0);
        return Ok(());
    }
    for (from, bytes) in [(0, head), (len - u64::from(tail), tail)] {
        file.seek(SeekFrom::Start(from))?;
        let begin = into.len();
        (&mut file).take(bytes.into()).read_to_end(into)?;
        if into.len() - begin != bytes as usize {
            return Err(Error::new(ErrorKind::UnexpectedEof, "it changed while it was read"));
        }
    }
    Ok(())
}
