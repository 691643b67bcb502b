//! `counter.rs` with the standard library: its heap, its texts, its panics. The module's memory has
//! a maximum above its initial size, which is where the heap is.

use std::collections::BTreeMap;

use wasm_engine_agent::{Agent, Code, Host, Init, Item, Step, Topic, export};

struct Counter {
    counts: BTreeMap<u32, u64>,
    out: Topic,
}

impl Agent for Counter {
    fn init(init: &Init<'_>, host: &mut Host) -> Result<Self, Code> {
        let name = init.args_str().ok_or(Code::own(1))?;
        assert!(!name.is_empty(), "no topic");
        let topic = host.topic(name)?;
        host.subscribe(topic)?;
        let out = host.topic(&format!("{name}/count"))?;
        Ok(Self { counts: BTreeMap::new(), out })
    }

    fn receive(&mut self, item: &Item<'_>, _host: &mut Host) -> Result<(), Code> {
        if let Some(topic) = item.topic() {
            *self.counts.entry(topic.raw()).or_default() += 1;
        }
        Ok(())
    }

    fn step(&mut self, _step: &Step, host: &mut Host) -> Result<(), Code> {
        let count: u64 = self.counts.values().sum();
        host.publish(self.out, &count.to_le_bytes())?;
        Ok(())
    }
}

const MANIFEST: &str = r#"
name = "counter-std"
version = "1.0.0"
abi = 1
capabilities = ["subscribe:**", "publish:**"]
"#;
export!(Counter, manifest = MANIFEST, inbox = 4096, panic_hook);
