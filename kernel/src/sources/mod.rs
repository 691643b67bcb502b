//! Where inputs come from, and when they enter.

mod commands;
mod csv;
mod error;
mod files;
mod grid;
pub(crate) mod ingest;
mod jsonl;
mod list;
mod payload;
mod source;
mod streams;
mod table;
mod times;

pub use self::{
    commands::{Command, Commands},
    error::{BadRow, SourceError},
    grid::Grid,
    payload::Due,
    source::Source,
};
