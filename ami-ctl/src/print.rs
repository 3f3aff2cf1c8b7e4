//! How things are printed: tables and lines for people, one JSON document for programs.

pub use ami_proto::client::array::float_json;
pub use ami_proto::client::refusal::cell;

use ami_proto::client::feature;
use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use serde::Serialize;
use serde_json::Value;
use std::io::{IsTerminal, Write};

/// A line on stdout. Not `println!`, which panics when the reader has gone away.
///
/// # Errors
/// When stdout cannot be written.
pub fn line(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{text}")?;
    Ok(out.flush()?)
}

/// A document on stdout.
///
/// # Errors
/// When stdout cannot be written.
pub fn json(document: &impl Serialize) -> anyhow::Result<()> {
    line(&serde_json::to_string_pretty(document)?)
}

/// A line on stderr.
pub fn error(text: &str) {
    // There is nowhere left to tell that stderr is closed.
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Rows under a heading, as wide as the terminal allows.
pub fn table(heading: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(heading.to_vec());
    let rows: Vec<Vec<String>> = rows.into_iter().collect();
    if std::io::stdout().is_terminal() {
        table.set_content_arrangement(ContentArrangement::Dynamic);
    }
    for (index, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, 2));
        // Numbers are read by their last digit.
        let numeric = |cell: &String| {
            cell.is_empty() || cell.starts_with(|c: char| c.is_ascii_digit() || c == '-')
        };
        if rows.iter().any(|r| !r[index].is_empty()) && rows.iter().all(|r| numeric(&r[index])) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.add_rows(rows);
    table.trim_fmt()
}

/// A number short enough for a table: four digits and a letter.
pub fn short(x: f64) -> String {
    let magnitude = x.abs();
    for (unit, letter) in [(1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")] {
        if magnitude >= unit * 10.0 || (unit > 1e3 && magnitude >= unit) {
            return format!("{:.*}{letter}", digits(magnitude / unit), x / unit);
        }
    }
    if x.fract() == 0.0 || magnitude >= 100.0 { format!("{x:.0}") } else { format!("{x:.1}") }
}

fn digits(magnitude: f64) -> usize {
    match magnitude {
        m if m < 10.0 => 2,
        m if m < 100.0 => 1,
        _ => 0,
    }
}

/// Bytes with a binary unit.
pub fn bytes(n: f64) -> String {
    for (unit, name) in [(1u64 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")]
    {
        if n >= unit as f64 {
            return format!("{:.1} {name}", n / unit as f64);
        }
    }
    format!("{n:.0} B")
}

/// Nanoseconds with a fitting unit.
pub fn duration(ns: f64) -> String {
    match ns {
        n if n >= 60e9 => format!("{:.0} min", n / 60e9),
        n if n >= 1e9 => format!("{:.1} s", n / 1e9),
        n if n >= 1e6 => format!("{:.1} ms", n / 1e6),
        n => format!("{:.0} µs", n / 1e3),
    }
}

/// A time for people, from ns since 1970: UTC to the second.
pub fn utc(ns: u64) -> String {
    let (seconds, day) = (ns / 1_000_000_000, 86_400);
    let (days, rest) = (seconds / day, seconds % day);
    // Years counted from March, so that leap days come last; 400 years have 146097 days.
    let shifted = days + 719_468;
    let (era, in_era) = (shifted / 146_097, shifted % 146_097);
    let year = (in_era - in_era / 1460 + in_era / 36_524 - in_era / 146_096) / 365;
    let in_year = in_era - (365 * year + year / 4 - year / 100);
    let month = (5 * in_year + 2) / 153;
    let date = in_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = era * 400 + year + u64::from(month <= 2);
    format!(
        "{year:04}-{month:02}-{date:02} {:02}:{:02}:{:02}Z",
        rest / 3600,
        rest / 60 % 60,
        rest % 60
    )
}

/// A measured number for people: six significant digits.
pub fn number(x: f64) -> String {
    let magnitude = x.abs();
    if x == 0.0 || x.is_nan() || x.is_infinite() || (x.fract() == 0.0 && magnitude < 1e15) {
        return format!("{x}");
    }
    if (1e-4..1e9).contains(&magnitude) {
        let digits = (5 - magnitude.log10().floor() as i32).clamp(0, 9) as usize;
        let text = format!("{x:.digits$}");
        return if text.contains('.') {
            text.trim_end_matches('0').trim_end_matches('.').into()
        } else {
            text
        };
    }
    format!("{x:.5e}")
}

/// At most so many characters; an ellipsis stands for the rest.
pub fn shortened(text: &str, most: usize) -> String {
    let Some((end, _)) = text.char_indices().nth(most) else { return text.into() };
    format!("{}…", &text[..end])
}

/// A scalar for people: integers with all digits (timestamps, pulse ids), other numbers shortened.
pub fn shown(value: &Value) -> String {
    match value {
        Value::Number(n) if n.is_u64() || n.is_i64() => n.to_string(),
        value => feature::number(value).map_or_else(|| cell(value), number),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_true() {
        assert_eq!(short(12.0), "12");
        assert_eq!(short(9_999.4), "9999");
        assert_eq!(short(0.25), "0.2");
        assert_eq!(short(12_345.0), "12.3k");
        assert_eq!(short(28_600_000.0), "28.6M");
        assert_eq!(number(0.125), "0.125");
        assert_eq!(number(1234.56789), "1234.57");
        assert_eq!(number(1.5e-9), "1.50000e-9");
        assert_eq!(number(f64::NAN), "NaN");
        assert_eq!(bytes(1536.0), "1.5 KiB");
        assert_eq!(duration(2.5e6), "2.5 ms");
        assert_eq!(utc(951_782_400_000_000_000), "2000-02-29 00:00:00Z");
        assert_eq!(utc(1_763_654_321_000_000_000), "2025-11-20 15:58:41Z");
    }

    #[test]
    fn tables_have_aligned_columns() {
        let rows = [("a", "1"), ("bbb", "20")].map(|(a, b)| vec![a.to_string(), b.to_string()]);
        let text = table(&["name", "n"], rows);
        let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
        assert_eq!(lines, ["name   n", "a      1", "bbb   20"]);
    }

    #[test]
    fn integers_are_shown_with_all_digits() {
        let shown = |json: &str| super::shown(&serde_json::from_str(json).unwrap());
        assert_eq!(shown("1790000000123456789"), "1790000000123456789");
        assert_eq!([shown("1.73569e+18"), shown("0.25")], ["1.73569e18", "0.25"]);
        assert_eq!([shown("\"NaN\""), shown("\"daq1\"")], ["NaN", "daq1"]);
    }
}
