//! Every benchmark at its smallest size: what it measures is right.

#[cfg(feature = "kernel")]
mod smoke;
mod watched;
