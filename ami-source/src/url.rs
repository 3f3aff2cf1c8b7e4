//! Source URLs: `sim:NAME_OR_FILE?rate=…`, `xtc2:PATH[,PATH…]?loop=forever&pace=realtime`.

use crate::hints::did_you_mean;
use crate::sim;
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

/// Which source, with the options that only it has.
#[derive(Debug, Clone, PartialEq)]
pub enum SourceKind {
    /// The simulated beamline.
    Sim {
        /// A preset's name, or a file that ends in `.toml`.
        name: String,
        /// Events per second of data time, instead of the description's.
        rate_hz: Option<f64>,
        /// Seed, instead of the description's.
        seed: Option<u64>,
    },
    /// Recordings of LCLS-II: the files, in order.
    Xtc2(Vec<PathBuf>),
}

/// A source URL, read.
#[derive(Debug, Clone, PartialEq)]
pub struct SourceSpec {
    /// Which source.
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

const SCHEMES: [&str; 2] = ["sim", "xtc2"];
const COMMON: [&str; 6] = ["pace", "loop", "epoch", "start", "events", "overload"];
const SIM: [&str; 2] = ["rate", "seed"];

impl FromStr for SourceSpec {
    type Err = UrlError;

    fn from_str(url: &str) -> Result<SourceSpec, UrlError> {
        parse(url).map_err(|reason| UrlError { url: url.into(), reason })
    }
}

fn parse(url: &str) -> Result<SourceSpec, String> {
    let (rest, query) = url.split_once('?').unwrap_or((url, ""));
    let mut spec = SourceSpec {
        kind: kind(rest)?,
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

fn kind(rest: &str) -> Result<SourceKind, String> {
    match rest.split_once(':') {
        Some(("sim", "")) => {
            let presets = sim::preset_names().collect::<Vec<_>>().join(", ");
            Err(format!("sim: needs a preset ({presets}) or a file, as sim:pump-probe"))
        }
        Some(("sim", name)) => Ok(SourceKind::Sim { name: name.into(), rate_hz: None, seed: None }),
        Some(("xtc2", paths)) => xtc2(paths),
        _ if rest.ends_with(".xtc2") => xtc2(rest),
        Some((scheme, _)) => {
            let hint = did_you_mean(scheme, SCHEMES);
            Err(format!("unknown kind of source {scheme:?}{hint}; there are {}", list(&SCHEMES)))
        }
        None => Err(format!(
            "no kind of source; write sim:NAME, sim:FILE.toml or xtc2:PATH (kinds: {})",
            list(&SCHEMES)
        )),
    }
}

fn xtc2(paths: &str) -> Result<SourceKind, String> {
    let paths: Vec<PathBuf> = paths.split(',').filter(|p| !p.is_empty()).map(Into::into).collect();
    if paths.is_empty() {
        return Err("xtc2: needs a path, as xtc2:/data/run1.xtc2".into());
    }
    Ok(SourceKind::Xtc2(paths))
}

fn list(names: &[&str]) -> String {
    names.join(", ")
}

fn set(spec: &mut SourceSpec, key: &str, value: &str) -> Result<(), String> {
    if let SourceKind::Sim { rate_hz, seed, .. } = &mut spec.kind {
        match key {
            "rate" => {
                *rate_hz = Some(rate(key, value)?);
                return Ok(());
            }
            "seed" => {
                *seed = Some(number(key, value)?);
                return Ok(());
            }
            _ => {}
        }
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
    let own: &[&str] = if matches!(kind, SourceKind::Sim { .. }) { &SIM } else { &[] };
    let names: Vec<&str> = COMMON.iter().chain(own).copied().collect();
    let hint = did_you_mean(key, names.iter().copied());
    let wrong_place = match SIM.contains(&key) && own.is_empty() {
        true => " (sim: has it)",
        false => "",
    };
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

fn rate(key: &str, value: &str) -> Result<f64, String> {
    let hz = value.parse::<f64>().ok().filter(|hz| *hz >= 1e-6 && *hz <= 1e9);
    hz.ok_or_else(|| format!("{key}={value}: a rate in Hz is a number from 1e-6 to 1e9"))
}

fn number(key: &str, value: &str) -> Result<u64, String> {
    value.parse().map_err(|_| format!("{key}={value}: a whole number, not negative, is needed"))
}

fn positive(key: &str, value: &str) -> Result<u64, String> {
    let or = if key == "loop" { ", or forever" } else { "" };
    number(key, value)
        .ok()
        .filter(|n| *n > 0)
        .ok_or_else(|| format!("{key}={value}: a whole number above 0{or} is needed"))
}

fn choice<T: Copy>(key: &str, value: &str, table: &[(&str, T)]) -> Result<T, String> {
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

    fn error(url: &str) -> String {
        url.parse::<SourceSpec>().unwrap_err().to_string()
    }

    #[test]
    fn every_option_is_read() {
        let url = "sim:pump-probe?rate=1e6&seed=7&pace=realtime&loop=forever&epoch=epics&start=3\
                   &events=9&overload=drop";
        let spec: SourceSpec = url.parse().unwrap();
        let kind = SourceKind::Sim { name: "pump-probe".into(), rate_hz: Some(1e6), seed: Some(7) };
        let expected = SourceSpec {
            kind,
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
        assert_eq!(spec.kind, SourceKind::Xtc2(vec!["/a/b.xtc2".into(), "c.xtc2".into()]));
        assert_eq!((spec.loops, spec.pace), (Some(3), Some(Pace::Hz(120.0))));
        let bare: SourceSpec = "/data/x.xtc2".parse().unwrap();
        assert_eq!(bare.kind, SourceKind::Xtc2(vec!["/data/x.xtc2".into()]));
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
