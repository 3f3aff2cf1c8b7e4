//! What user code costs beside the code itself: `AMI_TEST_PYTHON=… cargo bench -p ami-python`.
//!
//! Each is compared with the same code on the same data in one process of Python, without ami.

#![allow(clippy::unwrap_used)]

use ami_graph::data::batch::{ArrayRef, Column, Dims};
use ami_graph::data::owned_column::{EventErrors, OwnedColumn};
use ami_graph::data::types::Type;
use ami_graph::data::value::DType;
use ami_graph::op::foreign::{Call, Foreign, UserCode};
use ami_python::{Python, Settings};
use ami_shm::{RingConfig, RingReader, RingWriter};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

const SOURCE: &str = "
import numpy as np
from ami_node import per_event, PerEvent
@per_event(outputs={'y': 'f8'})
def one(x, y): return x * x + y
class Many(PerEvent):
    outputs = {'y': 'f8'}
    def batch(self, x, y): return np.sqrt(x * x + y * y) + np.exp(-x)
class Image(PerEvent):
    outputs = {'y': 'f8'}
    def batch(self, image): return image.sum(axis=(1, 2), dtype='u8').astype('f8')
";

/// The same without ami: seconds for each, and as often as here.
const ALONE: &str = "
import time, sys
import numpy as np
n = int(sys.argv[2])
x, y = np.arange(n) / n, np.ones(n)
def one(x, y): return x * x + y
def loop(): return [one(a, b) for a, b in zip(x, y)]
def many(): return np.sqrt(x * x + y * y) + np.exp(-x)
image = np.ones((16, 1024, 1024), 'u2') if sys.argv[1] == 'image' else None
def sums(): return image.sum(axis=(1, 2), dtype='u8').astype('f8')
run = {'one': loop, 'many': many, 'image': sums}[sys.argv[1]]
best, end = 1e9, time.perf_counter() + 2
while time.perf_counter() < end:
    t = time.perf_counter(); run(); best = min(best, time.perf_counter() - t)
print(best)
";

fn interpreter() -> PathBuf {
    std::env::var_os("AMI_TEST_PYTHON").map_or("python3".into(), PathBuf::from)
}

fn alone(which: &str, events: usize) -> Duration {
    let arguments = ["-c", ALONE, which, &events.to_string()];
    let output = Command::new(interpreter()).args(arguments).env("OMP_NUM_THREADS", "1").output();
    let text = String::from_utf8(output.unwrap().stdout).unwrap();
    Duration::from_secs_f64(text.trim().parse().expect("an interpreter with numpy"))
}

fn code(name: &str) -> Arc<UserCode> {
    Arc::new(UserCode {
        file: "bench.py".into(),
        name: name.into(),
        source: SOURCE.into(),
        env: "default".into(),
        params: serde_json::Map::new(),
        timeout_ms: 60_000,
        state_bytes: 1 << 20,
        merges: false,
        outputs: vec![Type::scalar(DType::F64)],
    })
}

/// The quickest call, and processor time of an average one, here and in the process.
fn measure(
    python: &Python,
    dir: &Path,
    code: &Arc<UserCode>,
    columns: &[Column<'_>],
    events: usize,
) -> (Duration, Duration) {
    let columns: Vec<&Column<'_>> = columns.iter().collect();
    let mut outputs = [OwnedColumn::new()];
    let mut call = || {
        let mut errors = EventErrors::default();
        let call = Call { events, mask: None, columns: &columns };
        python.events(code, call, &mut outputs, &mut errors);
        assert_eq!((errors.count, errors.last), (0, None));
    };
    call();
    let (begun, busy) = (Instant::now(), processor_time(dir));
    let (mut best, mut calls) = (Duration::MAX, 0);
    while begun.elapsed() < Duration::from_secs(2) {
        let one = Instant::now();
        call();
        best = best.min(one.elapsed());
        calls += 1;
    }
    (best, (processor_time(dir) - busy) / calls)
}

/// Of this process, and of the host that was started from this directory.
fn processor_time(dir: &Path) -> Duration {
    let of = |pid: &str| {
        let text = std::fs::read_to_string(format!("/proc/{pid}/schedstat")).unwrap_or_default();
        text.split(' ')
            .next()
            .and_then(|ns| ns.parse().ok())
            .map_or(Duration::ZERO, Duration::from_nanos)
    };
    let host = |entry: std::fs::DirEntry| {
        let command = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let ours = String::from_utf8_lossy(&command).contains(&dir.display().to_string());
        if ours { of(&entry.file_name().to_string_lossy()) } else { Duration::ZERO }
    };
    of("self") + std::fs::read_dir("/proc").unwrap().flatten().map(host).sum::<Duration>()
}

fn show(what: &str, events: usize, (best, busy): (Duration, Duration), alone: Option<Duration>) {
    let ratio = alone.map_or(String::new(), |a| {
        format!("{a:>12.1?} alone, ratio {:.2}", a.as_secs_f64() / best.as_secs_f64())
    });
    println!(
        "{what:<28} {events:>6} events {best:>12.1?} a call, {busy:>10.1?} of processors {ratio}"
    );
}

fn main() {
    let dir = tempfile::tempdir().unwrap();
    let settings = Settings {
        enabled: true,
        envs: [("default".to_owned(), interpreter())].into(),
        ..Settings::default()
    };
    let python = Python::new(settings, dir.path(), "bench");
    let numbers = |n: usize| -> (Vec<f64>, Vec<f64>) {
        ((0..n).map(|i| i as f64 / n as f64).collect(), vec![1.0; n])
    };
    for (what, name, which, sizes) in [
        ("hand-over", "Many", "many", &[1][..]),
        ("scalars, event", "one", "one", &[100, 1000, 10_000][..]),
        ("scalars, batch", "Many", "many", &[1000, 10_000, 100_000][..]),
    ] {
        for &n in sizes {
            let (x, y) = numbers(n);
            let column = |x: &'static [f64]| Column::Scalars {
                dtype: DType::F64,
                data: bytemuck::cast_slice(x),
                present: None,
            };
            let (x, y) = (x.leak(), y.leak());
            let given = measure(&python, dir.path(), &code(name), &[column(x), column(y)], n);
            show(what, n, given, (n > 1).then(|| alone(which, n)));
        }
    }
    images(&python, dir.path());
}

fn images(python: &Python, dir: &Path) {
    let path = Path::new("/dev/shm").join(format!("ami-python-bench-{}", std::process::id()));
    let config = RingConfig { capacity: 64 << 20, ..RingConfig::default() };
    let mut ring = RingWriter::create(&path, 1, &config).unwrap();
    let (image, all) = (2 << 20, 32 << 20);
    let position = ring.reserve(all).unwrap();
    ring.bytes_mut(position, all).fill(1);
    ring.publish();
    let reader = RingReader::open(&path).unwrap();
    let bytes = reader.bytes(position, all).unwrap();
    let dims = Dims::new(&[1024, 1024]).unwrap();
    let items: Vec<_> = bytes.chunks(image).map(|data| Some(ArrayRef { dims, data })).collect();
    let column = [Column::Arrays { dtype: DType::U16, items }];
    let alone = alone("image", 16);
    show("1024² u16, copied", 16, measure(python, dir, &code("Image"), &column, 16), Some(alone));
    let (file, addresses) = reader.mapped();
    python.set_ring(file, addresses);
    show(
        "1024² u16, in the ring",
        16,
        measure(python, dir, &code("Image"), &column, 16),
        Some(alone),
    );
    ring.remove().unwrap();
}
