//! Changes a finished log and seals it again, so that only a replay can find the change.

use std::{fs, path::Path};

use wasm_engine_abi::record::{
    BLOCK_HEADER_BYTES, BlockHeader, Chain, SEGMENT_HEADER_BYTES, crc32c, flags, kind, scan,
};

/// A record, joined from its fragments, and where each of its bytes lies.
#[derive(Debug)]
pub struct Rec {
    /// Its kind.
    pub kind: u16,
    /// Its tick.
    pub tick: u64,
    /// Its bytes.
    pub payload: Vec<u8>,
    /// Segment, byte in the file, length.
    pieces: Vec<(usize, usize, usize)>,
}

/// The segments of a log.
pub fn segments(dir: &Path) -> Vec<Vec<u8>> {
    let file = |number| fs::read(dir.join(format!("{number:06}.log"))).ok();
    (0..).map_while(file).collect()
}

/// All records of a log that is whole.
pub fn records(dir: &Path) -> Vec<Rec> {
    join(&segments(dir)).0
}

fn join(segments: &[Vec<u8>]) -> (Vec<Rec>, [u8; 16]) {
    let (mut all, mut chain): (Vec<Rec>, Option<Chain>) = (Vec::new(), None);
    for (number, bytes) in segments.iter().enumerate() {
        let mut blocks = scan(bytes, chain, crc32c).expect("a whole segment");
        for block in &mut blocks {
            let block = block.expect("a whole block");
            for (at, header, payload) in block.records() {
                let at = block.offset + BLOCK_HEADER_BYTES + at + size_of_val(&header);
                if header.flags & flags::FIRST != 0 {
                    let (kind, tick) = (header.kind, header.tick);
                    all.push(Rec { kind, tick, payload: Vec::new(), pieces: Vec::new() });
                }
                let record = all.last_mut().expect("a log begins with a record");
                record.payload.extend_from_slice(payload);
                record.pieces.push((number, at, payload.len()));
            }
        }
        chain = Some(blocks.after());
    }
    (all, chain.expect("a log has segments").run_id)
}

/// Flips `xor` in byte `at` of the payload of the record that `pick` takes, and seals.
pub fn change(dir: &Path, pick: impl Fn(&Rec) -> bool, at: usize, xor: u8) {
    change_as(dir, pick, at, xor, |run_id, _| run_id);
}

/// As [`change`], and gives the run the id that its new first records have.
pub fn forge(dir: &Path, pick: impl Fn(&Rec) -> bool, at: usize, xor: u8) {
    change_as(dir, pick, at, xor, |_, records| {
        let mut hasher = blake3::Hasher::new();
        for record in records.iter().filter(|r| (kind::RUN..=kind::MODEL).contains(&r.kind)) {
            hasher.update(&record.kind.to_le_bytes());
            hasher.update(&(record.payload.len() as u64).to_le_bytes());
            hasher.update(&record.payload);
        }
        let mut id = [0; 16];
        id.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
        id
    });
}

fn change_as(
    dir: &Path,
    pick: impl Fn(&Rec) -> bool,
    at: usize,
    xor: u8,
    rename: impl Fn([u8; 16], &[Rec]) -> [u8; 16],
) {
    let mut segments = segments(dir);
    let (mut records, run_id) = join(&segments);
    let record = records.iter_mut().find(|record| pick(record)).expect("there is such a record");
    record.payload[at] ^= xor;
    let (mut left, mut location) = (at, None);
    for &(segment, begin, len) in &record.pieces {
        if left < len {
            location = Some((segment, begin + left));
            break;
        }
        left -= len;
    }
    let (segment, byte) = location.expect("the record is that long");
    segments[segment][byte] ^= xor;
    seal(&mut segments, rename(run_id, &records));
    for (number, bytes) in segments.iter().enumerate() {
        fs::write(dir.join(format!("{number:06}.log")), bytes).expect("written");
    }
}

/// Seals every block anew, whatever the records say.
pub fn seal(segments: &mut [Vec<u8>], run_id: [u8; 16]) {
    let mut chain = Chain::new(run_id);
    for bytes in segments {
        let header = chain.segment_header(crc32c);
        bytes[..SEGMENT_HEADER_BYTES].copy_from_slice(bytemuck::bytes_of(&header));
        chain.enter(&header);
        let mut at = SEGMENT_HEADER_BYTES;
        while at < bytes.len() {
            let old: BlockHeader =
                bytemuck::pod_read_unaligned(&bytes[at..at + BLOCK_HEADER_BYTES]);
            let end = at + old.block_bytes();
            chain.seal(&mut bytes[at..end], old.records, old.first_tick, old.last_tick, crc32c);
            at = end;
        }
    }
}
