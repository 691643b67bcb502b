//! The readers in C and Python refuse what the Rust reader refuses, and read the rest as it does.

use std::fs;
use std::path::Path;

use tempfile::TempDir;
use wasm_engine_abi::page::SCHEMA;
use wasm_engine_shm::header::Identity;
use wasm_engine_shm::layout::{RegionPlan, SectionKind};
use wasm_engine_shm::map::Map;
use wasm_engine_shm::region::Region;
use wasm_engine_ui_bridge_testkit::owner::golden;
use wasm_engine_ui_bridge_testkit::readers::{
    CHECKSUM, ENTRY_WORDS, HEADER_WORDS, compare, rust, with, word,
};

/// The lengths of what is published in the slots of a page of `words` words that begins at word
/// `at`.
fn lengths(at: usize, words: usize, bytes: u64) -> Vec<(usize, u64)> {
    let stride = (2 + words).next_multiple_of(16);
    (0..4).map(|slot| (at + 16 + slot * stride + 1, bytes)).collect()
}

#[test]
fn all_readers_refuse_the_same_damage() {
    let good = golden();
    let mut files = Vec::new();
    for len in [0, 8, 127, 128, 255, 256, 1000, 4096, good.len() - 8] {
        files.push((format!("cut to {len} bytes"), good[..len].to_vec()));
    }
    files.push(("longer".to_owned(), [&good[..], &[0; 64]].concat()));
    files.push(("not ready".to_owned(), with(&good, &[(0, 0)], false)));
    for at in 0..=CHECKSUM {
        for bit in [0, 33] {
            let value = word(&good, at) ^ 1 << bit;
            files.push((format!("word {at}, bit {bit}"), with(&good, &[(at, value)], false)));
        }
    }
    files.push(("a newer minor".to_owned(), with(&good, &[(2, word(&good, 2) + 7)], true)));
    files.push(("another major".to_owned(), with(&good, &[(2, 9 << 32)], true)));
    let sections = word(&good, 7) as usize;
    for section in 0..sections {
        let entry = HEADER_WORDS + section * ENTRY_WORDS;
        let other = HEADER_WORDS + (section + 1) % sections * ENTRY_WORDS;
        let of = |field: usize| word(&good, entry + field);
        let damage = [
            ("unknown kind", vec![(entry, 0x7777)]),
            ("twice", vec![(entry, word(&good, other)), (entry + 1, word(&good, other + 1))]),
            ("unaligned", vec![(entry + 2, of(2) + 8)]),
            ("beyond", vec![(entry + 2, good.len() as u64)]),
            ("huge offset", vec![(entry + 2, u64::MAX - 127)]),
            ("over another", vec![(entry + 2, word(&good, other + 2))]),
            ("empty", vec![(entry + 3, 0)]),
            ("huge", vec![(entry + 3, u64::MAX - 127)]),
            ("no words", vec![(entry + 4, 0)]),
            ("many words", vec![(entry + 4, 1 << 20)]),
            ("no row words", vec![(entry + 5, 0)]),
            ("one less", vec![(entry + 4, of(4).saturating_sub(1))]),
            ("a row word less", vec![(entry + 5, of(5).saturating_sub(1))]),
        ];
        for (what, changes) in damage {
            files.push((format!("section {section}: {what}"), with(&good, &changes, true)));
        }
        // The first words of a section: how much was published, then a mark and a length.
        let at = of(2) as usize / 8;
        for (what, changes) in [
            ("nothing published", vec![(at, 0)]),
            ("more than ever", vec![(at, u64::MAX)]),
            ("a busy mark", (0..4).map(|n| (at + 16 + n * of(4).max(1) as usize, 1)).collect()),
            ("a huge length", vec![(at + 17, u64::MAX)]),
            ("lengths of nothing", lengths(at, of(4) as usize, 0)),
            ("short lengths", lengths(at, of(4) as usize, 8)),
        ] {
            if changes.iter().all(|(word, _)| word * 8 < good.len()) {
                files.push((format!("section {section}: {what}"), with(&good, &changes, false)));
            }
        }
    }
    let folder = TempDir::new().expect("a folder");
    compare(folder.path(), &files);
}

/// Where a section of the golden region lies: the word of its directory entry and of its first
/// byte.
fn place(bytes: &[u8], kind: SectionKind) -> (usize, usize) {
    let entries = (0..word(bytes, 7) as usize).map(|n| HEADER_WORDS + n * ENTRY_WORDS);
    let entry = { entries }.find(|entry| word(bytes, *entry) as u32 == kind.0).expect("there");
    (entry, word(bytes, entry + 2) as usize / 8)
}

#[test]
fn all_readers_say_the_same_of_a_damaged_ring() {
    const SLOTS: usize = 64;
    const STRIDE: usize = 8;
    /// Messages that the golden ring holds for a reader that comes too late.
    const HELD: std::ops::Range<u64> = 58..90;
    let good = golden();
    let (entry, at) = place(&good, SectionKind::BROADCAST);
    let slot = |n: u64| at + 16 + n as usize % SLOTS * STRIDE;
    let mut files = Vec::new();
    let mut add = |what: String, changes: &[(usize, u64)]| {
        files.push((what, with(&good, changes, true)));
    };
    for version in [0, 2, u64::from(u32::MAX)] {
        add(
            format!("layout {version}"),
            &[(entry, version << 32 | word(&good, entry) & 0xffff_ffff)],
        );
    }
    let slots = [0, 1, 2, 3, 4, 32, 63, 65, 128, 1 << 24, 1 << 25, 1 << 63, u64::MAX];
    for slots in slots {
        add(format!("{slots} slots"), &[(entry + 4, slots)]);
    }
    for bytes in [0, 1, 7, 8, 40, 47, 49, 56, 1 << 28, (1 << 28) + 1, 1 << 61, u64::MAX] {
        add(format!("{bytes} bytes"), &[(entry + 5, bytes)]);
        add(format!("2 slots, {bytes} bytes"), &[(entry + 4, 2), (entry + 5, bytes)]);
    }
    for latest in [0, 1, 2, 33, 57, 58, 64, 89, 91, 1000, 1 << 63, u64::MAX - 1, u64::MAX] {
        add(format!("{latest} sent"), &[(at, latest)]);
    }
    for seq in [0, 1, 2, 3, 181, 182, 183, 1 << 63, u64::MAX - 1, u64::MAX] {
        let all: Vec<_> = (0..64).map(|n| (slot(n), seq)).collect();
        add(format!("all marks {seq}"), &all);
        add(format!("a mark {seq}"), &all[10..11]);
        add(format!("the first mark {seq}"), &all[..1]);
        add(format!("marks {seq}, endless"), &[&all[..], &[(at, u64::MAX)]].concat());
    }
    for by in [1, 2, 128, 1 << 62].map(u64::cast_signed).into_iter().flat_map(|by| [by, -by]) {
        let all: Vec<_> = HELD.map(|n| (slot(n), (2 * n + 2).wrapping_add_signed(by))).collect();
        add(format!("marks moved by {by}"), &all);
        add(format!("a mark moved by {by}"), &all[20..21]);
    }
    // Messages whose numbers are the last that there are, and those of which twice the number is
    // too much for a word.
    for end in [u64::MAX, 1 << 63, (1 << 63) + 20] {
        let last = (end - 40..=end - 1).map(|n| (slot(n), n.wrapping_mul(2).wrapping_add(2)));
        let all: Vec<_> = last.chain([(at, end)]).collect();
        add(format!("messages up to {end}"), &all);
    }
    for len in [0, 1, 5, 7, 8, 9, 42, 47, 48, 49, 1000, 1 << 31, 1 << 32, 1 << 63, u64::MAX] {
        let all: Vec<_> = HELD.map(|n| (slot(n) + 1, len)).collect();
        add(format!("lengths {len}"), &all);
        let ones = HELD.flat_map(|n| (2..8).map(move |word| (n, word)));
        let ones = ones.map(|(n, word)| (slot(n) + word, u64::MAX));
        add(format!("lengths {len}, of ones"), &ones.chain(all.clone()).collect::<Vec<_>>());
        let (bytes, ones) = (len.min(56), HELD.map(|n| (slot(n) + 2, u64::MAX)));
        let all: Vec<_> = ones.chain(all).chain([(entry + 5, bytes.max(1))]).collect();
        add(format!("lengths {len}, at most {bytes}"), &all);
    }
    let ones: Vec<_> = HELD.flat_map(|n| (2..8).map(move |word| (n, word))).collect();
    let ones: Vec<_> = ones.into_iter().map(|(n, word)| (slot(n) + word, u64::MAX)).collect();
    add("contents of ones".to_owned(), &ones);
    let folder = TempDir::new().expect("a folder");
    compare(folder.path(), &files);
}

#[test]
fn all_readers_say_the_same_of_damaged_counters() {
    const COUNT: usize = 36;
    let good = golden();
    let (directory, at) = place(&good, SectionKind::COUNTERS);
    let words = word(&good, directory + 3) as usize / 8;
    let entry = |n: usize| at + 16 + n * 16;
    let mut files = Vec::new();
    let mut add = |what: String, changes: &[(usize, u64)]| {
        files.push((what, with(&good, changes, false)));
    };
    for count in [0, 1, 2, 35, 37, 38, 39, 40, 1 << 16, (1 << 16) + 1, 1 << 63, u64::MAX] {
        add(format!("{count} entries"), &[(at, count)]);
    }
    for generation in [0, 1, 3, 4, 1 << 63, u64::MAX] {
        add(format!("generation {generation}"), &[(entry(3), generation)]);
        let all: Vec<_> = (0..COUNT).map(|n| (entry(n), generation)).collect();
        add(format!("generations {generation}"), &all);
    }
    // Places 0 to 47 are inside: three blocks of values.
    for place in [15, 47, 48, 63, 64, 1 << 16, (1 << 32) - 1_u64] {
        add(format!("place {place}"), &[(entry(5) + 1, place << 32 | 5)]);
        let all: Vec<_> = (0..COUNT).map(|n| (entry(n) + 1, place << 32 | n as u64)).collect();
        add(format!("places {place}"), &all);
    }
    for (what, outside) in [("last", 1), ("first outside", 0)] {
        let number = (words - 16 - COUNT * 16 - outside) as u64;
        add(format!("the {what} place"), &[(entry(7) + 1, number << 32)]);
    }
    add(
        "values of ones".to_owned(),
        &(0..48).map(|n| (entry(COUNT) + n, u64::MAX)).collect::<Vec<_>>(),
    );
    let texts = 2..16;
    for seed in 1..=24_u64 {
        let mut bytes = awkward(seed);
        let changes: Vec<_> = (0..COUNT)
            .flat_map(|n| texts.clone().map(move |word| entry(n) + word))
            .map(|word| (word, u64::from_le_bytes(std::array::from_fn(|_| bytes()))))
            .collect();
        add(format!("texts of seed {seed}"), &changes);
    }
    for (what, text) in [
        ("no end", u64::MAX),
        ("control characters", u64::from_le_bytes(*b"\x1b[2J\n\r\t\x7f")),
        (
            "control characters of two bytes",
            u64::from_le_bytes(*b"\xc2\x80\xc2\x9f\xc2\xa0\xc2\x85"),
        ),
        ("surrogates", u64::from_le_bytes(*b"\xed\xa0\x80\xed\xbf\xbf\xee\x80")),
        ("long forms", u64::from_le_bytes(*b"\xc0\x80\xe0\x80\x80\xf0\x80\x80")),
        ("beyond Unicode", u64::from_le_bytes(*b"\xf4\x90\x80\x80\xf4\x8f\xbf\xbf")),
        ("an end that is none", u64::from_le_bytes(*b"abcdefg\xe2")),
        ("a zero first", u64::from_le_bytes(*b"\0bcdefgh")),
    ] {
        let all: Vec<_> = texts.clone().map(|word| (entry(9) + word, text)).collect();
        add(format!("texts with {what}"), &all);
    }
    let folder = TempDir::new().expect("a folder");
    compare(folder.path(), &files);
}

/// Bytes at the edges of what UTF-8 and terminals know, by a seed.
fn awkward(seed: u64) -> impl FnMut() -> u8 {
    const BYTES: &[u8] =
        b"a\n\x1b\x7f\x80\x8f\x90\x9f\xa0\xbf\xc0\xc1\xc2\xdf\xe0\xe1\xec\xed\xee\xef\
        \xf0\xf1\xf4\xf5\xff\xa5\xa5\x80\x80\xbb\xe2\x82";
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        BYTES[(state >> 33) as usize % BYTES.len()]
    }
}

#[test]
fn counters_of_another_release_are_read_and_nothing_else() {
    let good = golden();
    let folder = TempDir::new().expect("a folder");
    let files = [("another schema".to_owned(), with(&good, &[(5, 1)], true))];
    compare(folder.path(), &files);
    let said = rust(&folder.path().join("0.bin")).expect("it is sound");
    for line in ["kernel schema", "agents schema", "trace schema", "counters 36"] {
        assert!(said.contains(&format!("\n{line}\n")), "{said}");
    }
}

/// A region of as many sections as there may be, most of kinds that nobody knows, the last two
/// those of trace and counters.
fn crowded(folder: &Path) -> Vec<u8> {
    let path = folder.join("crowded");
    let mut plan = RegionPlan::new();
    for id in 0..4094 {
        let unknown = SectionKind(0x7777 + id % 3);
        let kind = if id % 100 == 0 { SectionKind::COUNTERS } else { unknown };
        plan.add_with(kind, id + 100, 128, 1, [0; 2]).expect("room");
    }
    plan.add_with(SectionKind::BROADCAST, 7, 256, 1, [2, 40]).expect("room");
    plan.add_with(SectionKind::COUNTERS, 8, 128, 1, [0; 2]).expect("room");
    let map = Map::file(&path, plan.total_bytes()).expect("a file");
    let identity = Identity { schema: SCHEMA, ..Identity::default() };
    let mut region = Region::format(map, &plan, identity).expect("formatted");
    region.publish_ready().expect("once");
    fs::read(&path).expect("its file is there while it lives")
}

#[test]
fn all_readers_check_the_largest_directory() {
    let folder = TempDir::new().expect("a folder");
    let good = crowded(folder.path());
    let entry = |n: usize| HEADER_WORDS + n * ENTRY_WORDS;
    let places = |n: usize| [entry(n) + 2, entry(n) + 3];
    let other = |n: usize| places(4093 - n).map(|at| word(&good, at));
    let backwards = (0..4094).flat_map(|n| places(n).into_iter().zip(other(n)));
    let reversed: Vec<_> = backwards.collect();
    let mut files = vec![
        ("as planned".to_owned(), good.clone()),
        ("backwards".to_owned(), with(&good, &reversed, true)),
    ];
    let name = |n: usize| [word(&good, entry(n)), word(&good, entry(n) + 1)];
    for (a, b) in [(0, 4095), (4095, 0), (17, 18), (2000, 100)] {
        let [kind, id] = name(b);
        files.push((
            format!("{a} named as {b}"),
            with(&good, &[(entry(a), kind), (entry(a) + 1, id)], true),
        ));
        let offset = word(&good, entry(b) + 2);
        files.push((format!("{a} placed as {b}"), with(&good, &[(entry(a) + 2, offset)], true)));
        files.push((format!("{a} longer"), with(&good, &[(entry(a) + 3, 4096)], true)));
    }
    compare(folder.path(), &files);
    let said = rust(&folder.path().join("0.bin")).expect("it is sound");
    // Those are found behind all the others.
    assert!(said.contains("\ntrace section\ncounters 0\n"), "{said}");
    assert!(rust(&folder.path().join("1.bin")).is_ok());
}
