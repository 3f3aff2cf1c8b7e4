//! What is promised to hold for long, each as one run that prints what it measured: a soak, overload,
//! kills for a minute. Short versions of the same code are tests.

pub mod kills;
pub mod overload;
pub mod soak;

use crate::System;
use std::fmt;

/// What a run has measured, and what was not as promised.
#[derive(Debug, Default)]
pub struct Report {
    /// Lines of a Markdown table, its head first.
    pub table: Vec<String>,
    /// Empty is good.
    pub violations: Vec<String>,
}

impl Report {
    fn with_head(columns: &[&str]) -> Report {
        let rule = vec!["---"; columns.len()];
        let table = vec![row(columns), row(&rule)];
        Report { table, violations: Vec::new() }
    }

    fn line(&mut self, cells: &[String]) {
        self.table.push(row(cells));
    }

    fn demand(&mut self, holds: bool, otherwise: impl FnOnce() -> String) {
        if !holds {
            self.violations.push(otherwise());
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines = self.table.iter().chain(&self.violations);
        lines.map(String::as_str).try_for_each(|line| writeln!(f, "{line}"))
    }
}

fn row(cells: &[impl AsRef<str>]) -> String {
    let cells: Vec<&str> = cells.iter().map(AsRef::as_ref).collect();
    format!("| {} |", cells.join(" | "))
}

/// Resident memory of every daemon, bytes; the ring, which they share, is not counted.
fn memory(system: &System) -> Vec<(String, u64)> {
    system.members().into_iter().map(|m| (m.clone(), system.unshared(&m))).collect()
}

fn mib(bytes: u64) -> String {
    format!("{:.2}", bytes as f64 / f64::from(1 << 20))
}
