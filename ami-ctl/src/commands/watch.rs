//! `ami-ctl watch`: features live in the terminal; elsewhere one line per update.

use crate::client::feature::Feature;
use crate::client::store::Subscription;
use crate::client::system::System;
use crate::commands::get;
use crate::commands::seconds;
use crate::print;
use crate::print::shown;
use crate::show::plot::Tile;
use ami_graph::error::nearest;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyModifiers};
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::{DefaultTerminal, Frame};
use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Shortest time between two pictures.
const PICTURE: Duration = Duration::from_millis(100);
/// Most features on one screen.
const MAX_TILES: usize = 64;

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Topics; one that ends in * stands for all that begin so
    #[arg(required = true, value_name = "FEATURE")]
    features: Vec<String>,
    /// Stop after so many seconds
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    duration: Option<Duration>,
}

/// Shows features until `q`, Ctrl-C or the end of the time.
///
/// # Errors
/// When the store is not there, or the terminal cannot be used.
pub fn run(args: &Args, system: &System) -> anyhow::Result<ExitCode> {
    let store = system.store();
    // Also tells at once when no store is there.
    let list = store.list("")?;
    let known: Vec<&str> =
        list.iter().filter_map(|f| f.as_str().or_else(|| f["topic"].as_str())).collect();
    let prefixes: Vec<String> =
        args.features.iter().map(|f| f.trim_end_matches('*').to_string()).collect();
    let mut subscription = store.subscribe(&prefixes)?;
    let deadline = args.duration.map(|d| Instant::now() + d);
    let notes: Vec<(&str, String)> =
        args.features.iter().map(|f| (f.as_str(), note(f, &known))).collect();
    if system.json || !std::io::stdout().is_terminal() {
        for (_, note) in notes.iter().filter(|(_, n)| n.contains("no feature")) {
            print::error(note);
        }
        lines(&mut subscription, &args.features, deadline, system.json)?;
    } else {
        let exact = notes.iter().filter(|(f, _)| !f.ends_with('*'));
        let tiles = exact.map(|(f, note)| Tile::new(f, note)).collect();
        let mut screen = Screen { tiles, wanted: &args.features };
        let result = ratatui::run(|terminal| screen.live(terminal, &mut subscription, deadline));
        result?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What is shown until a value comes.
fn note(feature: &str, known: &[&str]) -> String {
    if known.iter().any(|topic| wanted(feature, topic)) {
        return "waiting for the next value".into();
    }
    format!(
        "no feature {feature:?} yet: {}; waiting for it",
        nearest(feature, known.iter().copied())
    )
}

/// Whether a topic was asked for: itself, its node's outputs, or by prefix.
fn wanted(feature: &str, topic: &str) -> bool {
    match feature.strip_suffix('*') {
        Some(prefix) => topic.starts_with(prefix) && !topic.ends_with("/@heartbeat"),
        None => {
            topic.strip_prefix(feature).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        }
    }
}

fn lines(
    subscription: &mut Subscription,
    features: &[String],
    deadline: Option<Instant>,
    json: bool,
) -> anyhow::Result<()> {
    while deadline.is_none_or(|d| Instant::now() < d) {
        let left = deadline
            .map_or(Duration::from_secs(1), |d| d.saturating_duration_since(Instant::now()));
        let Some(feature) = subscription.next(left)? else { continue };
        if !features.iter().any(|f| wanted(f, feature.topic())) {
            continue;
        }
        // One document per line, since there is no end to wait for.
        let text = if json { get::document(&feature).to_string() } else { line(&feature) };
        print::line(&text)?;
    }
    Ok(())
}

/// An update on one line.
fn line(feature: &Feature) -> String {
    let mut parts = vec![feature.topic().to_string()];
    parts.extend(feature.values().map(|(name, value)| format!("{name}={}", shown(value))));
    parts.extend(feature.arrays.iter().map(|a| {
        let summary = a.summary();
        let [min, mean, max] = [summary.min, summary.mean, summary.max].map(print::number);
        format!("{}{:?}=min {min} mean {mean} max {max}", a.name, a.shape)
    }));
    parts.push(format!("[{}]", feature.label()));
    parts.join(" ")
}

struct Screen<'a> {
    tiles: Vec<Tile>,
    wanted: &'a [String],
}

impl Screen<'_> {
    fn live(
        &mut self,
        terminal: &mut DefaultTerminal,
        subscription: &mut Subscription,
        deadline: Option<Instant>,
    ) -> anyhow::Result<()> {
        while deadline.is_none_or(|d| Instant::now() < d) {
            terminal.draw(|frame| self.draw(frame))?;
            let next = Instant::now() + PICTURE;
            loop {
                let left = next.saturating_duration_since(Instant::now());
                match subscription.next(left)? {
                    Some(feature) => self.take(feature),
                    None => break,
                }
            }
            while event::poll(Duration::ZERO)? {
                if quits(&event::read()?) {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn take(&mut self, feature: Feature) {
        let topic = feature.topic();
        if !self.wanted.iter().any(|w| wanted(w, topic)) {
            return;
        }
        let found = self.tiles.iter().position(|t| t.topic() == topic);
        let index = match found {
            Some(index) => index,
            None if self.tiles.len() < MAX_TILES => {
                self.tiles.push(Tile::new(topic, ""));
                self.tiles.len() - 1
            }
            None => return,
        };
        self.tiles[index].update(feature);
    }

    fn draw(&self, frame: &mut Frame<'_>) {
        let [body, foot] =
            Layout::vertical([Constraint::Fill(1), Constraint::Length(1)]).areas(frame.area());
        for (tile, area) in self.tiles.iter().zip(grid(body, self.tiles.len())) {
            tile.draw(area, frame.buffer_mut());
        }
        frame.render_widget("q quits", foot);
    }
}

/// Whether the person wants to go.
pub fn quits(event: &Event) -> bool {
    let Event::Key(key) = event else { return false };
    let control_c = key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL);
    matches!(key.code, KeyCode::Char('q') | KeyCode::Esc) || control_c
}

/// Places for so many tiles: columns where the screen is wide.
fn grid(area: Rect, count: usize) -> Vec<Rect> {
    let widest = usize::from(area.width / 50).max(1);
    let columns = (count as f64).sqrt().ceil() as usize;
    let columns = columns.clamp(1, widest);
    let rows = count.div_ceil(columns).max(1);
    let lines = Layout::vertical(vec![Constraint::Fill(1); rows]).split(area);
    let cells = lines.iter().flat_map(|line| {
        Layout::horizontal(vec![Constraint::Fill(1); columns]).split(*line).to_vec()
    });
    cells.take(count).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_are_wanted_by_name_output_and_prefix() {
        assert!(wanted("g/n", "g/n") && wanted("g/n", "g/n.counts") && wanted("g/*", "g/n"));
        assert!(!wanted("g/n", "g/n2") && !wanted("g/*", "g/@heartbeat") && !wanted("g/*", "h/n"));
        assert!(note("g/m", &["g/mean"]).contains("g/mean"));
    }

    #[test]
    fn every_tile_has_a_place() {
        for count in 1..10 {
            let cells = grid(Rect::new(0, 0, 120, 40), count);
            assert_eq!(cells.len(), count);
            assert!(cells.iter().all(|c| c.width > 0 && c.height > 0));
        }
        assert!(grid(Rect::new(0, 0, 40, 40), 4).iter().all(|c| c.width == 40));
    }
}
