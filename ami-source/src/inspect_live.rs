//! `ami-ventilator inspect` of what is no file: opens the source, looks for a moment at what comes, and says
//! what fields it makes. What it takes nobody else gets, where a protocol gives each message to one.

use crate::source::{Next, Source};
use crate::url::SourceSpec;
use ami_graph::data::schema::Schema;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde_json::json;
use std::collections::BTreeMap;
use std::io::Write;
use std::time::{Duration, Instant};

/// How long events are counted after that.
const LOOK: Duration = Duration::from_secs(1);
/// How long a wait is when nothing wakes.
const TICK: Duration = Duration::from_millis(20);

/// What was seen.
#[derive(Debug, Default)]
struct Seen {
    schema: Option<Schema>,
    transitions: BTreeMap<String, u64>,
    events: u64,
}

/// Opens a source, waits for its fields, at most `patience`, and lists what it makes to `out`.
///
/// # Errors
/// When it cannot be opened or breaks, nothing comes that tells fields, or `out` fails.
pub fn run(
    spec: &SourceSpec,
    json: bool,
    patience: Duration,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let mut source = crate::open(spec, 0, "inspect", 0)?;
    let mut seen = Seen::default();
    let began = Instant::now();
    let mut until = began + patience;
    while Instant::now() < until {
        match source.next()? {
            Next::Event(_) => {
                source.skip();
                seen.events += 1;
            }
            Next::Transition(_) => {
                let Some(transition) = source.transition() else { continue };
                *seen.transitions.entry(format!("{:?}", transition.kind)).or_default() += 1;
                if let Some(schema) = transition.schema {
                    if seen.schema.is_none() {
                        until = Instant::now() + LOOK;
                    }
                    seen.schema = Some((*schema).clone());
                }
            }
            Next::Pending => wait(&*source)?,
            Next::End => break,
        }
    }
    let lost = source.lost();
    anyhow::ensure!(
        seen.schema.is_some(),
        "nothing came within {patience:?} that tells fields; {}",
        match lost {
            true => "its peer is not there: is it running, and does it take another client?",
            false => "its peer is there, but silent: it has fields once data are taken",
        }
    );
    print(&seen, &source.counters(), json, out)?;
    out.flush()?;
    Ok(())
}

fn wait(source: &dyn Source) -> anyhow::Result<()> {
    let most = source.due_in().unwrap_or(TICK).min(TICK);
    let Some(wakes) = source.wakes() else {
        std::thread::sleep(most);
        return Ok(());
    };
    let timeout = Timespec { tv_sec: 0, tv_nsec: i64::from(most.subsec_nanos()) };
    match poll(&mut [PollFd::new(&wakes, PollFlags::IN)], Some(&timeout)) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn print(
    seen: &Seen,
    counters: &[(&'static str, u64)],
    json: bool,
    out: &mut dyn Write,
) -> std::io::Result<()> {
    let fields = seen.schema.as_ref().map_or(&[][..], |schema| &schema.fields);
    let counters: BTreeMap<&str, u64> = counters.iter().copied().filter(|(_, n)| *n > 0).collect();
    if json {
        let document = json!({"fields": fields, "events": seen.events,
                              "transitions": seen.transitions, "counters": counters});
        return writeln!(out, "{document}");
    }
    let width = fields.iter().map(|f| f.name.len()).max().unwrap_or(0).max(5);
    writeln!(out, "{:<width$}  {:<8}  {:<16}  kind", "field", "dtype", "shape")?;
    for field in fields {
        let axes =
            |shape: &Vec<usize>| shape.iter().map(usize::to_string).collect::<Vec<_>>().join("×");
        let shape = match (&field.shape, field.rank) {
            (_, 0) => "scalar".to_owned(),
            (Some(shape), _) => axes(shape),
            (None, rank) => vec!["?"; rank].join("×"),
        };
        let kind = format!("{:?}", field.kind).to_lowercase();
        writeln!(out, "{:<width$}  {:<8}  {shape:<16}  {kind}", field.name, field.dtype.name())?;
    }
    writeln!(out, "\n{} events and these transitions: {:?}", seen.events, seen.transitions)?;
    writeln!(out, "counted: {counters:?}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_a_simulation_are_listed() {
        let mut out = Vec::new();
        let spec = "sim:mixed?events=5".parse().unwrap();
        run(&spec, false, Duration::from_secs(10), &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.starts_with("field") && text.lines().count() > 3, "{text}");
        assert!(text.contains("scalar") && text.contains("5 events"), "{text}");
    }

    #[test]
    fn who_is_not_there_is_named() {
        let spec = "shmem:ami-nobody".parse().unwrap();
        let error = run(&spec, false, Duration::from_millis(1), &mut Vec::new()).unwrap_err();
        assert!(error.to_string().contains("is it running"), "{error}");
    }
}
