//! What user code prints.

use crate::common::{Bench, code, counting, floats, some};
use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tracing_subscriber::fmt::MakeWriter;

#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<u8>>>);

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Kept {
    type Writer = Kept;

    fn make_writer(&self) -> Kept {
        self.clone()
    }
}

#[test]
fn lines_are_told_with_their_code_and_a_million_do_no_harm() {
    let Some(bench) = Bench::new() else { return };
    let kept = Kept::default();
    // The only test that looks at the log, as it is the whole process's.
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(kept.clone()).finish();
    tracing::subscriber::set_global_default(subscriber).unwrap();
    let source = "
import logging
@per_event(outputs={'y': 'f8'})
def talks(x):
    if x == 0: print('printed here'); logging.warning('logged %d', 7)
    if x == 1:
        for i in range(1_000_000): print('line', i)
    if x == 2: print('z' * 100_000)
    return x
";
    let (code, input) = (code(source, "talks"), counting(3));
    let text = || String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
    // Alone, so that it is told before the limit is reached.
    let given = bench.events(&code, &[floats(&input[..1])], 1);
    assert_eq!((given.message(), given.numbers(0)), ("", some(&[0.0])));
    let begun = Instant::now();
    while !(text().contains("printed here") && text().contains("logged 7")) {
        assert!(begun.elapsed() < Duration::from_secs(60), "{}", text());
        std::thread::sleep(Duration::from_millis(20));
    }
    let given = bench.events(&code, &[floats(&input[1..])], 2);
    assert_eq!((given.message(), given.numbers(0)), ("", some(&input[1..])));
    drop(bench);
    let text = text();
    let of = |what: &str| {
        text.lines().find(|l| l.contains(what)).unwrap_or_else(|| panic!("{what} in {text}"))
    };
    assert!(
        of("printed here").contains("INFO")
            && of("printed here").contains("python default hits.py:talks:")
    );
    assert!(of("logged 7").contains("WARN"));
    assert!(text.contains("lines more left out"));
    let told = text.lines().filter(|line| line.contains("line ")).count();
    assert!(told < 100_000, "{told} lines");
    assert!(text.lines().all(|line| line.len() < 5000));
}
