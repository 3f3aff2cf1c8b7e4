//! `shmem:TAG[?hold=N&clients=N]`.

use crate::kinds::UrlPart;
use crate::opener::Opened;
use crate::shmem::{ShmemOptions, ShmemSource};
use crate::url::{SourceSpec, positive};

/// Which server, and how its buffers are used.
#[derive(Debug, Clone, PartialEq)]
pub struct ShmemUrl {
    /// The partition's tag.
    pub tag: String,
    /// How many clients of it are made.
    pub clients: usize,
    /// Buffers that each may hold back.
    pub hold: usize,
}

/// Names of files and queues are made of it.
const LONGEST_TAG: usize = 200;
/// More slots than this no server has.
const MOST: usize = 255;

impl ShmemUrl {
    /// Its own options.
    pub const OPTIONS: &'static [&'static str] = &["clients", "hold"];

    pub(crate) fn read(part: &str) -> Result<ShmemUrl, String> {
        let plain = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
        if part.is_empty() || part.len() > LONGEST_TAG || !part.chars().all(plain) {
            return Err(format!(
                "shmem: needs the tag of a monitoring server, as shmem:rix0; {part:?} is none"
            ));
        }
        Ok(ShmemUrl { tag: part.to_owned(), clients: 1, hold: 0 })
    }
}

fn count(key: &str, value: &str) -> Result<usize, String> {
    let number = positive(key, value)?;
    usize::try_from(number)
        .ok()
        .filter(|n| *n <= MOST)
        .ok_or_else(|| format!("{key}={value}: no server has more than {MOST}"))
}

impl UrlPart for ShmemUrl {
    fn options(&self) -> &'static [&'static str] {
        ShmemUrl::OPTIONS
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), String> {
        match key {
            "clients" => self.clients = count(key, value)?,
            "hold" if value == "0" => self.hold = 0,
            _ => self.hold = count(key, value)?,
        }
        Ok(())
    }

    fn live(&self) -> bool {
        true
    }

    fn open(&self, spec: &SourceSpec, _: u32, _: &str) -> anyhow::Result<Opened> {
        let (epoch, clients, hold) = (spec.epoch, self.clients, self.hold);
        let options = ShmemOptions { epoch, clients, hold };
        Ok(Opened::Live(Box::new(ShmemSource::open(&self.tag, &options)?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SourceKind;

    #[test]
    fn a_tag_and_its_options_are_read() {
        let kind = |url: &str| url.parse::<SourceSpec>().unwrap().kind;
        let plain = ShmemUrl { tag: "rix0".into(), clients: 1, hold: 0 };
        assert_eq!(kind("shmem:rix0"), SourceKind::Shmem(plain.clone()));
        let more = ShmemUrl { clients: 4, hold: 2, ..plain };
        assert_eq!(kind("shmem:rix0?hold=2&clients=4&epoch=epics"), SourceKind::Shmem(more));
        for (url, words) in [
            ("shmem:", "needs the tag"),
            ("shmem:a/b", "needs the tag"),
            ("shmem:..%2f", "needs the tag"),
            ("shmem:a?clients=0", "above 0"),
            ("shmem:a?clients=300", "no server has more than 255"),
            ("shmem:a?loop=2", "come once"),
        ] {
            let error = url.parse::<SourceSpec>().unwrap_err().to_string();
            assert!(error.contains(words), "{url}: {error}");
        }
    }
}
