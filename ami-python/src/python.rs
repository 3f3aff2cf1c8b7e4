//! The daemon's object: which code it runs, in which environment, and what there is to tell of it.

use crate::counters::{Counters, Counts};
use crate::dry_run;
use crate::env::{Env, Target};
use crate::foreign::plain_values;
use crate::health::{Health, Traceback};
use crate::launch::{Launch, Waiting};
use crate::pack::Ring;
use crate::package;
use crate::settings::interpreter;
use crate::update::Updater;
use ami_graph::data::types::Type;
use ami_graph::data::value::Value;
use ami_graph::op::foreign::UserCode;
use ami_proto::config::Python as Settings;
use ami_proto::control::member_to_manager::NodeErrors;
use serde_json::{Value as Json, json};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

/// Where in a run the data stand. Code with `begin_run` and its like is told of changes.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Context {
    /// Run number.
    pub run: u32,
    /// Step in the run; None before the first.
    pub step: Option<u32>,
    /// Values that hold, by name. Arrays are not told.
    pub held: BTreeMap<String, Value>,
}

/// One use of code.
#[derive(Debug)]
pub(crate) struct Entry {
    /// What it is, to know the same code again.
    copy: UserCode,
    /// Which use it is, see [`ami_graph::op::foreign::Foreign::load`].
    place: String,
    pub target: Arc<Target>,
    pub env: Arc<Mutex<Env>>,
    pub updater: Option<Updater>,
}

/// A use of code, of one version of the graphs or of several.
#[derive(Debug)]
struct Use {
    /// The version is no more when nobody has this any more.
    code: Weak<UserCode>,
    entry: Arc<Entry>,
}

/// An environment, and how processes of it are started.
type Kept = (Arc<Launch>, Arc<Mutex<Env>>);

/// A reduction that was tried, on inputs of these types.
type Proven = (UserCode, Vec<Type>);

/// Longest time for reading and loading a file of code.
pub(crate) const LOADING: Duration = Duration::from_secs(60);
/// Reductions of which it is remembered that they were tried.
const MOST_PROVEN: usize = 256;

/// Runs user code for one daemon. Processes end with it, and if it is killed.
#[derive(Debug)]
pub struct Python {
    settings: Settings,
    run_dir: PathBuf,
    label: String,
    pub(crate) counters: Arc<Counters>,
    envs: Mutex<HashMap<String, Kept>>,
    /// By the code's address, which is no other's as long as it is held weakly.
    codes: Mutex<HashMap<usize, Use>>,
    ids: AtomicU64,
    ring: Mutex<Option<Arc<Ring>>>,
    /// As JSON.
    context: Mutex<Arc<str>>,
    waiting: Arc<Waiting>,
    /// Code over published values has ended since this was asked.
    news: Arc<AtomicBool>,
    /// Reductions that were tried; None where that is not done.
    proven: Option<Mutex<VecDeque<Proven>>>,
    version: AtomicU64,
}

pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What a panic has left behind is whole: every change here is a single one.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Python {
    /// Of the member that is called `label`; its files are written below `run_dir` when they are needed.
    pub fn new(settings: Settings, run_dir: &Path, label: &str) -> Python {
        Python {
            settings,
            run_dir: run_dir.to_owned(),
            label: label.to_owned(),
            counters: Arc::default(),
            envs: Mutex::default(),
            codes: Mutex::default(),
            ids: AtomicU64::new(1),
            ring: Mutex::default(),
            context: Mutex::new("{}".into()),
            waiting: Arc::default(),
            news: Arc::default(),
            proven: None,
            version: AtomicU64::new(0),
        }
    }

    /// Says where fields lie: a file, and its bytes' addresses in this process. What lies in there is
    /// passed by its place. The path must lead to that very file, also when another gets its name
    /// ([`ami_shm::RingReader::mapped`]).
    pub fn set_ring(&self, path: PathBuf, addresses: Range<usize>) {
        let number = self.ids.fetch_add(1, Ordering::Relaxed);
        *locked(&self.ring) = Some(Arc::new(Ring { number, path, addresses }));
    }

    /// Fields lie there no more; to be called before that memory is unmapped.
    pub fn clear_ring(&self) {
        *locked(&self.ring) = None;
    }

    /// Loads code only to see whether it can run: reductions are tried, code over published values is not
    /// started.
    pub fn proving(self) -> Python {
        Python { proven: Some(Mutex::default()), ..self }
    }

    /// Whether code is loaded only to see whether it can run.
    pub(crate) fn proves(&self) -> bool {
        self.proven.is_some()
    }

    /// Whether code over published values has ended since this was asked last.
    pub fn take_news(&self) -> bool {
        self.news.swap(false, Ordering::Relaxed)
    }

    /// Numbers for a member's metrics; none before the first process.
    pub fn metrics(&self) -> Vec<(&'static str, f64)> {
        let counts = self.counts();
        if counts.starts == 0 {
            return Vec::new();
        }
        vec![
            ("ami_python_starts_total", counts.starts as f64),
            ("ami_python_deaths_total", counts.deaths as f64),
            ("ami_python_timeouts_total", counts.timeouts as f64),
            ("ami_python_failures_total", counts.failures as f64),
            ("ami_python_busy_seconds_total", counts.busy_ns as f64 / 1e9),
        ]
    }

    /// What a member reports of code that failed: by its file and name, with the newest traceback.
    pub fn failures(&self) -> Vec<NodeErrors> {
        let told = |failed: Traceback| {
            let Traceback { file, name, message, traceback, off, times } = failed;
            let errors = if off.is_some() { 0 } else { times };
            let parts = [off.unwrap_or(message), traceback];
            let parts = parts.into_iter().filter(|part| !part.is_empty());
            let message = parts.collect::<Vec<_>>().join("\n");
            NodeErrors { node: format!("{file}:{name}"), errors, message }
        };
        self.tracebacks().into_iter().map(told).collect()
    }

    /// Tries a reduction whose merge is its own, once.
    pub(crate) fn proven(&self, code: &Arc<UserCode>, inputs: &[Type]) -> Result<(), String> {
        let Some(proven) = &self.proven else { return Ok(()) };
        let known = |(other, types): &Proven| *other == **code && types == inputs;
        if !code.merges || locked(proven).iter().any(known) {
            return Ok(());
        }
        dry_run::prove(self, code, inputs)?;
        let mut proven = locked(proven);
        proven.push_back(((**code).clone(), inputs.to_vec()));
        while proven.len() > MOST_PROVEN {
            proven.pop_front();
        }
        Ok(())
    }

    /// What to do again and again, at least ten times a second, while a call lasts.
    pub fn while_waiting(&self, call: impl Fn() + Send + 'static) {
        *locked(&self.waiting.0) = Some(Box::new(call));
    }

    /// Says where in the run the events of the next calls are.
    pub fn set_context(&self, context: &Context) {
        let Context { run, step, held } = context;
        let json = json!({"run": run, "step": step, "held": plain_values(held)});
        *locked(&self.context) = json.to_string().into();
    }

    /// Says which version of the graphs runs, for code over published values.
    pub fn set_version(&self, version: u64) {
        self.version.store(version, Ordering::Relaxed);
    }

    /// What was counted since the start.
    pub fn counts(&self) -> Counts {
        self.counters.read()
    }

    /// The newest failure of each code that had one.
    pub fn tracebacks(&self) -> Vec<Traceback> {
        let codes = locked(&self.codes);
        let of = |Use { entry, .. }: &Use| {
            entry.target.health.traceback(&entry.copy.file, &entry.copy.name)
        };
        let mut all: Vec<Traceback> = codes.values().filter_map(of).collect();
        all.sort_by(|a, b| (&a.file, &a.name).cmp(&(&b.file, &b.name)));
        all.dedup();
        all
    }

    /// Describes the nodes of a source text, or the one of that name: what the host says of them.
    ///
    /// # Errors
    /// What is wrong with the code or the environment.
    pub fn describe(
        &self,
        env: &str,
        file: &str,
        source: &str,
        name: Option<&str>,
    ) -> Result<Json, String> {
        let (_, env) = self.env(env)?;
        locked(&env).describe(file, source, name)
    }

    /// Heartbeat of the values that code over published values gave last.
    pub fn heartbeat_of(&self, code: &Arc<UserCode>) -> Option<u64> {
        let entry = self.known(code)?;
        Some(entry.updater.as_ref()?.newest()?.heartbeat)
    }

    /// Lets go of code that nobody has any more, and of its processes. It happens when other code is
    /// loaded, too; a daemon does it when graphs have changed.
    pub fn tidy(&self) {
        let dead: Vec<Arc<Entry>> = {
            let mut codes = locked(&self.codes);
            let dead = codes.extract_if(|_, of| of.code.strong_count() == 0);
            let dead: Vec<Arc<Entry>> = dead.map(|(_, of)| of.entry).collect();
            let goes_on =
                |entry: &Arc<Entry>| codes.values().any(|of| Arc::ptr_eq(&of.entry, entry));
            dead.into_iter().filter(|entry| !goes_on(entry)).collect()
        };
        for entry in dead {
            locked(&entry.env).forget(entry.target.id);
        }
    }

    pub(crate) fn ring(&self) -> Option<Arc<Ring>> {
        locked(&self.ring).clone()
    }

    pub(crate) fn context(&self) -> Arc<str> {
        Arc::clone(&locked(&self.context))
    }

    pub(crate) fn version(&self) -> u64 {
        self.version.load(Ordering::Relaxed)
    }

    /// An environment, its process not yet started.
    fn env(&self, name: &str) -> Result<Kept, String> {
        if let Some((launch, env)) = locked(&self.envs).get(name) {
            return Ok((Arc::clone(launch), Arc::clone(env)));
        }
        let launch = Arc::new(Launch {
            env: name.to_owned(),
            interpreter: interpreter(&self.settings, name)?,
            settings: self.settings.clone(),
            dir: package::unpack(&self.run_dir)?,
            label: self.label.clone(),
            counters: Arc::clone(&self.counters),
            waiting: Arc::clone(&self.waiting),
        });
        let env = Arc::new(Mutex::new(Env::new(Arc::clone(&launch))));
        let mut envs = locked(&self.envs);
        let (launch, env) = envs.entry(name.to_owned()).or_insert((launch, env));
        Ok((Arc::clone(launch), Arc::clone(env)))
    }

    /// The use of this code, which is made ready if that was not done yet.
    pub(crate) fn entry(&self, code: &Arc<UserCode>) -> Result<Arc<Entry>, String> {
        self.entry_at(code, "")
    }

    /// As [`entry`](Self::entry): that of the same place in a version before, if the code is the same.
    pub(crate) fn entry_at(&self, code: &Arc<UserCode>, place: &str) -> Result<Arc<Entry>, String> {
        if let Some(entry) = self.known(code) {
            return Ok(entry);
        }
        let alike = self.alike(code);
        let same = alike.iter().find(|entry| !place.is_empty() && entry.place == place).cloned();
        let entry = match same {
            Some(entry) => entry,
            None => Arc::new(self.made_ready(code, place, alike.first())?),
        };
        let of = Use { code: Arc::downgrade(code), entry: Arc::clone(&entry) };
        locked(&self.codes).insert(key(code), of);
        self.tidy();
        Ok(entry)
    }

    fn known(&self, code: &Arc<UserCode>) -> Option<Arc<Entry>> {
        locked(&self.codes).get(&key(code)).map(|of| Arc::clone(&of.entry))
    }

    /// Uses of the same code.
    fn alike(&self, code: &UserCode) -> Vec<Arc<Entry>> {
        let codes = locked(&self.codes);
        let alike = codes.values().filter(|of| of.entry.copy == *code);
        alike.map(|of| Arc::clone(&of.entry)).collect()
    }

    fn made_ready(
        &self,
        code: &Arc<UserCode>,
        place: &str,
        alike: Option<&Arc<Entry>>,
    ) -> Result<Entry, String> {
        let (launch, env) = self.env(&code.env)?;
        let target = Arc::new(Target {
            id: self.ids.fetch_add(1, Ordering::Relaxed),
            label: format!("{}:{}", code.file, code.name),
            health: alike
                .map_or_else(Arc::<Health>::default, |entry| Arc::clone(&entry.target.health)),
        });
        let updater = {
            let mut env = locked(&env);
            let described = env.describe(&code.file, &code.source, Some(&code.name))?;
            let node = &described["nodes"][&code.name];
            if node["kind"] == "root" && self.proven.is_some() {
                None
            } else if node["kind"] == "root" {
                env.rest();
                drop(env);
                let every =
                    node["every"].as_f64().and_then(|s| Duration::try_from_secs_f64(s).ok());
                Some(Updater::start(&launch, &target, code, every, &self.news)?)
            } else {
                env.load(&target, code)?;
                None
            }
        };
        let (copy, place) = ((**code).clone(), place.to_owned());
        Ok(Entry { copy, place, target, env, updater })
    }
}

fn key(code: &Arc<UserCode>) -> usize {
    Arc::as_ptr(code).addr()
}
