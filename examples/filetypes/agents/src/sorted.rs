//! What the router tells the collector of a group: a file and what it is.

use wasm_engine_agent::bytemuck::{self, Pod, Zeroable};

use crate::kinds::{KINDS, Kind};

/// Longest name of a file that is passed on, in bytes: what systems allow.
pub const NAME_BYTES_MAX: usize = 255;
/// Longest message.
pub const BYTES_MAX: usize = size_of::<Head>() + NAME_BYTES_MAX;
/// No model was asked.
const NONE: u16 = u16::MAX;

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct Head {
    len: u64,
    score: f32,
    kind: u16,
    model: u16,
}

/// A file and what it is.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Sorted<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its bytes.
    pub len: u64,
    /// Number of its kind.
    pub kind: u16,
    /// What the model took it for, with its score; none if it was not asked.
    pub model: Option<(u16, f32)>,
}

impl<'a> Sorted<'a> {
    /// Its kind.
    #[must_use]
    pub fn kind(&self) -> &'static Kind {
        &KINDS[usize::from(self.kind)]
    }

    /// Writes it into `buffer` and gives the bytes, the name cut at a character where it is too
    /// long.
    pub fn write<'b>(&self, buffer: &'b mut [u8; BYTES_MAX]) -> &'b [u8] {
        let (model, score) = self.model.unwrap_or((NONE, 0.0));
        let head = Head { len: self.len, score, kind: self.kind, model };
        let name = &self.name[..self.name.floor_char_boundary(NAME_BYTES_MAX)];
        let end = size_of::<Head>() + name.len();
        buffer[..size_of::<Head>()].copy_from_slice(bytemuck::bytes_of(&head));
        buffer[size_of::<Head>()..end].copy_from_slice(name.as_bytes());
        &buffer[..end]
    }

    /// Reads it; nothing if the bytes are none.
    #[must_use]
    pub fn read(bytes: &'a [u8]) -> Option<Self> {
        let (head, name) = bytes.split_at_checked(size_of::<Head>())?;
        let Head { len, score, kind, model } = bytemuck::pod_read_unaligned(head);
        let known = |kind: u16| usize::from(kind) < KINDS.len();
        let name = core::str::from_utf8(name).ok().filter(|name| name.len() <= NAME_BYTES_MAX)?;
        let model = (model != NONE).then_some((model, score));
        let good = known(kind) && model.is_none_or(|(model, _)| known(model));
        good.then_some(Self { name, len, kind, model })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let mut buffer = [0; BYTES_MAX];
        let file = Sorted { name: "a.rs", len: 1 << 40, kind: 7, model: Some((9, 0.75)) };
        assert_eq!(Sorted::read(file.write(&mut buffer)), Some(file));
        let short = Sorted { name: "", model: None, ..file };
        assert_eq!(Sorted::read(short.write(&mut buffer)), Some(short));
        assert_eq!(Sorted::read(&buffer[..15]), None);
        let unknown = Sorted { kind: KINDS.len() as u16, ..file };
        assert_eq!(Sorted::read(unknown.write(&mut buffer)), None);
        let name = "é".repeat(200);
        let long = Sorted { name: &name, ..file };
        let read = Sorted::read(long.write(&mut buffer)).map(|file| file.name.len());
        assert_eq!(read, Some(254));
    }
}
