//! The module `segmenter`: see `speech_agents::segmenter`.
#![cfg_attr(target_arch = "wasm32", no_std)]

use speech_agents::segmenter::Segmenter;

const MANIFEST: &str = r#"
name = "segmenter"
version = "1.0.0"
abi = 1
capabilities = [
    "subscribe:probability/*", "publish:window/*", "publish:segment/*", "publish:total/*",
]
memory_bytes = 65536
"#;
wasm_engine_agent::export!(Segmenter, manifest = MANIFEST, inbox = 1024, panic_handler);
