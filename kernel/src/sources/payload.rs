//! An input that is due, and the payloads that kinds of sources share.

/// Bytes of a payload of numbers in front of them.
pub(crate) const INPUT_HEADER_BYTES: usize = 16;

/// The canonical quiet NaN: a missing value. `f64::NAN` has these bits today, but promises none.
pub(crate) const MISSING: f64 = f64::from_bits(0x7ff8_0000_0000_0000);

/// An input that is due.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Due<'a> {
    /// Handle of its topic (see [`Source::bind_topics`](crate::sources::Source::bind_topics)).
    pub topic: u32,
    /// Its stream.
    pub stream: u32,
    /// Running number of the source's inputs in (tick, stream) order, or in that of the file,
    /// from 0.
    pub seq: u64,
    /// The payload, as `docs/CONFIGURATION.md` draws it.
    pub payload: &'a [u8],
}

/// Makes `into` the payload of numbers:
/// `0 time i64 | 8 stream u32 | 12 numbers u32 | 16 f64 per number`.
pub(crate) fn write_numbers(time: i64, stream: u32, values: &[f64], into: &mut Vec<u8>) {
    into.clear();
    into.extend_from_slice(&time.to_le_bytes());
    into.extend_from_slice(&stream.to_le_bytes());
    into.extend_from_slice(&(values.len() as u32).to_le_bytes());
    for value in values {
        into.extend_from_slice(&value.to_le_bytes());
    }
}
