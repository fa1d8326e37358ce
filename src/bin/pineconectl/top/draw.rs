//! How `top` looks: a few lines about the node, a table of peers, a table of sessions. Made for 80 columns and 24 lines; more is used.

use pinecone::control::WaitingPeer;
use pinecone::node::status::{PeerStatus, SessionStatus};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Text};
use ratatui::widgets::{Cell, Paragraph, Row, Table};

use super::model::{Focus, Model, Rate};
use crate::units::{coordinates, maybe_coordinates, milliseconds, span};

/// Draws everything.
pub(super) fn frame(frame: &mut Frame<'_>, model: &Model) {
    let areas =
        Layout::vertical([Constraint::Length(6), Constraint::Fill(1), Constraint::Fill(1), Constraint::Length(1)]);
    let [head, peers, sessions, keys] = areas.areas(frame.area());
    frame.render_widget(Paragraph::new(header(model)), head);
    draw_peers(frame, model, peers);
    draw_sessions(frame, model, sessions);
    let help = "q quit   Tab peers/sessions   Up/Down scroll";
    frame.render_widget(Paragraph::new(help).style(Style::new().add_modifier(Modifier::DIM)), keys);
}

fn header(model: &Model) -> Text<'static> {
    let status = &model.now.status;
    let root = if status.root == status.public_key { "this node".to_owned() } else { status.root.short().to_string() };
    let total = model.total();
    let drops =
        model.drops().map_or_else(|| "none".to_owned(), |(rate, most)| format!("{rate:.1}/s, most of them {most}"));
    Text::from(vec![
        Line::styled(format!("{}   up {}", status.address, span(status.uptime_seconds)), Modifier::BOLD),
        Line::raw(format!(
            "root {root}   coordinates {}   snake routes {}",
            coordinates(&status.coordinates),
            status.snake_routes
        )),
        Line::raw(format!("peers {}   sessions {}   version {}", status.peers, status.sessions, status.version)),
        Line::raw(format!("in {}   out {}", bits(total.received), bits(total.sent))),
        Line::raw(format!("drops {drops}")),
        Line::raw(""),
    ])
}

fn draw_peers(frame: &mut Frame<'_>, model: &Model, area: Rect) {
    let waiting = &model.now.peers.waiting;
    // Lines of their own below the table: a reason needs the width.
    let lines = u16::try_from(waiting.len()).unwrap_or(u16::MAX).min(area.height / 2);
    let [area, below] = Layout::vertical([Constraint::Fill(1), Constraint::Length(lines)]).areas(area);
    let passed = model.top.0.saturating_sub(model.now.peers.peers.len());
    let waiting: Vec<Line<'_>> = waiting.iter().skip(passed).map(|peer| waiting_line(model, peer)).collect();
    frame.render_widget(Paragraph::new(waiting), below);
    let rows = model.peers().into_iter().map(|(peer, rate)| peer_row(model, peer, rate)).skip(model.top.0);
    let widths = [
        Constraint::Length(4),
        Constraint::Fill(1),
        Constraint::Length(12),
        Constraint::Length(9),
        Constraint::Length(9),
        Constraint::Length(8),
        Constraint::Length(9),
    ];
    let heading = ["PORT", "PEER", "COORDINATES", "IN", "OUT", "RTT", "UP"];
    let table = Table::new(rows, widths).header(title(model, Focus::Peers, &heading)).column_spacing(1);
    frame.render_widget(table, area);
}

fn draw_sessions(frame: &mut Frame<'_>, model: &Model, area: Rect) {
    let rows = model.sessions().into_iter().skip(model.top.1).map(|(session, rate)| session_row(model, session, rate));
    let widths = [
        Constraint::Fill(1),
        Constraint::Length(11),
        Constraint::Length(5),
        Constraint::Length(9),
        Constraint::Length(9),
        Constraint::Length(9),
    ];
    let heading = ["SESSION", "STATE", "BY", "IN", "OUT", "HEARD"];
    let table = Table::new(rows, widths).header(title(model, Focus::Sessions, &heading)).column_spacing(1);
    frame.render_widget(table, area);
}

fn title(model: &Model, focus: Focus, names: &[&'static str]) -> Row<'static> {
    let style = if model.focus == focus { Modifier::REVERSED } else { Modifier::BOLD };
    Row::new(names.iter().map(|name| Cell::new(*name)).collect::<Vec<_>>()).style(Style::new().add_modifier(style))
}

fn peer_row(model: &Model, peer: &PeerStatus, rate: Rate) -> Row<'static> {
    let place = maybe_coordinates(peer.coordinates.as_deref());
    let colour = if peer.authenticated { Color::Reset } else { Color::Yellow };
    let note = match (peer.parent, peer.carries) {
        (true, _) => " parent",
        (_, false) => " backup",
        _ => "",
    };
    Row::new(vec![
        peer.port.to_string(),
        printable(&format!("{}{note} {}", peer.key.short(), peer.uri)),
        place,
        bits(rate.received),
        bits(rate.sent),
        peer.round_trip_seconds.map_or_else(|| "-".to_owned(), milliseconds),
        span(peer.uptime_seconds),
    ])
    .style(painted(model, colour))
}

fn waiting_line(model: &Model, peer: &WaitingPeer) -> Line<'static> {
    let why = peer.last_error.as_deref().unwrap_or("dialling");
    Line::styled(printable(&format!("   - {}: {why}", peer.uri)), painted(model, Color::Red))
}

fn session_row(model: &Model, session: &SessionStatus, rate: Rate) -> Row<'static> {
    let colour = if session.state == "established" { Color::Reset } else { Color::Yellow };
    Row::new(vec![
        session.address.clone(),
        session.state.clone(),
        session.routed_by.clone(),
        bits(rate.received),
        bits(rate.sent),
        session.last_received_seconds.map_or_else(|| "-".to_owned(), span),
    ])
    .style(painted(model, colour))
}

fn painted(model: &Model, colour: Color) -> Style {
    if model.colours { Style::new().fg(colour) } else { Style::new() }
}

/// A rate in bits per second, in at most nine letters.
fn bits(bytes: f64) -> String {
    let mut value = bytes * 8.0;
    for unit in ["b/s", "kb/s", "Mb/s"] {
        if value < 999.5 {
            return if value < 10.0 && unit != "b/s" {
                format!("{value:.1} {unit}")
            } else {
                format!("{value:.0} {unit}")
            };
        }
        value /= 1e3;
    }
    format!("{value:.1} Gb/s")
}

/// Some of it comes from peers; none of it gets to steer the terminal.
fn printable(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { '?' } else { letter }).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn rates_are_short() {
        assert_eq!(super::bits(0.0), "0 b/s");
        assert_eq!(super::bits(124.9), "999 b/s");
        assert_eq!(super::bits(150.0), "1.2 kb/s");
        assert_eq!(super::bits(1_250_000.0), "10 Mb/s");
        assert_eq!(super::bits(1.25e9), "10.0 Gb/s");
    }
}
