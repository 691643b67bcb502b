//! S2 against mmap-sync: writing and reading a page of 4 KiB in two mappings of one file.
//!
//! Both are asked on one core, nothing else going on: what a publication and a read cost at least.
//! mmap-sync's readers write their presence into the file, ours map it read-only.

use std::ffi::OsString;
use std::path::PathBuf;

use mmap_sync::synchronizer::Synchronizer;
use wasm_engine_benches::measure::{Scale, median, median_ratio, ns_each, on_core};
use wasm_engine_benches::row::{Row, Unit};
use wasm_engine_shm::map::Map;
use wasm_engine_shm::mem::Mem;
use wasm_engine_shm::page::{self, PageReader, PageWriter};
use wasm_engine_shm::read_map::ReadMap;

/// Words of the page: 4 KiB.
const WORDS: usize = 512;
const PEER: &str = "mmap-sync 2.0";

/// Files of mmap-sync, removed at the end.
struct Files(PathBuf);

impl Drop for Files {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The rows.
pub fn rows(scale: Scale) -> Vec<Row> {
    on_core(0, || measure(scale)).unwrap_or_else(|reason| {
        vec![Row::skipped("S2", "4 KiB page against mmap-sync", Unit::Ns, reason)]
    })
}

fn measure(scale: Scale) -> Result<Vec<Row>, String> {
    let failed = |error: &dyn std::fmt::Display| format!("mmap-sync: {error}");
    let dir = std::env::temp_dir().join(format!("wasm-engine-rivals-{}", std::process::id()));
    std::fs::create_dir_all(&dir).map_err(|error| failed(&error))?;
    let files = Files(dir);
    let prefix = OsString::from(files.0.join("page"));
    let mut writer = Synchronizer::new(&prefix);
    let mut reader = Synchronizer::new(&prefix);

    let len = page::layout(WORDS).map_err(|error| failed(&error))?;
    let map = Map::memfd("rivals page", len as u64).map_err(|error| failed(&error))?;
    let fd = map.fd().ok_or("sealed memory has no file")?;
    let path = PathBuf::from(format!("/proc/self/fd/{fd}"));
    let read_only = ReadMap::open(&path).map_err(|error| failed(&error))?;
    let short = "the map is too short";
    let page = map.mem().slice(0, len).ok_or(short)?;
    let mut ours = PageWriter::new(page, WORDS).map_err(|error| failed(&error))?;
    let page = read_only.mem().slice(0, len).ok_or(short)?;
    let our_reader = PageReader::new(page, WORDS).map_err(|error| failed(&error))?;

    let count = scale.of(2_000);
    let (mut our_writes, mut writes, mut our_reads, mut reads) = (vec![], vec![], vec![], vec![]);
    let mut words = vec![0u64; WORDS];
    for segment in 0..scale.segments as u64 {
        let value = vec![segment + 1; WORDS];
        our_writes.push(ns_each(count, || {
            ours.publish(std::hint::black_box(&value));
        }));
        let grace = std::time::Duration::from_secs(1);
        let mut wrote = Ok(());
        writes.push(ns_each(count, || {
            let done = writer.write(std::hint::black_box(&value), grace);
            wrote = done.map(|_| ()).map_err(|error| error.to_string());
        }));
        wrote?;
        our_reads.push(ns_each(count, || {
            our_reader.read(std::hint::black_box(&mut words)).expect("a page is there");
        }));
        assert!(words.iter().all(|word| *word == segment + 1), "our page is torn");
        let mut read = Ok(());
        reads.push(ns_each(count, || {
            // SAFETY: the writer is in this thread and does not write meanwhile.
            match unsafe { reader.read::<Vec<u64>>(false) } {
                Ok(archived) => words.copy_from_slice(archived.as_slice()),
                Err(error) => read = Err(error.to_string()),
            }
        }));
        read?;
        assert!(words.iter().all(|word| *word == segment + 1), "mmap-sync's page is torn");
    }
    let row = |case: &str, ours: &[f64], theirs: &[f64]| {
        Row::new("S2", case, Unit::Ns, median(ours)).against(
            PEER,
            median(theirs),
            Some(median_ratio(theirs, ours)),
        )
    };
    Ok(vec![
        row("4 KiB page, published, no reader", &our_writes, &writes),
        row("4 KiB page, read and copied out, nobody publishes", &our_reads, &reads),
    ])
}
