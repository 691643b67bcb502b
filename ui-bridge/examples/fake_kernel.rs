//! Publishes an invented run under a name, to look at the monitor without a kernel:
//! `cargo run -p wasm-engine-ui-bridge --example fake_kernel NAME [SECONDS]`.

use std::time::Duration;

use wasm_engine_shm::locate;
use wasm_engine_ui_bridge_testkit::owner::TestOwner;

fn main() {
    let mut args = std::env::args().skip(1);
    let name = args.next().unwrap_or("fake".to_owned());
    let seconds: u64 = args.next().map_or(60, |text| text.parse().expect("seconds"));
    let directory = locate::runtime_directory().expect("a runtime directory");
    let generation = u64::from(std::process::id()) << 32 | 1;
    let mut owner = TestOwner::start(&directory, &name, generation);
    let ticks = (seconds * 1000 / 7).min(8760);
    for tick in 0..ticks {
        owner.publish(tick);
        // A curve that moves.
        let pause = 7 + (tick / 60 % 7) * 2;
        std::thread::sleep(Duration::from_millis(pause));
    }
    owner.finish(ticks - 1, 0);
}
