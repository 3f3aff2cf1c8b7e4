//! A program that sends what a facility's programs send: a script of Python, told what to do line by line,
//! frozen and killed like any other peer.

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// An interpreter that has these modules: `AMI_TEST_PYTHON`, that of `make python`, or `python3`. Says so
/// where there is none.
pub fn python_with(modules: &[&str]) -> Option<PathBuf> {
    let of_make = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.venv/bin/python");
    let given = std::env::var_os("AMI_TEST_PYTHON").map(PathBuf::from);
    let import = format!("import {}", modules.join(", "));
    let has_them = |python: &PathBuf| {
        let run = Command::new(python).args(["-c", &import]).stderr(Stdio::null()).status();
        run.is_ok_and(|status| status.success())
    };
    let found = given.into_iter().chain([of_make, "python3".into()]).find(has_them);
    if found.is_none() {
        println!("skipped: no interpreter has {}; set AMI_TEST_PYTHON", modules.join(", "));
    }
    found
}

/// The running program.
pub struct Sender {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    /// What it said first.
    pub hello: Value,
}

impl Sender {
    /// Starts a script of `tests/python`; None where its modules are missing, which is said.
    pub fn start(script: &str, args: &[&str], modules: &[&str]) -> Option<Sender> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("python").join(script);
        let mut child = Command::new(python_with(modules)?)
            .arg(script)
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let mut sender =
            Sender { child, input, output: BufReader::new(output), hello: Value::Null };
        sender.hello = sender.answer();
        Some(sender)
    }

    /// Where it is bound.
    pub fn address(&self) -> String {
        self.hello["address"].as_str().unwrap().to_owned()
    }

    /// Tells it to do something and does not wait.
    pub fn say(&mut self, order: Value) {
        writeln!(self.input, "{order}").unwrap();
    }

    /// The answer to the oldest order that was not answered yet.
    pub fn answer(&mut self) -> Value {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: the sender said {line:?}"))
    }

    /// Tells it to do something, and waits until that is done.
    pub fn tell(&mut self, order: Value) -> Value {
        self.say(order);
        self.answer()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_raw(self.child.id() as i32).unwrap(), signal).unwrap();
    }
}

/// `kill -9`.
impl Drop for Sender {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
