//! `ami-ctl doctor`: is this machine fit, and how is this system? Each finding says what to do.

mod keys;
mod machine;
mod place;

use crate::client::system::System;
use crate::print;
use serde_json::{Value, json};
use std::process::ExitCode;

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Grade {
    Ok,
    Warn,
    Fail,
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Finding {
    what: String,
    grade: Grade,
    found: String,
    todo: String,
}

fn finding(what: &str, grade: Grade, found: impl Into<String>, todo: impl Into<String>) -> Finding {
    Finding { what: what.into(), grade, found: found.into(), todo: todo.into() }
}

fn ok(what: &str, found: impl Into<String>) -> Finding {
    finding(what, Grade::Ok, found, "")
}

fn warn(what: &str, found: impl Into<String>, todo: impl Into<String>) -> Finding {
    finding(what, Grade::Warn, found, todo)
}

fn fail(what: &str, found: impl Into<String>, todo: impl Into<String>) -> Finding {
    finding(what, Grade::Fail, found, todo)
}

impl Grade {
    const fn word(self) -> &'static str {
        match self {
            Grade::Ok => "ok",
            Grade::Warn => "warn",
            Grade::Fail => "FAIL",
        }
    }
}

/// Checks everything; exit code 1 when something must be put right.
///
/// # Errors
/// When stdout cannot be written.
pub fn run(_args: &Args, system: &System) -> anyhow::Result<ExitCode> {
    let mut findings = machine::findings(&system.config);
    findings.extend(keys::findings(&system.config));
    findings.extend(place::findings(system));
    if system.json {
        print::json(&document(&findings))?;
    } else {
        print::line(&text(&findings))?;
    }
    let bad = findings.iter().any(|f| f.grade == Grade::Fail);
    Ok(if bad { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn document(findings: &[Finding]) -> Value {
    let list: Vec<Value> = findings
        .iter()
        .map(|f| {
            let grade = f.grade.word().to_lowercase();
            json!({"check": f.what, "grade": grade, "found": f.found, "todo": f.todo})
        })
        .collect();
    json!({"ok": findings.iter().all(|f| f.grade != Grade::Fail), "checks": list})
}

fn text(findings: &[Finding]) -> String {
    let mut lines = Vec::new();
    for f in findings {
        lines.push(format!("{:<4}  {:<18} {}", f.grade.word(), f.what, f.found));
        if !f.todo.is_empty() {
            lines.push(format!("{:25}→ {}", "", f.todo));
        }
    }
    let count = |grade| findings.iter().filter(|f| f.grade == grade).count();
    lines.push(format!("{} failed, {} warnings", count(Grade::Fail), count(Grade::Warn)));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_say_what_to_do() {
        let findings = [
            ok("cores", "8"),
            warn("clock", "hpet", "boot with tsc"),
            fail("shm", "full", "free it"),
        ];
        let text = text(&findings);
        assert!(
            text.contains("FAIL  shm")
                && text.contains("→ free it")
                && text.ends_with("1 failed, 1 warnings")
        );
        let document = document(&findings);
        assert_eq!(
            (&document["ok"], &document["checks"][1]["grade"]),
            (&json!(false), &json!("warn"))
        );
    }
}
