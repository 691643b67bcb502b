//! Asks a model about every row of `f32` that arrives on the topic `rows` and publishes its answer
//! on `answers`. The argument is the model's name. The reply comes a tick or more later.
#![cfg_attr(target_arch = "wasm32", no_std)]

use wasm_engine_agent::{Agent, Code, Host, Init, Item, Kind, Level, Model, Topic, export};

const ROW_MAX: usize = 256;

struct AskModel {
    model: Model,
    answers: Topic,
    row: [f32; ROW_MAX],
}

impl Agent for AskModel {
    fn init(init: &Init<'_>, host: &mut Host) -> Result<Self, Code> {
        let rows = host.topic("rows")?;
        host.subscribe(rows)?;
        let model = host.model(init.args_str().ok_or(Code::own(1))?)?;
        Ok(Self { model, answers: host.topic("answers")?, row: [0.0; ROW_MAX] })
    }

    fn receive(&mut self, item: &Item<'_>, host: &mut Host) -> Result<(), Code> {
        match item.kind() {
            Kind::Reply { result: Ok(()), .. } => {
                host.publish(self.answers, item.payload())?;
            }
            Kind::Reply { result: Err(_), .. } => host.log(Level::Warn, "the model failed")?,
            _ => {
                let values = item.f32s();
                let len = values.len();
                let row = self.row.get_mut(..len).ok_or(Code::own(2))?;
                row.iter_mut().zip(values).for_each(|(slot, value)| *slot = value);
                host.infer(self.model, row)?;
            }
        }
        Ok(())
    }
}

const MANIFEST: &str = r#"
name = "ask_model"
version = "1.0.0"
abi = 1
capabilities = ["subscribe:rows", "publish:answers", "infer:*", "log"]
"#;
export!(AskModel, manifest = MANIFEST, inbox = 2048, panic_handler);
