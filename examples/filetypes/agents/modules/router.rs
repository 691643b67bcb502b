//! The module `router`: see `filetypes_agents::router`.
#![cfg_attr(target_arch = "wasm32", no_std)]

use filetypes_agents::router::Router;

const MANIFEST: &str = r#"
name = "router"
version = "1.0.0"
abi = 1
capabilities = ["subscribe:file", "publish:sorted/*", "infer:filetype", "log"]
memory_bytes = 196608
"#;
wasm_engine_agent::export!(Router, manifest = MANIFEST, inbox = 9216, panic_handler);
