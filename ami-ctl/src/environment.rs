//! The only file that reads environment variables.

use std::path::PathBuf;

/// The run directory of `AMI_RUN_DIR`, unless it is empty.
pub fn run_dir() -> Option<PathBuf> {
    std::env::var_os("AMI_RUN_DIR").filter(|v| !v.is_empty()).map(PathBuf::from)
}

/// The files of a person's own pair and of the system's public key: `AMI_KEY`, `AMI_SERVER_KEY`.
pub fn keys() -> [Option<PathBuf>; 2] {
    let file = |v| std::env::var_os(v).filter(|v| !v.is_empty()).map(PathBuf::from);
    [file("AMI_KEY"), file("AMI_SERVER_KEY")]
}

/// Where run directories are made that nobody asked for.
pub fn runtime_dir() -> Option<PathBuf> {
    std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|p| p.is_dir())
}

/// The Python of `AMI_PYTHON`, for clients that measure.
pub fn python() -> Option<PathBuf> {
    std::env::var_os("AMI_PYTHON").filter(|v| !v.is_empty()).map(PathBuf::from)
}

/// Directories that commands are looked for in.
pub fn path() -> Vec<PathBuf> {
    std::env::var_os("PATH").map_or_else(Vec::new, |p| std::env::split_paths(&p).collect())
}

/// `user@host`, as it stands in the history of graphs.
pub fn who(host: &str) -> String {
    let named = |v: &&str| std::env::var(v).ok().filter(|u| !u.is_empty());
    let user = ["USER", "LOGNAME"].iter().find_map(named);
    let uid = rustix::process::getuid().as_raw();
    // Services and containers often have no USER.
    let passwd = || user_of(&std::fs::read_to_string("/etc/passwd").unwrap_or_default(), uid);
    format!("{}@{host}", user.or_else(passwd).unwrap_or_else(|| format!("uid{uid}")))
}

fn user_of(passwd: &str, uid: u32) -> Option<String> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, id) = (fields.next()?, fields.nth(1)?);
        (id == uid.to_string()).then(|| name.to_string())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_found_by_number() {
        let passwd = "root:x:0:0::/root:/bin/sh\ndamaged\nann:x:1000:1000::/:";
        assert_eq!(user_of(passwd, 1000).as_deref(), Some("ann"));
        assert_eq!(user_of(passwd, 7), None);
    }
}
