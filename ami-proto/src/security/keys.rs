//! Keys of CURVE: files of pairs, and the directory of public keys that are allowed.
//!
//! A file is ZeroMQ's certificate format (ZPL), which pyzmq and czmq read and write, too:
//!
//! ```text
//! metadata
//!     name = "ann"
//!     role = "edit"
//! curve
//!     public-key = "…40 characters of Z85…"
//!     secret-key = "…"            only in NAME.key_secret, mode 0600
//! ```

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Ending of a file with a public key.
pub const PUBLIC: &str = "key";
/// Ending of a file with a pair.
pub const SECRET: &str = "key_secret";
/// Most keys of a directory that are read.
pub const MOST: usize = 10_000;
/// Largest key file, bytes.
const LARGEST: u64 = 16 << 10;
/// Longest name of a key, bytes.
const LONGEST_NAME: usize = 100;

/// What a key's owner may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Read features, status, graphs.
    View,
    /// Also edit graphs.
    Edit,
    /// Also discard what was accumulated, and remove whole graphs: all that people may do.
    Operate,
    /// A daemon of another host: data, reports, decisions; no edits.
    Daemon,
    /// The system's own pair, which its daemons share: everything. Never stands in a file.
    System,
}

impl Role {
    /// The roles that a file may give.
    pub const GIVEN: [Role; 4] = [Role::View, Role::Edit, Role::Operate, Role::Daemon];

    /// The word in files and commands.
    pub const fn name(self) -> &'static str {
        match self {
            Role::View => "view",
            Role::Edit => "edit",
            Role::Operate => "operate",
            Role::Daemon => "daemon",
            Role::System => "system",
        }
    }

    /// The role of a word.
    pub fn parse(word: &str) -> Option<Role> {
        Role::GIVEN.into_iter().find(|r| r.name() == word)
    }

    /// Whether this role includes what needs another.
    pub fn permits(self, need: Role) -> bool {
        match (self, need) {
            (Role::System, _) => true,
            (Role::Daemon, need) => matches!(need, Role::Daemon | Role::View),
            (own, need) => own >= need && need <= Role::Operate,
        }
    }
}

/// What is wrong with keys.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// A file or directory cannot be used.
    #[error("key {path}: cannot {action}: {reason}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// Why not, and what to do.
        reason: String,
    },
    /// A file is no key.
    #[error("key {path}: {reason}: make one with `ami-ctl keys new NAME`")]
    Form {
        /// The file.
        path: PathBuf,
        /// What is missing.
        reason: String,
    },
    /// Others could read a secret or allow themselves.
    #[error("{path} has mode {mode:04o}: others could {danger}; run `chmod {right} {path}`")]
    Mode {
        /// The file or directory.
        path: PathBuf,
        /// Its mode.
        mode: u32,
        /// What they could do.
        danger: &'static str,
        /// The change that mends it.
        right: &'static str,
    },
    /// Not a name of a key.
    #[error(
        "key name {0:?}: use letters, digits, `.`, `_`, `@` and `-`, at most 100, first a letter or digit"
    )]
    Name(String),
    /// The library cannot do it.
    #[error(
        "this libzmq was built without CURVE: install the distribution's libzmq (Debian: libzmq5), or set security.mode = \"off\" and keep to ipc"
    )]
    NoCurve,
}

impl KeyError {
    fn io(path: &Path, action: &'static str, error: &std::io::Error) -> KeyError {
        KeyError::Io { path: path.into(), action, reason: error.to_string() }
    }
}

/// Checks that libzmq can encrypt.
///
/// # Errors
/// When it cannot.
pub fn available() -> Result<(), KeyError> {
    if zmq::has("curve") == Some(true) { Ok(()) } else { Err(KeyError::NoCurve) }
}

/// A key of a file.
#[derive(Clone, PartialEq, Eq)]
pub struct Key {
    /// Whose.
    pub name: String,
    /// What it may do; None where the file gives no role.
    pub role: Option<Role>,
    /// The public key, 40 characters of Z85.
    pub public: String,
    secret: Option<String>,
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // A secret never gets into a log.
        write!(f, "Key({} {})", self.name, self.public)
    }
}

impl Key {
    /// The public key's bytes.
    pub fn public_bytes(&self) -> Vec<u8> {
        decode(&self.public).unwrap_or_default()
    }

    /// The secret key's bytes; none of a public file.
    pub fn secret_bytes(&self) -> Option<Vec<u8>> {
        decode(self.secret.as_deref()?)
    }

    /// Reads a file with a pair that nobody else may read.
    ///
    /// # Errors
    /// When it cannot be read, is open to others or is no pair.
    pub fn secret_file(path: &Path) -> Result<Key, KeyError> {
        let (text, mode) = read(path)?;
        if mode & 0o077 != 0 {
            let danger = "read the secret key";
            return Err(KeyError::Mode { path: path.into(), mode, danger, right: "600" });
        }
        let key = parse(path, &text)?;
        if key.secret_bytes().is_none() {
            let reason = "no secret-key in it".to_string();
            return Err(KeyError::Form { path: path.into(), reason });
        }
        Ok(key)
    }

    /// Reads a file with a public key.
    ///
    /// # Errors
    /// When it cannot be read or is no key.
    pub fn public_file(path: &Path) -> Result<Key, KeyError> {
        let key = parse(path, &read(path)?.0)?;
        Ok(Key { secret: None, ..key })
    }

    fn text(&self, secret: bool) -> String {
        let role = self.role.map_or(String::new(), |r| format!("    role = \"{}\"\n", r.name()));
        let secret = self.secret.as_ref().filter(|_| secret);
        let secret = secret.map_or(String::new(), |s| format!("    secret-key = \"{s}\"\n"));
        format!(
            "metadata\n    name = \"{}\"\n{role}curve\n    public-key = \"{}\"\n{secret}",
            self.name, self.public
        )
    }
}

/// At most [`LARGEST`] bytes, and the file's mode.
fn read(path: &Path) -> Result<(String, u32), KeyError> {
    let failed = |e: &std::io::Error| KeyError::io(path, "read it", e);
    // A pipe in its place must not hold a daemon up.
    let nonblocking = rustix::fs::OFlags::NONBLOCK.bits() as i32;
    let file = OpenOptions::new().read(true).custom_flags(nonblocking).open(path);
    let file = file.map_err(|e| failed(&e))?;
    let mode = file.metadata().map_err(|e| failed(&e))?.mode() & 0o777;
    let mut text = String::new();
    file.take(LARGEST).read_to_string(&mut text).map_err(|e| failed(&e))?;
    Ok((text, mode))
}

fn parse(path: &Path, text: &str) -> Result<Key, KeyError> {
    let bad = |reason: String| KeyError::Form { path: path.into(), reason };
    let value = |wanted: &str| {
        let mut lines = text.lines().map(str::trim).filter(|l| !l.starts_with('#'));
        lines.find_map(|line| {
            let (name, value) = line.split_once('=')?;
            (name.trim() == wanted).then(|| value.trim().trim_matches(['"', '\'']).to_string())
        })
    };
    let public = value("public-key").ok_or_else(|| bad("no public-key in it".into()))?;
    if decode(&public).is_none() {
        return Err(bad("its public-key is not 40 characters of Z85".into()));
    }
    let role = match value("role") {
        None => None,
        Some(word) => Some(Role::parse(&word).ok_or_else(|| {
            bad(format!("role {:?} is none of view, edit, operate, daemon", short(&word)))
        })?),
    };
    let stem = path.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
    Ok(Key { name: checked(&stem)?, role, public, secret: value("secret-key") })
}

/// The 32 bytes of a key's 40 characters; libzmq itself takes whatever it is given.
fn decode(text: &str) -> Option<Vec<u8>> {
    let z85 = |b: u8| b.is_ascii_alphanumeric() || b".-:+=^!/*?&<>()[]{}@%$#".contains(&b);
    (text.len() == 40 && text.bytes().all(z85)).then(|| zmq::z85_decode(text).ok())?
}

fn short(text: &str) -> String {
    text.chars().take(40).collect()
}

/// A name that is a plain part of a path and of a log line.
fn checked(name: &str) -> Result<String, KeyError> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._@-".contains(c);
    let first = name.chars().next().is_some_and(|c| c.is_ascii_alphanumeric());
    if !first || name.len() > LONGEST_NAME || !name.chars().all(plain) {
        return Err(KeyError::Name(short(name)));
    }
    Ok(name.to_string())
}

/// Makes a pair: `DIR/NAME.key` and, mode 0600, `DIR/NAME.key_secret`. Nothing is overwritten.
///
/// # Errors
/// When the files exist or cannot be written, or libzmq has no CURVE.
pub fn create(dir: &Path, name: &str) -> Result<(PathBuf, PathBuf), KeyError> {
    available()?;
    let name = checked(name)?;
    make_dir(dir)?;
    let pair = zmq::CurveKeyPair::new().map_err(|_| KeyError::NoCurve)?;
    let z85 = |bytes: &[u8]| zmq::z85_encode(bytes).map_err(|_| KeyError::NoCurve);
    let (public, secret) = (z85(&pair.public_key)?, Some(z85(&pair.secret_key)?));
    let key = Key { name: name.clone(), role: None, public, secret };
    let paths = [PUBLIC, SECRET].map(|ending| dir.join(format!("{name}.{ending}")));
    let [public, secret] = paths;
    write_new(&secret, &key.text(true), 0o600)?;
    if let Err(error) = write_new(&public, &key.text(false), 0o644) {
        // A pair is whole or not there.
        let _ = std::fs::remove_file(&secret);
        return Err(error);
    }
    Ok((public, secret))
}

fn make_dir(dir: &Path) -> Result<(), KeyError> {
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir);
    made.map_err(|e| KeyError::io(dir, "make the directory", &e))
}

fn write_new(path: &Path, text: &str, mode: u32) -> Result<(), KeyError> {
    let file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
    let written = file.and_then(|mut f: File| f.write_all(text.as_bytes()).and(f.sync_all()));
    written.map_err(|e| KeyError::io(path, "write it", &e))
}

/// Allows a public key: copies it with a role into the directory, in place of an older one of the
/// name.
///
/// # Errors
/// When it cannot be read or written.
pub fn allow(dir: &Path, public: &Path, role: Role) -> Result<Key, KeyError> {
    let key = Key { role: Some(role), ..Key::public_file(public)? };
    make_dir(dir)?;
    let path = dir.join(format!("{}.{PUBLIC}", key.name));
    let new = dir.join(format!(".{}.new{}", key.name, std::process::id()));
    let renamed = write_new(&new, &key.text(false), 0o600).and_then(|()| {
        std::fs::rename(&new, &path).map_err(|e| KeyError::io(&path, "write it", &e))
    });
    if renamed.is_err() {
        let _ = std::fs::remove_file(&new);
    }
    renamed.map(|()| key)
}

/// Takes a key out of the directory.
///
/// # Errors
/// When there is none of that name, or it cannot be removed.
pub fn revoke(dir: &Path, name: &str) -> Result<(), KeyError> {
    let path = dir.join(format!("{}.{PUBLIC}", checked(name)?));
    std::fs::remove_file(&path).map_err(|e| KeyError::io(&path, "remove it", &e))
}

/// What a directory of allowed keys holds.
#[derive(Debug, Default)]
pub struct Listing {
    /// Keys with a role, by public key.
    pub keys: BTreeMap<String, Key>,
    /// Files that allow nobody, and why.
    pub bad: Vec<KeyError>,
}

/// Reads a directory of allowed keys. Files that are no keys allow nobody.
///
/// # Errors
/// When the directory cannot be read, or others may write into it.
pub fn list(dir: &Path) -> Result<Listing, KeyError> {
    let failed = |e: std::io::Error| KeyError::Io {
        path: dir.into(),
        action: "read the directory",
        reason: format!("{e}: allow somebody with `ami-ctl keys allow NAME ROLE`"),
    };
    let mode = std::fs::metadata(dir).map_err(failed)?.mode() & 0o777;
    if mode & 0o022 != 0 {
        let danger = "allow themselves";
        return Err(KeyError::Mode { path: dir.into(), mode, danger, right: "go-w" });
    }
    let mut listing = Listing::default();
    for entry in std::fs::read_dir(dir).map_err(failed)?.take(MOST).flatten() {
        let path = entry.path();
        if path.extension().is_none_or(|e| e != PUBLIC) {
            continue;
        }
        match Key::public_file(&path) {
            Ok(key) if key.role.is_some() => {
                listing.keys.insert(key.public.clone(), key);
            }
            Ok(_) => {
                let reason = "it gives no role".to_string();
                listing.bad.push(KeyError::Form { path, reason });
            }
            Err(error) => listing.bad.push(error),
        }
    }
    Ok(listing)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn roles_include_what_is_below_and_daemons_stand_aside() {
        use Role::{Daemon, Edit, Operate, System, View};
        assert!(Operate.permits(Edit) && Edit.permits(View) && View.permits(View));
        assert!(!View.permits(Edit) && !Edit.permits(Operate));
        assert!([View, Edit, Operate].iter().all(|r| !r.permits(Daemon)));
        assert!(Daemon.permits(Daemon) && Daemon.permits(View) && !Daemon.permits(Edit));
        assert!([View, Edit, Operate, Daemon].iter().all(|r| System.permits(*r)));
        assert_eq!(Role::parse("system"), None, "no file makes the system's own key");
    }

    #[test]
    fn a_pair_is_made_once_with_tight_modes_and_allowed() {
        let dir = tempfile::tempdir().unwrap();
        let (public, secret) = create(dir.path(), "ann").unwrap();
        let mode = |p: &Path| std::fs::metadata(p).unwrap().mode() & 0o777;
        assert_eq!(mode(&secret), 0o600);
        assert!(create(dir.path(), "ann").unwrap_err().to_string().contains("exists"));
        let pair = Key::secret_file(&secret).unwrap();
        assert_eq!(pair.secret_bytes().unwrap().len(), 32);
        assert!(!format!("{pair:?}").contains(pair.secret.as_ref().unwrap()));
        let allowed = dir.path().join("allowed");
        allow(&allowed, &public, Role::View).unwrap();
        allow(&allowed, &public, Role::Edit).unwrap();
        let listing = list(&allowed).unwrap();
        assert_eq!(listing.keys[&pair.public].role, Some(Role::Edit));
        assert_eq!((mode(&allowed), mode(&allowed.join("ann.key"))), (0o700, 0o600));
        revoke(&allowed, "ann").unwrap();
        assert!(revoke(&allowed, "ann").unwrap_err().to_string().contains("ann.key"));
        assert!(list(&allowed).unwrap().keys.is_empty());
    }

    #[test]
    fn what_is_open_to_others_or_no_key_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let (public, secret) = create(dir.path(), "ann").unwrap();
        let chmod =
            |p: &Path, m| std::fs::set_permissions(p, PermissionsExt::from_mode(m)).unwrap();
        chmod(&secret, 0o640);
        assert!(Key::secret_file(&secret).unwrap_err().to_string().contains("chmod 600"));
        chmod(&public, 0o600);
        assert!(Key::secret_file(&public).unwrap_err().to_string().contains("secret-key"));
        assert!(Key::secret_file(Path::new("/nonexistent")).is_err());
        for name in ["", "..", "../x", "a b", "a\n", ".x"] {
            assert!(matches!(create(dir.path(), name), Err(KeyError::Name(_))), "{name:?}");
        }
        let allowed = dir.path().join("allowed");
        allow(&allowed, &public, Role::View).unwrap();
        std::fs::write(allowed.join("bob.key"), "public-key = \"short\"").unwrap();
        std::fs::copy(&public, allowed.join("eve.key")).unwrap();
        let listing = list(&allowed).unwrap();
        assert_eq!((listing.keys.len(), listing.bad.len()), (1, 2));
        chmod(&allowed, 0o777);
        assert!(list(&allowed).unwrap_err().to_string().contains("chmod go-w"));
    }

    proptest::proptest! {
        #[test]
        fn whatever_a_file_holds_is_a_key_or_an_error(text in ".{0,300}") {
            let _ = parse(Path::new("/x/ann.key"), &text);
        }
    }
}
