//! `xtc2:PATH[,PATH…]`, or the path of a file that ends in `.xtc2`.

use crate::identity;
use crate::kinds::UrlPart;
use crate::opener::{Opened, Opener};
use crate::timed::Timed;
use crate::url::{Pace, SourceSpec, paths};
use crate::xtc2::{Xtc2Options, Xtc2Source};
use std::path::PathBuf;

/// Which files are read.
#[derive(Debug, Clone, PartialEq)]
pub struct Xtc2Url {
    /// In order.
    pub paths: Vec<PathBuf>,
}

impl Xtc2Url {
    pub(crate) fn read(part: &str) -> Result<Xtc2Url, String> {
        let paths = paths(part).ok_or("xtc2: needs a path, as xtc2:/data/run1.xtc2")?;
        Ok(Xtc2Url { paths })
    }
}

impl UrlPart for Xtc2Url {
    fn marks(&self) -> Vec<String> {
        self.paths.iter().map(|path| identity::of_file(path)).collect()
    }

    fn open(&self, spec: &SourceSpec, _: u32, _: &str) -> anyhow::Result<Opened> {
        let (paths, options) = (self.paths.clone(), Xtc2Options { epoch: spec.epoch });
        let open = Box::new(move || -> anyhow::Result<Box<dyn Timed>> {
            Ok(Box::new(Xtc2Source::open(&paths, &options)?))
        });
        Ok(Opened::Canned(Opener { open, pace: Pace::Max }))
    }
}
