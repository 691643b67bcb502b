//! The smallest host: this program pushes readings, an agent counts them, this program prints it.

use std::error::Error;

use wasm_engine::host::Host;

const CONFIG: &str = r#"
[[source]]
id = "readings"
kind = "live"
topic = "reading"

[[agent]]
name = "counter"
module = "counter.wasm"
grant = ["subscribe:reading", "publish:stats"]
args = "reading"

[[output]]
topic = "stats"
"#;

/// Pushes three readings and prints what the agent says of each.
pub fn main() -> Result<(), Box<dyn Error>> {
    let module = include_bytes!("../tests/kernel/fixtures/as_count.wasm");
    let mut host = Host::builder().config_text(CONFIG).attach("counter.wasm", module).start()?;
    for celsius in [18.5_f64, 19.0, 21.25] {
        host.push("readings", "readings", &celsius.to_le_bytes())?;
        host.run_until_idle(100)?;
        for output in host.outputs() {
            println!("tick {}: {}", output.tick, String::from_utf8_lossy(output.payload));
        }
    }
    println!("digest {}", host.close()?.digest);
    Ok(())
}
