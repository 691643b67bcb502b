//! What the user chose, what keys do to it, and what lies between two polls.

use std::collections::VecDeque;
use std::time::Duration;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::widgets::TableState;

use crate::view::{Agent, View};

/// Shortest time between two polls.
pub const INTERVAL_MIN: Duration = Duration::from_millis(50);
/// Longest time between two polls.
pub const INTERVAL_MAX: Duration = Duration::from_secs(10);
/// Polls whose tick rate is kept for the curve.
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
    pub(super) fn order(self, agents: &[Agent]) -> Vec<&Agent> {
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

/// What the user chose and what lies between two polls.
#[derive(Clone, Debug)]
pub struct Screen {
    /// The pane that keys act on.
    pub focus: Pane,
    /// Order of the agents.
    pub sort: Sort,
    /// Whether polling is suspended.
    pub paused: bool,
    /// Whether the help is shown.
    pub help: bool,
    /// Time between two polls.
    pub interval: Duration,
    /// A message for the last line, shown until the next poll succeeds.
    pub note: Option<String>,
    /// Tick rates of the last polls, oldest first.
    pub(super) history: VecDeque<f64>,
    /// Selected row of each pane.
    pub(super) tables: [TableState; 5],
}

impl Screen {
    /// A screen that polls every `interval`.
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
    pub fn polled(&mut self, view: &View) {
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
