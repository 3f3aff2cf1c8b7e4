//! What secures the tcp endpoints of a process: its own pair, the system's public key, and who is
//! allowed. ipc endpoints are secured by the run directory's mode.

use crate::config;
use crate::security::keys::{self, Key, KeyError, Listing, Role};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Allowed keys are read again at most so often: a revoked key is refused after that.
const FRESH: Duration = Duration::from_secs(1);

/// Keys of a process that speaks CURVE.
#[derive(Debug, Clone)]
pub struct Security {
    /// Its own pair.
    pub own: Key,
    /// What it expects of whom it connects to.
    pub server: Key,
    allowed: PathBuf,
}

/// Which need a directory of allowed keys has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Connects only.
    Client,
    /// Also binds.
    Server,
}

impl Security {
    /// The keys that the configuration names; None where security is off.
    ///
    /// # Errors
    /// When libzmq has no CURVE, or a key cannot be read or is open to others.
    pub fn load(config: &config::Security) -> Result<Option<Security>, KeyError> {
        if config.mode != "curve" {
            return Ok(None);
        }
        keys::available()?;
        let own = Key::secret_file(&config.key)?;
        let server = Key::public_file(&config.server_key)?;
        Ok(Some(Security { own, server, allowed: config.allowed.clone() }))
    }

    /// Who is allowed here.
    ///
    /// # Errors
    /// When the directory cannot be read or is open to others; or when the own pair is not the
    /// system's, so that nobody who connects would believe this process.
    pub fn allowed(&self) -> Result<Arc<Allowed>, KeyError> {
        if self.own.public != self.server.public {
            return Err(KeyError::Form {
                path: self.allowed.with_file_name(&self.own.name),
                reason:
                    "security.key is not the pair of security.server_key, which a process that \
                         binds tcp endpoints must show"
                        .into(),
            });
        }
        Allowed::read(&self.allowed, &self.own.public).map(Arc::new)
    }
}

/// Who somebody at the other end of a socket is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// The name of the key; None on a socket that asks for none (ipc, or security off).
    pub name: Option<String>,
    /// What it may do.
    pub role: Role,
}

impl Peer {
    /// Somebody on a socket that asks for no key: whoever reaches it may do all.
    pub const LOCAL: Peer = Peer { name: None, role: Role::System };
}

/// The directory of allowed keys, read again when it may have changed.
#[derive(Debug)]
pub struct Allowed {
    dir: PathBuf,
    own: String,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    listing: Listing,
    read: Instant,
    /// What was wrong when it was last read, so that it is said once.
    told: Vec<KeyError>,
}

impl Allowed {
    fn read(dir: &Path, own: &str) -> Result<Allowed, KeyError> {
        let listing = keys::list(dir)?;
        let told = listing.bad.clone();
        told.iter().for_each(|error| tracing::warn!("{error}; it allows nobody"));
        let state = Mutex::new(State { listing, read: Instant::now(), told });
        Ok(Allowed { dir: dir.into(), own: own.into(), state })
    }

    /// Whom a public key (Z85) belongs to, if it is allowed.
    pub fn find(&self, public: &str) -> Option<Peer> {
        if public == self.own {
            return Some(Peer { name: Some("system".into()), role: Role::System });
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.read.elapsed() >= FRESH {
            state.refresh(&self.dir);
        }
        let key = state.listing.keys.get(public)?;
        Some(Peer { name: Some(key.name.clone()), role: key.role? })
    }
}

impl State {
    /// A directory that cannot be read any more allows nobody.
    fn refresh(&mut self, dir: &Path) {
        self.listing = keys::list(dir)
            .unwrap_or_else(|error| Listing { bad: vec![error], ..Listing::default() });
        self.read = Instant::now();
        if self.listing.bad != self.told {
            self.told.clone_from(&self.listing.bad);
            self.told.iter().for_each(|error| tracing::warn!("{error}; it allows nobody"));
        }
    }
}

/// Whether an endpoint can be reached from other machines.
pub fn is_open(address: &str) -> bool {
    let Some(rest) = address.strip_prefix("tcp://") else { return false };
    let host = rest.rsplit_once(':').map_or(rest, |(host, _)| host);
    let host = host.trim_matches(['[', ']']);
    let loopback = host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
    !(loopback || host == "localhost" || host == "lo")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_and_ipc_are_not_open() {
        for address in
            ["ipc:///run/ami/x", "tcp://127.0.0.1:5", "tcp://localhost:5", "tcp://[::1]:5"]
        {
            assert!(!is_open(address), "{address}");
        }
        for address in
            ["tcp://*:5", "tcp://0.0.0.0:5", "tcp://[::]:5", "tcp://eth0:5", "tcp://10.0.0.1:5"]
        {
            assert!(is_open(address), "{address}");
        }
    }

    fn system(dir: &Path) -> config::Security {
        let (server_key, key) = keys::create(dir, "ami").unwrap();
        let allowed = dir.join("allowed");
        std::fs::create_dir(&allowed).unwrap();
        config::Security { mode: "curve".into(), key, server_key, allowed }
    }

    #[test]
    fn the_own_key_is_known_and_others_as_the_directory_says() {
        let dir = tempfile::tempdir().unwrap();
        let config = system(dir.path());
        let security = Security::load(&config).unwrap().unwrap();
        let allowed = security.allowed().unwrap();
        assert_eq!(allowed.find(&security.own.public).unwrap().role, Role::System);
        let (public, _) = keys::create(dir.path(), "ann").unwrap();
        let ann = keys::allow(&config.allowed, &public, Role::Edit).unwrap();
        allowed.state.lock().unwrap().refresh(&config.allowed);
        let peer = Peer { name: Some("ann".into()), role: Role::Edit };
        assert_eq!(allowed.find(&ann.public), Some(peer));
        std::fs::remove_dir_all(&config.allowed).unwrap();
        allowed.state.lock().unwrap().refresh(&config.allowed);
        assert_eq!(allowed.find(&ann.public), None, "nothing to read allows nobody");
    }

    #[test]
    fn who_binds_has_the_pair_that_others_expect() {
        let dir = tempfile::tempdir().unwrap();
        let config = system(dir.path());
        let (_, key) = keys::create(dir.path(), "daq1").unwrap();
        let security = Security::load(&config::Security { key, ..config }).unwrap().unwrap();
        assert!(security.allowed().unwrap_err().to_string().contains("server_key"));
    }
}
