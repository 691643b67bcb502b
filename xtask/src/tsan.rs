//! `cargo xtask tsan`: what hands over plain memory, under ThreadSanitizer.
//!
//! It watches real threads on real memory and knows what happened before what by atomics, locks and
//! joins, not by fences. So it can judge what hands plain memory over by Release and Acquire
//! (`shm/tests/shm/threads.rs`):
//! - the two rings, whose payloads are plain bytes, and what their users touch because of a poll of
//!   them;
//! - leases: who holds a side writes plain bytes alone;
//! - outbox and spill, whose words are Relaxed atomics and would race unseen: the tests run them on
//!   memory of plain words, so that only the rings order them.
//!
//! Left out, because it would see nothing or false things:
//! - slots, pages, rows, counters, the header: every word is atomic, and what orders them are
//!   fences (the bulk copies are assembly, which it does not see at all);
//! - the doorbell: sequentially consistent fences over atomic words.
//!
//! Those are loom's and Miri's. The standard library is built with the sanitizer too, or its own
//! synchronisation would be invisible; that needs the nightly toolchain's sources.

use anyhow::Result;

use crate::nightly;
use crate::step::Folders;

/// The task; `args` go to the test program.
///
/// # Errors
/// If the toolchain is missing or a race is found.
pub(crate) fn command(args: &[String]) -> Result<()> {
    let folders = Folders::find()?;
    let host = nightly::host(&folders)?;
    let took = nightly::cargo(&folders.root)
        .args(["test", "--locked", "-Zbuild-std", "--target", &host, "--target-dir"])
        .arg(folders.target.join("tsan"))
        .args(["-p", "wasm-engine-shm", "--test", "shm", "--", "threads::"])
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
