//! Numbers and lists as the bytes of a checkpoint (SEMANTICS L8): little-endian, without padding,
//! one encoding for each value.
//!
//! Bytes that are read may be anything: what does not fit is a [`CheckpointError`], and no memory
//! is taken for what is only announced.

use std::collections::VecDeque;

use wasm_engine_abi::{Digest, frame::ItemHeader};

/// Why bytes are not a checkpoint of this run.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// It is one of another run.
    #[error(
        "the checkpoint is of another setup (first digest {found}, here {here}); restore it with \
         the configuration and modules that it was made with"
    )]
    OtherSetup {
        /// What it was made with.
        found: Digest,
        /// What is here.
        here: Digest,
    },
    /// Its bytes are not those that were written.
    #[error("the checkpoint is damaged: {what}; use the one before it, or the log from its start")]
    Damaged {
        /// What does not fit.
        what: &'static str,
    },
}

/// An error that says what does not fit.
#[cold]
pub(crate) fn damaged(what: &'static str) -> CheckpointError {
    CheckpointError::Damaged { what }
}

/// Fails if `fits` is not so.
pub(crate) fn ensure(fits: bool, what: &'static str) -> Result<(), CheckpointError> {
    if fits { Ok(()) } else { Err(damaged(what)) }
}

/// What of the bytes is still to be read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// The next `len` bytes.
    pub(crate) fn bytes(&mut self, len: usize) -> Result<&'a [u8], CheckpointError> {
        let (bytes, rest) =
            self.rest.split_at_checked(len).ok_or_else(|| damaged("it ends too early"))?;
        self.rest = rest;
        Ok(bytes)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], CheckpointError> {
        let (bytes, rest) =
            self.rest.split_first_chunk().ok_or_else(|| damaged("it ends too early"))?;
        self.rest = rest;
        Ok(*bytes)
    }

    /// The number of things that follow, each of at least one byte.
    pub(crate) fn count(&mut self) -> Result<usize, CheckpointError> {
        let count = u64::take(self)?;
        let count = usize::try_from(count).ok().filter(|count| *count <= self.rest.len());
        count.ok_or_else(|| damaged("a list is longer than the checkpoint"))
    }

    /// Fails unless everything was read.
    pub(crate) fn end(&self) -> Result<(), CheckpointError> {
        ensure(self.rest.is_empty(), "something follows its end")
    }
}

/// Writes how many things follow.
pub(crate) fn put_count(count: usize, into: &mut Vec<u8>) {
    (count as u64).put(into);
}

/// What has bytes in a checkpoint.
pub(crate) trait Coded: Sized {
    /// Appends it.
    fn put(&self, into: &mut Vec<u8>);
    /// Reads it.
    fn take(from: &mut Reader<'_>) -> Result<Self, CheckpointError>;
}

/// Numbers, in their little-endian bytes.
macro_rules! coded_numbers {
    ($($number:ty)*) => {$(
        impl Coded for $number {
            #[inline]
            fn put(&self, into: &mut Vec<u8>) {
                into.extend_from_slice(&self.to_le_bytes());
            }

            #[inline]
            fn take(from: &mut Reader<'_>) -> Result<Self, CheckpointError> {
                Ok(Self::from_le_bytes(from.array()?))
            }
        }
    )*};
}
coded_numbers!(u8 u32 i32 u64 u128);

/// A struct, field by field. A field that is not named does not compile, in either direction.
macro_rules! coded {
    ($name:ident { $($field:ident),* $(,)? }) => {
        impl $crate::codec::Coded for $name {
            #[inline]
            fn put(&self, into: &mut Vec<u8>) {
                let Self { $($field),* } = self;
                $($crate::codec::Coded::put($field, into);)*
            }

            #[inline]
            fn take(
                from: &mut $crate::codec::Reader<'_>,
            ) -> Result<Self, $crate::codec::CheckpointError> {
                Ok(Self { $($field: $crate::codec::Coded::take(from)?),* })
            }
        }
    };
}
pub(crate) use coded;

impl Coded for bool {
    fn put(&self, into: &mut Vec<u8>) {
        u8::from(*self).put(into);
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, CheckpointError> {
        match u8::take(from)? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(damaged("a truth is neither 0 nor 1")),
        }
    }
}

impl Coded for Digest {
    fn put(&self, into: &mut Vec<u8>) {
        self.value().put(into);
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, CheckpointError> {
        Ok(Self::new(u128::take(from)?))
    }
}

impl Coded for ItemHeader {
    fn put(&self, into: &mut Vec<u8>) {
        into.extend_from_slice(bytemuck::bytes_of(self));
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, CheckpointError> {
        Ok(bytemuck::pod_read_unaligned(from.bytes(size_of::<Self>())?))
    }
}

impl<T: Coded> Coded for Option<T> {
    fn put(&self, into: &mut Vec<u8>) {
        self.is_some().put(into);
        self.iter().for_each(|value| value.put(into));
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, CheckpointError> {
        bool::take(from)?.then(|| T::take(from)).transpose()
    }
}

impl<T: Coded> Coded for Vec<T> {
    fn put(&self, into: &mut Vec<u8>) {
        put_count(self.len(), into);
        self.iter().for_each(|value| value.put(into));
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, CheckpointError> {
        (0..from.count()?).map(|_| T::take(from)).collect()
    }
}

impl<T: Coded> Coded for VecDeque<T> {
    fn put(&self, into: &mut Vec<u8>) {
        put_count(self.len(), into);
        self.iter().for_each(|value| value.put(into));
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, CheckpointError> {
        (0..from.count()?).map(|_| T::take(from)).collect()
    }
}

impl<A: Coded, B: Coded> Coded for (A, B) {
    fn put(&self, into: &mut Vec<u8>) {
        self.0.put(into);
        self.1.put(into);
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, CheckpointError> {
        Ok((A::take(from)?, B::take(from)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back_and_nothing_else_is() {
        type Value = (Vec<(u32, Option<bool>)>, (VecDeque<u8>, i32));
        let value: Value = (vec![(7, Some(true)), (8, None)], (VecDeque::from([1, 2, 3]), -5));
        let mut bytes = Vec::new();
        value.put(&mut bytes);
        let mut reader = Reader::new(&bytes);
        assert_eq!(Value::take(&mut reader), Ok(value));
        assert_eq!(reader.end(), Ok(()));
        for cut in 0..bytes.len() {
            assert!(Value::take(&mut Reader::new(&bytes[..cut])).is_err(), "cut at {cut}");
        }
        let many = [u64::MAX.to_le_bytes(), [0; 8]].concat();
        let long = Err(damaged("a list is longer than the checkpoint"));
        assert_eq!(Vec::<u8>::take(&mut Reader::new(&many)), long);
        assert_eq!(bool::take(&mut Reader::new(&[2])), Err(damaged("a truth is neither 0 nor 1")));
    }
}
