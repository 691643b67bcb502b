//! The three agents of the weather example. Each station has one of each.
//!
//! ```text
//!  source --observation/KEY--> forecaster --infer--> model
//!     |                            |   <--reply, one tick later
//!     |                       forecast/KEY
//!     |                        |       |
//!     +--observation/KEY--> watcher   scorer <--observation/KEY
//!                              |       |
//!                         alarm/KEY  score/KEY
//! ```
//! KEY is the station or, among copies, station and copy (`EWR`, `EWR.7`); each agent is given it
//! as its argument. The forecast of an hour and the observation of that hour arrive in the same
//! tick: the observation in microstep 1, together with the model's reply, the forecast in
//! microstep 2. [`pairing`] brings them together in either order.
//!
//! Everything is plain state in a static: no heap, no clock, no text formatting of floats. The
//! agents live in this library so that their tests run on the host; `modules/` exports them.

#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

pub mod calendar;
pub mod forecaster;
pub mod key;
pub mod observation;
pub mod pairing;
pub mod residuals;
pub mod scorer;
pub mod watcher;
pub mod window;

/// Codes of their own that the agents return; none is a fault.
pub mod code {
    use wasm_engine_agent::Code;

    /// A payload is not what its topic promises; the item is ignored.
    pub const BAD_PAYLOAD: Code = Code::own(1);
    /// An argument is no key; at init this is a fault.
    pub const BAD_KEY: Code = Code::own(2);
}

/// `value` in units of ten to the power of `-decimals`, rounded half away from zero; decimals
/// above 9 count as 9.
///
/// ```
/// assert_eq!(weather_agents::fixed(-43.105, 2), -4311);
/// assert_eq!(weather_agents::fixed(0.97474, 4), 9747);
/// ```
#[must_use]
pub fn fixed(value: f64, decimals: u8) -> i64 {
    let scaled = (0..decimals.min(9)).fold(value, |scaled, _| scaled * 10.0);
    // The conversion saturates and turns NaN into 0.
    (if scaled < 0.0 { scaled - 0.5 } else { scaled + 0.5 }) as i64
}
