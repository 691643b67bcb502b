//! The monitor and its readers in three languages.

mod cli;
mod corrupt;
#[cfg(feature = "tui")]
mod golden;
#[cfg(feature = "tui")]
mod hostile;
mod live;
mod readers;
mod readers_damage;
mod readers_follow;
mod readers_live;
mod tables;
