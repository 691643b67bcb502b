//! The integration tests of `wasm-engine-shm`, one module per subject.
//!
//! `cargo test -p wasm-engine-shm --test shm losses::` runs one of them. Tests of several processes
//! start this program again to run the ignored test in `parts.rs`.

mod attach_rejects;
mod doorbell;
mod hostile;
mod losses;
mod ring_bytes;
mod rkyv_in_place;
mod snapshots;
mod threads;
mod traced_mem;

#[cfg(all(target_os = "linux", not(miri)))]
mod attacks;
#[cfg(all(target_os = "linux", not(miri)))]
mod foreign;
#[cfg(all(target_os = "linux", not(miri)))]
mod live_region;
#[cfg(all(target_os = "linux", not(miri)))]
mod names;
#[cfg(all(target_os = "linux", not(miri)))]
mod parts;
#[cfg(all(target_os = "linux", not(miri)))]
mod torn;
#[cfg(all(target_os = "linux", not(miri)))]
mod two_processes;
