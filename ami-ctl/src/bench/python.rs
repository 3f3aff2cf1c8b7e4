//! `ami-ctl bench PY`: what user code costs beside the code itself. Each case is compared with the same code on
//! the same data in one process of Python, without ami, in the same run.

use crate::bench::goal::number;
use ami_graph::data::batch::{ArrayRef, Column, Dims};
use ami_graph::data::owned_column::{EventErrors, OwnedColumn};
use ami_graph::data::types::Type;
use ami_graph::data::value::DType;
use ami_graph::op::foreign::{Call, Foreign, UserCode};
use ami_proto::config::Python as Settings;
use ami_python::{DEFAULT_ENV, Python};
use ami_shm::{RingConfig, RingReader, RingWriter};
use anyhow::{Context, ensure};
use serde_json::{Map, Value, json};
use std::fmt::Write;
use std::io::{Read, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

const SOURCE: &str = include_str!("python/code.py");
const ALONE: &str = include_str!("python/alone.py");

/// How long each is measured.
const LONG: Duration = Duration::from_secs(2);
/// Images of a call, and their side.
const IMAGES: usize = 16;
const SIDE: usize = 1024;
const IMAGE: usize = 2 * SIDE * SIDE;

/// What is measured: in words, the code, and what it is without ami.
struct Case {
    what: &'static str,
    name: &'static str,
    /// None: nothing is compared.
    alone: Option<&'static str>,
    events: usize,
    /// Least ratio.
    goal: f64,
}

const fn scalars(
    what: &'static str,
    name: &'static str,
    alone: Option<&'static str>,
    events: usize,
    goal: f64,
) -> Case {
    Case { what, name, alone, events, goal }
}

const CASES: [Case; 5] = [
    scalars("hand-over", "Nothing", None, 1, 0.0),
    scalars("scalars, `event`", "one", Some("one"), 1000, 0.5),
    scalars("scalars, `event`", "one", Some("one"), 10_000, 0.5),
    scalars("scalars, `batch`", "Many", Some("many"), 10_000, 0.8),
    scalars("scalars, `batch`", "Many", Some("many"), 100_000, 0.8),
];

/// Most processor time of a hand-over.
const HAND_OVER_US: f64 = 40.0;

/// A call as measured.
struct Measured {
    best: Duration,
    /// Processor time of an average one, here and there.
    busy: Duration,
}

/// Measures with the configuration's `default` environment.
///
/// # Errors
/// When it has no interpreter with numpy, or an event fails.
pub fn run(settings: &Settings) -> anyhow::Result<Map<String, Value>> {
    let dir = std::env::temp_dir().join(format!("ami-bench-py-{}", std::process::id()));
    std::fs::create_dir(&dir).with_context(|| dir.display().to_string())?;
    let settings = Settings { enabled: true, ..settings.clone() };
    let measured = all(&settings, &dir);
    std::fs::remove_dir_all(&dir)?;
    let cases = measured?;
    let met = cases.iter().all(|case| case["met"] == true);
    Ok(Map::from_iter([
        ("case".to_owned(), json!("PY")),
        ("cases".to_owned(), json!(cases)),
        ("met".to_owned(), json!(met)),
    ]))
}

fn all(settings: &Settings, dir: &Path) -> anyhow::Result<Vec<Value>> {
    let interpreter = settings.envs.get(DEFAULT_ENV).context("python.envs has no `default`")?;
    let python = Python::new(settings.clone(), dir, "bench");
    // As a worker has them, the data lie in a ring.
    let config = RingConfig { capacity: 128 << 20, ..RingConfig::default() };
    let mut writer = RingWriter::create(&dir.join("ring"), 1, &config)?;
    let reader = RingReader::open(&dir.join("ring"))?;
    let (file, addresses) = reader.mapped();
    python.set_ring(file, addresses);
    let mut place = |bytes: &[u8]| -> anyhow::Result<(u64, usize)> {
        let position = writer.reserve(bytes.len()).context("the ring is full")?;
        writer.bytes_mut(position, bytes.len()).copy_from_slice(bytes);
        writer.publish();
        Ok((position, bytes.len()))
    };
    let mut cases = Vec::new();
    for case in &CASES {
        let (x, y) = numbers(case.events);
        let [x, y] = [place(bytemuck::cast_slice(&x))?, place(bytemuck::cast_slice(&y))?];
        let columns = [column(reader.bytes(x.0, x.1)?), column(reader.bytes(y.0, y.1)?)];
        let here = measure(&python, dir, case.name, &columns, case.events)?;
        cases.push(match case.alone {
            None => hand_over(&here, &bare(interpreter)?),
            Some(which) => {
                let there = alone(interpreter, which, case.events)?;
                compared(case.what, case.events, &here, there, case.goal)
            }
        });
    }
    let images = place(&vec![1; IMAGES * IMAGE])?;
    cases.push(of_images(&python, dir, interpreter, reader.bytes(images.0, images.1)?)?);
    python.clear_ring();
    Ok(cases)
}

/// One event: what is left is the hand-over. Beside it the least that two processes need for it here.
fn hand_over(here: &Measured, bare: &Measured) -> Value {
    let busy = here.busy.as_secs_f64() * 1e6;
    json!({"what": "hand-over of one event", "events": 1, "call_us": us(here.best),
           "processors_us": number(busy), "bare_us": us(bare.best),
           "bare_processors_us": us(bare.busy),
           "goal": format!("≤ {HAND_OVER_US} µs of processors"), "met": busy <= HAND_OVER_US})
}

/// A packet there and back, to a process of Python that does nothing else.
fn bare(interpreter: &Path) -> anyhow::Result<Measured> {
    const ECHO: &str =
        "import socket\ns = socket.socket(fileno=0)\nwhile True: s.send(s.recv(4096))";
    let (mut here, there) = UnixStream::pair()?;
    let mut child = Command::new(interpreter)
        .args(["-c", ECHO])
        .stdin(Stdio::from(OwnedFd::from(there)))
        .stderr(Stdio::null())
        .spawn()
        .with_context(|| interpreter.display().to_string())?;
    let echoed = echoed(&mut here, child.id());
    child.kill()?;
    child.wait()?;
    echoed
}

fn echoed(stream: &mut UnixStream, pid: u32) -> anyhow::Result<Measured> {
    let mut packet = [b' '; 200];
    let mut once = || stream.write_all(&packet).and_then(|()| stream.read_exact(&mut packet));
    once()?;
    let busy = || processor_time_of("self") + processor_time_of(&pid.to_string());
    let (begun, before) = (Instant::now(), busy());
    let (mut best, mut calls) = (Duration::MAX, 0);
    while begun.elapsed() < LONG {
        let one = Instant::now();
        once()?;
        best = best.min(one.elapsed());
        calls += 1;
    }
    Ok(Measured { best, busy: (busy() - before) / calls })
}

fn us(time: Duration) -> Value {
    number(time.as_secs_f64() * 1e6)
}

fn compared(what: &str, events: usize, here: &Measured, there: Duration, goal: f64) -> Value {
    let ratio = there.as_secs_f64() / here.best.as_secs_f64();
    json!({"what": what, "events": events, "call_us": us(here.best), "processors_us": us(here.busy),
           "alone_us": us(there), "ratio": number(ratio), "goal": format!("≥ {goal}"),
           "met": ratio >= goal})
}

fn numbers(n: usize) -> (Vec<f64>, Vec<f64>) {
    ((0..n).map(|i| i as f64 / n as f64).collect(), vec![1.0; n])
}

fn column(data: &[u8]) -> Column<'_> {
    Column::Scalars { dtype: DType::F64, data, present: None }
}

fn code(name: &str) -> Arc<UserCode> {
    Arc::new(UserCode {
        file: "bench.py".into(),
        name: name.into(),
        source: SOURCE.into(),
        env: DEFAULT_ENV.into(),
        params: Map::new(),
        timeout_ms: 60_000,
        state_bytes: 1 << 20,
        merges: false,
        outputs: vec![Type::scalar(DType::F64)],
    })
}

fn measure(
    python: &Python,
    dir: &Path,
    name: &str,
    columns: &[Column<'_>],
    events: usize,
) -> anyhow::Result<Measured> {
    let (code, columns): (_, Vec<&Column<'_>>) = (code(name), columns.iter().collect());
    python.load(&code, &[], "").map_err(anyhow::Error::msg)?;
    let mut outputs = [OwnedColumn::new()];
    let mut call = || {
        let mut errors = EventErrors::default();
        let call = Call { events, mask: None, columns: &columns };
        python.events(&code, call, &mut outputs, &mut errors);
        ensure!(errors.count == 0, "{name} failed: {}", errors.last.unwrap_or_default());
        Ok(())
    };
    call()?;
    let (begun, busy) = (Instant::now(), processor_time(dir));
    let (mut best, mut calls) = (Duration::MAX, 0);
    while begun.elapsed() < LONG {
        let one = Instant::now();
        call()?;
        best = best.min(one.elapsed());
        calls += 1;
    }
    Ok(Measured { best, busy: (processor_time(dir) - busy) / calls })
}

/// Of this process, and of that which was started from this directory.
fn processor_time(dir: &Path) -> Duration {
    let of = processor_time_of;
    let theirs = |entry: std::fs::DirEntry| {
        let command = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let ours = String::from_utf8_lossy(&command).contains(&dir.display().to_string());
        if ours { of(&entry.file_name().to_string_lossy()) } else { Duration::ZERO }
    };
    let all = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    of("self") + all.map(theirs).sum::<Duration>()
}

/// Of a process.
fn processor_time_of(pid: &str) -> Duration {
    let text = std::fs::read_to_string(format!("/proc/{pid}/schedstat")).unwrap_or_default();
    let ns = text.split(' ').next().and_then(|ns| ns.parse().ok());
    Duration::from_nanos(ns.unwrap_or(0))
}

/// The quickest of the same without ami.
fn alone(interpreter: &Path, which: &str, events: usize) -> anyhow::Result<Duration> {
    let seconds = LONG.as_secs().to_string();
    let arguments = ["-c", ALONE, which, &events.to_string(), &seconds];
    let output = Command::new(interpreter)
        .args(arguments)
        .env("OMP_NUM_THREADS", "1")
        .output()
        .with_context(|| interpreter.display().to_string())?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let told = || String::from_utf8_lossy(&output.stderr).into_owned();
    Ok(Duration::from_secs_f64(text.parse().with_context(told)?))
}

fn of_images(
    python: &Python,
    dir: &Path,
    interpreter: &Path,
    bytes: &[u8],
) -> anyhow::Result<Value> {
    let dims = Dims::new(&[SIDE, SIDE]).context("two axes are possible")?;
    let items = bytes.chunks(IMAGE).map(|data| Some(ArrayRef { dims, data })).collect();
    let column = [Column::Arrays { dtype: DType::U16, items }];
    let here = measure(python, dir, "Image", &column, IMAGES)?;
    let there = alone(interpreter, "image", IMAGES)?;
    Ok(compared("1024×1024 u16, sum by `batch`", IMAGES, &here, there, 0.9))
}

/// As a table for people.
pub fn table(document: &Map<String, Value>) -> String {
    let mut text = String::from(
        "| user code | events of a call | a call | processors | alone | ratio | goal | met |\n\
         |---|---|---|---|---|---|---|---|\n",
    );
    for case in document["cases"].as_array().into_iter().flatten() {
        let shown = |key: &str, unit: &str| match &case[key] {
            Value::Null => String::new(),
            value => format!("{value}{unit}"),
        };
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} | {} | {} |",
            case["what"].as_str().unwrap_or_default(),
            case["events"],
            shown("call_us", " µs"),
            shown("processors_us", " µs"),
            match &case["bare_us"] {
                Value::Null => shown("alone_us", " µs"),
                bare => format!(
                    "a bare packet: {bare} µs, {} µs of processors",
                    case["bare_processors_us"]
                ),
            },
            shown("ratio", ""),
            case["goal"].as_str().unwrap_or_default(),
            if case["met"] == true { "yes" } else { "no" },
        );
    }
    text.trim_end().to_string()
}
