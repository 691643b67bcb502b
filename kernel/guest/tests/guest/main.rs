//! Modules and turns, without scheduler or threads.

mod admission;
mod c_agents;
mod hostile;
mod initialize;
mod lane;
mod refusals;
mod rig;
mod worker;
