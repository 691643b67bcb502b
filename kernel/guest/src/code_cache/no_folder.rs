//! No folder for compiled modules: here nothing says whose a file is.

use std::io::{Error, ErrorKind, Result};
use std::path::Path;

use super::error::CacheError;

pub(super) use self::NoFolder as Folder;

/// There is none of these.
#[derive(Debug)]
pub(super) enum NoFolder {}

impl NoFolder {
    pub(super) fn open(path: &Path) -> std::result::Result<Self, CacheError> {
        Err(CacheError::Io { path: path.to_owned(), source: ErrorKind::Unsupported.into() })
    }

    pub(super) fn key(&self) -> std::result::Result<[u8; 32], CacheError> {
        match *self {}
    }

    pub(super) fn read(&self, _: &str, _: u64) -> Result<Vec<u8>> {
        match *self {}
    }

    pub(super) fn touch(&self, _: &str) {}

    pub(super) fn write(&self, _: &str, _: &[&[u8]]) -> Result<()> {
        Err(Error::from(ErrorKind::Unsupported))
    }

    pub(super) fn prune(&self, _: usize, _: u64) {}
}
