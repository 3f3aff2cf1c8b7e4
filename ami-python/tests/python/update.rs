//! Code over published values.

use crate::common::{Bench, code, floats, plain};
use ami_graph::data::column_views::value_at;
use ami_graph::data::frame::Frame;
use ami_graph::data::owned_column::OwnedColumn;
use ami_graph::data::types::Type;
use ami_graph::data::value::{DType, Value};
use ami_graph::op::foreign::{Call, Foreign, UserCode};
use std::sync::Arc;
use std::time::{Duration, Instant};

fn update(
    bench: &Bench,
    code: &Arc<UserCode>,
    heartbeat: u64,
    x: f64,
) -> Result<Option<Value>, String> {
    let (values, frame) = ([x], Frame { heartbeat, ..Frame::default() });
    let column = floats(&values);
    let call = Call { events: 1, mask: None, columns: &[&column] };
    let mut outputs = [OwnedColumn::new()];
    bench.python.update(code, &frame, call, &mut outputs)?;
    Ok(value_at(&outputs[0].view(), 0))
}

fn wait_for<T>(mut what: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = what() {
            return found;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "it does not come");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_slow_script_keeps_nobody_waiting_and_gets_the_newest() {
    let Some(bench) = Bench::new() else { return };
    let go = bench.dir.path().join("go");
    let source = format!(
        "
class Report(Root):
    outputs = {{'y': 'f8'}}
    def update(self, frame, x):
        while not os.path.exists({go:?}): time.sleep(0.01)
        return 1000 * frame['heartbeat'] + x
"
    );
    let code = code(&source, "Report");
    bench.python.load(&code, &[], "").unwrap();
    for heartbeat in 0..50 {
        assert_eq!(update(&bench, &code, heartbeat, 1.0), Ok(None));
    }
    assert_eq!(bench.python.heartbeat_of(&code), None);
    std::fs::write(&go, "").unwrap();
    let seen = wait_for(|| bench.python.heartbeat_of(&code).filter(|&heartbeat| heartbeat >= 49));
    let Ok(Some(Value::Scalar(value))) = update(&bench, &code, 60, 1.0) else { panic!() };
    assert_eq!((seen, value.as_f64()), (49, 49_001.0));
    assert!(bench.python.counts().calls < 20, "not every heartbeat");
}

#[test]
fn what_raises_hangs_or_dies_is_told_and_goes_on() {
    let Some(bench) = Bench::new() else { return };
    let source = "
class Report(Root):
    outputs = {'y': 'f8'}
    def update(self, frame, x):
        if x == 1: raise ValueError('one')
        if x == 2: os._exit(3)
        while x == 3: pass
        return x
";
    let mut code = plain(source, "Report", &[Type::scalar(DType::F64)]);
    code.timeout_ms = 3000;
    let code = Arc::new(code);
    let mut heartbeat = 0;
    for (x, told) in [
        (1.0, Some("ValueError: one (hits.py:8)")),
        (2.0, Some("exited with code 3")),
        (3.0, Some("took longer than 3000 ms")),
        (4.0, None),
    ] {
        heartbeat += 1;
        let _ = update(&bench, &code, heartbeat, x);
        wait_for(|| bench.python.heartbeat_of(&code).filter(|&seen| seen >= heartbeat));
        let result = update(&bench, &code, heartbeat, 4.0);
        assert_eq!(result.as_ref().err().map(String::as_str), told, "{x}");
        wait_for(|| (bench.python.heartbeat_of(&code)? >= heartbeat).then_some(()));
        heartbeat += 1;
        let _ = update(&bench, &code, heartbeat, 4.0);
        wait_for(|| bench.python.heartbeat_of(&code).filter(|&seen| seen >= heartbeat));
    }
}

#[test]
fn not_more_often_than_it_says_and_its_end_waits_for_nothing() {
    let Some(bench) = Bench::new() else { return };
    let source = "
class Report(Root):
    outputs = {'y': 'f8'}
    every = 1000.0
    def update(self, frame, x):
        if x == 2: time.sleep(10000)
        return x
";
    let often = code(source, "Report");
    let _ = update(&bench, &often, 1, 1.0);
    wait_for(|| bench.python.heartbeat_of(&often));
    for heartbeat in 2..20 {
        update(&bench, &often, heartbeat, 1.0).unwrap();
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(bench.python.heartbeat_of(&often), Some(1));
    let stuck = code(&source.replace("1000.0", "None"), "Report");
    let _ = update(&bench, &stuck, 1, 2.0);
    std::thread::sleep(Duration::from_millis(300));
    let begun = Instant::now();
    drop(bench);
    assert!(begun.elapsed() < Duration::from_secs(30));
}
