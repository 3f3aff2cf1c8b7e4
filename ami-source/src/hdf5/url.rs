//! `hdf5:PATH[,PATH…]`, or the path of a file that ends in `.h5`, `.hdf5`, `.nxs` or `.cxi`.

use crate::hdf5::options::Options;
use crate::hdf5::run::known_ending;
use crate::hdf5::source::Hdf5Source;
use crate::identity;
use crate::kinds::UrlPart;
use crate::opener::{Opened, Opener};
use crate::timed::Timed;
use crate::url::{Pace, SourceSpec, choice, paths, rate};
use std::path::PathBuf;

/// Which files are read, and how.
#[derive(Debug, Clone, PartialEq)]
pub struct Hdf5Url {
    /// In order.
    pub paths: Vec<PathBuf>,
    /// What was asked of them.
    pub options: Options,
}

impl Hdf5Url {
    /// Options that only this source has.
    pub(crate) const OPTIONS: &'static [&'static str] =
        &["timestamp", "id", "axis", "fields", "join", "follow", "rate"];

    pub(crate) fn read(part: &str) -> Result<Hdf5Url, String> {
        let paths = paths(part).ok_or("hdf5: needs a path, as hdf5:/data/run1.h5")?;
        Ok(Hdf5Url { paths, options: Options::default() })
    }

    /// True for a path that is read without `hdf5:` before it.
    pub(crate) fn is_bare(path: &str) -> bool {
        known_ending(path)
    }
}

impl UrlPart for Hdf5Url {
    fn options(&self) -> &'static [&'static str] {
        Hdf5Url::OPTIONS
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), String> {
        let path = || match value.trim_matches('/') {
            "" => Err(format!("{key}= needs a dataset's path, as {key}=/entry/data/{key}")),
            _ => Ok(Some(value.to_owned())),
        };
        match key {
            "timestamp" => self.options.timestamp = path()?,
            "id" => self.options.id = path()?,
            "axis" => self.options.axis = path()?,
            "fields" => {
                let patterns = value.split(',').filter(|p| !p.is_empty());
                self.options.fields = patterns.map(str::to_owned).collect();
            }
            "join" => self.options.join = choice(key, value, &[("id", true), ("none", false)])?,
            "follow" => {
                let table = [("true", Some(true)), ("false", Some(false)), ("auto", None)];
                self.options.follow = choice(key, value, &table)?;
            }
            _ => self.options.rate = Some(rate(key, value)?),
        }
        Ok(())
    }

    fn marks(&self) -> Vec<String> {
        self.paths.iter().map(|path| identity::of_hdf5(path)).collect()
    }

    fn open(&self, spec: &SourceSpec, _: u32, _: &str) -> anyhow::Result<Opened> {
        let paths = self.paths.clone();
        let options = Options { epoch: spec.epoch, ..self.options.clone() };
        let open = Box::new(move || -> anyhow::Result<Box<dyn Timed>> {
            Ok(Box::new(Hdf5Source::open(&paths, &options)?))
        });
        Ok(Opened::Canned(Opener { open, pace: Pace::Max }))
    }
}
