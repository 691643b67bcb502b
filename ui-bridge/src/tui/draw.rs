//! Painting: a title line, the kernel, the panes, a line of keys.
//!
//! ```text
//!  from 110 x 30              smaller
//!  title                      title
//!  kernel: five columns       kernel: three columns
//!  the focused big pane       tabs
//!  lanes | models | rings     the focused pane
//!  keys                       keys
//! ```
//! Only the sixteen terminal colours are used, and no fact is shown by colour alone.
//!
//! What this does not do: it changes nothing but the scroll position of tables.

use std::borrow::Cow;

use ratatui::Frame;
use ratatui::layout::{Alignment, Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, BorderType, Clear, Paragraph, TableState};

use super::screen::{Pane, Screen};
use super::style::{ACCENT, BAD, BOLD, DIM, GOOD, PADDING, PLAIN, WARN, tick_text};
use super::tables::{AGENTS, COUNTERS, LANES, MODELS, RINGS, draw_table};
use crate::units::{bytes, count, duration, percent, short, short_count};
use crate::view::View;
use wasm_engine_telemetry::Liveness;

/// Smallest screen that anything fits on.
const SIZE_MIN: (u16, u16) = (60, 16);

/// Paints one view.
pub fn draw(frame: &mut Frame<'_>, view: &View, screen: &mut Screen) {
    let area = frame.area();
    if area.width < SIZE_MIN.0 || area.height < SIZE_MIN.1 {
        let text = format!("the window is too small: {} x {} at least", SIZE_MIN.0, SIZE_MIN.1);
        frame.render_widget(Paragraph::new(text), area);
        return;
    }
    let wide = area.width >= 110 && area.height >= 30;
    let [title, kernel, body, keys] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(if wide { 8 } else { 7 }),
        Constraint::Min(5),
        Constraint::Length(1),
    ])
    .areas(area);
    draw_title(frame, title, view, screen);
    draw_kernel(frame, kernel, view, screen, wide);
    if wide {
        draw_wide(frame, body, view, screen)
    } else {
        draw_small(frame, body, view, screen)
    }
    draw_keys(frame, keys, screen);
    if screen.help {
        draw_help(frame, area);
    }
}

fn draw_title(frame: &mut Frame<'_>, area: Rect, view: &View, screen: &Screen) {
    let (mark, style) = match view.liveness {
        Liveness::Live => ("● live", GOOD),
        Liveness::Stale => ("◐ stale", WARN),
        Liveness::Dead => ("✖ dead", BAD),
        Liveness::Finished => ("■ finished", Style::new().fg(ACCENT)),
    };
    let activity = match view.liveness {
        Liveness::Live => view.activity.to_owned(),
        Liveness::Stale => format!("no heartbeat for {}", duration(view.idle_ns)),
        Liveness::Dead => "the process is gone".to_owned(),
        Liveness::Finished => view.kernel.exit_code.map_or(String::new(), |c| format!("exit {c}")),
    };
    let left = Line::from(vec![
        Span::styled(" wasm-engine ", Style::new().fg(Color::Black).bg(ACCENT).bold()),
        Span::styled(format!(" {} ", view.name), BOLD),
        Span::styled(format!("pid {}  ", view.pid), DIM),
        Span::styled(mark, style),
        Span::raw(format!("  {activity}")),
    ]);
    let pause = if screen.paused { "PAUSED  " } else { "" };
    let right = Line::from(vec![
        Span::styled(pause, WARN.add_modifier(Modifier::BOLD)),
        Span::styled(format!("up {} ", duration(view.kernel.uptime_ns)), DIM),
    ]);
    frame.render_widget(left, area);
    let right_width = u16::try_from(right.width()).unwrap_or(0).min(area.width);
    let right_area = Rect { x: area.right() - right_width, width: right_width, ..area };
    frame.render_widget(right, right_area);
}

fn block(title: String, focused: bool) -> Block<'static> {
    let (border, style) = if focused {
        (Style::new().fg(ACCENT), Style::new().fg(ACCENT).bold())
    } else {
        (DIM, Style::new().fg(Color::Gray).bold())
    };
    Block::bordered()
        .border_type(BorderType::Rounded)
        .border_style(border)
        .title(Span::styled(format!(" {title} "), style))
}

/// A label, its value and how it looks.
type Pair = (Cow<'static, str>, String, Style);

const fn pair(label: &'static str, value: String, style: Style) -> Pair {
    (Cow::Borrowed(label), value, style)
}

fn draw_kernel(frame: &mut Frame<'_>, area: Rect, view: &View, screen: &Screen, wide: bool) {
    let outer = block(format!("1 {}", Pane::Kernel.title()), screen.focus == Pane::Kernel)
        .title_top(Line::styled(format!(" digest {} ", view.kernel.digest), DIM).right_aligned());
    let progress = if wide { String::new() } else { progress_text(view).unwrap_or_default() };
    let outer = outer.title_bottom(Line::styled(progress, DIM).right_aligned());
    let inner = outer.inner(area);
    frame.render_widget(outer, area);
    let mut columns = vec![time_pairs(view), work_pairs(view), trouble_pairs(view)];
    if wide {
        columns.push(wait_pairs(view));
        columns.push(room_pairs(view));
    }
    let width = inner.width / u16::try_from(columns.len()).unwrap_or(1);
    for (at, pairs) in (0u16..).zip(&columns) {
        let column = Rect { x: inner.x + at * width + 1, width: width - 2, ..inner };
        for (row, pair) in (0u16..).zip(pairs) {
            draw_pair(frame, Rect { y: column.y + row, height: 1, ..column }, pair);
        }
    }
    if wide {
        draw_progress(frame, Rect { y: inner.bottom() - 1, height: 1, ..inner }, view, screen);
    }
}

fn draw_pair(frame: &mut Frame<'_>, area: Rect, (label, value, style): &Pair) {
    frame.render_widget(Span::styled(&**label, DIM), area);
    let line = Line::styled(value.clone(), *style).alignment(Alignment::Right);
    let room = area.width.saturating_sub(u16::try_from(label.len()).unwrap_or(0) + 1);
    frame.render_widget(line, Rect { x: area.right() - room, width: room, ..area });
}

fn time_pairs(view: &View) -> Vec<Pair> {
    let k = &view.kernel;
    vec![
        pair("tick", tick_text(k.tick), BOLD),
        pair("ticks/s", short(view.rates.ticks), PLAIN),
        pair("tick p50", duration(k.tick_time.p50_ns), PLAIN),
        pair("tick p99", duration(k.tick_time.p99_ns), PLAIN),
        pair("tick max", duration(k.tick_time.max_ns), PLAIN),
    ]
}

fn work_pairs(view: &View) -> Vec<Pair> {
    let r = &view.rates;
    vec![
        pair("turns/s", short(r.turns), PLAIN),
        pair("messages/s", short(r.messages), PLAIN),
        pair("inputs/s", short(r.inputs), PLAIN),
        pair("inferences/s", short(r.inferences), PLAIN),
        pair("fuel/s", short(r.fuel), PLAIN),
    ]
}

fn trouble_pairs(view: &View) -> Vec<Pair> {
    let of = |label, name, alarm: Style| {
        let value = view.counter(name);
        pair(label, count(value), if value == 0 { PLAIN } else { alarm })
    };
    vec![
        of("faults", "faults", BAD),
        of("restarts", "restarts", WARN),
        of("refused", "refused", WARN),
        of("dropped", "dropped", WARN),
        of("dead letters", "dead_letters", WARN),
    ]
}

fn wait_pairs(view: &View) -> Vec<Pair> {
    let stalls = view.kernel.stalls.iter();
    let mut pairs: Vec<Pair> = stalls
        .map(|stall| {
            let text = match stall.count {
                0 => "0".to_owned(),
                n => format!("{}x {}", short_count(n), duration(stall.ns)),
            };
            (format!("wait {}", stall.cause).into(), text, PLAIN)
        })
        .collect();
    pairs.push(pair("runnable", count(view.kernel.runnable.into()), PLAIN));
    pairs
}

fn room_pairs(view: &View) -> Vec<Pair> {
    let k = &view.kernel;
    vec![
        pair("held", format!("{} msg", short_count(k.messages_held.into())), PLAIN),
        pair("held bytes", bytes(view.counter("payload_bytes_held")), PLAIN),
        pair("log", bytes(view.counter("log_bytes")), PLAIN),
        pair("durable tick", tick_text(k.durable_tick), PLAIN),
        pair("region", bytes(view.counter("region_bytes")), PLAIN),
    ]
}

/// How far the run is, of a run that has an end, from 0 to 1.
fn progress(view: &View) -> Option<f64> {
    let end = view.kernel.ticks_end.filter(|end| *end > 0)?;
    // The last tick is numbered one below the end.
    let done = view.kernel.tick.map_or(0, |t| t.saturating_add(1));
    Some((done as f64 / end as f64).min(1.0))
}

fn progress_text(view: &View) -> Option<String> {
    let part = progress(view)?;
    Some(format!(" {} of {} ticks ", percent(part, 1.0), count(view.kernel.ticks_end?)))
}

/// The last line of a wide kernel pane: how far the run is, and the curve of its speed.
fn draw_progress(frame: &mut Frame<'_>, area: Rect, view: &View, screen: &Screen) {
    let [left, right] = Layout::horizontal([Constraint::Fill(3), Constraint::Fill(2)]).areas(area);
    let line = match progress(view).zip(progress_text(view)) {
        Some((part, text)) => {
            let room = usize::from(left.width).saturating_sub(text.len() + 2);
            let full = ((room as f64) * part).round() as usize;
            Line::from(vec![
                Span::raw(" "),
                Span::styled("━".repeat(full), Style::new().fg(ACCENT)),
                Span::styled("─".repeat(room - full), DIM),
                Span::raw(text),
            ])
        }
        None => Line::styled(" no last tick: runs until its sources close", DIM),
    };
    frame.render_widget(line, left);
    let label = " ticks/s ";
    let room = usize::from(right.width).saturating_sub(label.len() + 1);
    let curve = curve(&screen.history, room);
    let line = Line::from(vec![Span::styled(label, DIM), Span::styled(curve, GOOD)]);
    frame.render_widget(line, right);
}

/// The last values as bars, scaled to the highest, right-aligned in `width` characters.
fn curve(values: &std::collections::VecDeque<f64>, width: usize) -> String {
    const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let skip = values.len().saturating_sub(width);
    let shown = values.iter().skip(skip);
    let max = shown.clone().fold(0.0, |max: f64, v| max.max(*v));
    let bar = |v: &f64| match max {
        m if m > 0.0 => BARS[((v / m * 7.0).round() as usize).min(7)],
        _ => BARS[0],
    };
    let bars: String = shown.map(bar).collect();
    format!("{bars:>width$}")
}

fn draw_wide(frame: &mut Frame<'_>, area: Rect, view: &View, screen: &mut Screen) {
    let rows = view.lanes.len().max(view.models.len()).max(view.rings.len());
    let low = u16::try_from(rows).unwrap_or(u16::MAX).saturating_add(3).clamp(6, 11);
    let [big, small] = Layout::vertical([Constraint::Min(8), Constraint::Length(low)]).areas(area);
    let upper = if screen.focus == Pane::Kernel { Pane::Kernel } else { Pane::Agents };
    draw_pane(frame, big, view, screen, upper);
    let panes = Layout::horizontal([Constraint::Fill(1); 3]).split(small);
    for (pane, area) in [Pane::Lanes, Pane::Models, Pane::Rings].into_iter().zip(panes.iter()) {
        draw_pane(frame, *area, view, screen, pane);
    }
}

fn draw_small(frame: &mut Frame<'_>, area: Rect, view: &View, screen: &mut Screen) {
    let [tabs, body] = Layout::vertical([Constraint::Length(1), Constraint::Min(4)]).areas(area);
    let mut spans = vec![Span::raw(" ")];
    for (number, pane) in (1..).zip(Pane::ALL) {
        let text = format!(" {number} {} ", pane.title());
        spans.push(match pane == screen.focus {
            true => Span::styled(text, Style::new().fg(Color::Black).bg(ACCENT)),
            false => Span::styled(text, DIM),
        });
        spans.push(Span::raw(" "));
    }
    frame.render_widget(Line::from(spans), tabs);
    draw_pane(frame, body, view, screen, screen.focus);
}

fn draw_pane(frame: &mut Frame<'_>, area: Rect, view: &View, screen: &mut Screen, pane: Pane) {
    let focused = screen.focus == pane;
    let title = format!("{} {}", pane as usize + 1, pane.title());
    let state = &mut screen.tables[pane as usize];
    match pane {
        Pane::Kernel => draw_details(frame, area, view, state),
        Pane::Agents => {
            let sort = screen.sort.title();
            let of = format!("{} of {}", count(view.kernel.agents.into()), view.kernel.agents_max);
            let title = format!("{title}  {of}, by {sort}");
            let rows = screen.sort.order(&view.agents);
            draw_table(frame, area, block(title, focused), AGENTS, &rows, state, focused);
        }
        Pane::Lanes => {
            let rows: Vec<_> = view.lanes.iter().collect();
            draw_table(frame, area, block(title, focused), LANES, &rows, state, focused);
        }
        Pane::Models => {
            let rows: Vec<_> = view.models.iter().collect();
            draw_table(frame, area, block(title, focused), MODELS, &rows, state, focused);
        }
        Pane::Rings => {
            let rows: Vec<_> = view.rings.iter().collect();
            draw_table(frame, area, block(title, focused), RINGS, &rows, state, focused);
        }
    }
}

/// Tick times and every counter.
fn draw_details(frame: &mut Frame<'_>, area: Rect, view: &View, state: &mut TableState) {
    let [left, right] = Layout::horizontal([Constraint::Fill(1); 2]).areas(area);
    let outer = block("tick times since the start".to_owned(), true).padding(PADDING);
    let inner = outer.inner(left);
    frame.render_widget(outer, left);
    frame.render_widget(Paragraph::new(histogram(view, inner)), inner);
    let rows: Vec<_> = view.counters.iter().collect();
    let outer = block("counters".to_owned(), true);
    draw_table(frame, right, outer, COUNTERS, &rows, state, true);
}

/// One line per power of two, from the fastest tick to the slowest, as many as fit.
fn histogram(view: &View, area: Rect) -> Vec<Line<'static>> {
    let buckets = &view.kernel.tick_ns_buckets;
    let (Some(first), Some(last)) =
        (buckets.iter().position(|n| *n > 0), buckets.iter().rposition(|n| *n > 0))
    else {
        return vec![Line::styled(" no tick has closed yet", DIM)];
    };
    let max = buckets.iter().copied().max().unwrap_or(1) as f64;
    let room = usize::from(area.width).saturating_sub(21);
    (first..=last)
        .take(area.height.into())
        .map(|at| {
            let n = buckets[at];
            let length = (room as f64 * (n as f64 / max)).ceil() as usize;
            Line::from(vec![
                Span::styled(format!("{:>9} ", format!("≥ {}", duration(1 << at))), DIM),
                Span::styled(format!("{:room$}", "█".repeat(length)), Style::new().fg(ACCENT)),
                Span::raw(format!(" {:>7}", short_count(n))),
            ])
        })
        .collect()
}

fn draw_keys(frame: &mut Frame<'_>, area: Rect, screen: &Screen) {
    if let Some(note) = &screen.note {
        frame.render_widget(Line::styled(format!(" {note}"), WARN), area);
        return;
    }
    let every = duration(u64::try_from(screen.interval.as_nanos()).unwrap_or(0));
    let keys = [
        ("q", "quit"),
        ("Tab", "pane"),
        ("j/k", "scroll"),
        ("s", "sort"),
        ("p", if screen.paused { "go on" } else { "pause" }),
        ("+/-", &every),
        ("?", "help"),
    ];
    let mut spans = Vec::new();
    for (key, word) in keys {
        spans.push(Span::styled(format!(" {key}"), Style::new().fg(ACCENT).bold()));
        spans.push(Span::styled(format!(" {word} "), DIM));
    }
    frame.render_widget(Line::from(spans), area);
}

fn draw_help(frame: &mut Frame<'_>, area: Rect) {
    let text = [
        "q, Ctrl-C       quit",
        "Tab, 1-5        choose a pane",
        "j k, arrows     scroll",
        "PgUp PgDn g G   scroll far",
        "s               sort agents by the next column",
        "p, space        pause polling; the kernel goes on",
        "+ -             poll twice or half as often",
        "",
        "Rates cover the time between two polls.",
        "Quantiles are exact to a factor of two.",
        "A monitor only reads: it cannot slow or",
        "change the kernel.",
    ];
    let (width, height) = (52.min(area.width), (text.len() as u16 + 2).min(area.height));
    let popup = Rect { x: (area.width - width) / 2, y: (area.height - height) / 2, width, height };
    frame.render_widget(Clear, popup);
    let lines: Vec<_> = text.iter().map(|line| Line::raw(format!(" {line}"))).collect();
    let outer = block("keys, any closes this".to_owned(), true);
    frame.render_widget(Paragraph::new(lines).block(outer), popup);
}
