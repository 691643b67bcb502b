//! The files of a model beside the first one, and the hash that covers them all.

use std::fmt;
use std::sync::Arc;

use sha2::{Digest, Sha256};

/// A file in which a model has data, read.
#[derive(Clone, PartialEq, Eq)]
pub struct ExternalFile {
    /// Its name relative to the folder of the model, with `/` between folders.
    pub name: String,
    /// All of it.
    pub bytes: Arc<[u8]>,
}

impl fmt::Debug for ExternalFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ExternalFile({}, {} bytes)", self.name, self.bytes.len())
    }
}

/// The hash that a run binds to, in hexadecimal: the sha256 of the model's file. With data in other
/// files it is the sha256 over that file, followed, for each of the others in the order of their
/// names' bytes, by the length of its name, its name, its length and its sha256; lengths are 8
/// bytes, the lowest first.
#[must_use]
pub fn model_sha256(model: &[u8], external: &[ExternalFile]) -> String {
    let mut hasher = Sha256::new();
    hasher.update(model);
    let mut files: Vec<&ExternalFile> = external.iter().collect();
    files.sort_by_key(|file| file.name.as_bytes());
    for ExternalFile { name, bytes } in files {
        hasher.update((name.len() as u64).to_le_bytes());
        hasher.update(name);
        hasher.update((bytes.len() as u64).to_le_bytes());
        hasher.update(Sha256::digest(bytes));
    }
    format!("{:x}", hasher.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, bytes: &[u8]) -> ExternalFile {
        ExternalFile { name: name.to_owned(), bytes: bytes.into() }
    }

    #[test]
    fn without_other_files_it_is_the_hash_of_the_file() {
        let known = "277089d91c0bdf4f2e6862ba7e4a07605119431f5d13f726dd352b06f1b206a9";
        assert_eq!(model_sha256(b"bytes", &[]), known);
    }

    #[test]
    fn with_others_it_is_what_the_documentation_says() {
        // printf 'model' + 3 as 8 bytes + 'w.b' + 2 as 8 bytes + sha256 of 'ab' | sha256sum
        let mut all = b"model\x03\0\0\0\0\0\0\0w.b\x02\0\0\0\0\0\0\0".to_vec();
        all.extend(Sha256::digest(b"ab"));
        let expected = format!("{:x}", Sha256::digest(&all));
        assert_eq!(model_sha256(b"model", &[file("w.b", b"ab")]), expected);
    }

    #[test]
    fn every_cut_flip_name_and_split_changes_it_and_the_order_given_does_not() {
        let content: Vec<u8> = (0..64).collect();
        let whole = |bytes: &[u8]| model_sha256(b"m", &[file("a", bytes), file("b", b"xy")]);
        let right = whole(&content);
        let mut seen = vec![right.clone()];
        for len in 0..content.len() {
            seen.push(whole(&content[..len]));
        }
        for at in 0..content.len() * 8 {
            let mut flipped = content.clone();
            flipped[at / 8] ^= 1 << (at % 8);
            seen.push(whole(&flipped));
        }
        seen.push(model_sha256(b"m", &[file("c", &content), file("b", b"xy")]));
        seen.push(model_sha256(b"m", &[file("a", &content)]));
        seen.push(model_sha256(
            b"m",
            &[file("a", &[&content[..], b"x"].concat()), file("b", b"y")],
        ));
        let count = seen.len();
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), count, "two of them are equal");
        let turned = model_sha256(b"m", &[file("b", b"xy"), file("a", &content)]);
        assert_eq!(turned, right);
    }
}
