//! P9 at its smallest, for the results that it checks; without the kernel, with
//! `--no-default-features`.

use wasm_engine_benches::measure::Scale;
use wasm_engine_benches::watched;

/// The reading processes of the question below.
#[test]
#[ignore = "run by the test below in processes of its own"]
fn p9_reader() {
    assert!(watched::is_reader(), "started by its parent");
}

#[test]
fn p9_readers_of_any_kind_see_whole_pages() {
    let rows = watched::rows(Scale::TINY);
    // Three things under six crowds, and a file.
    assert_eq!(rows.len(), 19);
    for row in rows {
        let skipped = row.note.as_deref().is_some_and(|note| note.starts_with("skipped: "));
        assert!(skipped || row.ours.is_some_and(|ours| ours > 0.0), "{row:?}");
    }
}
