//! How this system stands: run directory, sockets, leftovers, members and their clocks.

use crate::client::error::ClientError;
use crate::client::system::System;
use crate::commands::doctor::{Finding, fail, ok, warn};
use crate::show::absent::{listed, never_present};
use crate::show::meters::{Member, members};
use ami_proto::config::Config;
use ami_proto::control::ctl_to_manager::Command;
use ami_proto::process::daemon::now_ns;
use ami_proto::socket::endpoint::{ENDPOINTS, Endpoint};
use serde_json::Value;
use std::fs::File;
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Bytes of an ipc path that the kernel takes, with the longest name that a worker adds.
const MAX_DIR: usize = 107 - 30;
/// A member's clock that differs by more is told; a report is that old at most.
const SKEW_NS: f64 = 2e9;

pub(super) fn findings(system: &System) -> Vec<Finding> {
    let config = &system.config;
    let mut findings = vec![run_dir(&config.instance.run_dir)];
    findings.extend(ENDPOINTS.iter().filter_map(|(endpoint, ..)| socket(*endpoint, config)));
    findings.push(rings(&config.ventilator.ring_dir));
    findings.extend(members_here(system));
    findings
}

fn run_dir(dir: &Path) -> Finding {
    let what = "run directory";
    let name = dir.display().to_string();
    if dir.as_os_str().len() > MAX_DIR {
        let todo = format!("choose one with at most {MAX_DIR} bytes: sockets have no longer paths");
        return fail(what, format!("{name} has {} bytes", dir.as_os_str().len()), todo);
    }
    let Ok(metadata) = std::fs::metadata(dir) else {
        let todo =
            "no system is there: `ami-ctl local …`, `systemctl start ami.target`, or --run-dir";
        return warn(what, format!("{name} does not exist"), todo);
    };
    if rustix::fs::access(dir, rustix::fs::Access::WRITE_OK).is_err() {
        let todo = "use it as its owner, or name another with --run-dir";
        return fail(what, format!("{name} belongs to user {}", metadata.uid()), todo);
    }
    if metadata.mode() & 0o022 != 0 {
        let todo = format!("chmod go-w {name}: whoever can write there can steer the system");
        return warn(what, format!("{name} can be written by others"), todo);
    }
    ok(what, name)
}

/// Whether an address is served, stale or free. Free is nothing to tell.
fn socket(endpoint: Endpoint, config: &Config) -> Option<Finding> {
    let what = endpoint.file();
    let address = endpoint.connect(config);
    if let Some(path) = address.strip_prefix("ipc://") {
        if !Path::new(path).exists() {
            return None;
        }
        return Some(match UnixStream::connect(path) {
            Ok(_) => ok(what, format!("{address} is served")),
            Err(_) => warn(
                what,
                format!("{address} is left over: nobody listens"),
                format!("its daemon was killed or is down: start it, or remove {path}"),
            ),
        });
    }
    let target = address.strip_prefix("tcp://")?.to_string();
    let Some(resolved) = target.to_socket_addrs().ok().and_then(|mut a| a.next()) else {
        return Some(fail(
            what,
            format!("{address} cannot be resolved"),
            "correct it in [endpoints]",
        ));
    };
    Some(match TcpStream::connect_timeout(&resolved, Duration::from_millis(300)) {
        Ok(_) => ok(what, format!("{address} is served (by whom, `ss -ltnp` says)")),
        Err(_) => ok(what, format!("{address} is free, or its daemon is down")),
    })
}

/// Rings of ventilators that are gone. A living one holds a lock on its ring.
fn rings(dir: &Path) -> Finding {
    let what = "rings";
    let (mut alive, mut dead) = (0, Vec::new());
    for path in std::fs::read_dir(dir).into_iter().flatten().flatten().map(|e| e.path()) {
        if !is_ring(&path) {
            continue;
        }
        match File::open(&path).map(|f| f.try_lock_shared()) {
            Ok(Ok(())) => dead.push(path),
            Ok(Err(_)) => alive += 1,
            // Another user's: not ours to tell about.
            Err(_) => {}
        }
    }
    if dead.is_empty() {
        return ok(what, format!("{alive} in use, none left over in {}", dir.display()));
    }
    let bytes: u64 = dead.iter().filter_map(|p| p.metadata().ok()).map(|m| m.blocks() * 512).sum();
    let names: Vec<String> = dead.iter().map(|p: &PathBuf| p.display().to_string()).collect();
    let found = format!("{} left over, {}", dead.len(), crate::print::bytes(bytes as f64));
    warn(
        what,
        found,
        format!("the next ventilator of that instance removes them, or: rm {}", names.join(" ")),
    )
}

fn is_ring(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.starts_with("ami-") && (name.ends_with(".ring") || name.ends_with(".ring.new"))
}

fn members_here(system: &System) -> Vec<Finding> {
    match system.manager().ask(&Command::Status, Duration::from_secs(1)) {
        Ok(status) => judged(&status, now_ns() as f64),
        Err(ClientError::NoRunDir { .. } | ClientError::NoAnswer { .. }) => {
            vec![ok("manager", "none answers: no system is running here")]
        }
        Err(error) => vec![fail("manager", error.to_string(), "restart ami-manager")],
    }
}

fn judged(status: &Value, now: f64) -> Vec<Finding> {
    let (alive, gone): (Vec<_>, Vec<_>) = members(status).partition(|m| m.alive());
    let names = |list: &[crate::show::meters::Member<'_>]| {
        list.iter()
            .map(|m| format!("{} {} on {}", m.text("role"), m.text("name"), m.text("host")))
            .collect::<Vec<_>>()
            .join(", ")
    };
    let mut findings = Vec::new();
    findings.push(match gone.len() {
        0 => ok("members", format!("{} alive", alive.len())),
        n => warn(
            "members",
            format!("{} alive, {n} not heard of: {}", alive.len(), names(&gone)),
            "look at their logs",
        ),
    });
    findings.extend(journal(status));
    for member in alive {
        findings.extend(resources(member, &names(&[member])));
        let never = never_present(member);
        if !never.is_empty() {
            let found = format!("in no event of {}: {}", names(&[member]), listed(&never));
            let todo = "switch that part on, or use the others: `stack` with \"missing\": \"fill\"";
            findings.push(warn("fields", found, todo));
        }
        let age = member.0["age_ms"].as_f64().unwrap_or(0.0) * 1e6;
        let Some(said) = member.metric("ami_report_time_ns") else { continue };
        let skew = now - age - said;
        if skew.abs() > SKEW_NS {
            let found =
                format!("that of {} differs by {:.1} s", names(&[member]), skew.abs() / 1e9);
            findings.push(warn("clocks", found, "run chrony or systemd-timesyncd on all hosts"));
        }
    }
    findings
}

fn journal(status: &Value) -> Option<Finding> {
    let error = status["journal"]["error"].as_str()?;
    let todo = "make room, or let the manager write there; edits since are lost if it dies now";
    Some(fail("journal", error, todo))
}

/// Memory that is nearly used up, and peers that were refused.
fn resources(member: Member<'_>, name: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Some(share) = member.memory().filter(|share| *share > 0.9) {
        let found = format!("{name} uses {:.0} % of its memory_max", share * 100.0);
        let todo = "smaller regions or shorter windows, or raise it in its section";
        findings.push(warn("memory", found, todo));
    }
    if let Some(refused) = member.metric("ami_refused_peers_total").filter(|n| *n > 0.0) {
        let found = format!("{name} refused {refused:.0}");
        findings.push(warn("strangers", found, "its log names them: `peer refused`"));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::Grade;
    use super::*;
    use serde_json::json;

    #[test]
    fn sockets_are_served_stale_or_free() {
        let dir = tempfile::tempdir().unwrap();
        let set = [format!("instance.run_dir={}", dir.path().display())];
        let config = Config::load(None, &set).unwrap();
        assert_eq!(socket(Endpoint::Manager, &config), None);
        let listener =
            std::os::unix::net::UnixListener::bind(dir.path().join("manager.cmd")).unwrap();
        assert_eq!(socket(Endpoint::Manager, &config).unwrap().grade, Grade::Ok);
        drop(listener);
        assert_eq!(socket(Endpoint::Manager, &config).unwrap().grade, Grade::Warn);
    }

    #[test]
    fn rings_without_a_writer_are_left_over() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ami-x-h-1.ring");
        let file = File::create(&path).unwrap();
        file.lock().unwrap();
        assert_eq!(rings(dir.path()).grade, Grade::Ok);
        drop(file);
        let finding = rings(dir.path());
        assert!(finding.grade == Grade::Warn && finding.todo.contains("ami-x-h-1.ring"));
    }

    #[test]
    fn directories_are_judged() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(run_dir(dir.path()).grade, Grade::Ok);
        assert_eq!(run_dir(&dir.path().join("none")).grade, Grade::Warn);
        assert_eq!(run_dir(&dir.path().join("x".repeat(100))).grade, Grade::Fail);
    }

    #[test]
    fn clocks_that_differ_are_told() {
        let status = |said: f64| {
            json!({"members": [{"role": "root", "name": "root", "host": "b", "alive": true,
            "age_ms": 100, "metrics": {"ami_report_time_ns": said}}]})
        };
        let now = 1e18;
        assert_eq!(judged(&status(now - 1e8), now).len(), 1);
        let findings = judged(&status(now - 7e9), now);
        assert!(findings[1].found.contains("root root on b differs by 6.9 s"), "{findings:?}");
    }

    #[test]
    fn short_memory_refused_peers_and_a_full_disk_are_told() {
        let status = json!({"journal": {"ok": false, "error": "cannot write /j"}, "members": [
            {"role": "store", "name": "store", "host": "b", "alive": true, "age_ms": 1,
             "metrics": {"ami_resident_bytes": 95.0, "ami_memory_max_bytes": 100.0,
                         "ami_refused_peers_total": 3.0}}]});
        let found: Vec<String> = judged(&status, 0.0).into_iter().map(|f| f.what).collect();
        assert_eq!(found, ["members", "journal", "memory", "strangers"]);
    }
}
