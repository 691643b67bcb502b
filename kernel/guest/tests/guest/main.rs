//! Modules and turns, without scheduler or threads.

mod admission;
mod lane;
mod rig;
mod worker;
