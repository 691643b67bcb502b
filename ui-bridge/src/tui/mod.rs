//! The live terminal view: what keys do and when to look again.
//!
//! ```text
//!  Source -> Snapshot -> View -> Screen (focus, scroll, sort, pause) -> draw
//! ```
//! One thread, one loop: look, draw, wait for a key until the next look is due. The terminal is
//! restored on every way out, panics included.
//!
//! What this does not do: it computes no number ([`crate::view`]) and paints nothing ([`draw`]).

mod draw;
mod tables;

use std::collections::VecDeque;
use std::io;
use std::time::{Duration, Instant};

use crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ratatui::DefaultTerminal;
use ratatui::widgets::TableState;

pub use draw::draw;

use crate::view::{Agent, Lookback, View};
use wasm_engine_telemetry::error::MonitorError;
use wasm_engine_telemetry::{Snapshot, Source};

/// Shortest time between two looks.
pub const INTERVAL_MIN: Duration = Duration::from_millis(50);
/// Longest time between two looks.
pub const INTERVAL_MAX: Duration = Duration::from_secs(10);
/// Looks whose tick rate is kept for the curve.
const HISTORY: usize = 64;

/// A part of the screen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pane {
    /// Tick times and counters.
    Kernel,
    /// Agents.
    Agents,
    /// Lanes.
    Lanes,
    /// Models.
    Models,
    /// Rings.
    Rings,
}

impl Pane {
    /// All, in the order of their number keys.
    pub const ALL: [Self; 5] = [Self::Kernel, Self::Agents, Self::Lanes, Self::Models, Self::Rings];

    /// Its title.
    #[must_use]
    pub fn title(self) -> &'static str {
        ["kernel", "agents", "lanes", "models", "rings"][self as usize]
    }
}

/// What the agents are sorted by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sort {
    /// Slot, lowest first.
    Slot,
    /// Turns per second, most first.
    Turns,
    /// Items in the inbox, most first.
    Inbox,
    /// Fuel, most first.
    Fuel,
    /// Faults, most first.
    Faults,
    /// Name.
    Name,
}

impl Sort {
    const ALL: [Self; 6] =
        [Self::Slot, Self::Turns, Self::Inbox, Self::Fuel, Self::Faults, Self::Name];

    /// Its word.
    #[must_use]
    pub fn title(self) -> &'static str {
        ["slot", "turns/s", "inbox", "fuel", "faults", "name"][self as usize]
    }

    fn next(self) -> Self {
        Self::ALL[(self as usize + 1) % Self::ALL.len()]
    }

    /// The agents in this order; equal ones by slot.
    fn order(self, agents: &[Agent]) -> Vec<&Agent> {
        let mut list: Vec<&Agent> = agents.iter().collect();
        match self {
            Self::Slot => {}
            Self::Turns => list.sort_by(|a, b| b.turns_per_s.total_cmp(&a.turns_per_s)),
            Self::Inbox => list.sort_by_key(|a| std::cmp::Reverse(a.inbox_items)),
            Self::Fuel => list.sort_by_key(|a| std::cmp::Reverse(a.fuel)),
            Self::Faults => list.sort_by_key(|a| std::cmp::Reverse(a.faults)),
            Self::Name => list.sort_by(|a, b| a.name.cmp(&b.name)),
        }
        list
    }
}

/// What the user chose and what lies between two looks.
#[derive(Clone, Debug)]
pub struct Screen {
    /// The pane that keys act on.
    pub focus: Pane,
    /// Order of the agents.
    pub sort: Sort,
    /// Whether looking is suspended.
    pub paused: bool,
    /// Whether the help is shown.
    pub help: bool,
    /// Time between two looks.
    pub interval: Duration,
    /// A message for the last line, shown until the next look succeeds.
    pub note: Option<String>,
    /// Tick rates of the last looks, oldest first.
    history: VecDeque<f64>,
    /// Selected row of each pane.
    tables: [TableState; 5],
}

impl Screen {
    /// A screen that looks every `interval`.
    #[must_use]
    pub fn new(interval: Duration) -> Self {
        Self {
            focus: Pane::Agents,
            sort: Sort::Slot,
            paused: false,
            help: false,
            interval: interval.clamp(INTERVAL_MIN, INTERVAL_MAX),
            note: None,
            history: VecDeque::with_capacity(HISTORY),
            tables: std::array::from_fn(|_| TableState::default().with_selected(0)),
        }
    }

    /// Takes note of a new view.
    pub fn looked(&mut self, view: &View) {
        self.note = None;
        if self.history.len() == HISTORY {
            self.history.pop_front();
        }
        self.history.push_back(view.rates.ticks);
    }

    /// Applies a key; false to quit.
    pub fn key(&mut self, key: KeyEvent) -> bool {
        let table = &mut self.tables[self.focus as usize];
        match key.code {
            KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => return false,
            // Any key closes the help, q included.
            _ if self.help => self.help = false,
            KeyCode::Char('q') => return false,
            KeyCode::Char('?') => self.help = true,
            KeyCode::Char(digit @ '1'..='5') => {
                self.focus = Pane::ALL[usize::from(digit as u8 - b'1')];
            }
            KeyCode::Tab => self.turn_focus(1),
            KeyCode::BackTab => self.turn_focus(Pane::ALL.len() - 1),
            KeyCode::Char('j') | KeyCode::Down => table.scroll_down_by(1),
            KeyCode::Char('k') | KeyCode::Up => table.scroll_up_by(1),
            KeyCode::PageDown => table.scroll_down_by(10),
            KeyCode::PageUp => table.scroll_up_by(10),
            KeyCode::Home | KeyCode::Char('g') => table.select_first(),
            KeyCode::End | KeyCode::Char('G') => table.select_last(),
            KeyCode::Char('s') => self.sort = self.sort.next(),
            KeyCode::Char('p' | ' ') => self.paused = !self.paused,
            KeyCode::Char('+' | '=') => self.set_interval(self.interval / 2),
            KeyCode::Char('-') => self.set_interval(self.interval * 2),
            _ => {}
        }
        true
    }

    fn turn_focus(&mut self, by: usize) {
        self.focus = Pane::ALL[(self.focus as usize + by) % Pane::ALL.len()];
    }

    fn set_interval(&mut self, interval: Duration) {
        self.interval = interval.clamp(INTERVAL_MIN, INTERVAL_MAX);
    }
}

/// Why the live view ended early.
#[derive(Debug, thiserror::Error)]
pub enum TuiError {
    /// The terminal failed.
    #[error("the terminal failed: {0}; use --once or --json without one")]
    Terminal(#[from] io::Error),
    /// The kernel cannot be looked at any more.
    #[error(transparent)]
    Monitor(#[from] MonitorError),
}

/// Shows `source` until the user quits, `quit` says so or `duration` is over.
///
/// # Errors
/// [`TuiError`]; the terminal is restored then as well.
pub fn run(
    source: &mut dyn Source,
    interval: Duration,
    duration: Option<Duration>,
    quit: &dyn Fn() -> bool,
) -> Result<(), TuiError> {
    // The first look comes before the screen is taken over, so that its error stays readable.
    let first = source.look()?;
    let mut terminal = ratatui::try_init()?;
    let end = duration.map(|d| Instant::now() + d);
    let result = watch(&mut terminal, source, first, Screen::new(interval), end, quit);
    ratatui::restore();
    result
}

fn watch(
    terminal: &mut DefaultTerminal,
    source: &mut dyn Source,
    first: Snapshot,
    mut screen: Screen,
    end: Option<Instant>,
    quit: &dyn Fn() -> bool,
) -> Result<(), TuiError> {
    let mut lookback = Lookback::default();
    let mut view = lookback.view(first);
    screen.looked(&view);
    let mut looked = Instant::now();
    loop {
        terminal.draw(|frame| draw(frame, &view, &mut screen))?;
        let now = Instant::now();
        if quit() || end.is_some_and(|end| now >= end) {
            return Ok(());
        }
        let due = looked + screen.interval;
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
            looked = Instant::now();
            if screen.paused {
                continue;
            }
            match source.look() {
                Ok(snapshot) => {
                    view = lookback.view(snapshot);
                    screen.looked(&view);
                }
                Err(error) if error.is_passing() => screen.note = Some(error.to_string()),
                Err(error) => return Err(error.into()),
            }
        }
    }
}
