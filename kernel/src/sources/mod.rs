//! Where inputs come from, and when they enter.

mod commands;
mod csv;
mod error;
mod files;
mod grid;
pub(crate) mod ingest;
mod jsonl;
mod lines;
mod lines_from;
mod list;
pub(crate) mod live;
mod payload;
mod source;
mod streams;
mod table;
mod times;

pub(crate) use self::commands::{COMMAND_BYTES_PER_TICK_MAX, COMMANDS_PER_TICK_MAX};
pub use self::{
    commands::{Command, Commands},
    error::{BadRow, SourceError},
    grid::Grid,
    live::PushRefusal,
    payload::Due,
    source::Source,
};
