//! `readers [SECONDS]`: what reading pages and tables costs in Rust, C and Python, as a table.

#[cfg(target_os = "linux")]
fn main() {
    use wasm_engine_benches::readers::lines;
    let seconds = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(0.3);
    println!(
        "ns a read (share of reads that were overtaken); left quiet, right a publication each ms"
    );
    println!(
        "{:<22} {:>12} {:>12} {:>12} {:>14}   {:>20} {:>20} {:>22}",
        "", "memcpy", "Rust", "C", "Python", "Rust", "C", "Python"
    );
    for line in lines(seconds) {
        let [quiet, busy] = line.costs;
        let plain =
            |cost: Option<(f64, f64)>| cost.map_or("-".to_owned(), |c| format!("{:.0}", c.0));
        let with = |cost: Option<(f64, f64)>| {
            cost.map_or("-".to_owned(), |(ns, failed)| format!("{ns:.0} ({failed:.3})"))
        };
        println!(
            "{:<22} {:>12.0} {:>12} {:>12} {:>14}   {:>20} {:>20} {:>22}",
            line.what,
            line.copy_ns,
            plain(quiet[0]),
            plain(quiet[1]),
            plain(quiet[2]),
            with(busy[0]),
            with(busy[1]),
            with(busy[2]),
        );
    }
}

#[cfg(not(target_os = "linux"))]
fn main() {
    eprintln!("this measurement opens sealed memory by its path, which only Linux has");
}
