//! S1, batched: how many bytes a second go through a `bytes` ring, its record headers counted.
//! Rivals: `benches/rivals`.

use crate::machine::memcpy_gb_per_s;
use crate::measure::{Scale, median, on_core};
use crate::rings::{HEADER_BYTES, bytes_ring, ns_per_message};
use crate::row::{Row, Unit};

/// Messages sent and received together.
pub const BATCH: usize = 64;

/// The rows.
#[must_use]
pub fn rows(scale: Scale) -> Vec<Row> {
    vec![batched::<64>(scale), batched::<1024>(scale)]
}

fn batched<const N: usize>(scale: Scale) -> Row {
    let figures: Vec<f64> = (0..scale.segments)
        .map(|_| ns_per_message::<N, _, _>(scale.of(200), BATCH, bytes_ring::<N>))
        .collect();
    let case = format!("bytes ring, {N} bytes in batches of {BATCH}, with headers");
    let ours = (N + HEADER_BYTES) as f64 / median(&figures);
    let limit = on_core(0, || memcpy_gb_per_s(256 << 10, scale));
    Row::new("S1", case, Unit::GigabytesPerS, ours).limit(limit)
}
