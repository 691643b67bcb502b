//! Forecasts, and bringing each together with the observation of its hour.

use bytemuck::{Pod, Zeroable};

/// Payload of `forecast/KEY`, little-endian.
///
/// ```text
/// 0 target_time i64 | 8 model f32 | 12 naive f32 | 16 trend f32 | 20 reserved u32
/// ```
#[derive(Clone, Copy, PartialEq, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct Forecast {
    /// Unix seconds, UTC, of the hour it is for.
    pub target_time: i64,
    /// The model's temperature in °F.
    pub model: f32,
    /// The naive one: that of the hour before.
    pub naive: f32,
    /// The hour before with yesterday's change.
    pub trend: f32,
    /// Zero.
    pub reserved: u32,
}

const _: () = assert!(size_of::<Forecast>() == 24);

/// A forecast and what came of it.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Pair {
    /// The forecast.
    pub forecast: Forecast,
    /// Temperature in °F at its hour.
    pub observed: f32,
}

/// The latest few of something; a fifth replaces the first.
#[derive(Clone, Copy, Debug)]
pub struct Recent<T> {
    slots: [Option<T>; 4],
    next: usize,
}

impl<T: Copy> Recent<T> {
    /// None yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { slots: [None; 4], next: 0 }
    }

    /// Adds one.
    pub fn put(&mut self, value: T) {
        self.slots[self.next % 4] = Some(value);
        self.next = (self.next + 1) % 4;
    }

    /// Takes the one that `wanted` says.
    pub fn take(&mut self, wanted: impl Fn(&T) -> bool) -> Option<T> {
        self.slots.iter_mut().find(|slot| slot.as_ref().is_some_and(&wanted))?.take()
    }
}

impl<T: Copy> Default for Recent<T> {
    fn default() -> Self {
        Self::new()
    }
}

/// What waits for its counterpart.
///
/// Forecast and observation of an hour arrive in one tick, so few places are enough; the rest is
/// for hours that have no observation, and observations that have no forecast.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pairing {
    forecasts: Recent<Forecast>,
    observations: Recent<(i64, f32)>,
}

impl Pairing {
    /// Nothing waits.
    #[must_use]
    pub const fn new() -> Self {
        Self { forecasts: Recent::new(), observations: Recent::new() }
    }

    /// Takes a forecast; the pair, if its hour was observed already.
    pub fn forecast(&mut self, forecast: Forecast) -> Option<Pair> {
        let Some((_, observed)) = self.observations.take(|(time, _)| *time == forecast.target_time)
        else {
            self.forecasts.put(forecast);
            return None;
        };
        Some(Pair { forecast, observed })
    }

    /// Takes the temperature in °F of an hour; the pair, if it was forecast already.
    pub fn observed(&mut self, time: i64, observed: f32) -> Option<Pair> {
        let Some(forecast) = self.forecasts.take(|forecast| forecast.target_time == time) else {
            self.observations.put((time, observed));
            return None;
        };
        Some(Pair { forecast, observed })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forecast(target_time: i64) -> Forecast {
        Forecast { target_time, model: 1.0, naive: 2.0, trend: 3.0, reserved: 0 }
    }

    #[test]
    fn both_orders_make_a_pair_once() {
        let mut pairing = Pairing::new();
        assert_eq!(pairing.observed(3600, 5.0), None);
        let pair = pairing.forecast(forecast(3600)).expect("a pair");
        assert_eq!((pair.observed, pair.forecast.naive), (5.0, 2.0));
        assert_eq!(pairing.forecast(forecast(3600)), None);
        assert_eq!(pairing.observed(3600, 6.0).map(|pair| pair.observed), Some(6.0));
        assert_eq!(pairing.observed(3600, 7.0), None);
    }

    #[test]
    fn what_never_pairs_is_pushed_out() {
        let mut pairing = Pairing::new();
        for hour in 0..100 {
            assert_eq!(pairing.forecast(forecast(hour)), None);
        }
        assert_eq!(pairing.observed(95, 0.0), None);
        assert!(pairing.observed(96, 0.0).is_some());
    }
}
