//! The log on a real disk, and on one that crashes and fails when told to.

mod crashes;
mod event_log;
mod faults;
mod going_to_ticks;
mod keyframes;
mod scenario;
mod storage;
