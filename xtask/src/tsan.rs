//! `cargo xtask tsan`: the rings under ThreadSanitizer.
//!
//! It watches real threads on real memory and knows what happened before what by atomics and joins,
//! not by fences. So it can judge what hands plain memory over by Release and Acquire: the two rings,
//! whose payloads are plain bytes. Left out, because it would see nothing or false things:
//! - slots, pages, rows, counters: every word is atomic, so there is no race to report; what orders
//!   them are fences;
//! - outbox and stash: their words are atomic as well, and what orders them are the rings;
//! - the doorbell: sequentially consistent fences over atomic words.
//!
//! Those are loom's and Miri's. The standard library is built with the sanitizer too, or its own
//! synchronisation would be invisible; that needs the nightly toolchain's sources.

use anyhow::Result;

use crate::nightly;
use crate::step::Places;

/// The task; `args` go to the test program.
///
/// # Errors
/// If the toolchain is missing or a race is found.
pub(crate) fn command(args: &[String]) -> Result<()> {
    let places = Places::find()?;
    let host = nightly::host(&places)?;
    let took = nightly::cargo(&places.root)
        .args(["test", "--locked", "-Zbuild-std", "--target", &host, "--target-dir"])
        .arg(places.target.join("tsan"))
        .args(["-p", "wasm-engine-shm", "--test", "ring_bytes", "--", "threads_"])
        .args(args)
        .env("RUSTFLAGS", "-Zsanitizer=thread")
        // Speed of the code does not matter here, that of the compiler does.
        .env("CARGO_PROFILE_DEV_OPT_LEVEL", "1")
        .env("CARGO_PROFILE_DEV_DEBUG", "line-tables-only")
        .env("TSAN_OPTIONS", "halt_on_error=1")
        .run("a race was found or a test failed: read the report above")?;
    eprintln!("ThreadSanitizer found nothing in {:.1} s", took.as_secs_f64());
    Ok(())
}
