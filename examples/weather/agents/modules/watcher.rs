//! The module `watcher`: see `weather_agents::watcher`.
#![cfg_attr(target_arch = "wasm32", no_std)]

use weather_agents::watcher::Watcher;

const MANIFEST: &str = r#"
name = "watcher"
version = "1.0.0"
abi = 1
capabilities = ["subscribe:observation/*", "subscribe:forecast/*", "publish:alarm/*"]
memory_bytes = 65536
"#;
wasm_engine_agent::export!(Watcher, manifest = MANIFEST, inbox = 1024, panic_handler);
