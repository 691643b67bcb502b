//! The scorer: mean absolute errors of the three forecasts over October to December 2013, which
//! the model did not see in training.
//!
//! All three are scored on the same hours: those with a forecast and a reported temperature. The
//! figures so far are published after each of them; no hour is known to be the last.

use wasm_engine_agent::{Agent, Code, Host, Init, Item, Topic};

use crate::fixed;
use crate::key::Key;
use crate::pairing::{Pair, Pairing};
use crate::watcher::pair;

/// 2013-10-01T00:00:00Z.
pub const PERIOD_START: i64 = 1_380_585_600;
/// 2014-01-01T00:00:00Z, no longer in the period.
pub const PERIOD_END: i64 = 1_388_534_400;

/// The agent.
#[derive(Debug)]
pub struct Scorer {
    key: Key,
    observations: Topic,
    forecasts: Topic,
    scores: Topic,
    pairing: Pairing,
    scored: u32,
    /// Sums of |forecast - observed| in °F: model, naive, trend.
    sums: [f64; 3],
}

impl Agent for Scorer {
    fn init(init: &Init<'_>, host: &mut Host) -> Result<Self, Code> {
        let key = Key::from_args(init)?;
        let observations = key.topic("observation", host)?;
        let forecasts = key.topic("forecast", host)?;
        host.subscribe(observations)?;
        host.subscribe(forecasts)?;
        Ok(Self {
            key,
            observations,
            forecasts,
            scores: key.topic("score", host)?,
            pairing: Pairing::new(),
            scored: 0,
            sums: [0.0; 3],
        })
    }

    fn receive(&mut self, item: &Item<'_>, host: &mut Host) -> Result<(), Code> {
        let pair = pair(item, self.observations, self.forecasts, &mut self.pairing)?;
        let Some(Pair { forecast, observed }) = pair else { return Ok(()) };
        if !(PERIOD_START..PERIOD_END).contains(&forecast.target_time) {
            return Ok(());
        }
        self.scored += 1;
        let forecasts = [forecast.model, forecast.naive, forecast.trend];
        for (sum, forecast) in self.sums.iter_mut().zip(forecasts) {
            *sum += (f64::from(forecast) - f64::from(observed)).abs();
        }
        let mut json = self.key.json();
        json.str(",\"scored\":").integer(i64::from(self.scored));
        for (name, sum) in [",\"model\":", ",\"naive\":", ",\"trend\":"].iter().zip(self.sums) {
            json.str(name).decimal(fixed(sum / f64::from(self.scored), 4), 4);
        }
        host.publish(self.scores, json.str("}").as_bytes())?;
        Ok(())
    }
}
