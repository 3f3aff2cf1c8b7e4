//! Code that raises, hangs, ends its process, or takes all there is.

use crate::common::{Bench, Given, code, counting, floats, plain, some};
use ami_graph::data::types::Type;
use ami_graph::data::value::DType;
use ami_graph::op::foreign::{Call, Foreign};
use ami_python::Settings;
use serde_json::json;
use std::sync::Arc;
use std::time::Instant;

/// Numbers of all events but some.
fn without(events: usize, missing: &[usize]) -> Vec<Option<f64>> {
    (0..events).map(|i| (!missing.contains(&i)).then_some(i as f64)).collect()
}

#[test]
fn an_exception_costs_its_event_alone() {
    let Some(bench) = Bench::new() else { return };
    let source = "
def inner(x): raise ValueError('bad')
@per_event(outputs={'y': 'f8'})
def f(x):
    if x % 7 == 6: inner(x)
    return x
class Many(PerEvent):
    outputs = {'y': 'f8'}
    def batch(self, x):
        if (x % 7 == 6).any(): inner(x)
        return x
";
    let input = counting(21);
    let codes = ["f", "Many"].map(|name| code(source, name));
    for code in &codes {
        let given = bench.events(code, &[floats(&input)], 21);
        assert_eq!(given.numbers(0), without(21, &[6, 13, 20]), "{code:?}");
        assert_eq!(given.errors.count, 3);
        assert_eq!(given.message(), "ValueError: bad (hits.py:5)");
    }
    let told = bench.python.tracebacks();
    assert_eq!(told.len(), 2);
    assert!(told[0].traceback.contains("def inner") || told[0].traceback.contains("in inner"));
    assert_eq!((bench.python.counts().deaths, bench.python.counts().failures), (0, 6));
}

#[test]
fn an_endless_loop_costs_its_event_alone() {
    let Some(bench) = Bench::new() else { return };
    let source = "
@per_event(outputs={'y': 'f8'})
def f(x):
    while x == 2: pass
    return x
class Many(PerEvent):
    outputs = {'y': 'f8'}
    def batch(self, x):
        while (x == 2).any(): pass
        return x
";
    let input = counting(4);
    for (name, timeout_ms) in [("f", 3000), ("Many", 2000)] {
        let mut code = plain(source, name, &[Type::scalar(DType::F64)]);
        code.timeout_ms = timeout_ms;
        let given = bench.events(&Arc::new(code), &[floats(&input)], 4);
        assert_eq!(given.message(), format!("took longer than {timeout_ms} ms; event 2"));
        assert_eq!(given.numbers(0), without(4, &[2]), "{name}");
    }
}

#[test]
fn a_death_costs_its_event_alone() {
    let Some(bench) = Bench::new() else { return };
    let ends = [
        ("os._exit(3)", "exited with code 3; event 4"),
        ("import ctypes; ctypes.string_at(0)", "killed by signal 11 (SIGSEGV); event 4"),
        (
            "import signal; os.kill(os.getpid(), signal.SIGKILL)",
            "killed by signal 9 (SIGKILL); event 4",
        ),
        ("os.abort()", "killed by signal 6 (SIGABRT); event 4"),
        ("os.closerange(3, 100)", "event 4"),
    ];
    let input = counting(8);
    for (end, message) in ends {
        let source = format!(
            "@per_event(outputs={{'y': 'f8'}})\ndef f(x):\n    if x == 4: {end}\n    return x\n"
        );
        let given = bench.events(&code(&source, "f"), &[floats(&input)], 8);
        if end.contains("closerange") {
            // The event itself is done; its answer cannot be given, whichever event is to blame.
            assert_eq!(given.errors.count, 8, "{}", given.message());
            continue;
        }
        assert_eq!(given.message(), message);
        assert_eq!((given.errors.count, given.numbers(0)), (1, without(8, &[4])), "{end}");
    }
    let source = "
class Many(PerEvent):
    outputs = {'y': 'f8'}
    def batch(self, x):
        if (x == 4).any(): os._exit(3)
        return x
";
    let given = bench.events(&code(source, "Many"), &[floats(&input)], 8);
    assert_eq!(
        (given.message(), given.numbers(0)),
        ("exited with code 3; event 4", without(8, &[4]))
    );
}

#[test]
fn three_deaths_switch_code_off_until_it_changes() {
    let Some(bench) = Bench::new() else { return };
    let source = "
@per_event(outputs={'y': 'f8'})
def bad(x): os._exit(3)
@per_event(outputs={'y': 'f8'})
def good(x): return x
";
    let input = counting(10);
    let (bad, good) = (code(source, "bad"), code(source, "good"));
    let given = bench.events(&bad, &[floats(&input)], 10);
    assert_eq!((given.errors.count, given.numbers(0)), (10, vec![None; 10]));
    assert!(given.message().starts_with("switched off: exited with code 3"), "{}", given.message());
    let starts = bench.python.counts().starts;
    let given = bench.events(&bad, &[floats(&input)], 10);
    assert!(given.message().starts_with("switched off"), "{}", given.message());
    // The same code in another version of the graphs is still off, and costs nothing.
    let given = bench.events(&code(source, "bad"), &[floats(&input)], 10);
    assert!(given.message().starts_with("switched off"), "{}", given.message());
    assert!(bench.python.counts().starts <= starts + 1);
    let given = bench.events(&good, &[floats(&input)], 10);
    assert_eq!(given.numbers(0), some(&input));
    let other = code(&source.replace("os._exit(3)", "return x"), "bad");
    assert_eq!(bench.events(&other, &[floats(&input)], 10).numbers(0), some(&input));
    assert!(bench.python.tracebacks().iter().any(|told| told.off.is_some()));
}

#[test]
fn memory_beyond_the_limit_is_an_error_of_the_event() {
    let Some(bench) = Bench::with(Settings { memory_max: 256 << 20, ..Settings::default() }) else {
        return;
    };
    let source = "
@per_event(outputs={'y': 'f8'})
def f(x):
    if x == 3: np.ones(1 << 30)
    return x
";
    let input = counting(6);
    let given = bench.events(&code(source, "f"), &[floats(&input)], 6);
    assert_eq!((given.errors.count, given.numbers(0)), (1, without(6, &[3])));
    assert!(given.message().contains("MemoryError"), "{}", given.message());
}

#[test]
fn a_process_that_grows_is_replaced() {
    let Some(bench) = Bench::with(Settings { memory_max: 150 << 20, ..Settings::default() }) else {
        return;
    };
    // As memory of a file it is not seen by the limit that Python sets itself; nor is it the ring's.
    let source = "
import mmap, resource
kept = []
@per_event(outputs={'y': 'f8'})
def f(x):
    resource.setrlimit(resource.RLIMIT_DATA, resource.getrlimit(resource.RLIMIT_DATA)[1:] * 2)
    if x == 1: kept.append(bytearray(b'x') * (140 << 20))
    return len(kept)
";
    let code = code(source, "f");
    assert_eq!(bench.events(&code, &[floats(&[1.0])], 1).numbers(0), [Some(1.0)]);
    assert_eq!(bench.events(&code, &[floats(&[0.0])], 1).message(), "");
    std::thread::sleep(std::time::Duration::from_millis(1100));
    assert_eq!(bench.events(&code, &[floats(&[0.0])], 1).numbers(0), [Some(0.0)], "a fresh one");
    assert_eq!((bench.python.counts().starts, bench.python.counts().deaths), (2, 0));
}

#[test]
fn an_event_that_takes_far_too_much_is_killed() {
    let settings = Settings { memory_max: 96 << 20, ..Settings::default() };
    let Some(bench) = Bench::with(settings) else { return };
    // Past the limit that Python sets itself.
    let source = "
import resource
@per_event(outputs={'y': 'f8'})
def f(x):
    if x == 1:
        resource.setrlimit(resource.RLIMIT_DATA, resource.getrlimit(resource.RLIMIT_DATA)[1:] * 2)
        kept = bytearray(b'x') * (108 << 20)
        time.sleep(1000)
    return x
";
    let input = counting(3);
    let given = bench.events(&code(source, "f"), &[floats(&input)], 3);
    assert_eq!(given.numbers(0), without(3, &[1]), "{}", given.message());
    let told = given.message();
    assert!(told.starts_with("took ") && told.ends_with("is 96 MiB; event 1"), "{told}");
}

#[test]
fn results_beyond_the_limit_are_failures() {
    let Some(bench) = Bench::with(Settings { outbox_max: 8 << 20, ..Settings::default() }) else {
        return;
    };
    let source = "
@per_event(outputs={'y': 'f8[:]'})
def f(x): return np.full(int(x), x)
";
    let code = crate::common::typed(source, "f", &[Type::array(DType::F64, 1)]);
    let input = [1000.0, 1e7, 300_000.0, 0.0];
    let given = bench.events(&code, &[floats(&input)], 4);
    assert_eq!(given.errors.count, 1);
    assert!(given.message().contains("result too large"), "{}", given.message());
    let lengths: Vec<_> =
        given.values(0).iter().map(|v| v.as_ref().map(|v| format!("{v:?}"))).collect();
    assert!(
        lengths[0].is_some()
            && lengths[1].is_none()
            && lengths[2].is_some()
            && lengths[3].is_some()
    );
}

#[test]
fn threads_and_children_of_user_code() {
    let Some(bench) = Bench::new() else { return };
    let source = "
import subprocess, threading
threading.Thread(target=lambda: time.sleep(10000), daemon=False).start()
@per_event(outputs={'y': 'f8'})
def f(x):
    if x == 0: subprocess.Popen(['sleep', '10000'])
    if x == 1: return int(subprocess.check_output(['echo', '1']))
    return x
";
    let input = counting(3);
    let given = bench.events(&code(source, "f"), &[floats(&input)], 3);
    assert_eq!((given.message(), given.numbers(0)), ("", some(&input)));
    let begun = Instant::now();
    drop(bench);
    assert!(begun.elapsed().as_secs() < 30, "neither a thread nor a child is waited for");
}

#[test]
fn a_check_compares_splits() {
    let Some(bench) = Bench::new() else { return };
    let source = "
class Good(Reduction):
    outputs = {'n': 'f8'}
    def start(self): return {'n': 0.0}
    def absorb(self, state, x): state['n'] += x
    def finish(self, state): return state['n']
class Bad(Good):
    def merge(self, state, other): return state
";
    let input = counting(50);
    let column = floats(&input);
    let call = Call { events: 50, mask: None, columns: &[&column] };
    let report = bench.python.check(&code(source, "Good"), call, &[1, 2, 3]).unwrap();
    assert_eq!(report["ok"], true, "{report}");
    let report = bench.python.check(&code(source, "Bad"), call, &[1, 2, 3]).unwrap();
    assert_eq!(report["ok"], false, "{report}");
}

#[test]
fn a_check_names_the_event_that_ends_a_process() {
    let Some(bench) = Bench::new() else { return };
    let source = "
@per_event(outputs={'y': 'f8'})
def one(x):
    if x == 13: os._exit(4)
    return x
class Many(PerEvent):
    outputs = {'y': 'f8'}
    def batch(self, x):
        if (x == 13).any(): os._exit(4)
        return x
class Added(Reduction):
    outputs = {'y': 'f8'}
    def start(self): return {'y': 0.0}
    def absorb(self, state, x):
        if x == 13: os._exit(4)
        state['y'] += x
    def finish(self, state): return state['y']
";
    let input = counting(50);
    let column = floats(&input);
    let call = Call { events: 50, mask: None, columns: &[&column] };
    for name in ["one", "Many", "Added"] {
        let report = bench.python.check(&code(source, name), call, &[1, 2, 3]).unwrap();
        assert_eq!(report["ok"], false, "{report}");
        assert_eq!((&report["given"], &report["failed"]), (&json!(50), &json!(1)), "{report}");
        let failure = json!([13, "exited with code 4; event 13", ""]);
        assert_eq!(report["failures"], json!([failure]), "{report}");
        assert_eq!(report["split"]["ok"], true, "{report}");
    }
}

#[test]
fn switched_off_here() {
    let dir = tempfile::tempdir().unwrap();
    let python = ami_python::Python::new(Settings::default(), dir.path(), "w");
    let code = code("", "f");
    assert!(python.load(&code, &[], "").unwrap_err().contains("python.enabled"));
    let mut given = Given::new(&code);
    let call = Call { events: 3, mask: None, columns: &[] };
    python.events(&code, call, &mut given.outputs, &mut given.errors);
    assert_eq!(given.errors.count, 3);
    assert!(!dir.path().join("python").exists(), "nothing is written where nothing runs");
}
