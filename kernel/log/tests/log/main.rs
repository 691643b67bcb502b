//! The log on a real disk.

mod event_log;
