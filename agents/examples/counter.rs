//! Counts the messages on a topic and publishes the count after each turn: the smallest useful
//! agent. Its argument is the topic; it needs `TOPIC` and `TOPIC/count` to be configured.
#![cfg_attr(target_arch = "wasm32", no_std)]

use wasm_engine_agent::{Agent, Code, Host, Init, Item, Step, Text, Topic, export};

struct Counter {
    count: u64,
    out: Topic,
}

impl Agent for Counter {
    fn init(init: &Init<'_>, host: &mut Host) -> Result<Self, Code> {
        let name = init.args_str().ok_or(Code::own(1))?;
        assert!(!name.is_empty(), "no topic");
        let topic = host.topic(name)?;
        host.subscribe(topic)?;
        let out = host.topic(Text::<128>::new().str(name).str("/count").as_str())?;
        Ok(Self { count: 0, out })
    }

    fn receive(&mut self, item: &Item<'_>, _host: &mut Host) -> Result<(), Code> {
        self.count += u64::from(item.topic().is_some());
        Ok(())
    }

    fn step(&mut self, _step: &Step, host: &mut Host) -> Result<(), Code> {
        host.publish(self.out, &self.count.to_le_bytes())?;
        Ok(())
    }
}

const MANIFEST: &str = r#"
name = "counter"
version = "1.0.0"
abi = 1
capabilities = ["subscribe:**", "publish:**"]
"#;
export!(Counter, manifest = MANIFEST, inbox = 4096, panic_handler);
