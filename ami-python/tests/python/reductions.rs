//! States: taken in, merged, finished; and processes that are killed meanwhile.

use crate::common::{Bench, Given, code, counting, floats, plain, typed};
use ami_graph::data::owned_column::EventErrors;
use ami_graph::data::types::Type;
use ami_graph::data::value::DType;
use ami_graph::op::foreign::{Call, Foreign, UserCode};
use ami_graph::op::plain::Plain;
use rustix::process::{Pid, Signal, kill_process};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

const MEAN: &str = "
class Mean(Reduction):
    outputs = {'mean': 'f8', 'n': 'i8'}
    def start(self): return {'sum': np.zeros(3), 'n': 0, 'in': {'unit': 'mm'}}
    def absorb(self, state, x):
        if x == 5: state['n'] += 1000; raise ValueError('five')
        if x == -1: os._exit(4)
        state['sum'][1] += x
        state['n'] += 1
    def finish(self, state): return state['sum'][1] / state['n'], state['n']
class Many(Mean):
    absorb = None
    def absorb_batch(self, state, x):
        if (x == 5).any(): state['n'] += 1000; raise ValueError('five')
        if (x == -1).any(): os._exit(4)
        state['sum'][1] += x.sum()
        state['n'] += len(x)
class Largest(Mean):
    def merge(self, state, other):
        state['n'] = max(state['n'], other['n'])
        return state
";

fn mean(name: &str) -> Arc<UserCode> {
    let source = MEAN.replace("class Many(Mean):\n    absorb = None\n", "class Many(Reduction):\n    outputs = {'mean': 'f8', 'n': 'i8'}\n    start, finish = Mean.start, Mean.finish\n");
    typed(&source, name, &[Type::scalar(DType::F64), Type::scalar(DType::I64)])
}

fn absorb(
    bench: &Bench,
    code: &Arc<UserCode>,
    state: Option<Plain>,
    x: &[f64],
) -> (Plain, EventErrors) {
    let mut errors = EventErrors::default();
    let column = floats(x);
    let call = Call { events: x.len(), mask: None, columns: &[&column] };
    let state = bench.python.absorb(code, state, call, &mut errors).unwrap();
    (state, errors)
}

fn finish(bench: &Bench, code: &Arc<UserCode>, state: &Plain) -> (f64, f64) {
    let mut given = Given::new(code);
    bench.python.finish(code, state, &mut given.outputs).unwrap();
    let number =
        |i: usize| match ami_graph::data::column_views::value_at(&given.outputs[i].view(), 0) {
            Some(ami_graph::data::value::Value::Scalar(s)) => s.as_f64(),
            other => panic!("{other:?}"),
        };
    (number(0), number(1))
}

#[test]
fn a_whole_life() {
    let Some(bench) = Bench::new() else { return };
    for name in ["Mean", "Many"] {
        let code = mean(name);
        let (first, errors) = absorb(&bench, &code, None, &[1.0, 2.0]);
        assert_eq!(errors.count, 0);
        let (first, _) = absorb(&bench, &code, Some(first), &[3.0]);
        assert_eq!(finish(&bench, &code, &first), (2.0, 3.0));
        // Not what the process has kept: a state from elsewhere, and one that was added to.
        let (second, _) = absorb(&bench, &code, None, &[10.0]);
        let mut sum = first.clone();
        sum.add(&second).unwrap();
        let (sum, _) = absorb(&bench, &code, Some(sum), &[4.0]);
        assert_eq!(finish(&bench, &code, &sum), (4.0, 5.0));
        let (first, _) = absorb(&bench, &code, Some(first), &[2.0]);
        assert_eq!(finish(&bench, &code, &first), (2.0, 4.0));
        let merged = bench.python.merge(&code, &[first, second]).unwrap();
        assert_eq!(finish(&bench, &code, &merged), (3.6, 5.0));
    }
    assert_eq!(bench.python.counts().starts, 1);
}

#[test]
fn the_users_own_merge() {
    let Some(bench) = Bench::new() else { return };
    let code = mean("Largest");
    let states = [&[1.0][..], &[1.0; 7], &[2.0; 3]].map(|x| absorb(&bench, &code, None, x).0);
    let merged = bench.python.merge(&code, &states).unwrap();
    assert_eq!(finish(&bench, &code, &merged).1, 7.0);
}

#[test]
fn what_fails_leaves_nothing_in_the_state() {
    let Some(bench) = Bench::new() else { return };
    for name in ["Mean", "Many"] {
        let code = mean(name);
        let (state, errors) = absorb(&bench, &code, None, &[1.0, 5.0, 2.0]);
        assert_eq!(
            (errors.count, errors.last.as_deref()),
            (1, Some("ValueError: five (hits.py:9)")).into_or(name)
        );
        let (state, errors) = absorb(&bench, &code, Some(state), &[3.0, -1.0, 6.0]);
        assert_eq!(errors.last.as_deref(), Some("exited with code 4; event 1"));
        assert_eq!(errors.count, 1);
        assert_eq!(finish(&bench, &code, &state), (3.0, 4.0), "{name}");
    }
}

trait IntoOr {
    fn into_or(self, name: &str) -> Self;
}

impl IntoOr for (u64, Option<&str>) {
    /// The second class says it in another line.
    fn into_or(self, name: &str) -> Self {
        if name == "Many" { (self.0, Some("ValueError: five (hits.py:18)")) } else { self }
    }
}

#[test]
fn without_a_state_there_is_an_error_and_with_one_it_stays() {
    let Some(bench) = Bench::new() else { return };
    let source = "
class Sum(Reduction):
    outputs = {'y': 'f8'}
    def __init__(self, *, large=False): self.large = large
    def start(self):
        if self.large: return {'x': np.zeros(1000)}
        raise RuntimeError('no')
    def absorb(self, state, x): pass
    def finish(self, state): raise KeyError('k')
";
    let code = code(source, "Sum");
    let mut errors = EventErrors::default();
    let column = floats(&[1.0, 2.0]);
    let call = Call { events: 2, mask: None, columns: &[&column] };
    let error = bench.python.absorb(&code, None, call, &mut errors).unwrap_err();
    assert_eq!(error, "RuntimeError: no (hits.py:10)");
    assert_eq!(errors.count, 2);
    let mut small = plain(source, "Sum", &[Type::scalar(DType::F64)]);
    small.params.insert("large".into(), true.into());
    let large = Arc::new(small.clone());
    let state = bench.python.absorb(&large, None, call, &mut errors).unwrap();
    let mut given = Given::new(&code);
    let error = bench.python.finish(&large, &state, &mut given.outputs).unwrap_err();
    assert_eq!(error, "KeyError: 'k' (hits.py:12)");
    small.state_bytes = 1000;
    let small = Arc::new(small);
    let error = bench.python.absorb(&small, None, call, &mut errors).unwrap_err();
    assert!(error.contains("1000 are allowed"), "{error}");
    assert_eq!(bench.python.absorb(&small, Some(state.clone()), call, &mut errors), Ok(state));
}

/// Processes of the host that were started with files below a directory.
pub fn hosts(dir: &Path) -> Vec<i32> {
    let dir = dir.display().to_string();
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        let command = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        if String::from_utf8_lossy(&command).contains(&dir) {
            found.push(pid);
        }
    }
    found
}

/// Said also where an assertion fails.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn kills_from_outside_change_no_number() {
    let Some(bench) = Bench::new() else { return };
    let source = "
class Slow(Reduction):
    outputs = {'y': 'f8[:]', 'n': 'f8'}
    def start(self): return {'sum': np.zeros(100), 'n': 0}
    def absorb(self, state, x):
        time.sleep(0.0002)
        state['sum'] += np.sin(x + np.arange(100))
        state['n'] += 1
    def finish(self, state): return state['sum'], state['n']
";
    let code = typed(source, "Slow", &[Type::array(DType::F64, 1), Type::scalar(DType::F64)]);
    let input = counting(3000);
    let chunks = AtomicUsize::new(0);
    let run = |bench: &Bench| {
        let mut state = None;
        for chunk in input.chunks(100) {
            chunks.fetch_add(1, Ordering::Relaxed);
            let (next, errors) = absorb(bench, &code, state, chunk);
            assert_eq!((errors.count, errors.last), (0, None));
            state = Some(next);
        }
        state.unwrap()
    };
    let quiet = run(&bench);
    let over = AtomicBool::new(false);
    let (disturbed, kills) = std::thread::scope(|scope| {
        let killer = scope.spawn(|| {
            let (mut kills, mut pause, mut last) = (0, 7, 0);
            while !over.load(Ordering::Relaxed) {
                pause = pause * 5 % 997;
                std::thread::sleep(std::time::Duration::from_millis(100 + pause % 300));
                // At most once in a chunk, however slow the machine is.
                let now = chunks.load(Ordering::Relaxed);
                if std::mem::replace(&mut last, now) == now {
                    continue;
                }
                let host = hosts(bench.dir.path()).first().copied().and_then(Pid::from_raw);
                kills +=
                    i32::from(host.is_some_and(|host| kill_process(host, Signal::KILL).is_ok()));
            }
            kills
        });
        let ends = Over(&over);
        let disturbed = run(&bench);
        drop(ends);
        (disturbed, killer.join().unwrap())
    });
    assert_eq!(disturbed, quiet);
    println!("{kills} kills, {:?}", bench.python.counts());
    assert!(kills > 0);
}
