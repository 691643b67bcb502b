//! Changes one byte of a finished log and seals the log again, so that no checksum tells.
//!
//! Checksums find accidents; this makes what only a replay finds: a log that is well formed and
//! says something else than what happened. `verify` must name the tick (and agent) of the lie, not
//! the block. The byte is chosen by what it means (the 3rd input, byte 0) or by its position.
//!
//! What this does not do: it changes no lengths, but a torn tail is cut off.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use wasm_engine_abi::record::{
    BLOCK_HEADER_BYTES, BlockHeader, Chain, Facts, SEGMENT_HEADER_BYTES, TickOpen, crc32c, fact,
    fact_bytes, flags, kind, scan,
};

/// How the task is called.
pub(crate) const USAGE: &str = "cargo xtask tamper DIR \
    --kind input|reply|module|run|engine|model|close [--nth N] [--byte K] [--xor X] \
    | --at PAYLOAD_BYTE | --random SEED";

/// What a byte belongs to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Part {
    /// Payload of an input.
    Input,
    /// Payload of an inference reply.
    Reply,
    /// Bytes of a module.
    Module,
    /// The setup of the run.
    Run,
    /// The engine's fingerprint.
    Engine,
    /// What is said of a model.
    Model,
    /// A tick's close record: digests from byte 8 on.
    Close,
}

/// Which byte is changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ByteAt {
    /// Byte `byte` of the `nth` part of its kind, both from 0.
    Part {
        /// What it belongs to.
        part: Part,
        /// Which of them.
        nth: usize,
        /// Byte of its payload.
        byte: usize,
    },
    /// A byte of the payloads of all records in a row.
    Payload {
        /// Its position among them.
        at: usize,
    },
    /// A byte of a payload, chosen by a seed, as is the change.
    Random {
        /// Any number.
        seed: u64,
    },
}

/// What to change.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct TamperSpec {
    /// Which byte.
    pub(crate) target: ByteAt,
    /// Bits to flip in it; not 0. Not looked at for [`ByteAt::Random`].
    pub(crate) xor: u8,
}

/// Some bytes of a payload and where they lie: segment, byte in the file.
struct Piece {
    segment: usize,
    at: usize,
    len: usize,
}

/// A record, joined from its fragments.
struct Joined {
    kind: u16,
    payload: Vec<u8>,
    pieces: Vec<Piece>,
}

impl Joined {
    /// Where a byte of the payload lies: segment, byte in the file.
    fn locate(&self, mut byte: usize) -> Option<(usize, usize)> {
        for piece in &self.pieces {
            if byte < piece.len {
                return Some((piece.segment, piece.at + byte));
            }
            byte -= piece.len;
        }
        None
    }
}

/// Changes one byte of the log in `dir` and makes all checksums fit again.
///
/// # Errors
/// If the log cannot be read or written, is damaged already, or has no such byte.
pub(crate) fn tamper(dir: &Path, spec: &TamperSpec) -> Result<()> {
    let mut segments = read(dir)?;
    let (records, run_id, sound) = join(&segments)?;
    let (target, xor) = find(&records, spec)?;
    ensure!(xor != 0, "flipping no bits changes nothing; give another --xor");
    let (segment, byte) =
        target.with_context(|| format!("the log has no byte {:?}", spec.target))?;
    segments[segment].1[byte] ^= xor;
    seal(&mut segments, run_id, &sound);
    for (index, (path, bytes)) in segments.iter().enumerate().skip(segment) {
        let result = match sound.get(index) {
            Some(sound) => fs::write(path, &bytes[..*sound]),
            None => fs::remove_file(path),
        };
        result.with_context(|| format!("cannot change {}", path.display()))?;
    }
    Ok(())
}

/// Runs the task with its command-line arguments.
///
/// # Errors
/// As [`tamper`], and for arguments that are none.
pub(crate) fn command(args: &[String]) -> Result<()> {
    let [dir, rest @ ..] = args else { bail!("no directory given; use: {USAGE}") };
    let (mut part, mut nth, mut byte, mut xor) = (None, 0, 0, 1);
    let mut target = None;
    ensure!(rest.len().is_multiple_of(2), "an option without a value; use: {USAGE}");
    for pair in rest.chunks(2) {
        let value = pair[1].as_str();
        let number = || value.parse::<usize>().with_context(|| format!("{value} is no number"));
        match pair[0].as_str() {
            "--kind" => part = Some(parse_part(value)?),
            "--nth" => nth = number()?,
            "--byte" => byte = number()?,
            "--xor" => xor = u8::try_from(number()?).context("--xor is a byte")?,
            "--at" => target = Some(ByteAt::Payload { at: number()? }),
            "--random" => target = Some(ByteAt::Random { seed: number()? as u64 }),
            other => bail!("unknown option {other}; use: {USAGE}"),
        }
    }
    let target = target.or(part.map(|part| ByteAt::Part { part, nth, byte }));
    let target = target.with_context(|| format!("nothing to change was named; use: {USAGE}"))?;
    tamper(Path::new(dir), &TamperSpec { target, xor })
}

fn parse_part(name: &str) -> Result<Part> {
    Ok(match name {
        "input" => Part::Input,
        "reply" => Part::Reply,
        "module" => Part::Module,
        "run" => Part::Run,
        "engine" => Part::Engine,
        "model" => Part::Model,
        "close" => Part::Close,
        other => bail!("{other} is no kind; use: {USAGE}"),
    })
}

/// All segments, in order.
fn read(dir: &Path) -> Result<Vec<(PathBuf, Vec<u8>)>> {
    let mut segments = Vec::new();
    loop {
        let path = dir.join(format!("{:06}.log", segments.len()));
        match fs::read(&path) {
            Ok(bytes) => segments.push((path, bytes)),
            Err(_) if !segments.is_empty() => return Ok(segments),
            Err(error) => return Err(error).with_context(|| format!("no {}", path.display())),
        }
    }
}

/// All records; the run's id; how many bytes of each segment are sound.
fn join(segments: &[(PathBuf, Vec<u8>)]) -> Result<(Vec<Joined>, [u8; 16], Vec<usize>)> {
    let (mut records, mut sound): (Vec<Joined>, Vec<usize>) = (Vec::new(), Vec::new());
    let mut chain: Option<Chain> = None;
    for (segment, (path, bytes)) in segments.iter().enumerate() {
        let last = segment + 1 == segments.len();
        let bad = |corrupt| anyhow::Error::new(corrupt).context(format!("in {}", path.display()));
        let mut blocks = match scan(bytes, chain, crc32c) {
            Err(corrupt) if last && corrupt.torn => break,
            blocks => blocks.map_err(bad)?,
        };
        for block in &mut blocks {
            let block = match block {
                Err(corrupt) if last && corrupt.torn => break,
                block => block.map_err(bad)?,
            };
            for (at, header, payload) in block.records() {
                let at = block.offset + BLOCK_HEADER_BYTES + at + size_of_val(&header);
                if header.flags & flags::FIRST != 0 {
                    let (kind, payload, pieces) = (header.kind, Vec::new(), Vec::new());
                    records.push(Joined { kind, payload, pieces });
                }
                let record = records.last_mut().context("the log begins inside a record")?;
                record.payload.extend_from_slice(payload);
                record.pieces.push(Piece { segment, at, len: payload.len() });
            }
        }
        sound.push(blocks.sound_bytes());
        chain = Some(blocks.after());
    }
    let chain = chain.context("the log holds nothing")?;
    Ok((records, chain.run_id, sound))
}

/// Where the byte lies, and the bits to flip.
fn find(records: &[Joined], spec: &TamperSpec) -> Result<(Option<(usize, usize)>, u8)> {
    let all: usize = records.iter().map(|record| record.payload.len()).sum();
    Ok(match spec.target {
        ByteAt::Part { part, nth, byte } => (find_part(records, part, nth, byte)?, spec.xor),
        ByteAt::Payload { at } => (find_payload(records, at), spec.xor),
        ByteAt::Random { seed } => {
            ensure!(all > 0, "the log has no payload");
            let number = mix(seed);
            let at = (number % all as u64) as usize;
            (find_payload(records, at), (number >> 56) as u8 | 1)
        }
    })
}

fn find_payload(records: &[Joined], mut at: usize) -> Option<(usize, usize)> {
    for record in records {
        if at < record.payload.len() {
            return record.locate(at);
        }
        at -= record.payload.len();
    }
    None
}

fn find_part(
    records: &[Joined],
    part: Part,
    nth: usize,
    byte: usize,
) -> Result<Option<(usize, usize)>> {
    let of = |kind: u16| records.iter().filter(move |record| record.kind == kind);
    let whole = |kind| of(kind).nth(nth).and_then(|record| record.locate(byte));
    let fact = match part {
        Part::Input => fact::INPUT,
        Part::Reply => fact::REPLY,
        Part::Module => return Ok(whole(kind::MODULE)),
        Part::Run => return Ok(whole(kind::RUN)),
        Part::Engine => return Ok(whole(kind::ENGINE)),
        Part::Model => return Ok(whole(kind::MODEL)),
        Part::Close => return Ok(whole(kind::TICK_CLOSE)),
    };
    let mut left = nth;
    for record in of(kind::TICK_OPEN) {
        let mut at = size_of::<TickOpen>();
        for found in Facts::parse(&record.payload)?.iter() {
            let len = found.payload.len();
            if found.header.kind == fact && left == 0 {
                let payload = at + size_of_val(&found.header);
                return Ok(if byte < len { record.locate(payload + byte) } else { None });
            }
            left -= usize::from(found.header.kind == fact);
            at += fact_bytes(len);
        }
    }
    Ok(None)
}

/// Seals every block anew, along the whole chain.
fn seal(segments: &mut [(PathBuf, Vec<u8>)], run_id: [u8; 16], sound: &[usize]) {
    let mut chain = Chain::new(run_id);
    for ((_, bytes), sound) in segments.iter_mut().zip(sound) {
        let header = chain.segment_header(crc32c);
        bytes[..SEGMENT_HEADER_BYTES].copy_from_slice(bytemuck::bytes_of(&header));
        chain.enter(&header);
        let mut at = SEGMENT_HEADER_BYTES;
        while at < *sound {
            // The old header still says lengths, counts and ticks: only a payload byte was touched.
            let old: BlockHeader =
                bytemuck::pod_read_unaligned(&bytes[at..at + BLOCK_HEADER_BYTES]);
            let end = at + old.block_bytes();
            chain.seal(&mut bytes[at..end], old.records, old.first_tick, old.last_tick, crc32c);
            at = end;
        }
    }
}

/// SplitMix64: a seed to a number.
fn mix(seed: u64) -> u64 {
    let mut value = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::{ByteAt, Part, TamperSpec, join, read, tamper};
    use std::fs;
    use wasm_engine_abi::record::{
        BLOCK_FOOTER_BYTES, BLOCK_HEADER_BYTES, Chain, FactHeader, RecordHeader, TickOpen, crc32c,
        fact, flags, kind,
    };

    /// A block of one fragment.
    fn block(chain: &mut Chain, kind: u16, flags: u16, tick: u64, payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; BLOCK_HEADER_BYTES];
        let header = RecordHeader { len: payload.len() as u32, kind, flags, tick };
        bytes.extend_from_slice(bytemuck::bytes_of(&header));
        bytes.extend_from_slice(payload);
        bytes.resize(bytes.len().next_multiple_of(8) + BLOCK_FOOTER_BYTES, 0);
        chain.seal(&mut bytes, 1, tick, tick, crc32c);
        bytes
    }

    /// The facts of tick 0: two inputs of 5 bytes.
    fn facts() -> Vec<u8> {
        let open = TickOpen { tick: 0, chosen: 0, facts: 2 };
        let mut bytes = bytemuck::bytes_of(&open).to_vec();
        for payload in [b"first", b"other"] {
            let header = FactHeader { kind: fact::INPUT, len: 5, ..FactHeader::default() };
            bytes.extend_from_slice(bytemuck::bytes_of(&header));
            bytes.extend_from_slice(payload);
            bytes.extend_from_slice(&[0; 3]);
        }
        bytes
    }

    #[test]
    fn changes_the_named_byte_across_fragments_and_segments_and_seals_again() {
        let dir = std::env::temp_dir().join(format!("wasm-engine-tamper-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let mut chain = Chain::new([7; 16]);
        let facts = facts();
        let (head, tail) = facts.split_at(90);
        let parts: [Vec<(u16, u16, &[u8])>; 2] = [
            vec![(kind::RUN, flags::WHOLE, b"{}"), (kind::TICK_OPEN, flags::FIRST, head)],
            vec![(kind::TICK_OPEN, flags::LAST, tail), (kind::TICK_CLOSE, flags::WHOLE, &[9; 48])],
        ];
        for (number, blocks) in parts.iter().enumerate() {
            let header = chain.segment_header(crc32c);
            chain.enter(&header);
            let mut bytes = bytemuck::bytes_of(&header).to_vec();
            for (kind, flags, payload) in blocks {
                bytes.extend(block(&mut chain, *kind, *flags, 0, payload));
            }
            fs::write(dir.join(format!("{number:06}.log")), bytes).unwrap();
        }
        // The second input's payload begins at byte 16 + 40 + 32 = 88; its byte 4 is at 92, its
        // padding ends at 96; the close is behind it.
        for (part, nth, byte, record, at) in
            [(Part::Input, 1, 4, 1, 92), (Part::Close, 0, 10, 2, 10), (Part::Run, 0, 1, 0, 1)]
        {
            let before = join(&read(&dir).unwrap()).unwrap().0;
            tamper(&dir, &TamperSpec { target: ByteAt::Part { part, nth, byte }, xor: 0x20 })
                .unwrap();
            let after = join(&read(&dir).unwrap()).unwrap().0;
            for (index, (old, new)) in before.iter().zip(&after).enumerate() {
                let mut expected = old.payload.clone();
                if index == record {
                    expected[at] ^= 0x20;
                }
                assert_eq!(new.payload, expected, "{part:?}, record {index}");
            }
        }
        let target = ByteAt::Part { part: Part::Input, nth: 2, byte: 0 };
        assert!(tamper(&dir, &TamperSpec { target, xor: 1 }).is_err(), "there are two inputs");
        tamper(&dir, &TamperSpec { target: ByteAt::Random { seed: 3 }, xor: 0 }).unwrap();
        join(&read(&dir).unwrap()).unwrap();
        fs::remove_dir_all(&dir).unwrap();
    }
}
