//! The windows of the speech example: its recordings, cut up into what enters in each tick.
//!
//! ```text
//!  recordings/*.wav  16-bit PCM, one channel, 16,000 samples a second
//!  windows.jsonl     {"tick":1,"key":"austen-0880","payload":"d700fa00..."}
//! ```
//! A tick has one window of 512 samples for each stream, as hexadecimal digits; the last one of a
//! stream is shorter, and has no samples if nothing is left. The stream `all` is the recordings one
//! after the other, in the order of their names.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

const RECORDINGS: &str = "examples/speech/recordings";
const WINDOWS: &str = "examples/speech/windows.jsonl";
/// Bytes of a window.
const WINDOW_BYTES: usize = 2 * 512;

/// A stream and its samples, as bytes.
type Stream = (String, Vec<u8>);

/// Writes the windows where they are not there yet.
///
/// # Errors
/// If a recording is not what it should be, or cannot be read, or the windows cannot be written.
pub(crate) fn prepare(root: &Path) -> Result<PathBuf> {
    let path = root.join(WINDOWS);
    let lines = windows(&streams(&root.join(RECORDINGS))?);
    if !fs::read_to_string(&path).is_ok_and(|old| old == lines) {
        fs::write(&path, lines).with_context(|| format!("{} cannot be written", path.display()))?;
    }
    Ok(path)
}

/// The streams of a folder of recordings, by name.
///
/// # Errors
/// As for [`prepare`].
pub(crate) fn streams(folder: &Path) -> Result<Vec<Stream>> {
    let mut streams = Vec::new();
    let entries =
        fs::read_dir(folder).with_context(|| format!("{} cannot be read", folder.display()))?;
    for entry in entries.flatten() {
        let name = entry.file_name();
        let Some(name) = name.to_str().and_then(|name| name.strip_suffix(".wav")) else { continue };
        let bytes = fs::read(entry.path())?;
        let path = entry.path();
        let samples = samples(&bytes)
            .with_context(|| format!("{} is no 16-bit PCM of 16 kHz, mono", path.display()))?;
        streams.push((name.to_owned(), samples.to_vec()));
    }
    streams.sort();
    ensure!(!streams.is_empty(), "{} holds no recordings", folder.display());
    let all = streams.iter().flat_map(|(_, samples)| samples.clone()).collect();
    streams.push(("all".to_owned(), all));
    streams.sort();
    Ok(streams)
}

/// The samples of a WAVE file: a chunk `fmt ` that says what they are, then one that is `data`.
fn samples(file: &[u8]) -> Option<&[u8]> {
    let mut rest = file.strip_prefix(b"RIFF")?.get(4..)?.strip_prefix(b"WAVE")?;
    let mut is_known = false;
    loop {
        let (head, after) = rest.split_at_checked(8)?;
        let len = u32::from_le_bytes(*head[4..].first_chunk()?) as usize;
        let (chunk, after) = after.split_at_checked(len)?;
        match &head[..4] {
            b"fmt " => {
                let word = |at: usize| Some(u16::from_le_bytes(*chunk.get(at..)?.first_chunk()?));
                let rate = u32::from_le_bytes(*chunk.get(4..)?.first_chunk()?);
                let form = (word(0)?, word(2)?, rate, word(14)?);
                is_known = form == (1, 1, 16_000, 16);
            }
            b"data" => return (is_known && len.is_multiple_of(2)).then_some(chunk),
            _ => {}
        }
        // A chunk of odd length has one byte more.
        rest = after.get(len % 2..)?;
    }
}

fn windows(streams: &[Stream]) -> String {
    let mut lines = String::new();
    let longest = streams.iter().map(|(_, samples)| samples.len() / WINDOW_BYTES).max();
    for index in 0..=longest.unwrap_or(0) {
        for (name, samples) in streams {
            // The last window is the first that is not whole.
            let Some(rest) = samples.get(index * WINDOW_BYTES..) else { continue };
            let window = &rest[..rest.len().min(WINDOW_BYTES)];
            let tick = index + 1;
            let _ = write!(lines, "{{\"tick\":{tick},\"key\":\"{name}\",\"payload\":\"");
            for byte in window {
                let _ = write!(lines, "{byte:02x}");
            }
            lines += "\"}\n";
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wave(form: [u16; 2], rate: u32, samples: &[u8]) -> Vec<u8> {
        let mut file = b"RIFF\0\0\0\0WAVEodd \x01\0\0\0x\0fmt \x10\0\0\0\x01\0".to_vec();
        file.extend(form[0].to_le_bytes());
        file.extend(rate.to_le_bytes());
        file.extend([0; 6]);
        file.extend(form[1].to_le_bytes());
        file.extend(b"data");
        file.extend((samples.len() as u32).to_le_bytes());
        file.extend(samples);
        file
    }

    #[test]
    fn samples_are_found_behind_what_says_what_they_are() {
        assert_eq!(samples(&wave([1, 16], 16_000, b"abcd")), Some(&b"abcd"[..]));
        assert_eq!(samples(&wave([2, 16], 16_000, b"abcd")), None);
        assert_eq!(samples(&wave([1, 8], 16_000, b"abcd")), None);
        assert_eq!(samples(&wave([1, 16], 8_000, b"abcd")), None);
        assert_eq!(samples(&wave([1, 16], 16_000, b"abc")), None);
        let whole = wave([1, 16], 16_000, b"abcd");
        for len in 0..whole.len() {
            assert_eq!(samples(&whole[..len]), None, "{len} bytes of it");
        }
    }

    #[test]
    fn a_stream_ends_with_a_window_that_is_not_whole() {
        let streams = [("a".to_owned(), vec![1; 1026]), ("b".to_owned(), vec![2; 1024])];
        let lines = windows(&streams);
        let expected = format!(
            "{{\"tick\":1,\"key\":\"a\",\"payload\":\"{}\"}}\n\
             {{\"tick\":1,\"key\":\"b\",\"payload\":\"{}\"}}\n\
             {{\"tick\":2,\"key\":\"a\",\"payload\":\"0101\"}}\n\
             {{\"tick\":2,\"key\":\"b\",\"payload\":\"\"}}\n",
            "01".repeat(1024),
            "02".repeat(1024)
        );
        assert_eq!(lines, expected);
    }
}
