//! Feeds the lines of standard input: `feed KERNEL SOURCE < lines`. Run again after a crash, of
//! itself or the kernel's, it goes on where the kernel is.

use std::{error::Error, io::BufRead, time::Duration};

use wasm_engine_feeder::Feeder;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(kernel), Some(source)) = (arguments.next(), arguments.next()) else {
        return Err("use: feed KERNEL SOURCE < lines".into());
    };
    let mut feeder = Feeder::connect(&kernel, &source)?;
    let stream = feeder.stream(&source)?;
    let known = usize::try_from(feeder.next_seq())?;
    for line in std::io::stdin().lock().lines().skip(known) {
        feeder.push(stream, line?.as_bytes())?;
    }
    feeder.finish(Duration::from_secs(60))?;
    println!("{} inputs, {} durable", feeder.next_seq(), feeder.durable());
    Ok(())
}
