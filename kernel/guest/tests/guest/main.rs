//! Modules and turns, without scheduler or threads.

mod admission;
mod faults;
mod lane;
mod rig;
mod worker;
