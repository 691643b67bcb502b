//! Modules and turns, without scheduler or threads.

mod admission;
mod hostile;
mod lane;
mod rig;
mod worker;
