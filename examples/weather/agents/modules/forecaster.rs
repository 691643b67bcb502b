//! The module `forecaster`: see `weather_agents::forecaster`.
#![cfg_attr(target_arch = "wasm32", no_std)]

use weather_agents::forecaster::Forecaster;

const MANIFEST: &str = r#"
name = "forecaster"
version = "1.0.0"
abi = 1
capabilities = ["subscribe:observation/*", "publish:forecast/*", "infer:temperature", "log"]
memory_bytes = 65536
"#;
wasm_engine_agent::export!(Forecaster, manifest = MANIFEST, inbox = 1024, panic_handler);
