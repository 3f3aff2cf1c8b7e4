//! The life of a local run: start, graphs, workers, ready, stop.

use crate::failure::Failure;
use crate::graph_file::GraphFile;
use crate::local::control;
use crate::local::layout::{Kind, Layout, RunDir};
use crate::local::processes::Process;
use crate::local::supervisor::{Action, Supervisor};
use crate::print;
use ami_proto::socket::endpoint::Endpoint;
use serde_json::{Map, Value, json};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::{Duration, Instant};

/// How often processes are looked at.
const TURN: Duration = Duration::from_millis(10);

/// What a run is to do beside running.
#[derive(Debug)]
pub struct Options {
    /// Graphs to apply before the data flow.
    pub graphs: Vec<GraphFile>,
    /// Stop after this time.
    pub duration: Option<Duration>,
    /// Stop when everything is published.
    pub exit_at_end: bool,
    /// Print JSON.
    pub json: bool,
}

enum Phase {
    /// All but the workers are starting.
    Boot,
    /// Graphs are being applied.
    Graphs(Receiver<Result<Vec<String>, Failure>>),
    /// Workers are starting.
    Workers,
    /// Data flow; with the end of data where that is waited for.
    Up(Instant, Option<Receiver<()>>),
}

struct Run<'a> {
    layout: &'a Layout,
    dir: &'a RunDir,
    options: Options,
    supervisor: Supervisor,
    processes: Vec<Process>,
    started: Instant,
    phase: Phase,
    failure: Option<Failure>,
    /// When each process was started first, and how long until it was ready, s.
    starts: Vec<(Option<Instant>, Option<f64>)>,
}

/// Runs until the end, a signal, or a failure.
///
/// # Errors
/// When a daemon fails for good or a graph is refused.
pub fn run(layout: &Layout, dir: &RunDir, options: Options) -> Result<(), Failure> {
    let failed = |e: std::io::Error| {
        Failure::failed(
            format!("run directory {}: {e}", dir.path().display()),
            "see `ami-ctl doctor`",
        )
    };
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP]).map_err(failed)?;
    layout.describe(dir.path()).map_err(failed)?;
    let groups: Vec<usize> = layout.daemons.iter().map(|(kind, _)| *kind as usize).collect();
    let processes = layout
        .daemons
        .iter()
        .map(|(_, launch)| Process::new(launch.clone(), dir.path()))
        .collect::<Result<_, _>>()
        .map_err(failed)?;
    let mut run = Run {
        layout,
        dir,
        options,
        supervisor: Supervisor::new(&groups),
        processes,
        started: Instant::now(),
        phase: Phase::Boot,
        failure: None,
        starts: vec![(None, None); layout.daemons.len()],
    };
    run.start(false);
    while !run.supervisor.stopped() {
        for _ in signals.pending() {
            run.stop();
        }
        run.look();
        if !run.supervisor.stopping() {
            run.advance();
        }
        std::thread::sleep(TURN);
    }
    run.failure.map_or(Ok(()), Err)
}

impl Run<'_> {
    fn now(&self) -> Duration {
        self.started.elapsed()
    }

    fn of(&self, workers: bool) -> Vec<usize> {
        let kinds = self.layout.daemons.iter().map(|(kind, _)| (*kind == Kind::Worker) == workers);
        kinds.enumerate().filter(|(_, chosen)| *chosen).map(|(index, _)| index).collect()
    }

    fn start(&mut self, workers: bool) {
        for index in self.of(workers) {
            let actions = self.supervisor.start(index, self.now());
            self.perform(actions);
        }
    }

    fn stop(&mut self) {
        let actions = self.supervisor.stop(self.now());
        self.perform(actions);
    }

    fn fail(&mut self, failure: Failure) {
        self.failure.get_or_insert(failure);
        if !self.supervisor.stopping() {
            self.stop();
        }
    }

    /// What happened to the processes, and what time brings.
    fn look(&mut self) {
        for index in 0..self.processes.len() {
            if self.processes[index].heard_ready() {
                self.supervisor.ready(index);
                let (begun, took) = &mut self.starts[index];
                *took = took.or(begun.map(|b| b.elapsed().as_secs_f64()));
            }
            if let Some(exit) = self.processes[index].ended() {
                let actions = self.supervisor.exited(index, exit, self.now());
                self.perform(actions);
            }
        }
        let actions = self.supervisor.tick(self.now());
        self.perform(actions);
    }

    fn perform(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Spawn(index) => self.spawn(index),
                Action::Terminate(index) => self.processes[index].terminate(),
                Action::Kill(index) => self.processes[index].kill(),
                Action::Restarting(index, exit, wait) => print::error(&format!(
                    "{} died ({exit}): restarting in {} ms; its log: {}",
                    self.processes[index].name(),
                    wait.as_millis(),
                    self.processes[index].log().display()
                )),
                Action::Fatal(index, reason, code) => self.fatal(index, &reason, code),
            }
        }
    }

    fn spawn(&mut self, index: usize) {
        self.starts[index].0.get_or_insert_with(Instant::now);
        if let Err(error) = self.processes[index].spawn() {
            self.fatal(index, &format!("cannot be started: {error}"), 1);
        }
    }

    fn fatal(&mut self, index: usize, reason: &str, code: u8) {
        let process = &self.processes[index];
        let words = process.last_words();
        let errors = words.into_iter().map(Value::from).collect();
        let hint = format!("its whole log: {}", process.log().display());
        let mut failure =
            Failure::failed(format!("{} {reason}", process.name()), hint).with(errors);
        failure.code = code;
        self.fail(failure);
    }

    /// On to the next phase, when this one is done.
    fn advance(&mut self) {
        match &self.phase {
            Phase::Boot => {
                if self.supervisor.all_ready(self.of(false)) {
                    self.booted();
                }
            }
            Phase::Graphs(applied) => match applied.try_recv() {
                Ok(Ok(lines)) => self.applied(&lines),
                Ok(Err(failure)) => self.fail(failure),
                Err(TryRecvError::Empty) => {}
                Err(TryRecvError::Disconnected) => {
                    self.fail(Failure::failed("applying the graphs failed", "please report this"));
                }
            },
            Phase::Workers => {
                if self.supervisor.all_ready(self.of(true)) {
                    self.up();
                }
            }
            Phase::Up(since, end) => {
                let over = self.options.duration.is_some_and(|d| since.elapsed() >= d);
                if over || end.as_ref().is_some_and(|e| e.try_recv().is_ok()) {
                    self.stop();
                }
            }
        }
    }

    fn booted(&mut self) {
        let graphs = std::mem::take(&mut self.options.graphs);
        if graphs.is_empty() {
            self.start(true);
            self.phase = Phase::Workers;
        } else {
            self.phase = Phase::Graphs(control::apply(&self.layout.config, graphs, self.hosts()));
        }
    }

    fn hosts(&self) -> usize {
        self.layout.daemons.iter().filter(|(kind, _)| *kind == Kind::Ventilator).count()
    }

    fn applied(&mut self, lines: &[String]) {
        if !self.options.json {
            lines.iter().for_each(|line| self.tell(line));
        }
        self.start(true);
        self.phase = Phase::Workers;
    }

    fn up(&mut self) {
        let text = if self.options.json { self.document().to_string() } else { self.text() };
        self.tell(&text);
        let end = self.options.exit_at_end.then(|| control::end(&self.layout.config, self.hosts()));
        self.phase = Phase::Up(Instant::now(), end);
    }

    /// A reader of our output that goes away does not stop the system.
    fn tell(&self, text: &str) {
        let _ = print::line(text);
    }

    fn document(&self) -> Value {
        let config = &self.layout.config;
        let pids: Map<String, Value> =
            self.processes.iter().map(|p| (p.name().to_string(), p.pid().into())).collect();
        let name = |index: usize| self.processes[index].name().to_string();
        let starts: Map<String, Value> =
            self.starts.iter().enumerate().map(|(i, s)| (name(i), s.1.into())).collect();
        json!({
            "ready": true,
            "run_dir": self.dir.path(),
            "store": Endpoint::Store.connect(config),
            "query": Endpoint::Query.connect(config),
            "manager": Endpoint::Manager.connect(config),
            "logs": self.dir.path().join("logs"),
            "pid": std::process::id(),
            "pids": pids,
            "start_s": starts,
        })
    }

    fn text(&self) -> String {
        let config = &self.layout.config;
        let dir = self.dir.path().display();
        let until = match (self.options.duration, self.options.exit_at_end) {
            (Some(duration), _) => {
                format!("stops after {} s, or at Ctrl-C", duration.as_secs_f64())
            }
            (None, true) => "stops when all results are published, or at Ctrl-C".into(),
            (None, false) => "Ctrl-C stops everything".into(),
        };
        format!(
            "ami is ready: {} ({} workers); {until}\n  features  {}\n  queries   {}\n  manager   {}\n  logs      {dir}/logs\n\
             look at it with:\n  export AMI_RUN_DIR={dir}\n  ami-ctl status | sources | features | top | watch FEATURE",
            config.ventilator.source,
            self.layout.workers,
            Endpoint::Store.connect(config),
            Endpoint::Query.connect(config),
            Endpoint::Manager.connect(config),
        )
    }
}
