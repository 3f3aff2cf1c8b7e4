//! Keys: with the right one everything works over tcp, with a wrong or no key nothing can be read or
//! written, roles are kept, and the logs name who tried.

use ami_tests::{System, bin, until};
use serde_json::{Value, json};
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

/// Endpoints that other machines would reach.
const ENDPOINTS: [&str; 8] =
    ["root", "decisions", "results", "store", "query", "manager", "graphs", "reports"];

struct Site {
    dir: tempfile::TempDir,
    addresses: Vec<(&'static str, String)>,
    system: System,
}

fn ctl(dir: &Path, words: &[&str]) -> std::process::Output {
    Command::new(bin("ami-ctl"))
        .args(words)
        .arg("--set")
        .arg(format!("security.allowed={}", dir.join("allowed").display()))
        .current_dir(dir)
        .output()
        .unwrap()
}

fn done(dir: &Path, words: &[&str]) -> String {
    let output = ctl(dir, words);
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

impl Site {
    fn start() -> Site {
        let dir = tempfile::tempdir().unwrap();
        for name in ["ami", "ann", "bob", "eve", "oli"] {
            done(dir.path(), &["keys", "new", name]);
        }
        done(dir.path(), &["keys", "allow", "ann", "edit"]);
        done(dir.path(), &["keys", "allow", "bob", "view"]);
        done(dir.path(), &["keys", "allow", "oli", "operate"]);
        let held: Vec<TcpListener> =
            ENDPOINTS.iter().map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let address = |l: &TcpListener| format!("tcp://{}", l.local_addr().unwrap());
        let addresses: Vec<_> = ENDPOINTS.into_iter().zip(held.iter().map(address)).collect();
        drop(held);
        let file = |name: &str| dir.path().join(name).display().to_string();
        let mut builder = System::of("sim:mixed?events=200000&loop=forever")
            .set("security.mode=curve")
            .set(&format!("security.key={}", file("ami.key_secret")))
            .set(&format!("security.server_key={}", file("ami.key")))
            .set(&format!("security.allowed={}", file("allowed")));
        for (name, address) in &addresses {
            builder = builder.set(&format!("endpoints.{name}={address}"));
        }
        let system = builder.start();
        Site { dir, addresses, system }
    }

    fn address(&self, endpoint: &str) -> &str {
        &self.addresses.iter().find(|a| a.0 == endpoint).unwrap().1
    }

    fn key(&self, file: &str, entry: &str) -> Vec<u8> {
        let text = std::fs::read_to_string(self.dir.path().join(file)).unwrap();
        let line = text.lines().find(|l| l.trim().starts_with(entry)).unwrap();
        zmq::z85_decode(line.split_once('=').unwrap().1.trim().trim_matches('"')).unwrap()
    }

    /// A socket with somebody's key (or none), who expects the key of `server`.
    fn socket(
        &self,
        kind: zmq::SocketType,
        endpoint: &str,
        who: Option<&str>,
        server: &str,
    ) -> zmq::Socket {
        let socket = zmq::Context::new().socket(kind).unwrap();
        socket.set_linger(0).unwrap();
        if let Some(who) = who {
            let pair = format!("{who}.key_secret");
            socket.set_curve_serverkey(&self.key(server, "public-key")).unwrap();
            socket.set_curve_publickey(&self.key(&pair, "public-key")).unwrap();
            socket.set_curve_secretkey(&self.key(&pair, "secret-key")).unwrap();
        }
        if kind == zmq::SUB {
            socket.set_subscribe(b"").unwrap();
        }
        socket.connect(self.address(endpoint)).unwrap();
        socket
    }

    fn ask(&self, who: &str, command: &Value) -> Value {
        let socket = self.socket(zmq::REQ, "manager", Some(who), "ami.key");
        socket.set_rcvtimeo(60_000).unwrap();
        socket.send(command.to_string().as_bytes(), 0).unwrap();
        let answer = socket.recv_bytes(0).unwrap_or_else(|e| {
            panic!("{who} got no answer to {command}: {e}\n{}", self.system.log("manager"))
        });
        serde_json::from_slice(&answer).unwrap()
    }

    fn edit(&self, who: &str, name: &str) -> Value {
        let nodes = json!({ "n": { "op": "count", "in": "mixed:raw:i32" } });
        self.ask(who, &json!({ "cmd": "graph.apply", "spec": { "name": name, "nodes": nodes } }))
    }

    /// Nothing comes back while the daemon's log names the peer for a reason.
    fn refused(&self, socket: &zmq::Socket, daemon: &str, who: &str, reason: &str) {
        let _ = socket.send("{\"cmd\": \"status\"}", zmq::DONTWAIT);
        until(&format!("{daemon} to name {who}: {reason}"), || {
            assert_eq!(socket.poll(zmq::POLLIN, 50).unwrap_or(0), 0, "{who} reads from {daemon}");
            let log = self.system.log(daemon);
            let told =
                |l: &&str| l.contains("peer refused") && l.contains(who) && l.contains(reason);
            log.lines().any(|l| told(&l)).then_some(())
        });
        assert_eq!(socket.poll(zmq::POLLIN, 0).unwrap_or(0), 0, "{who} reads from {daemon}");
    }
}

#[test]
fn keys_open_what_their_role_says_and_nothing_else() {
    let site = Site::start();
    // All daemons speak through keys, too: the edit reaches every member, and values come out.
    let answer = site.edit("ann", "g");
    assert_eq!(answer["in_effect"], true, "{answer:#}");
    let history = site.ask("bob", &json!({ "cmd": "graph.history", "graph": "g" }));
    assert_eq!(history["versions"][0]["who"], "ann", "what the key proves: {history:#}");

    let values = site.socket(zmq::SUB, "store", Some("bob"), "ami.key");
    values.set_rcvtimeo(60_000).unwrap();
    let frames = values.recv_multipart(0).expect("a value");
    assert!(frames[0].starts_with(b"g/"));

    let refusal = site.edit("bob", "h");
    assert!(refusal["error"].as_str().unwrap().contains("role view"), "{refusal:#}");
    assert!(site.system.log("manager").contains("request denied"));

    // Whoever edits may not take from everybody what was accumulated; an operator may.
    for command in ["graph.reset", "graph.rm"] {
        let command = json!({ "cmd": command, "graph": "g" });
        let refusal = site.ask("ann", &command);
        assert!(refusal["error"].as_str().unwrap().contains("role edit"), "{refusal:#}");
        assert!(refusal["hint"].as_str().unwrap().contains("operate"), "{refusal:#}");
        if command["cmd"] == "graph.reset" {
            let answer = site.ask("oli", &command);
            assert_eq!(answer["in_effect"], true, "{answer:#}");
        }
    }

    strangers_are_kept_out(&site);
    a_revoked_key_edits_no_more(&site);
}

fn strangers_are_kept_out(site: &Site) {
    let eve = zmq::z85_encode(&site.key("eve.key", "public-key")).unwrap();
    for (kind, endpoint, daemon) in [
        (zmq::DEALER, "manager", "manager"),
        (zmq::SUB, "store", "store"),
        (zmq::SUB, "results", "root"),
    ] {
        let socket = site.socket(kind, endpoint, Some("eve"), "ami.key");
        site.refused(&socket, daemon, &eve, "not allowed");
        let socket = site.socket(kind, endpoint, None, "");
        site.refused(&socket, daemon, "127.0.0.1", "no CURVE handshake");
    }
    // Somebody who was told another system's key is not believed, nor believes.
    let socket = site.socket(zmq::DEALER, "query", Some("ann"), "eve.key");
    site.refused(&socket, "store", "none shown", "no CURVE handshake");
    // A person's key does not open what only daemons may use.
    let bob = zmq::z85_encode(&site.key("bob.key", "public-key")).unwrap();
    let socket = site.socket(zmq::DEALER, "root", Some("bob"), "ami.key");
    site.refused(&socket, "root", &bob, "daemon is needed");
    until("the store to report whom it refused", || {
        let status = site.ask("bob", &json!({ "cmd": "status" }));
        let mut members = status["members"].as_array()?.iter();
        let store = members.find(|m| m["role"] == "store")?;
        (store["metrics"]["ami_refused_peers_total"].as_f64()? >= 1.0).then_some(())
    });
}

fn a_revoked_key_edits_no_more(site: &Site) {
    let socket = site.socket(zmq::REQ, "manager", Some("ann"), "ami.key");
    socket.set_rcvtimeo(60_000).unwrap();
    let ask = || -> Value {
        socket.send(r#"{"cmd": "graph.list"}"#, 0).unwrap();
        serde_json::from_slice(&socket.recv_bytes(0).unwrap()).unwrap()
    };
    assert!(ask()["graphs"].is_array());
    done(site.dir.path(), &["keys", "revoke", "ann"]);
    // The connection that is open is of no use either.
    until("the key to be forgotten", || {
        let answer = ask();
        answer["error"].as_str()?.contains("no longer allowed").then_some(())
    });
}

#[test]
fn a_daemon_starts_only_with_keys_that_are_tight_and_right() {
    let dir = tempfile::tempdir().unwrap();
    done(dir.path(), &["keys", "new", "ami"]);
    let check = |key: &str| {
        let file = |name: &str| dir.path().join(name).display().to_string();
        let output = Command::new(bin("ami-manager"))
            .args(["--check", "--set", "security.mode=curve", "--set"])
            .arg(format!("security.key={}", file(key)))
            .args(["--set", &format!("security.server_key={}", file("ami.key"))])
            .output()
            .unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    assert_eq!(check("ami.key_secret").0, Some(0));
    let (code, text) = check("nobody.key_secret");
    assert_eq!((code, text.contains("nobody.key_secret")), (Some(2), true), "{text}");
    let secret = dir.path().join("ami.key_secret");
    std::fs::set_permissions(&secret, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    let (code, text) = check("ami.key_secret");
    assert_eq!((code, text.contains("chmod 600")), (Some(2), true), "{text}");
}

#[test]
fn an_open_port_without_keys_is_told_loudly() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let address = format!("endpoints.query=tcp://0.0.0.0:{port}");
    let system = System::of("sim:mixed?events=1").set(&address).start();
    until("the warning", || {
        system.log("store").contains("OPEN TO THE NETWORK WITHOUT KEYS").then_some(())
    });
}
