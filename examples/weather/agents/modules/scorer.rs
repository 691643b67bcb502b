//! The module `scorer`: see `weather_agents::scorer`.
#![cfg_attr(target_arch = "wasm32", no_std)]

use weather_agents::scorer::Scorer;

const MANIFEST: &str = r#"
name = "scorer"
version = "1.0.0"
abi = 1
capabilities = ["subscribe:observation/*", "subscribe:forecast/*", "publish:score/*"]
memory_bytes = 65536
"#;
wasm_engine_agent::export!(Scorer, manifest = MANIFEST, inbox = 1024, panic_handler);
