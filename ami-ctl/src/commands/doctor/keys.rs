//! Who may come in over tcp: open ports without keys, keys that cannot be used.

use crate::commands::doctor::{Finding, fail, ok, warn};
use ami_proto::config::Config;
use ami_proto::security::credentials::{Security, is_open};
use ami_proto::security::keys;
use ami_proto::socket::endpoint::ENDPOINTS;

pub(super) fn findings(config: &Config) -> Vec<Finding> {
    if config.security.mode != "curve" {
        return vec![without(config)];
    }
    let own = match Security::load(&config.security) {
        Err(error) => {
            let todo = "use a file you may read: --key, AMI_KEY or security.key";
            fail("keys", error.to_string(), todo)
        }
        Ok(_) => ok("keys", format!("own pair {}", config.security.key.display())),
    };
    vec![own, allowed(config)]
}

fn without(config: &Config) -> Finding {
    let open: Vec<String> =
        ENDPOINTS.iter().map(|e| e.0.bind(config)).filter(|a| is_open(a)).collect();
    if open.is_empty() {
        return ok("keys", "off: nothing listens beyond ipc and loopback");
    }
    let found = format!("off, although other machines can reach {}", open.join(", "));
    warn("keys", found, "set security.mode = \"curve\" (operations guide, \"Security\")")
}

/// Only where tcp is bound the directory must be there, so that its absence is no failure.
fn allowed(config: &Config) -> Finding {
    let what = "allowed keys";
    match keys::list(&config.security.allowed) {
        Err(error) => warn(what, error.to_string(), "needed where tcp endpoints are bound"),
        Ok(listing) if !listing.bad.is_empty() => {
            let bad: Vec<String> = listing.bad.iter().map(ToString::to_string).collect();
            warn(what, bad.join("; "), "correct or remove these files: they allow nobody")
        }
        Ok(listing) => ok(what, format!("{}, see `ami-ctl keys list`", listing.keys.len())),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Grade;
    use super::*;

    #[test]
    fn open_ports_and_bad_keys_are_told() {
        let dir = tempfile::tempdir().unwrap();
        let judge = |set: &[String]| -> Vec<Grade> {
            let config = Config::load(None, set).unwrap();
            findings(&config).iter().map(|f| f.grade).collect()
        };
        assert_eq!(judge(&[]), [Grade::Ok]);
        assert_eq!(judge(&["endpoints.root=tcp://127.0.0.1:5".into()]), [Grade::Ok]);
        assert_eq!(judge(&["endpoints.root=tcp://*:5".into()]), [Grade::Warn]);
        let (public, secret) = keys::create(dir.path(), "ami").unwrap();
        let set = |allowed: &str| {
            [
                "security.mode=curve".to_string(),
                format!("security.key={}", secret.display()),
                format!("security.server_key={}", public.display()),
                format!("security.allowed={}", dir.path().join(allowed).display()),
            ]
        };
        assert_eq!(judge(&set("none")), [Grade::Ok, Grade::Warn]);
        keys::allow(&dir.path().join("some"), &public, keys::Role::View).unwrap();
        assert_eq!(judge(&set("some")), [Grade::Ok, Grade::Ok]);
        std::fs::remove_file(&secret).unwrap();
        assert_eq!(judge(&set("some")), [Grade::Fail, Grade::Ok]);
    }
}
