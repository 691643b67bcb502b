//! The watcher: compares each forecast with the observation of its hour and publishes an alarm
//! when the [residual is unusual](crate::residuals).

use wasm_engine_agent::{Agent, Code, Host, Init, Item, Topic};

use crate::calendar::push_time;
use crate::key::Key;
use crate::observation::Observation;
use crate::pairing::{Pair, Pairing};
use crate::residuals::Residuals;
use crate::{code, fixed};

/// The agent.
#[derive(Debug)]
pub struct Watcher {
    key: Key,
    observations: Topic,
    forecasts: Topic,
    alarms: Topic,
    pairing: Pairing,
    residuals: Residuals,
}

impl Agent for Watcher {
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
            alarms: key.topic("alarm", host)?,
            pairing: Pairing::new(),
            residuals: Residuals::new(),
        })
    }

    fn receive(&mut self, item: &Item<'_>, host: &mut Host) -> Result<(), Code> {
        let pair = pair(item, self.observations, self.forecasts, &mut self.pairing)?;
        let Some(Pair { forecast, observed }) = pair else { return Ok(()) };
        let (observed, forecast_f) = (f64::from(observed), f64::from(forecast.model));
        let residual = observed - forecast_f;
        if self.residuals.is_anomaly(residual) {
            let mut json = self.key.json();
            json.str(",\"time\":\"");
            push_time(&mut json, forecast.target_time);
            json.str("\",\"observed\":").decimal(fixed(observed, 2), 2);
            json.str(",\"forecast\":").decimal(fixed(forecast_f, 2), 2);
            json.str(",\"residual\":").decimal(fixed(residual, 2), 2).str("}");
            host.publish(self.alarms, json.as_bytes())?;
        }
        Ok(())
    }
}

/// Takes an observation or a forecast; the pair that it completes. A row without a temperature
/// completes nothing. Other items are ignored.
///
/// # Errors
/// [`code::BAD_PAYLOAD`] if the payload is not what its topic promises.
pub(crate) fn pair(
    item: &Item<'_>,
    observations: Topic,
    forecasts: Topic,
    pairing: &mut Pairing,
) -> Result<Option<Pair>, Code> {
    let topic = item.topic();
    if topic == Some(forecasts) {
        return Ok(pairing.forecast(item.payload_as().ok_or(code::BAD_PAYLOAD)?));
    }
    if topic != Some(observations) {
        return Ok(None);
    }
    let row = Observation::parse(item.payload()).ok_or(code::BAD_PAYLOAD)?;
    Ok(row.temperature().and_then(|temperature| pairing.observed(row.time, temperature)))
}
