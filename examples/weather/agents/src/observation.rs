//! One row of the source: what a station reported for an hour.
//!
//! ```text
//! 0 time i64, Unix seconds UTC | 8 stream u32 | 12 columns u32 | 16 f64 per column
//! ```
//! Little-endian. The columns are those of the file without key and time, an empty field is NaN.
//! A missing hour is no row.

/// Columns of a row: temperature, dewpoint, humidity, wind direction, wind speed, precipitation,
/// pressure, visibility.
pub const COLUMNS: usize = 8;
/// Bytes of a row.
pub const BYTES: usize = 16 + 8 * COLUMNS;
/// Values of a row that the forecast uses.
pub const FIELDS: usize = 5;
/// Their columns: temperature °F, dewpoint °F, relative humidity %, wind mph, pressure mbar.
const FIELD_COLUMNS: [usize; FIELDS] = [0, 1, 2, 4, 6];

/// What the agents use of a row.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Observation {
    /// Unix seconds, UTC.
    pub time: i64,
    /// The five fields; NaN is missing.
    pub fields: [f32; FIELDS],
}

impl Observation {
    /// Reads a payload; nothing if its length or its column count is another.
    #[must_use]
    pub fn parse(payload: &[u8]) -> Option<Self> {
        let bytes: &[u8; BYTES] = payload.try_into().ok()?;
        let (words, _) = bytes.as_chunks::<8>();
        let columns = u64::from_le_bytes(words[1]) >> 32;
        if columns != COLUMNS as u64 {
            return None;
        }
        let column = |index: usize| f64::from_le_bytes(words[2 + index]) as f32;
        Some(Self { time: i64::from_le_bytes(words[0]), fields: FIELD_COLUMNS.map(column) })
    }

    /// The temperature in °F, if it was reported.
    #[must_use]
    pub fn temperature(&self) -> Option<f32> {
        (!self.fields[0].is_nan()).then_some(self.fields[0])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    fn payload(columns: u32) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend(1_357_020_000i64.to_le_bytes());
        bytes.extend(3u32.to_le_bytes());
        bytes.extend(columns.to_le_bytes());
        for value in [39.02, 26.06, 59.37, f64::NAN, 10.357, 0.0, 1012.0, 10.0] {
            bytes.extend(f64::to_le_bytes(value));
        }
        bytes
    }

    #[test]
    fn the_five_fields_are_taken() {
        let row = Observation::parse(&payload(8)).expect("a row");
        assert_eq!(row.time, 1_357_020_000);
        assert_eq!(row.fields, [39.02, 26.06, 59.37, 10.357, 1012.0]);
        assert_eq!(row.temperature(), Some(39.02));
    }

    #[test]
    fn other_shapes_are_refused() {
        assert_eq!(Observation::parse(&payload(7)), None);
        assert_eq!(Observation::parse(&payload(8)[..72]), None);
        assert_eq!(Observation::parse(&[]), None);
    }
}
