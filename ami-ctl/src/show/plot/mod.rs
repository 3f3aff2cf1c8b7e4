//! Features as pictures in the terminal: numbers with a sparkline, curves, heat maps, and always
//! the truth label. Draws into a buffer; knows nothing of terminals.

mod curve;
mod heat;

use crate::client::array::NdArray;
use crate::client::feature::Feature;
use crate::print;
use crate::print::shown;
use ratatui::buffer::Buffer;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Paragraph, Sparkline, SparklineBar, Widget};
use std::collections::VecDeque;

/// Values kept for a sparkline: more than any terminal has columns.
const HISTORY: usize = 512;

/// One feature on the screen.
#[derive(Debug, Default)]
pub struct Tile {
    topic: String,
    note: String,
    latest: Option<Feature>,
    history: VecDeque<f64>,
    updates: u64,
    missed: u64,
}

impl Tile {
    /// For a topic of which nothing has come yet; `note` is shown until something does.
    pub fn new(topic: &str, note: &str) -> Tile {
        Tile { topic: topic.into(), note: note.into(), ..Tile::default() }
    }

    /// Its topic.
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// A new value came.
    pub fn update(&mut self, feature: Feature) {
        if let Some(value) = feature.scalar() {
            self.history.push_back(value);
            while self.history.len() > HISTORY {
                self.history.pop_front();
            }
        }
        let seq = |f: &Feature| f.number("seq");
        if let Some(before) = self.latest.as_ref().and_then(seq)
            && let Some(now) = seq(&feature)
        {
            // A store that started over counts from the beginning: nothing was missed.
            self.missed += now.saturating_sub(before).saturating_sub(1);
        }
        self.updates += 1;
        self.latest = Some(feature);
    }

    /// Draws it.
    pub fn draw(&self, area: Rect, buffer: &mut Buffer) {
        let block = Block::bordered().title(self.title());
        let inner = block.inner(area);
        block.render(area, buffer);
        let Some(feature) = &self.latest else {
            Paragraph::new(self.note.as_str()).render(inner, buffer);
            return;
        };
        let [numbers, picture, label] = Layout::vertical([
            Constraint::Length(u16::from(feature.values().next().is_some())),
            Constraint::Fill(1),
            Constraint::Length(1),
        ])
        .areas(inner);
        Paragraph::new(numbers_line(feature)).render(numbers, buffer);
        self.picture(feature, picture, buffer);
        label_line(feature).render(label, buffer);
    }

    fn title(&self) -> Line<'_> {
        let mut spans = vec![Span::styled(
            format!(" {} ", self.topic),
            Style::new().add_modifier(Modifier::BOLD),
        )];
        if let Some(feature) = &self.latest {
            spans.push(Span::raw(format!("{} · {} updates ", feature.text("op"), self.updates)));
        }
        if self.missed > 0 {
            spans.push(Span::styled(
                format!("· {} conflated ", self.missed),
                Style::new().fg(Color::Yellow),
            ));
        }
        Line::from(spans)
    }

    fn picture(&self, feature: &Feature, area: Rect, buffer: &mut Buffer) {
        let error = feature.text("error");
        if !error.is_empty() {
            Paragraph::new(format!("no value: {error}")).style(Color::Red).render(area, buffer);
        } else if let Some(image) =
            feature.arrays.iter().find(|a| a.shape.len() >= 2 && !a.shape.contains(&0))
        {
            heat::draw(image, area, buffer);
        } else if let Some((x, y)) = curve::choose(&feature.arrays) {
            curve::draw(&y.name, &x, &y.to_f64(), area, buffer);
        } else {
            self.sparkline(area, buffer);
        }
    }

    fn sparkline(&self, area: Rect, buffer: &mut Buffer) {
        let width = usize::from(area.width);
        let shown: Vec<f64> =
            self.history.iter().copied().skip(self.history.len().saturating_sub(width)).collect();
        let Some((low, high)) = range(&shown) else { return };
        // Eighths of a cell; one at least, so that the smallest value is seen.
        let steps = f64::from(area.height) * 8.0 - 1.0;
        let bar = |x: &f64| {
            let height = if high > low { (x - low) / (high - low) * steps } else { steps / 2.0 };
            SparklineBar::from(x.is_finite().then_some(height as u64 + 1))
        };
        Sparkline::default()
            .data(shown.iter().map(bar))
            .max(steps as u64 + 1)
            .style(Style::new().fg(Color::Cyan))
            .render(area, buffer);
        let legend = format!("{} … {}", print::number(low), print::number(high));
        buffer.set_stringn(area.x, area.y, legend, width, Style::new().fg(Color::DarkGray));
    }
}

fn numbers_line(feature: &Feature) -> String {
    let text = |(name, value): (&str, &serde_json::Value)| format!("{name} = {}", shown(value));
    feature.values().map(text).collect::<Vec<_>>().join("   ")
}

/// Green where everything is in the value, yellow where something is missing.
fn label_line(feature: &Feature) -> Line<'static> {
    let colour = if feature.complete() == (true, true) { Color::Green } else { Color::Yellow };
    Line::styled(feature.label(), Style::new().fg(colour))
}

/// Smallest and largest finite value.
fn range(values: &[f64]) -> Option<(f64, f64)> {
    let finite = || values.iter().copied().filter(|x| x.is_finite());
    let low = finite().reduce(f64::min)?;
    Some((low, finite().fold(low, f64::max)))
}

/// The last two axes of an array at the first place of the others: what can be shown as a picture.
fn plane(array: &NdArray) -> (usize, usize, Vec<f64>) {
    let rank = array.shape.len();
    let (rows, columns) = (array.shape[rank - 2], array.shape[rank - 1]);
    let mut values = array.to_f64();
    values.truncate(rows * columns);
    (rows, columns, values)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;
    use ratatui::buffer::Cell;
    use serde_json::json;

    fn feature(shape: &[usize], values: serde_json::Value, error: &str) -> Feature {
        let count: usize = shape.iter().product();
        let arrays = if shape.is_empty() {
            json!([])
        } else {
            json!([{"name": "mean", "dtype": "<f8", "shape": shape}])
        };
        let header = json!({"topic": "g/n", "op": "mean", "window": "run", "complete": true, "window_complete": true,
            "events": 5, "expected": 5, "window_events": 9, "window_expected": 9, "seq": 3,
            "arrays": arrays, "values": values, "error": error});
        let bytes = (0..count).flat_map(|i| (i as f64).to_le_bytes()).collect();
        Feature::new(header, &mut [bytes].into_iter()).unwrap()
    }

    fn screen(tile: &Tile) -> String {
        let mut terminal = Terminal::new(TestBackend::new(60, 12)).unwrap();
        terminal.draw(|frame| tile.draw(frame.area(), frame.buffer_mut())).unwrap();
        let buffer = terminal.backend().buffer();
        let cells = buffer.content.chunks(60);
        let line = |row: &[Cell]| row.iter().map(Cell::symbol).collect::<String>() + "\n";
        cells.map(line).collect()
    }

    #[test]
    fn every_kind_of_feature_has_a_picture() {
        let mut tile = Tile::new("g/n", "waiting");
        assert!(screen(&tile).contains("waiting"));
        for (shape, mark) in [(&[][..], "█"), (&[20][..], "⠤"), (&[8, 8][..], "▀")] {
            let mut tile = Tile::new("g/n", "");
            for value in [1.0, 2.0] {
                tile.update(feature(shape, json!({ "value": value }), ""));
            }
            let screen = screen(&tile);
            let braille = screen.chars().any(|c| ('\u{2801}'..='\u{28ff}').contains(&c));
            assert!(screen.contains(mark) || (shape.len() == 1 && braille), "{shape:?}:\n{screen}");
            assert!(
                screen.contains("value = 2") && screen.contains("9/9 events complete"),
                "{screen}"
            );
        }
        tile.update(feature(&[], json!({}), "shapes differ"));
        assert!(screen(&tile).contains("no value: shapes differ"));
    }

    #[test]
    fn odd_values_and_areas_do_no_harm() {
        let mut tile = Tile::new("g/n", "");
        for value in [json!("NaN"), json!("Infinity"), json!(1.0)] {
            tile.update(feature(&[], json!({ "value": value }), ""));
        }
        screen(&tile);
        for shape in [&[1][..], &[0], &[1, 1], &[0, 5], &[2, 3, 4]] {
            tile.update(feature(shape, json!({}), ""));
            screen(&tile);
        }
        for (width, height) in [(1, 1), (3, 2), (200, 3)] {
            let mut buffer = Buffer::empty(Rect::new(0, 0, width, height));
            tile.draw(buffer.area, &mut buffer);
        }
    }

    #[test]
    fn gaps_in_the_sequence_are_counted() {
        let mut tile = Tile::new("g/n", "");
        tile.update(feature(&[], json!({}), ""));
        let mut later = feature(&[], json!({}), "");
        later.header.insert("seq".into(), 7.into());
        tile.update(later);
        assert!(screen(&tile).contains("3 conflated"));
    }
}
