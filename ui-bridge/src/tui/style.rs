//! Colours and texts that all panes share: only the sixteen of the terminal.

use ratatui::style::{Color, Modifier, Style};
use ratatui::widgets::Padding;

use crate::units::count;

pub(super) const ACCENT: Color = Color::Cyan;
pub(super) const DIM: Style = Style::new().fg(Color::DarkGray);
pub(super) const WARN: Style = Style::new().fg(Color::Yellow);
pub(super) const BAD: Style = Style::new().fg(Color::Red).add_modifier(Modifier::BOLD);
pub(super) const BOLD: Style = Style::new().add_modifier(Modifier::BOLD);
pub(super) const GOOD: Style = Style::new().fg(Color::Green);
pub(super) const PLAIN: Style = Style::new();
/// Space between a border and a table.
pub(super) const PADDING: Padding = Padding::horizontal(1);

pub(super) fn tick_text(tick: Option<u64>) -> String {
    tick.map_or("-".to_owned(), count)
}
