//! The forecaster: keeps a station's last 25 hours and asks the model for the next temperature.
//!
//! On an observation it asks; the reply comes one tick later, before that tick's observation, and
//! is published with the naive forecast and the trend of the hour it was asked in. A request that
//! the host or the model refuses makes no forecast for that hour: it is counted, the first one is
//! logged.

use wasm_engine_agent::{
    Agent, Code, Host, Init, Item, Kind, Level, Model, Seq, Status, Text, Topic, bytemuck,
};

use crate::code;
use crate::key::Key;
use crate::observation::Observation;
use crate::pairing::{Forecast, Recent};
use crate::window::{HOUR_S, Window};

/// The agent.
#[derive(Debug)]
pub struct Forecaster {
    key: Key,
    observations: Topic,
    forecasts: Topic,
    model: Model,
    window: Window,
    asked: Recent<(Seq, Forecast)>,
    failures: u32,
}

impl Agent for Forecaster {
    fn init(init: &Init<'_>, host: &mut Host) -> Result<Self, Code> {
        let key = Key::from_args(init)?;
        let observations = key.topic("observation", host)?;
        host.subscribe(observations)?;
        Ok(Self {
            key,
            observations,
            forecasts: key.topic("forecast", host)?,
            model: host.model("temperature")?,
            window: Window::new(),
            asked: Recent::new(),
            failures: 0,
        })
    }

    fn receive(&mut self, item: &Item<'_>, host: &mut Host) -> Result<(), Code> {
        match item.kind() {
            Kind::Reply { request, result, .. } => {
                // A reply to an earlier incarnation's request is not in the list.
                let Some((_, asked)) = self.asked.take(|(seq, _)| *seq == request) else {
                    return Ok(());
                };
                match result {
                    Ok(()) => self.publish(asked, item, host)?,
                    Err(status) => self.failed(status, host),
                }
            }
            Kind::Input { topic, .. } if topic == self.observations => {
                let row = Observation::parse(item.payload()).ok_or(code::BAD_PAYLOAD)?;
                if self.window.observe(&row) {
                    self.ask(row.time + HOUR_S, host);
                }
            }
            _ => {}
        }
        Ok(())
    }
}

impl Forecaster {
    /// Requests that made no forecast.
    #[must_use]
    pub fn failures(&self) -> u32 {
        self.failures
    }

    fn ask(&mut self, target_time: i64, host: &mut Host) {
        let (naive, trend) = (self.window.naive(), self.window.trend());
        let forecast = Forecast { target_time, model: f32::NAN, naive, trend, reserved: 0 };
        match host.infer(self.model, &self.window.input()) {
            Ok(request) => self.asked.put((request, forecast)),
            Err(status) => self.failed(status, host),
        }
    }

    fn publish(&mut self, asked: Forecast, item: &Item<'_>, host: &mut Host) -> Result<(), Code> {
        let Some(model) = item.payload_as::<f32>().filter(|value| value.is_finite()) else {
            self.failed(Status::ModelFailed, host);
            return Ok(());
        };
        host.publish(self.forecasts, bytemuck::bytes_of(&Forecast { model, ..asked }))?;
        Ok(())
    }

    fn failed(&mut self, status: Status, host: &mut Host) {
        self.failures = self.failures.saturating_add(1);
        if self.failures == 1 {
            let mut line = Text::<128>::new();
            line.str(self.key.as_str()).str(": no forecast this hour, the model gave status ");
            line.integer(status as i64).str("; more of these are counted, not logged");
            // A line that is refused is no reason to stop.
            let _ = host.log(Level::Warn, line.as_str());
        }
    }
}
