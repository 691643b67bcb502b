//! The last 25 hours of a station and the model's input made of them.
//!
//! The rule is that of `model/README.md`, with which the model was trained:
//! - a field that is missing takes its last known value, however old;
//! - 1 to 3 missing hours are filled with the hour before them, after more the window starts anew;
//! - a row whose time is not after the newest hour's (a rotated copy of the data begins again at
//!   January) starts it anew as well;
//! - until every field was seen once, rows are skipped.

use crate::observation::{FIELDS, Observation};

/// Hours in the window.
pub const HOURS: usize = 25;
/// Values of the model's input: the window and the hour of day, one of 24.
pub const INPUT: usize = HOURS * FIELDS + HOURS_OF_DAY;
/// Seconds of an hour.
pub const HOUR_S: i64 = 3600;

const HOURS_OF_DAY: usize = 24;
/// Most missing hours that are filled.
const FILL_MAX: i64 = 3;

/// The state of one station.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    /// Last known value of each field, NaN before the first.
    last: [f32; FIELDS],
    /// Oldest first; the last `len` of them are filled, so the newest hour is always at the end.
    hours: [[f32; FIELDS]; HOURS],
    len: usize,
    /// Time of the newest hour; of no meaning while `len` is 0.
    newest: i64,
}

impl Window {
    /// Nothing known yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { last: [f32::NAN; FIELDS], hours: [[0.0; FIELDS]; HOURS], len: 0, newest: 0 }
    }

    /// Takes a row; true if the window is then full and ends with it, so that a forecast for one
    /// hour later can be made.
    pub fn observe(&mut self, row: &Observation) -> bool {
        if row.time.rem_euclid(HOUR_S) != 0 {
            return false;
        }
        for (last, field) in self.last.iter_mut().zip(row.fields) {
            if !field.is_nan() {
                *last = field;
            }
        }
        if self.last.iter().any(|field| field.is_nan()) {
            return false;
        }
        if self.len > 0 {
            let missing = row.time.saturating_sub(self.newest) / HOUR_S - 1;
            match missing {
                0..=FILL_MAX => (0..missing).for_each(|_| self.push(self.hours[HOURS - 1])),
                _ => self.len = 0,
            }
        }
        self.push(self.last);
        self.newest = row.time;
        self.len == HOURS
    }

    fn push(&mut self, hour: [f32; FIELDS]) {
        self.hours.copy_within(1.., 0);
        self.hours[HOURS - 1] = hour;
        self.len = (self.len + 1).min(HOURS);
    }

    /// The model's input: hour by hour, oldest first, each with its five fields; then 1 at the
    /// newest hour's hour of day (UTC), 0 at the others. Of meaning only if the window is full.
    #[must_use]
    pub fn input(&self) -> [f32; INPUT] {
        let mut input = [0.0; INPUT];
        let (values, hour_of_day) = input.split_at_mut(HOURS * FIELDS);
        values.copy_from_slice(self.hours.as_flattened());
        let hour = (self.newest / HOUR_S).rem_euclid(HOURS_OF_DAY as i64);
        hour_of_day[hour as usize] = 1.0;
        input
    }

    /// Next hour like this hour.
    #[must_use]
    pub fn naive(&self) -> f32 {
        self.hours[HOURS - 1][0]
    }

    /// Next hour as this hour with yesterday's change: t\[-1\] + t\[-24\] - t\[-25\], seen from
    /// the hour that is forecast.
    #[must_use]
    pub fn trend(&self) -> f32 {
        (self.hours[HOURS - 1][0] + self.hours[1][0]) - self.hours[0][0]
    }
}

impl Default for Window {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: i64 = 1_357_020_000;

    fn row(hour: i64, temperature: f32) -> Observation {
        Observation { time: START + hour * HOUR_S, fields: [temperature, 2.0, 3.0, 4.0, 5.0] }
    }

    fn full() -> Window {
        let mut window = Window::new();
        for hour in 0..25 {
            assert_eq!(window.observe(&row(hour, hour as f32)), hour == 24);
        }
        window
    }

    #[test]
    fn a_full_window_is_the_input() {
        let window = full();
        let input = window.input();
        assert_eq!((input[0], input[1], input[5], input[120]), (0.0, 2.0, 1.0, 24.0));
        // The newest hour is 06:00 UTC, as the first.
        assert_eq!(input[125..].iter().position(|value| *value == 1.0), Some(6));
        assert_eq!(input[125..].iter().sum::<f32>(), 1.0);
        assert_eq!((window.naive(), window.trend()), (24.0, 25.0));
    }

    #[test]
    fn three_missing_hours_are_filled_and_four_are_not() {
        let mut window = full();
        assert!(window.observe(&row(28, 50.0)));
        let input = window.input();
        assert_eq!([105, 110, 115, 120].map(|index| input[index]), [24.0, 24.0, 24.0, 50.0]);
        assert_eq!(input[0], 4.0);
        assert!(!window.observe(&row(33, 60.0)));
        for hour in 34..57 {
            assert!(!window.observe(&row(hour, 0.0)));
        }
        assert!(window.observe(&row(57, 0.0)));
    }

    #[test]
    fn time_that_does_not_advance_starts_anew() {
        for hour in [24, 23, -1000] {
            let mut window = full();
            assert!(!window.observe(&row(hour, 7.0)));
            assert_eq!((window.len, window.newest), (1, START + hour * HOUR_S));
        }
    }

    #[test]
    fn missing_fields_keep_their_last_value() {
        let mut window = full();
        let mut late = row(25, f32::NAN);
        late.fields[4] = f32::NAN;
        late.fields[1] = 9.0;
        assert!(window.observe(&late));
        assert_eq!(window.hours[HOURS - 1], [24.0, 9.0, 3.0, 4.0, 5.0]);
    }

    #[test]
    fn rows_before_every_field_is_known_are_skipped() {
        let mut window = Window::new();
        let mut early = row(0, 1.0);
        early.fields[4] = f32::NAN;
        assert!(!window.observe(&early));
        assert_eq!(window.len, 0);
        let mut odd = row(1, 1.0);
        odd.time += 60;
        assert!(!window.observe(&odd));
        assert_eq!(window.len, 0);
        assert!(!window.observe(&row(2, 1.0)));
        assert_eq!(window.len, 1);
    }
}
