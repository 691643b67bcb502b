//! The monitor and its readers in three languages.

#[cfg(all(feature = "tui", target_os = "linux"))]
mod cli;
#[cfg(target_os = "linux")]
mod corrupt;
#[cfg(feature = "tui")]
mod golden;
#[cfg(feature = "tui")]
mod hostile;
#[cfg(target_os = "linux")]
mod live;
#[cfg(target_os = "linux")]
mod readers;
#[cfg(target_os = "linux")]
mod readers_damage;
#[cfg(all(feature = "tui", target_os = "linux"))]
mod readers_follow;
#[cfg(target_os = "linux")]
mod readers_live;
mod tables;
