//! `ami-ctl keys`: pairs for daemons and people, and who is let in.

use crate::client::system::System;
use crate::print;
use ami_proto::security::keys::{self, Key, PUBLIC, Role};
use clap::Subcommand;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Arguments. The directory of allowed keys is `security.allowed`.
#[derive(Debug, Subcommand)]
pub enum Keys {
    /// Make a pair: NAME.key may be shown to anybody, NAME.key_secret to nobody
    New {
        /// Whose: a person, a data host, or the system itself
        name: String,
        /// Where the two files go
        #[arg(long, value_name = "DIR", default_value = ".")]
        dir: PathBuf,
    },
    /// Who is let in, and as what
    List,
    /// Let a public key in
    Allow {
        /// Its file, or NAME for NAME.key here or beside security.key
        name: PathBuf,
        /// view: read; edit: graphs, too; operate: all that people may do; daemon: another host
        #[arg(value_parser = role)]
        role: Role,
    },
    /// Let a key in no more: what it asks is refused within a second, its subscriptions end when the
    /// store is restarted
    Revoke {
        /// As `keys list` shows it
        name: String,
    },
}

fn role(word: &str) -> Result<Role, String> {
    Role::parse(word).ok_or_else(|| "use view, edit, operate or daemon".to_string())
}

/// Runs it.
///
/// # Errors
/// When files cannot be read or written.
pub fn run(keys: &Keys, system: &System) -> anyhow::Result<ExitCode> {
    let allowed = &system.config.security.allowed;
    let (document, text) = match keys {
        Keys::New { name, dir } => {
            let (public, secret) = keys::create(dir, name)?;
            let text = format!(
                "{} is to be allowed: `ami-ctl keys allow {} ROLE` where the endpoints are bound\n\
                 {} is yours alone: name it with --key, AMI_KEY or security.key",
                public.display(),
                public.display(),
                secret.display()
            );
            (json!({"name": name, "public": public, "secret": secret}), text)
        }
        Keys::List => list(allowed)?,
        Keys::Allow { name, role } => {
            let key = keys::allow(allowed, &find(name, system), *role)?;
            let text = format!("{} may {} from now on", key.name, role.name());
            (entry(&key), text)
        }
        Keys::Revoke { name } => {
            keys::revoke(allowed, name)?;
            (json!({"revoked": name}), format!("{name} is let in no more"))
        }
    };
    if system.json {
        print::json(&document)?;
    } else {
        print::line(&text)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn entry(key: &Key) -> Value {
    json!({"name": key.name, "role": key.role.map(Role::name), "public": key.public})
}

fn list(dir: &Path) -> anyhow::Result<(Value, String)> {
    let listing = keys::list(dir)?;
    let mut keys: Vec<&Key> = listing.keys.values().collect();
    keys.sort_by(|a, b| a.name.cmp(&b.name));
    let bad: Vec<String> = listing.bad.iter().map(ToString::to_string).collect();
    let row = |k: &&Key| {
        let role = k.role.map_or("", Role::name);
        vec![k.name.clone(), role.to_string(), k.public.clone()]
    };
    let mut text = print::table(&["name", "role", "public key"], keys.iter().map(row));
    bad.iter().for_each(|line| text += &format!("\nallows nobody: {line}"));
    let document = json!({"keys": keys.iter().map(|k| entry(k)).collect::<Vec<_>>(), "bad": bad});
    Ok((document, text))
}

/// The file that is meant by a path or a name.
fn find(name: &Path, system: &System) -> PathBuf {
    if name.is_file() {
        return name.into();
    }
    let file = format!("{}.{PUBLIC}", name.display());
    let beside = system.config.security.key.with_file_name(&file);
    let here = PathBuf::from(file);
    if here.is_file() || !beside.is_file() { here } else { beside }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::system::{Globals, assignment};

    #[test]
    fn a_key_is_made_allowed_listed_and_revoked() {
        let dir = tempfile::tempdir().unwrap();
        let allowed = dir.path().join("allowed");
        let set = vec![assignment("security.allowed", &allowed.display().to_string())];
        let system = System::find(&Globals { set, ..Globals::default() }).unwrap();
        let new = Keys::New { name: "ann".into(), dir: dir.path().into() };
        run(&new, &system).unwrap();
        let name = dir.path().join("ann");
        let allow = Keys::Allow { name, role: Role::Edit };
        run(&allow, &system).unwrap();
        let (document, text) = list(&allowed).unwrap();
        assert_eq!(
            (&document["keys"][0]["name"], &document["keys"][0]["role"]),
            (&json!("ann"), &json!("edit"))
        );
        assert!(text.contains("ann"));
        run(&Keys::Revoke { name: "ann".into() }, &system).unwrap();
        assert_eq!(list(&allowed).unwrap().0["keys"], json!([]));
    }
}
