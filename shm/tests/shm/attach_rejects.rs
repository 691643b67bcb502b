//! A damaged, foreign or hostile region is refused with the error that names what is wrong.

use std::path::Path;

use proptest::prelude::*;
use wasm_engine_shm::header::{AttachError, Identity, LAYOUT_MAJOR, MAGIC, OwnerState};
use wasm_engine_shm::layout::{RegionPlan, SectionKind};
use wasm_engine_shm::map::{Map, MapError};
use wasm_engine_shm::page::{self, PageWriter};
use wasm_engine_shm::read_map::ReadMap;
use wasm_engine_shm::region::{Region, RegionError, RegionView};

const WORDS: usize = 4;
/// First word of the directory.
const DIRECTORY: usize = 32;

fn plan() -> RegionPlan {
    let mut plan = RegionPlan::new();
    let len = page::layout(WORDS).expect("valid") as u64;
    plan.add_with(SectionKind::PAGE, 1, len, 1, [WORDS as u64, 0]).expect("fits");
    plan.add(SectionKind::BELL, 2, 128).expect("fits");
    plan
}

fn identity() -> Identity {
    Identity::of_this_process(0xABCD, 3, 1_000)
}

/// The bytes of a good region, as words.
fn good() -> Vec<u64> {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("r");
    let map = Map::file(&path, plan().total_bytes()).expect("a file");
    let mut region = Region::format(map, &plan(), identity()).expect("fits");
    let section = region.section(SectionKind::PAGE, 1).expect("planned");
    PageWriter::new(section, WORDS).expect("free").publish(&[1, 2, 3, 4]);
    region.publish_ready().expect("once");
    words_of(&path)
}

fn words_of(path: &Path) -> Vec<u64> {
    let bytes = std::fs::read(path).expect("readable");
    bytes.chunks_exact(8).map(|c| u64::from_ne_bytes(c.try_into().expect("8 bytes"))).collect()
}

fn attach(words: &[u64]) -> Result<RegionView, AttachError> {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("r");
    let bytes: Vec<u8> = words.iter().flat_map(|w| w.to_ne_bytes()).collect();
    std::fs::write(&path, bytes).expect("writable");
    RegionView::attach(ReadMap::open(&path).expect("a file"))
}

/// The checksum as the header documents it, to get past it.
fn seal(words: &mut [u64]) {
    let count = (words[7] as usize).min((words.len() - DIRECTORY) / 8);
    let mut sum = 0xcbf2_9ce4_8422_2325_u64;
    for word in words[1..15].iter().chain(&words[DIRECTORY..DIRECTORY + count * 8]) {
        sum = (sum ^ word).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(23);
    }
    words[15] = sum;
}

fn refusal(change: impl FnOnce(&mut Vec<u64>)) -> AttachError {
    let mut words = good();
    change(&mut words);
    attach(&words).map(|_| ()).expect_err("must be refused")
}

#[test]
#[cfg_attr(miri, ignore = "maps files")]
fn a_good_region_is_read() {
    let words = good();
    let view = attach(&words).expect("good");
    assert_eq!(view.header().identity, identity());
    assert!(view.owner_exists());
    assert_eq!(view.sections_of(SectionKind::PAGE).count(), 1);
    let section = view.section(SectionKind::PAGE, 1).expect("there");
    let reader = page::PageReader::new(section, WORDS).expect("free");
    let mut dst = [0; WORDS];
    assert_eq!(reader.read(&mut dst).expect("published").words, 4);
    assert_eq!(dst, [1, 2, 3, 4]);
    view.expect_schema(0xABCD).expect("the same");
    assert!(matches!(view.expect_schema(1), Err(AttachError::Schema { found: 0xABCD, .. })));
    let section = view.section(SectionKind::PAGE, 1).expect("there");
    let refused = PageWriter::new(section, WORDS).expect_err("read-only");
    assert!(refused.to_string().contains("read-only"), "{refused}");
}

#[test]
#[cfg_attr(miri, ignore = "maps files")]
fn each_field_has_its_error() {
    use AttachError as E;
    assert_eq!(refusal(|w| w[0] = 0), E::NotReady);
    assert_eq!(refusal(|w| w[0] = MAGIC + 1), E::Magic { found: MAGIC + 1 });
    let swapped = 0x0807_0605_0403_0201;
    assert_eq!(refusal(|w| w[1] = swapped), E::Endian { found: swapped });
    assert_eq!(refusal(|w| w[2] = 2 << 32 | 5), E::Version { major: 2, minor: 5 });
    assert!(matches!(refusal(|w| w[3] += 8), E::Field { field: "header length", .. }));
    assert!(matches!(refusal(|w| w[4] += 8), E::TotalLength { .. }));
    assert!(matches!(refusal(|w| w[7] = u64::MAX), E::Field { field: "section count", .. }));
    assert!(matches!(refusal(|w| w[8] = 63), E::Field { field: "entry length", .. }));
    assert!(matches!(refusal(|w| w[9] = 4095), E::Field { field: "page size", .. }));
    assert!(matches!(refusal(|w| w[10] = 1 << 40), E::Field { field: "pid", .. }));
    for word in [5, 6, 11, 12, 13, 14, 15, DIRECTORY, DIRECTORY + 5, DIRECTORY + 15] {
        assert!(matches!(refusal(|w| w[word] ^= 1), E::Checksum { .. }), "word {word}");
    }
}

#[test]
#[cfg_attr(miri, ignore = "maps files")]
fn false_directories_are_refused() {
    let problem = |at: usize, value: u64| {
        let refused = refusal(|w| {
            w[DIRECTORY + at] = value;
            seal(w);
        });
        match refused {
            AttachError::Section { problem, .. } => problem,
            other => panic!("{other}"),
        }
    };
    assert_eq!(problem(2, u64::MAX - 127), "has an invalid length");
    assert_eq!(problem(3, 1 << 30), "does not lie inside the region");
    assert_eq!(problem(3, 0), "does not lie inside the region");
    assert_eq!(problem(2, 392), "is not aligned");
    assert_eq!(problem(2, 0), "overlaps another or the header");
    assert_eq!(problem(10, 384), "overlaps another or the header");
    let twice = refusal(|w| {
        w[DIRECTORY + 8] = w[DIRECTORY];
        w[DIRECTORY + 9] = w[DIRECTORY + 1];
        seal(w);
    });
    assert!(matches!(twice, AttachError::Section { problem: "appears twice", .. }));
}

#[test]
#[cfg_attr(miri, ignore = "maps files")]
fn truncated_regions_are_refused() {
    let words = good();
    assert!(matches!(attach(&words[..16]), Err(AttachError::TooShort { have: 128 })));
    for len in [32, 40, 48, words.len() - 16] {
        assert!(matches!(attach(&words[..len]), Err(AttachError::TotalLength { .. })), "{len}");
    }
    let dir = tempfile::tempdir().expect("a directory");
    let short = dir.path().join("short");
    std::fs::write(&short, [0; 100]).expect("writable");
    assert!(matches!(ReadMap::open(&short), Err(MapError::Length { .. })));
    assert!(matches!(ReadMap::open(dir.path()), Err(MapError::NotAFile { .. })));
    let missing = ReadMap::open(&dir.path().join("missing")).expect_err("missing");
    assert!(missing.to_string().contains("missing"), "{missing}");
}

#[test]
fn the_owner_is_held_to_the_plan() {
    let map = Map::heap(1024);
    let refused = Region::format(map, &plan(), Identity::default()).map(|_| ());
    assert!(matches!(refused, Err(RegionError::TooSmall { .. })));
    let map = Map::heap(plan().total_bytes() as usize);
    let mut region = Region::format(map, &plan(), Identity::default()).expect("fits");
    assert!(region.section(SectionKind::BELL, 9).is_err());
    let mut status = region.publish_ready().expect("once");
    assert!(region.publish_ready().is_none());
    status.set_state(OwnerState::Running, 5);
    status.heartbeat(7, 8);
    for word in 0..10 {
        assert_eq!(OwnerState::from_word(word).to_word(), word);
    }
}

#[test]
#[cfg_attr(miri, ignore = "maps files")]
fn another_major_version_is_refused_naming_both() {
    for major in [0, 2, 77] {
        let refused = refusal(|w| {
            w[2] = major << 32 | 9;
            seal(w);
        });
        let text = refused.to_string();
        assert!(text.contains(&format!("layout {major}.9")), "{text}");
        assert!(text.contains(&format!("reads {LAYOUT_MAJOR}.x")), "{text}");
    }
}

#[test]
#[cfg_attr(miri, ignore = "maps files")]
fn a_later_minor_version_is_read_and_unknown_sections_are_passed_over() {
    let mut words = good();
    words[2] = u64::from(LAYOUT_MAJOR) << 32 | 99;
    // A kind and a version of a section that nobody here knows, and words of the status block that
    // were reserved.
    words[DIRECTORY + 8] = 7 << 32 | 0x7777;
    words[20] = 1;
    words[31] = u64::MAX;
    seal(&mut words);
    let view = attach(&words).expect("readable");
    assert_eq!(view.header().version, (LAYOUT_MAJOR, 99));
    let unknown = view.sections_of(SectionKind(0x7777)).next().expect("listed");
    assert_eq!((unknown.id, unknown.version), (2, 7));
    assert!(view.section(SectionKind::BELL, 2).is_none());
    let section = view.section(SectionKind::PAGE, 1).expect("there");
    let reader = page::PageReader::new(section, WORDS).expect("free");
    assert_eq!(reader.read(&mut [0; WORDS]).expect("published").words, 4);
}

#[test]
#[cfg_attr(miri, ignore = "maps files")]
fn a_header_of_the_first_minor_version_is_read() {
    let mut words = good();
    words[2] = u64::from(LAYOUT_MAJOR) << 32;
    words[24] = 0;
    seal(&mut words);
    let header = attach(&words).expect("readable").header().clone();
    assert_eq!(header.version, (LAYOUT_MAJOR, 0));
    assert_eq!(header.identity, Identity { pid_namespace: 0, ..identity() });
}

#[test]
#[cfg_attr(miri, ignore = "maps files")]
fn every_flipped_bit_of_header_and_directory_is_found() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("r");
    let words = good();
    let attach_flipped = |word: usize, bit: usize| {
        let mut words = words.clone();
        words[word] ^= 1 << bit;
        let bytes: Vec<u8> = words.iter().flat_map(|w| w.to_ne_bytes()).collect();
        std::fs::write(&path, bytes).expect("writable");
        RegionView::attach(ReadMap::open(&path).expect("a file"))
    };
    for word in (0..16).chain(DIRECTORY..DIRECTORY + 16) {
        for bit in (0..64).step_by(3) {
            let found = attach_flipped(word, bit).map(|_| ());
            assert!(found.is_err(), "word {word}, bit {bit}");
        }
    }
    // The status words change all the time: any number there is a status.
    for word in 16..DIRECTORY {
        let _ = attach_flipped(word, 5).expect("readable").status();
    }
}

#[test]
#[cfg_attr(miri, ignore = "needs the system's memory")]
#[cfg(target_os = "linux")]
fn memory_without_seals_is_read_like_a_file() {
    use std::os::fd::AsRawFd;
    let fd = rustix::fs::memfd_create("bare", rustix::fs::MemfdFlags::CLOEXEC).expect("memory");
    let memory = std::fs::File::from(fd);
    let bytes: Vec<u8> = good().iter().flat_map(|w| w.to_ne_bytes()).collect();
    std::io::Write::write_all(&mut &memory, &bytes).expect("written");
    let path = format!("/proc/self/fd/{}", memory.as_raw_fd());
    let view = RegionView::attach(ReadMap::open(Path::new(&path)).expect("there"));
    let view = view.expect("good");
    assert_eq!(view.map().backing(), wasm_engine_shm::map::MapBacking::File);
    let section = view.section(SectionKind::PAGE, 1).expect("there");
    let reader = page::PageReader::new(section, WORDS).expect("free");
    assert!(reader.read(&mut [0; WORDS]).is_ok());
    memory.set_len(64).expect("not sealed");
    assert_eq!(reader.read(&mut [0; WORDS]), Err(page::PageError::NotYet));
    assert!(matches!(view.check(), Err(MapError::Lost { now: 64, .. })));
}

/// Reads everything in a region, whatever it holds.
fn read_everything(view: &RegionView) {
    use wasm_engine_shm::{broadcast, counters, rows};
    let _ = view.status();
    for section in view.header().sections.clone() {
        let Some(mem) = view.section(section.kind, section.id) else { continue };
        let words = section.params[0] as usize;
        if let Ok(reader) = page::PageReader::new(mem.clone(), words) {
            let _ = reader.read(&mut [0; WORDS]);
        }
        if let Ok(reader) = rows::RowsReader::new(mem.clone(), 2, 2) {
            let _ = reader.read_newest(1, &mut [0; 2]);
        }
        if let Ok(mut reader) = broadcast::BroadcastReader::new(mem.clone(), 2, 16) {
            for _ in 0..4 {
                let _ = reader.next(&mut [0; 16]);
            }
        }
        if let Ok(reader) = counters::CountersReader::new(mem) {
            for counter in reader.list() {
                let _ = reader.value(&counter);
            }
        }
    }
}

#[test]
#[cfg_attr(miri, ignore = "maps files")]
#[cfg(target_os = "linux")]
fn nonsense_written_under_a_reader_ends_in_answers() {
    use std::os::unix::fs::FileExt;
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("r");
    let bytes: Vec<u8> = good().iter().flat_map(|w| w.to_ne_bytes()).collect();
    std::fs::write(&path, &bytes).expect("writable");
    let view = RegionView::attach(ReadMap::open(&path).expect("a file")).expect("good");
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let file = std::fs::File::options().write(true).open(&path).expect("ours");
            let mut random = 1u64;
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(99);
                let at = (random >> 33) % (bytes.len() as u64 / 8) * 8;
                // Small numbers are valid now and then.
                let value = if random.is_multiple_of(3) { random } else { random >> 61 };
                file.write_all_at(&value.to_ne_bytes(), at).expect("written");
            }
        });
        for _ in 0..2_000 {
            read_everything(&view);
            if let Ok(map) = ReadMap::open(&path)
                && let Ok(other) = RegionView::attach(map)
            {
                read_everything(&other);
            }
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    view.check().expect("as long as it was");
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 300, failure_persistence: None, ..Default::default()
    })]

    /// Any words anywhere: an error or a region, and the read sides survive it.
    #[test]
    #[cfg_attr(miri, ignore = "maps files")]
    fn hostile_words_never_panic(
        changes in prop::collection::vec((0_usize..200, any::<u64>(), any::<bool>()), 1..12)
    ) {
        let mut words = good();
        let len = words.len();
        for (at, value, flip) in changes {
            let word = &mut words[at % len];
            *word = if flip { *word ^ 1 << (value % 64) } else { value };
        }
        words[0] = MAGIC;
        seal(&mut words);
        if let Ok(view) = attach(&words) {
            read_everything(&view);
        }
    }
}
