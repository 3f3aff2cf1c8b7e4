//! `ami-ventilator record`: writes events and transitions as they pass to a file that replays.
//!
//! It takes a lane of its own at the running ventilator and gets a copy of every unit. The ring
//! keeps a unit until it is written, so a recording has no gaps; a disk that cannot keep up slows a
//! lossless source, and is left behind by its lane's deadline when it stops altogether.

use crate::in_force;
use ami_graph::data::schema::{Held, Schema};
use ami_proto::codec;
use ami_proto::config::Config;
use ami_proto::data_path::chunk::ChunkView;
use ami_proto::data_path::to_ventilator::{Purpose, ToVentilator};
use ami_proto::data_path::transition::TransitionKind;
use ami_proto::data_path::ventilator_to_worker::{Context, Descriptor, LaneMessage};
use ami_proto::health::metrics::Metrics;
use ami_proto::process::daemon::{self, now_ns};
use ami_proto::socket::endpoint::Endpoint;
use ami_proto::socket::{self, Inlet, Queue, Socket};
use ami_shm::{LaneSlot, RingReader};
use ami_source::source::Transition;
use ami_source::url::Epoch;
use ami_source::xtc2::Xtc2Writer;
use anyhow::Context as _;
use clap::{Arg, ArgMatches, Command, value_parser};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use zmq::Message;

/// The ventilator is asked for a lane again after this time, and given up after the longer one.
const HELLO: Duration = Duration::from_millis(100);
const PATIENCE: Duration = Duration::from_secs(5);

const NO_SEAT: &str = "a unit came before the welcome";

/// The command line.
pub fn command() -> Command {
    daemon::command(
        "ami-ventilator record",
        "Writes events as they pass to an XTC2 file that replays",
    )
    .arg(Arg::new("file").required(true).value_name("FILE").value_parser(value_parser!(PathBuf)))
    .arg(
        Arg::new("seconds")
            .long("seconds")
            .value_name("S")
            .value_parser(value_parser!(f64))
            .help("Stop after this time"),
    )
    .arg(
        Arg::new("events")
            .long("events")
            .value_name("N")
            .value_parser(value_parser!(u64))
            .help("Stop after so many events"),
    )
}

/// Records until the time is over, the source ends, or a signal comes.
///
/// # Errors
/// When the file cannot be written, no ventilator answers, or events were lost.
pub fn run(matches: &ArgMatches) -> anyhow::Result<()> {
    let config = daemon::configure(matches)?;
    let path = matches.get_one::<PathBuf>("file").context("FILE is missing")?;
    daemon::survive_file_limits()?;
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT] {
        signal_hook::flag::register(signal, stop.clone())?;
    }
    let seconds = matches.get_one::<f64>("seconds").map(|s| Duration::from_secs_f64(s.max(0.0)));
    let events = matches.get_one::<u64>("events").copied().unwrap_or(u64::MAX);
    let mut recorder = Recorder::new(&config, path, events)?;
    let started = Instant::now();
    let over = |since: Instant| seconds.is_some_and(|s| since.elapsed() >= s);
    while !stop.load(Ordering::Relaxed) && !over(started) && !recorder.ended {
        anyhow::ensure!(
            recorder.seat.is_some() || started.elapsed() < PATIENCE,
            "no answer from the ventilator at {} within {} s: is it running? Name its run directory \
             with --set instance.run_dir=DIR",
            Endpoint::Ventilator.connect(&config),
            PATIENCE.as_secs()
        );
        if let Err(error) = recorder.turn() {
            // The ventilator need not wait for us.
            let _ = recorder.bye();
            return Err(error.context(format!(
                "{}: the recording ends after {} events; what was written can be replayed",
                recorder.path.display(),
                recorder.events
            )));
        }
    }
    recorder.finish()
}

struct Seat {
    epoch: u64,
    lane: u32,
    generation: u64,
    ring: RingReader,
    slot: LaneSlot,
}

struct Recorder {
    path: PathBuf,
    endpoint: PathBuf,
    intake: Inlet,
    ventilator: Socket,
    hello: Option<Instant>,
    seat: Option<Seat>,
    file: Option<File>,
    writer: Option<Xtc2Writer<BufWriter<File>>>,
    schemas: BTreeMap<u32, Arc<Schema>>,
    contexts: BTreeMap<u32, Context>,
    current: Option<u32>,
    begun: bool,
    events: u64,
    limit: u64,
    done: u64,
    ended: bool,
    frames: Vec<Message>,
}

impl Recorder {
    fn new(config: &Config, path: &Path, limit: u64) -> anyhow::Result<Recorder> {
        let file = File::create_new(path).with_context(|| {
            format!(
                "{}: a recording never overwrites: name a new file in a directory you may write",
                path.display()
            )
        })?;
        let context = socket::Context::new(config, Metrics::default());
        let endpoint =
            config.instance.run_dir.join(format!("lane-{}-{:x}", std::process::id(), now_ns()));
        let address = format!("ipc://{}", endpoint.display());
        let intake =
            socket::bind(&context, zmq::PULL, Queue::Protocol, &address, "recorder's lane")
                .with_context(|| {
                    format!("no system runs in {}", config.instance.run_dir.display())
                })?;
        let to = Endpoint::Ventilator.connect(config);
        let ventilator = socket::connect(&context, zmq::PUSH, Queue::Protocol, &to, "ventilator")?;
        Ok(Recorder {
            path: path.to_path_buf(),
            endpoint,
            intake,
            ventilator,
            hello: None,
            seat: None,
            file: Some(file),
            writer: None,
            schemas: BTreeMap::new(),
            contexts: BTreeMap::new(),
            current: None,
            begun: false,
            events: 0,
            limit,
            done: 0,
            ended: false,
            frames: Vec::new(),
        })
    }

    fn turn(&mut self) -> anyhow::Result<()> {
        if self.seat.is_none() && self.hello.is_none_or(|h| h.elapsed() >= HELLO) {
            self.hello = Some(Instant::now());
            let hello = ToVentilator::Hello {
                endpoint: format!("ipc://{}", self.endpoint.display()),
                name: format!("recorder-{}", std::process::id()),
                pid: std::process::id(),
                purpose: Purpose::Record,
            };
            socket::send(&self.ventilator, [codec::encode(&hello)])?;
        }
        let before = self.done;
        for _ in 0..64 {
            if self.ended || !self.intake.receive(&mut self.frames)? {
                break;
            }
            if let Some(header) = self.frames.first() {
                let message = codec::decode::<LaneMessage>(header)?;
                self.follow(message)?;
            }
        }
        if self.done != before {
            self.credit()?;
        }
        Ok(socket::wait([&self.intake], Duration::from_millis(50))?)
    }

    fn follow(&mut self, message: LaneMessage) -> anyhow::Result<()> {
        match message {
            LaneMessage::Welcome { epoch, lane, generation, ring, counter, .. } => {
                let ring = RingReader::open(Path::new(&ring))?;
                let slot = ring.lane(lane as usize, generation)?;
                let epoch_of_file = if counter { Epoch::Counter } else { Epoch::Unix };
                if let Some(file) = self.file.take() {
                    self.writer = Some(Xtc2Writer::with_epoch(BufWriter::new(file), epoch_of_file));
                }
                self.seat = Some(Seat { epoch, lane, generation, ring, slot });
            }
            LaneMessage::Schema(number, schema) => {
                self.schemas.insert(number, Arc::new(schema));
            }
            LaneMessage::Context(context) => {
                // The newest is what transitions from here on are about.
                self.current = Some(context.number);
                self.contexts.insert(context.number, context);
            }
            LaneMessage::Unit(unit) => self.unit(&unit)?,
            LaneMessage::Transition { kind, timestamp, set } => {
                self.transition(kind, timestamp, &set)?;
            }
            LaneMessage::End | LaneMessage::Quit => self.ended = true,
            LaneMessage::Graphs(_) | LaneMessage::Flush { .. } | LaneMessage::Replay { .. } => {}
        }
        Ok(())
    }

    fn transition(
        &mut self,
        kind: TransitionKind,
        timestamp: u64,
        set: &[u32],
    ) -> anyhow::Result<()> {
        let Some((context, schema)) = self.newest() else { return Ok(()) };
        if kind == TransitionKind::GraphUpdate {
            return Ok(());
        }
        if !self.begun {
            self.write(&in_force::before(kind, &context, &schema, timestamp))?;
        }
        let value = |field: &u32| Some((*field, context.held.get(field)?.clone()));
        self.write(&[Transition {
            kind,
            timestamp,
            schema: (kind == TransitionKind::Configure).then_some(schema),
            run: (kind == TransitionKind::BeginRun).then_some(context.conditions.run),
            step: context.conditions.step.filter(|_| kind == TransitionKind::BeginStep),
            held: set.iter().filter_map(value).collect(),
        }])
    }

    /// The newest context, which transitions are about, and its schema.
    fn newest(&self) -> Option<(Context, Arc<Schema>)> {
        let context = self.contexts.get(&self.current?)?.clone();
        let schema = self.schemas.get(&context.conditions.schema)?.clone();
        Some((context, schema))
    }

    fn write(&mut self, transitions: &[Transition]) -> anyhow::Result<()> {
        self.begun = true;
        let Some(writer) = &mut self.writer else { return Ok(()) };
        transitions.iter().try_for_each(|transition| writer.transition(transition))
    }

    fn unit(&mut self, unit: &Descriptor) -> anyhow::Result<()> {
        let Some(context) = self.contexts.get(&unit.context).cloned() else {
            anyhow::bail!("unit {} came without its context {}", unit.unit, unit.context);
        };
        self.contexts = self.contexts.split_off(&unit.context);
        let Some(schema) = self.schemas.get(&context.conditions.schema).cloned() else {
            anyhow::bail!("unit {} came without its fields", unit.unit);
        };
        if !self.begun {
            // Who joins in the middle of a run is told first what holds there.
            self.write(&in_force::in_force(&context, &schema, self.first_timestamp(unit)?))?;
        }
        let seat = self.seat.as_ref().context(NO_SEAT)?;
        let arrays = unit.arrays(|at, len| seat.bytes(at, len));
        let view = ChunkView::new(&arrays, seat.index(unit)?)?;
        let nothing = Held::new();
        let batch = view.batch(&schema, &nothing, &[])?;
        if let Some(writer) = &mut self.writer {
            for event in 0..batch.len() {
                if self.events >= self.limit {
                    self.ended = true;
                    break;
                }
                writer.event(&batch, event)?;
                self.events += 1;
            }
        }
        seat.slot.beat();
        anyhow::ensure!(
            !seat.slot.fenced() && seat.ring.still_owned(unit.start),
            "the recording fell behind and was left: {} has {} events without gaps; record to a faster disk",
            self.path.display(),
            self.events
        );
        self.done += 1;
        Ok(())
    }

    fn first_timestamp(&self, unit: &Descriptor) -> anyhow::Result<u64> {
        let seat = self.seat.as_ref().context(NO_SEAT)?;
        let arrays = unit.arrays(|at, len| seat.bytes(at, len));
        let view = ChunkView::new(&arrays, seat.index(unit)?)?;
        Ok(view.timestamps()?.first().copied().unwrap_or(0))
    }

    fn credit(&self) -> anyhow::Result<()> {
        let Some(seat) = &self.seat else { return Ok(()) };
        let credit = ToVentilator::Credit {
            epoch: seat.epoch,
            lane: seat.lane,
            generation: seat.generation,
            done: self.done,
            flushed: 0,
        };
        socket::send(&self.ventilator, [codec::encode(&credit)])?;
        Ok(())
    }

    fn bye(&self) -> anyhow::Result<()> {
        if let Some(seat) = &self.seat {
            let bye = ToVentilator::Bye {
                epoch: seat.epoch,
                lane: seat.lane,
                generation: seat.generation,
            };
            socket::send(&self.ventilator, [codec::encode(&bye)])?;
        }
        let _ = std::fs::remove_file(&self.endpoint);
        Ok(())
    }

    #[allow(clippy::print_stdout)] // the command's answer
    fn finish(self) -> anyhow::Result<()> {
        self.bye()?;
        if let Some(writer) = self.writer {
            let file =
                writer.finish()?.into_inner().map_err(std::io::IntoInnerError::into_error)?;
            file.sync_all().context("the recording could not be made durable")?;
        }
        println!("{}: {} events", self.path.display(), self.events);
        Ok(())
    }
}

impl Seat {
    fn bytes(&self, position: u64, len: usize) -> Option<&[u8]> {
        self.ring.bytes(position, len).ok()
    }

    fn index(&self, unit: &Descriptor) -> anyhow::Result<&[u8]> {
        Ok(self.ring.bytes(unit.index, unit.index_len as usize)?)
    }
}
