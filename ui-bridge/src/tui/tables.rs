//! The tables: which columns there are, and which of them fit.
//!
//! A column says from which width of its table on it is shown, so that a narrow window keeps the
//! columns that matter most.
//!
//! What this does not do: it decides no place on the screen; [`super::draw`] does.

use ratatui::Frame;
use ratatui::layout::{Alignment, Constraint, Rect};
use ratatui::style::{Color, Style};
use ratatui::text::Line;
use ratatui::widgets::{Block, Cell, Row, Table, TableState};
use wasm_engine_abi::counter::{Counter, Unit};

use super::style::{ACCENT, BAD, BOLD, DIM, GOOD, PADDING, PLAIN, WARN, tick_text};
use crate::units::{bytes, count, duration, percent, short, short_count};
use crate::view::{Agent, Lane, Model, Ring};

/// A column: title, width, smallest table width that shows it, and its cell.
pub(super) struct Column<T> {
    title: &'static str,
    width: u16,
    from: u16,
    align: Alignment,
    cell: Of<T>,
}

/// A column of numbers, right-aligned.
const fn number<T>(title: &'static str, width: u16, from: u16, cell: Of<T>) -> Column<T> {
    Column { title, width, from, align: Alignment::Right, cell }
}

/// A column of words, left-aligned.
const fn word<T>(title: &'static str, width: u16, from: u16, cell: Of<T>) -> Column<T> {
    Column { title, width, from, align: Alignment::Left, cell }
}

/// What a cell shows of its row.
type Of<T> = fn(&T) -> (String, Style);

/// A table; the first column takes what is left over.
pub(super) fn draw_table<T>(
    frame: &mut Frame<'_>,
    area: Rect,
    block: Block<'_>,
    columns: &[Column<T>],
    rows: &[&T],
    state: &mut TableState,
    focused: bool,
) {
    let columns: Vec<_> = columns.iter().filter(|c| c.from <= area.width).collect();
    let header = columns.iter().map(|c| Cell::from(Line::styled(c.title, DIM).alignment(c.align)));
    // Only what can be seen is formatted: there may be a hundred thousand rows.
    let height = usize::from(area.height.saturating_sub(3));
    let selected = state.selected().unwrap_or(0).min(rows.len().saturating_sub(1));
    state.select(Some(selected));
    let first = state.offset().min(rows.len().saturating_sub(height));
    let first = first.clamp((selected + 1).saturating_sub(height), selected);
    *state.offset_mut() = first;
    let lines = rows.iter().skip(first).take(height).map(|row| {
        Row::new(columns.iter().map(|c| {
            let (text, style) = (c.cell)(row);
            Cell::from(Line::styled(text, style).alignment(c.align))
        }))
    });
    let widths = columns.iter().enumerate().map(|(at, c)| match at {
        0 => Constraint::Min(c.width),
        _ => Constraint::Length(c.width),
    });
    let mark = if focused { Style::new().fg(Color::Black).bg(ACCENT) } else { PLAIN };
    let more = match rows.len() {
        0 => " none ".to_owned(),
        n if n > height => {
            format!(" {}-{} of {} ", first + 1, (first + height).min(n), count(n as u64))
        }
        _ => String::new(),
    };
    let table = Table::new(lines, widths)
        .header(Row::new(header))
        .block(block.padding(PADDING).title_bottom(Line::styled(more, DIM).right_aligned()))
        .row_highlight_style(mark);
    let mut window = TableState::default();
    window.select((!rows.is_empty()).then_some(selected - first));
    frame.render_stateful_widget(table, area, &mut window);
}

fn plain(text: String) -> (String, Style) {
    (text, PLAIN)
}

/// A number that should be zero.
fn alarm(value: u64) -> (String, Style) {
    (short_count(value), if value == 0 { PLAIN } else { BAD })
}

fn agent_state(a: &Agent) -> (String, Style) {
    let style = match a.state {
        "active" => GOOD,
        "backoff" => BAD,
        "paused" | "initialising" => WARN,
        _ => DIM,
    };
    (a.state.to_owned(), style)
}

fn busy(part: f64) -> (String, Style) {
    let style = if part > 0.9 { WARN } else { PLAIN };
    (percent(part, 1.0), style)
}

pub(super) const AGENTS: &[Column<Agent>] = &[
    word("agent", 14, 0, |a| (a.name.clone(), BOLD)),
    word("state", 12, 0, agent_state),
    number("address", 8, 100, |a| (a.address.clone(), DIM)),
    number("turns/s", 7, 0, |a| plain(short(a.turns_per_s))),
    number("turns", 7, 78, |a| plain(short_count(a.turns))),
    number("items", 7, 100, |a| plain(short_count(a.items))),
    number("effects", 7, 110, |a| plain(short_count(a.effects))),
    number("inbox", 6, 0, |a| plain(short_count(a.inbox_items.into()))),
    number("fuel", 6, 70, |a| plain(short_count(a.fuel))),
    number("faults", 6, 0, |a| alarm(a.faults.into())),
    word("last fault", 20, 130, |a| (a.last_fault.unwrap_or("").to_owned(), BAD)),
    number("inc", 3, 110, |a| plain(a.incarnation.to_string())),
    number("lane", 4, 90, |a| plain(a.lane.to_string())),
    number("last tick", 10, 75, |a| (tick_text(a.last_tick), DIM)),
];

pub(super) const LANES: &[Column<Lane>] = &[
    word("lane", 4, 0, |l| plain(l.lane.to_string())),
    word("state", 7, 0, |l| plain(l.state.to_owned())),
    number("core", 4, 50, |l| plain(l.core.map_or("-".to_owned(), |c| c.to_string()))),
    number("agents", 6, 50, |l| plain(count(l.agents.into()))),
    number("turns/s", 7, 0, |l| plain(short(l.turns_per_s))),
    number("turns", 7, 60, |l| plain(short_count(l.turns))),
    number("busy", 5, 0, |l| busy(l.busy)),
    number("outbox", 6, 0, |l| {
        plain(percent(l.outbox_high_bytes as f64, l.outbox_capacity as f64))
    }),
    number("outbox max", 10, 70, |l| plain(bytes(l.outbox_high_bytes))),
];

pub(super) const MODELS: &[Column<Model>] = &[
    word("model", 8, 0, |m| (m.name.clone(), BOLD)),
    word("state", 8, 60, |m| (m.state.to_owned(), if m.state == "failed" { BAD } else { PLAIN })),
    number("req/s", 5, 0, |m| plain(short(m.requests_per_s))),
    number("requests", 8, 60, |m| plain(short_count(m.requests))),
    number("pending", 7, 70, |m| plain(short_count(m.pending.into()))),
    number("p50", 7, 0, |m| plain(duration(m.run_time.p50_ns))),
    number("p99", 7, 50, |m| plain(duration(m.run_time.p99_ns))),
    number("padded", 6, 76, |m| plain(short_count(m.rows_padded))),
    number("err", 4, 0, |m| alarm(m.errors)),
];

pub(super) const RINGS: &[Column<Ring>] = &[
    word("ring", 8, 0, |r| plain(r.name.clone())),
    number("used", 5, 0, |r| {
        let used = r.used_bytes as f64;
        if r.capacity_bytes == 0 { plain("-".into()) } else { busy(used / r.capacity_bytes as f64) }
    }),
    number("max", 5, 0, |r| plain(percent(r.high_bytes as f64, r.capacity_bytes as f64))),
    number("size", 9, 60, |r| plain(bytes(r.capacity_bytes))),
    number("rec/s", 6, 0, |r| plain(short(r.records_per_s))),
    number("records", 8, 60, |r| plain(short_count(r.records))),
    number("full", 5, 0, |r| (short_count(r.stalls), if r.stalls == 0 { PLAIN } else { WARN })),
];

pub(super) const COUNTERS: &[Column<(&'static Counter, u64)>] = &[
    word("counter", 18, 0, |(c, _)| plain(c.name.to_owned())),
    number("value", 16, 0, |(c, value)| match c.unit {
        Unit::Count => plain(count(*value)),
        Unit::Ns => plain(duration(*value)),
        Unit::Bytes => plain(bytes(*value)),
    }),
];
