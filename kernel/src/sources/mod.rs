//! Where inputs come from, and when they enter.

#[cfg(unix)]
mod alarm;
mod arrivals;
mod commands;
mod csv;
mod error;
mod feed_run;
#[cfg(unix)]
mod feeder_port;
mod files;
mod grid;
pub(crate) mod ingest;
mod jsonl;
mod lines;
mod lines_from;
mod list;
pub(crate) mod live;
mod payload;
mod port;
#[cfg(unix)]
mod socket_lines;
#[cfg(unix)]
mod sockets;
mod source;
mod streams;
mod table;
mod times;

pub(crate) use self::commands::{COMMAND_BYTES_PER_TICK_MAX, COMMANDS_PER_TICK_MAX, CommandRoom};
pub(crate) use self::feed_run::FeedRun;
pub use self::{
    commands::{Command, Commands},
    error::{BadRow, SourceError},
    grid::Grid,
    live::PushRefusal,
    payload::Due,
    port::{FeedReport, FeedState, ListenError},
    source::Source,
};
