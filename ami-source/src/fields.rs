//! `ami-ventilator inspect` of what is no file: opens a source and lists the fields that it has on offer.

use crate::source::{Next, Source};
use crate::url::SourceSpec;
use ami_graph::data::schema::{Field, Kind, Schema};
use anyhow::bail;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::io::{self, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How often a source is asked that does not say when it has something.
const AGAIN: Duration = Duration::from_millis(100);

/// Waits for the source's Configure, at most so long, and lists its fields to `out`.
///
/// # Errors
/// When the source cannot be opened, or says nothing within the time, or `out` fails.
pub fn list(spec: &SourceSpec, most: Duration, out: &mut dyn Write) -> anyhow::Result<()> {
    let mut source = crate::open(spec, 0, "inspect", 0)?;
    let schema = configure(&mut *source, most)?;
    print(&schema, out)?;
    Ok(())
}

fn configure(source: &mut dyn Source, most: Duration) -> anyhow::Result<Arc<Schema>> {
    let began = Instant::now();
    loop {
        match source.next()? {
            Next::Transition(_) => {
                if let Some(schema) = source.transition().and_then(|t| t.schema) {
                    return Ok(schema);
                }
            }
            Next::Event(_) => source.skip(),
            Next::End => bail!("the source ended without a Configure: it has no fields"),
            Next::Pending => {}
        }
        let Some(left) = most.checked_sub(began.elapsed()) else {
            let why = if source.lost() {
                "its server is not there or does not take another client; is it running, and is this its host?"
            } else {
                "its server is there, but is not configured; it has fields once data are taken"
            };
            bail!("no Configure within {most:?}: {why}");
        };
        wait(source, left.min(AGAIN));
    }
}

fn wait(source: &dyn Source, most: Duration) {
    let mut fds: Vec<PollFd<'_>> =
        source.wakes().map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)).into_iter().collect();
    // Whatever it says: the source is asked.
    let _ = poll(&mut fds, Timespec::try_from(most).ok().as_ref());
}

fn print(schema: &Schema, out: &mut dyn Write) -> io::Result<()> {
    let width = schema.fields.iter().map(|f| f.name.len()).max().unwrap_or(0).max(5);
    writeln!(out, "{:<width$}  {:<5}  {:<12}  set by", "field", "dtype", "shape")?;
    for field in &schema.fields {
        let by = if field.kind == Kind::Held { "transitions" } else { "events" };
        let (dtype, shape) = (field.dtype.name(), shape(field));
        writeln!(out, "{:<width$}  {dtype:<5}  {shape:<12}  {by}", field.name)?;
    }
    out.flush()
}

fn shape(field: &Field) -> String {
    match (&field.shape, field.rank) {
        (_, 0) => "scalar".to_owned(),
        (Some(axes), _) => axes.iter().map(ToString::to_string).collect::<Vec<_>>().join("×"),
        (None, rank) => vec!["?"; rank].join("×"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_a_simulation_are_listed() {
        let mut out = Vec::new();
        let spec = "sim:mixed?pace=max".parse().unwrap();
        list(&spec, Duration::from_secs(10), &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.starts_with("field") && text.lines().count() > 3, "{text}");
        assert!(text.contains("scalar") && text.contains("transitions"), "{text}");
    }

    #[test]
    fn who_is_not_there_is_named() {
        let spec = "shmem:ami-nobody".parse().unwrap();
        let error = list(&spec, Duration::from_millis(1), &mut Vec::new()).unwrap_err();
        assert!(error.to_string().contains("is it running"), "{error}");
    }
}
