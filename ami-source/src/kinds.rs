//! The kinds of sources: the one place that names them all.

use crate::dectris::DectrisUrl;
use crate::hdf5::Hdf5Url;
use crate::hints::did_you_mean;
use crate::karabo::KaraboUrl;
use crate::opener::Opened;
use crate::shmem::ShmemUrl;
use crate::sim::SimUrl;
use crate::url::{SourceSpec, list};
use crate::xtc2::Xtc2Url;
use crate::zmq::ZmqUrl;

/// Which source, with the options that only it has.
#[derive(Debug, Clone, PartialEq)]
pub enum SourceKind {
    /// The simulated beamline.
    Sim(SimUrl),
    /// Recordings of LCLS-II.
    Xtc2(Xtc2Url),
    /// Streams of DECTRIS detectors.
    Dectris(DectrisUrl),
    /// HDF5 files.
    Hdf5(Hdf5Url),
    /// The monitoring shared memory of LCLS-II.
    Shmem(ShmemUrl),
    /// Trains of the European XFEL.
    Karabo(KaraboUrl),
    /// Messages of any program.
    Zmq(ZmqUrl),
}

/// What a kind of source makes of its part of a URL.
pub(crate) trait UrlPart {
    /// Options of this kind alone.
    fn options(&self) -> &'static [&'static str] {
        &[]
    }

    /// Sets one of [`UrlPart::options`].
    fn set(&mut self, key: &str, value: &str) -> Result<(), String> {
        Err(format!("{key}={value}: this source has no such option"))
    }

    /// True of a source whose data come while they are taken: it cannot go back.
    fn live(&self) -> bool {
        false
    }

    /// What tells its data from others under the same URL, a mark for each file.
    fn marks(&self) -> Vec<String> {
        Vec::new()
    }

    /// Opens it. `host` and `host_name` are as in [`crate::open`].
    fn open(&self, spec: &SourceSpec, host: u32, host_name: &str) -> anyhow::Result<Opened>;
}

/// Scheme, options, and what reads the part of the URL between the scheme and the options.
type Scheme = (&'static str, &'static [&'static str], fn(&str) -> Result<SourceKind, String>);

const SCHEMES: [Scheme; 7] = [
    ("sim", SimUrl::OPTIONS, |rest| SimUrl::read(rest).map(SourceKind::Sim)),
    ("xtc2", &[], |rest| Xtc2Url::read(rest).map(SourceKind::Xtc2)),
    ("shmem", ShmemUrl::OPTIONS, |rest| ShmemUrl::read(rest).map(SourceKind::Shmem)),
    ("dectris", DectrisUrl::OPTIONS, |rest| DectrisUrl::read(rest).map(SourceKind::Dectris)),
    ("hdf5", Hdf5Url::OPTIONS, |rest| Hdf5Url::read(rest).map(SourceKind::Hdf5)),
    ("karabo", KaraboUrl::OPTIONS, |rest| KaraboUrl::read(rest).map(SourceKind::Karabo)),
    ("zmq", ZmqUrl::OPTIONS, |rest| ZmqUrl::read(rest).map(SourceKind::Zmq)),
];

impl SourceKind {
    /// Reads what stands before the options.
    pub(crate) fn read(rest: &str) -> Result<SourceKind, String> {
        let names = SCHEMES.map(|(name, ..)| name);
        let (scheme, part) = rest.split_once(':').unwrap_or(("", rest));
        if let Some((.., read)) = SCHEMES.iter().find(|(name, ..)| *name == scheme) {
            return read(part);
        }
        if rest.ends_with(".xtc2") {
            return Xtc2Url::read(rest).map(SourceKind::Xtc2);
        }
        if Hdf5Url::is_bare(rest) {
            return Hdf5Url::read(rest).map(SourceKind::Hdf5);
        }
        if !rest.contains(':') {
            return Err(format!(
                "no kind of source; write sim:NAME, sim:FILE.toml, xtc2:PATH or hdf5:PATH (kinds: {})",
                list(&names)
            ));
        }
        let hint = did_you_mean(scheme, names);
        Err(format!("unknown kind of source {scheme:?}{hint}; there are {}", list(&names)))
    }

    /// The kind of source that has an option of this name.
    pub(crate) fn with_option(key: &str) -> Option<&'static str> {
        let found = SCHEMES.iter().find(|(_, options, _)| options.contains(&key));
        found.map(|(name, ..)| *name)
    }

    pub(crate) fn part(&self) -> &dyn UrlPart {
        match self {
            SourceKind::Sim(part) => part,
            SourceKind::Xtc2(part) => part,
            SourceKind::Dectris(part) => part,
            SourceKind::Hdf5(part) => part,
            SourceKind::Shmem(part) => part,
            SourceKind::Karabo(part) => part,
            SourceKind::Zmq(part) => part,
        }
    }

    pub(crate) fn part_mut(&mut self) -> &mut dyn UrlPart {
        match self {
            SourceKind::Sim(part) => part,
            SourceKind::Xtc2(part) => part,
            SourceKind::Dectris(part) => part,
            SourceKind::Hdf5(part) => part,
            SourceKind::Shmem(part) => part,
            SourceKind::Karabo(part) => part,
            SourceKind::Zmq(part) => part,
        }
    }
}
