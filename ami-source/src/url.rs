//! Source URLs: `sim:NAME_OR_FILE?rate=…`, `xtc2:PATH[,PATH…]?loop=forever&pace=realtime`.

use crate::hints::did_you_mean;
use crate::kinds::SourceKind;
use std::path::PathBuf;
use std::str::FromStr;

/// What timestamps in the data count from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Epoch {
    /// ns since 1970-01-01 UTC.
    #[default]
    Unix,
    /// ns since 1990-01-01 UTC, as EPICS counts.
    Epics,
    /// A counter, not a time.
    Counter,
}

/// How fast events are let through.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Pace {
    /// As fast as they are taken.
    Max,
    /// As fast as their timestamps advance.
    Realtime,
    /// This many events per second.
    Hz(f64),
}

/// What happens when workers do not keep up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Overload {
    /// The source waits; nothing is lost.
    #[default]
    Block,
    /// Events are thinned and counted; results stay recent.
    Drop,
}

/// A source URL, read.
#[derive(Debug, Clone, PartialEq)]
pub struct SourceSpec {
    /// Which source, with the options that only it has.
    pub kind: SourceKind,
    /// None: what the source itself asks for (a recording: [`Pace::Max`]).
    pub pace: Option<Pace>,
    /// Passes over the data; None forever.
    pub loops: Option<u64>,
    /// What the data's timestamps count from.
    pub epoch: Epoch,
    /// Events skipped at the beginning (of each pass).
    pub start: u64,
    /// Events delivered at most (in each pass).
    pub events: Option<u64>,
    /// For the ventilator: wait or thin.
    pub overload: Overload,
}

/// A source URL that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("source URL {url:?}: {reason}")]
pub struct UrlError {
    url: String,
    reason: String,
}

/// Options of every source.
const COMMON: [&str; 6] = ["pace", "loop", "epoch", "start", "events", "overload"];
/// Of these, what only canned data can do.
const CANNED: [&str; 2] = ["loop", "start"];

impl SourceSpec {
    /// True of a source whose data come while they are taken.
    pub fn live(&self) -> bool {
        self.kind.part().live()
    }
}

impl FromStr for SourceSpec {
    type Err = UrlError;

    fn from_str(url: &str) -> Result<SourceSpec, UrlError> {
        parse(url).map_err(|reason| UrlError { url: url.into(), reason })
    }
}

fn parse(url: &str) -> Result<SourceSpec, String> {
    let (rest, query) = url.split_once('?').unwrap_or((url, ""));
    let mut spec = SourceSpec {
        kind: SourceKind::read(rest)?,
        pace: None,
        loops: Some(1),
        epoch: Epoch::default(),
        start: 0,
        events: None,
        overload: Overload::default(),
    };
    for option in query.split('&').filter(|o| !o.is_empty()) {
        let (key, value) = option
            .split_once('=')
            .ok_or_else(|| format!("option {option:?} has no value; write {option}=…"))?;
        set(&mut spec, key, value)?;
    }
    Ok(spec)
}

/// The paths of a list with commas; None when there is none.
pub(crate) fn paths(list: &str) -> Option<Vec<PathBuf>> {
    let paths: Vec<PathBuf> = list.split(',').filter(|p| !p.is_empty()).map(Into::into).collect();
    (!paths.is_empty()).then_some(paths)
}

/// Names with commas between them.
pub(crate) fn list(names: &[&str]) -> String {
    names.join(", ")
}

fn set(spec: &mut SourceSpec, key: &str, value: &str) -> Result<(), String> {
    if spec.kind.part().options().contains(&key) {
        return spec.kind.part_mut().set(key, value);
    }
    if spec.kind.part().live() && CANNED.contains(&key) {
        return Err(format!("{key}: data that come live come once, from now on; leave it out"));
    }
    match key {
        "pace" => spec.pace = Some(value.parse()?),
        "loop" if value == "forever" => spec.loops = None,
        "loop" => spec.loops = Some(positive(key, value)?),
        "epoch" => {
            let table =
                [("unix", Epoch::Unix), ("epics", Epoch::Epics), ("counter", Epoch::Counter)];
            spec.epoch = choice(key, value, &table)?;
        }
        "start" => spec.start = number(key, value)?,
        "events" => spec.events = Some(positive(key, value)?),
        "overload" => {
            spec.overload =
                choice(key, value, &[("block", Overload::Block), ("drop", Overload::Drop)])?;
        }
        _ => return Err(unknown(key, &spec.kind)),
    }
    Ok(())
}

fn unknown(key: &str, kind: &SourceKind) -> String {
    let own = kind.part().options();
    let names: Vec<&str> = COMMON.iter().chain(own).copied().collect();
    let hint = did_you_mean(key, names.iter().copied());
    let wrong_place =
        SourceKind::with_option(key).map_or(String::new(), |scheme| format!(" ({scheme}: has it)"));
    format!("unknown option {key:?}{wrong_place}{hint}; there are {}", list(&names))
}

impl FromStr for Pace {
    type Err = String;

    fn from_str(value: &str) -> Result<Pace, String> {
        match value {
            "max" => Ok(Pace::Max),
            "realtime" => Ok(Pace::Realtime),
            hz => rate("pace", hz).map(Pace::Hz).map_err(|e| {
                format!("{e}; or max, or realtime{}", did_you_mean(value, ["max", "realtime"]))
            }),
        }
    }
}

/// An option that is a rate in Hz.
pub(crate) fn rate(key: &str, value: &str) -> Result<f64, String> {
    let hz = value.parse::<f64>().ok().filter(|hz| *hz >= 1e-6 && *hz <= 1e9);
    hz.ok_or_else(|| format!("{key}={value}: a rate in Hz is a number from 1e-6 to 1e9"))
}

/// An option that is a whole number.
pub(crate) fn number(key: &str, value: &str) -> Result<u64, String> {
    value.parse().map_err(|_| format!("{key}={value}: a whole number, not negative, is needed"))
}

/// An option that is a whole number above 0.
pub(crate) fn positive(key: &str, value: &str) -> Result<u64, String> {
    let or = if key == "loop" { ", or forever" } else { "" };
    number(key, value)
        .ok()
        .filter(|n| *n > 0)
        .ok_or_else(|| format!("{key}={value}: a whole number above 0{or} is needed"))
}

/// An option that is one of a few words.
pub(crate) fn choice<T: Copy>(key: &str, value: &str, table: &[(&str, T)]) -> Result<T, String> {
    let found = table.iter().find(|(name, _)| *name == value).map(|(_, v)| *v);
    found.ok_or_else(|| {
        let names: Vec<&str> = table.iter().map(|(name, _)| *name).collect();
        let hint = did_you_mean(value, names.iter().copied());
        format!("{key}={value}: not one of {}{hint}", list(&names))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::SimUrl;
    use crate::xtc2::Xtc2Url;

    fn xtc2(paths: &[&str]) -> SourceKind {
        SourceKind::Xtc2(Xtc2Url { paths: paths.iter().map(Into::into).collect() })
    }

    fn error(url: &str) -> String {
        url.parse::<SourceSpec>().unwrap_err().to_string()
    }

    #[test]
    fn every_option_is_read() {
        let url = "sim:pump-probe?rate=1e6&seed=7&pace=realtime&loop=forever&epoch=epics&start=3\
                   &events=9&overload=drop";
        let spec: SourceSpec = url.parse().unwrap();
        let sim = SimUrl { name: "pump-probe".into(), rate_hz: Some(1e6), seed: Some(7) };
        let expected = SourceSpec {
            kind: SourceKind::Sim(sim),
            pace: Some(Pace::Realtime),
            loops: None,
            epoch: Epoch::Epics,
            start: 3,
            events: Some(9),
            overload: Overload::Drop,
        };
        assert_eq!(spec, expected);
    }

    #[test]
    fn recordings_by_scheme_or_bare_path() {
        let spec: SourceSpec = "xtc2:/a/b.xtc2,c.xtc2?loop=3&pace=120".parse().unwrap();
        assert_eq!(spec.kind, xtc2(&["/a/b.xtc2", "c.xtc2"]));
        assert_eq!((spec.loops, spec.pace), (Some(3), Some(Pace::Hz(120.0))));
        let bare: SourceSpec = "/data/x.xtc2".parse().unwrap();
        assert_eq!(bare.kind, xtc2(&["/data/x.xtc2"]));
        assert_eq!((bare.loops, bare.pace, bare.start), (Some(1), None, 0));
    }

    #[test]
    fn mistakes_are_explained() {
        let cases = [
            ("xtx2:a", "did you mean \"xtc2\""),
            ("pump-probe", "write sim:NAME"),
            ("sim:", "pump-probe"),
            ("xtc2:", "needs a path"),
            ("sim:a?lop=1", "did you mean \"loop\""),
            ("sim:a?lop=1", "there are pace, loop"),
            ("xtc2:a?rate=1", "sim: has it"),
            ("sim:a?epoch=unx", "did you mean \"unix\""),
            ("sim:a?loop=0", "or forever"),
            ("sim:a?pace=realtme", "did you mean \"realtime\""),
            ("sim:a?rate=-1", "1e-6"),
            ("sim:a?rate=nan", "1e-6"),
            ("sim:a?events", "write events="),
            ("sim:a?seed=x", "whole number"),
        ];
        for (url, words) in cases {
            let message = error(url);
            assert!(message.contains(words) && message.contains(url), "{url}: {message}");
        }
    }
}
