//! The live terminal view: when to poll again.
//!
//! ```text
//!  SnapshotSource -> Snapshot -> View -> Screen (focus, scroll, sort, pause) -> draw
//! ```
//! One thread, one loop: poll, draw, wait for a key until the next poll is due. The terminal is
//! restored on every way out, panics included.
//!
//! What this does not do: it computes no number ([`crate::view`]), knows no key ([`Screen`])
//! and paints nothing ([`draw`]).

mod draw;
mod screen;
mod style;
mod tables;

use std::io;
use std::time::{Duration, Instant};

use crossterm::event::{self, Event, KeyEventKind};
use ratatui::DefaultTerminal;

pub use draw::draw;
pub use screen::{INTERVAL_MAX, INTERVAL_MIN, Pane, Screen, Sort};

use crate::view::Lookback;
use wasm_engine_telemetry::error::MonitorError;
use wasm_engine_telemetry::{Snapshot, SnapshotSource};

/// Why the live view ended early.
#[derive(Debug, thiserror::Error)]
pub enum TuiError {
    /// The terminal failed.
    #[error("the terminal failed: {0}; use --once or --json without one")]
    Terminal(#[from] io::Error),
    /// The kernel cannot be read any more.
    #[error(transparent)]
    Monitor(#[from] MonitorError),
}

/// Shows `source` until the user quits, `quit` says so or `duration` is over.
///
/// # Errors
/// [`TuiError`]; the terminal is restored then as well.
pub fn run(
    source: &mut dyn SnapshotSource,
    interval: Duration,
    duration: Option<Duration>,
    quit: &dyn Fn() -> bool,
) -> Result<(), TuiError> {
    // The first poll comes before the screen is taken over, so that its error stays readable.
    let first = source.poll()?;
    let mut terminal = ratatui::try_init()?;
    let end = duration.map(|d| Instant::now() + d);
    let result = watch(&mut terminal, source, first, Screen::new(interval), end, quit);
    ratatui::restore();
    result
}

fn watch(
    terminal: &mut DefaultTerminal,
    source: &mut dyn SnapshotSource,
    first: Snapshot,
    mut screen: Screen,
    end: Option<Instant>,
    quit: &dyn Fn() -> bool,
) -> Result<(), TuiError> {
    let mut lookback = Lookback::default();
    let mut view = lookback.view(first);
    screen.polled(&view);
    let mut polled = Instant::now();
    loop {
        terminal.draw(|frame| draw(frame, &view, &mut screen))?;
        let now = Instant::now();
        if quit() || end.is_some_and(|end| now >= end) {
            return Ok(());
        }
        let due = polled + screen.interval;
        let until = end.map_or(due, |end| due.min(end));
        // Short waits, so that a signal is noticed soon.
        let wait = until.saturating_duration_since(now).min(Duration::from_millis(250));
        if event::poll(wait)? {
            if let Event::Key(key) = event::read()?
                && key.kind == KeyEventKind::Press
                && !screen.key(key)
            {
                return Ok(());
            }
        } else if Instant::now() >= due {
            polled = Instant::now();
            if screen.paused {
                continue;
            }
            match source.poll() {
                Ok(snapshot) => {
                    view = lookback.view(snapshot);
                    screen.polled(&view);
                }
                Err(error) if error.is_passing() => screen.note = Some(error.to_string()),
                Err(error) => return Err(error.into()),
            }
        }
    }
}
