//! The module `detector`: see `speech_agents::detector`.
#![cfg_attr(target_arch = "wasm32", no_std)]

use speech_agents::detector::Detector;

const MANIFEST: &str = r#"
name = "detector"
version = "1.0.0"
abi = 1
capabilities = ["subscribe:audio/*", "publish:probability/*", "infer:speech"]
memory_bytes = 65536
"#;
wasm_engine_agent::export!(Detector, manifest = MANIFEST, inbox = 2048, panic_handler);
