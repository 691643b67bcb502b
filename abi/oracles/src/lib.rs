//! Any bytes, turned into segments and facts; what must hold whatever they are.
//!
//! Frames, items and rows are plain data of which any bits are a value: there is no parser to fuzz.
//! What the kernel reads out of them is checked there.

use bytemuck::bytes_of;
use wasm_engine_abi::record::{
    BLOCK_FOOTER_BYTES, BLOCK_HEADER_BYTES, Chain, CorruptBlock, Corruption, FactHeader, Facts,
    RecordHeader, SEGMENT_HEADER_BYTES, TickOpen, crc32c, fact_bytes, flags, record_bytes, scan,
};

/// Bytes from which decisions are taken; zeros once they have ended.
struct Script<'a>(&'a [u8]);

impl<'a> Script<'a> {
    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    fn below(&mut self, end: usize) -> usize {
        (usize::from(self.byte()) << 8 | usize::from(self.byte())) % end
    }

    fn take(&mut self, len: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        taken
    }
}

/// Segments of any bytes are scanned or refused; generated ones are classified correctly.
pub fn log(data: &[u8]) {
    let mut script = Script(data);
    match script.byte() % 7 {
        0 => {
            let _ = walk(script.0);
        }
        1 => damage_is_found(&mut script),
        2 => truncated_is_torn(&mut script, false),
        3 => truncated_is_torn(&mut script, true),
        4 => any_records(&mut script),
        5 => order_is_checked(&mut script),
        _ => {
            let (bytes, ends) = segment(&mut script);
            assert_eq!(walk(&bytes), Ok(ends.len() - 1), "a sound segment");
        }
    }
}

/// Scans a segment; returns how many blocks are sound.
fn walk(bytes: &[u8]) -> Result<usize, CorruptBlock> {
    let mut blocks = scan(bytes, None, crc32c)?;
    let mut count = 0;
    while let Some(block) = blocks.next() {
        let block = block?;
        let mut at = 0;
        for (offset, header, payload) in block.records() {
            assert_eq!((offset, payload.len()), (at, header.len as usize));
            at += record_bytes(payload.len());
        }
        assert_eq!(at, block.body.len(), "records fill their block");
        assert_eq!(blocks.sound_bytes(), block.offset + block.header.block_bytes());
        count += 1;
    }
    assert_eq!(blocks.sound_bytes(), bytes.len(), "nothing is left over");
    Ok(count)
}

/// A segment of sound blocks, and where its header and each block end.
fn segment(script: &mut Script<'_>) -> (Vec<u8>, Vec<usize>) {
    let mut chain = Chain::new([script.byte(); 16]);
    let header = chain.segment_header(crc32c);
    chain.enter(&header);
    let mut bytes = bytes_of(&header).to_vec();
    let mut ends = vec![bytes.len()];
    for tick in 0..script.below(4) as u64 {
        let mut block = vec![0; BLOCK_HEADER_BYTES];
        let records = script.below(4);
        for _ in 0..records {
            let len = script.below(70);
            let payload = script.take(len);
            let kind = u16::from(script.byte());
            let flags = u16::from(script.byte()) & flags::WHOLE;
            let record = RecordHeader { len: payload.len() as u32, kind, flags, tick };
            block.extend_from_slice(bytes_of(&record));
            block.extend_from_slice(payload);
            block.resize(block.len().next_multiple_of(8), 0);
        }
        block.resize(block.len() + BLOCK_FOOTER_BYTES, 0);
        chain.seal(&mut block, records as u32, tick, tick, crc32c);
        bytes.extend_from_slice(&block);
        ends.push(bytes.len());
    }
    (bytes, ends)
}

/// One changed byte is found, as damage: no crash explains it.
fn damage_is_found(script: &mut Script<'_>) {
    let (at, xor) = (script.below(1 << 16), script.byte() | 1);
    let (mut bytes, _) = segment(script);
    let at = at % bytes.len();
    bytes[at] ^= xor;
    let corrupt = walk(&bytes).expect_err("a changed byte passed");
    assert!(!corrupt.torn, "byte {at} of {}: called torn, {corrupt}", bytes.len());
    assert!(corrupt.offset <= at, "byte {at}: found only at {}", corrupt.offset);
}

/// A block left out, repeated, moved or of another history is found.
fn order_is_checked(script: &mut Script<'_>) {
    let (what, at) = (script.byte(), script.below(4));
    let (bytes, ends) = segment(script);
    let mut blocks: Vec<&[u8]> = ends.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect();
    if at + 1 >= blocks.len() {
        return;
    }
    let mut run_id = [0; 16];
    run_id.copy_from_slice(&bytes[16..32]);
    let mut other = Chain { run_id, segment: 1, block: at as u64, prev_crc: 0x1234_5678 };
    let mut foreign = [0; BLOCK_HEADER_BYTES + BLOCK_FOOTER_BYTES];
    other.seal(&mut foreign, 0, 0, 0, crc32c);
    match what % 4 {
        0 => drop(blocks.remove(at)),
        1 => blocks.insert(at, blocks[at]),
        2 => blocks.swap(at, at + 1),
        _ => blocks[at] = &foreign,
    }
    let changed = [&bytes[..ends[0]], &blocks.concat()].concat();
    let corrupt = walk(&changed).expect_err("blocks in another order passed");
    assert!(!corrupt.torn, "called torn: {corrupt}");
}

/// A segment truncated anywhere is torn or ends between two blocks; so is one that the file system
/// has made longer with zeros, unless it was truncated inside a footer, which no crash does.
fn truncated_is_torn(script: &mut Script<'_>, zeros: bool) {
    let (at, more) = (script.below(1 << 16), script.below(600));
    let (original, ends) = segment(script);
    let at = at % (original.len() + 1);
    let mut bytes = original[..at].to_vec();
    bytes.resize(at + if zeros { more } else { 0 }, 0);
    // Zeros that were zeros before are not lost.
    let at = bytes.iter().zip(&original).take_while(|(one, other)| one == other).count();
    let in_footer = ends[1..].iter().any(|end| (end - BLOCK_FOOTER_BYTES..*end).contains(&at));
    if zeros && in_footer {
        return;
    }
    let whole = ends.iter().filter(|end| **end <= at).count();
    match walk(&bytes) {
        Ok(blocks) => {
            assert_eq!((blocks + 1, ends.contains(&at)), (whole, true), "truncated at {at}")
        }
        // Without the log before it, a truncated header of the first segment is known by its zeros
        // alone.
        Err(corrupt) if at < SEGMENT_HEADER_BYTES => assert_eq!(corrupt.offset, 0),
        Err(corrupt) => {
            assert!(corrupt.torn, "truncated at {at} with {more} zeros: {corrupt}");
            assert_eq!(corrupt.offset, ends[whole - 1], "truncated at {at}");
        }
    }
}

/// Records of any bytes in a block whose checksums are right: sound or a fault of the writer.
fn any_records(script: &mut Script<'_>) {
    let mut chain = Chain::new([1; 16]);
    let header = chain.segment_header(crc32c);
    chain.enter(&header);
    let mut bytes = bytes_of(&header).to_vec();
    let records = u32::from(script.byte() % 8);
    let last_tick = u64::from(script.byte());
    let mut block = vec![0; BLOCK_HEADER_BYTES];
    block.extend_from_slice(script.take(4096));
    block.resize(block.len().next_multiple_of(8) + BLOCK_FOOTER_BYTES, 0);
    chain.seal(&mut block, records, 0, last_tick, crc32c);
    bytes.extend_from_slice(&block);
    match walk(&bytes) {
        Ok(blocks) => assert_eq!(blocks, 1),
        Err(corrupt) => {
            assert!(
                matches!(corrupt.corruption, Corruption::Record { .. }) && !corrupt.torn,
                "{corrupt}"
            );
        }
    }
}

/// The facts of a tick of any bytes are parsed or refused; generated ones are parsed, truncated
/// ones refused.
pub fn facts(data: &[u8]) {
    let mut script = Script(data);
    if script.byte().is_multiple_of(2) {
        if let Ok(facts) = Facts::parse(script.0) {
            let sum: usize = facts.iter().map(|fact| fact_bytes(fact.payload.len())).sum();
            assert_eq!(size_of::<TickOpen>() + sum, script.0.len(), "facts fill the record");
            assert_eq!(facts.iter().count(), facts.open().facts as usize);
        }
        return;
    }
    let (end, count) = (script.below(1 << 16), script.below(5));
    let mut bytes = bytes_of(&TickOpen { tick: 3, chosen: 0, facts: count as u32 }).to_vec();
    let mut payloads = Vec::new();
    for _ in 0..count {
        let len = script.below(50);
        let payload = script.take(len);
        let header = FactHeader { kind: 6, len: payload.len() as u32, ..FactHeader::default() };
        bytes.extend_from_slice(bytes_of(&header));
        bytes.extend_from_slice(payload);
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        payloads.push(payload);
    }
    let facts = Facts::parse(&bytes).expect("well formed");
    assert!(facts.iter().map(|fact| fact.payload).eq(payloads));
    let end = end % bytes.len();
    assert!(Facts::parse(&bytes[..end]).is_err(), "truncated at {end}");
}
