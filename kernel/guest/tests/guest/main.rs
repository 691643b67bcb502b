//! Modules and turns, without scheduler or threads.

mod admission;
mod bombs;
mod c_agents;
mod faults;
mod hostile;
mod initialize;
mod lane;
mod prices;
mod refusals;
mod rig;
mod seats;
mod worker;
