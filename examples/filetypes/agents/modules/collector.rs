//! The module `collector`: see `filetypes_agents::collector`.
#![cfg_attr(target_arch = "wasm32", no_std)]

use filetypes_agents::collector::Collector;

const MANIFEST: &str = r#"
name = "collector"
version = "1.0.0"
abi = 1
capabilities = ["subscribe:sorted/*", "publish:verdict/*", "publish:summary/*"]
memory_bytes = 196608
"#;
wasm_engine_agent::export!(Collector, manifest = MANIFEST, inbox = 1024, panic_handler);
