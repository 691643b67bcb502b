//! Two copies that pass a number back and forth over a channel, one more each time, up to 1000:
//! copy 0 serves. One exchange takes one microstep, so a tick holds many.
#![cfg_attr(target_arch = "wasm32", no_std)]

use wasm_engine_agent::{Agent, Code, Host, Init, Item, Kind, Level, Text, export};

const TABLE: &str = "table";
const SERVE: u64 = 0;
const LAST: u64 = 1000;

struct PingPong {
    me: u64,
}

impl Agent for PingPong {
    fn init(init: &Init<'_>, host: &mut Host) -> Result<Self, Code> {
        host.join(TABLE)?;
        if init.copy() == 0 {
            host.timer(1, SERVE)?;
        }
        Ok(Self { me: init.agent().to_bits() })
    }

    fn receive(&mut self, item: &Item<'_>, host: &mut Host) -> Result<(), Code> {
        match item.kind() {
            Kind::Timer { tag: SERVE, .. } => host.cast(TABLE, &1u64.to_le_bytes())?,
            // A cast reaches its sender too: only the other copy answers.
            Kind::Message { from, .. } if from.to_bits() != self.me => {
                let count: u64 = item.payload_as().ok_or(Code::own(1))?;
                if count == LAST {
                    let mut line = Text::<64>::new();
                    line.str("rally of ").integer(count as i64).str(" ended");
                    return Ok(host.log(Level::Info, line.as_str())?);
                }
                host.send(from, &(count + 1).to_le_bytes())?
            }
            _ => return Ok(()),
        };
        Ok(())
    }
}

const MANIFEST: &str = r#"
name = "ping_pong"
version = "1.0.0"
abi = 1
capabilities = ["channel:table", "timer", "send", "log"]
"#;
export!(PingPong, manifest = MANIFEST, inbox = 256, panic_handler);
