//! Series of images: their headers become Configure and a run, their images events, and what did not
//! come is counted.

use crate::brackets::{Brackets, plain};
use crate::dectris::frames::{Frame, Frames};
use crate::dectris::image::Failed;
use crate::dectris::url::{DectrisUrl, Stamps};
use crate::dectris::{Channel, Image, Nonsense, Said, Start, read};
use crate::live::{Ahead, Message, Wire};
use crate::source::Transition;
use ami_graph::data::schema::{Field, Kind, Schema};
use ami_graph::data::value::{DType, Value};
use ami_proto::data_path::chunk::{ChunkWriter, Full};
use ami_proto::data_path::transition::TransitionKind;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// Fields of every image, before its channels.
const FIELDS: [(&str, DType); 4] = [
    ("frame", DType::U64),
    ("start_time", DType::F64),
    ("stop_time", DType::F64),
    ("real_time", DType::F64),
];

/// What went wrong, and how much of it.
#[derive(Debug, Default)]
struct Counts {
    unknown_messages: u64,
    damaged_messages: u64,
    damaged_images: u64,
    unsupported_arrays: u64,
    tables_left_out: u64,
    missing_frames: u64,
    late_frames: u64,
    repeated_frames: u64,
    images_after_end: u64,
    series: u64,
    series_without_header: u64,
    repeated_headers: u64,
    reconfigured: u64,
}

/// The series that is open.
#[derive(Debug)]
struct Open {
    series: u64,
    frames: Frames,
    /// Its header came.
    header: bool,
    /// What its header says, until it is known what images are.
    held: Option<Vec<(String, Value)>>,
    /// Endpoints that said that it has ended.
    ends: usize,
    /// The detector's zero in ns since 1970, where only its own clock is known.
    zero_ns: Option<u64>,
    newest_ns: u64,
}

/// An image that waits to be written, with the field of each of its planes.
#[derive(Debug)]
pub struct ImageEvent {
    message: Message,
    image: Image,
    fields: Vec<usize>,
}

/// The protocol of both versions.
#[derive(Debug)]
pub struct Series {
    url: DectrisUrl,
    open: Option<Open>,
    /// The series that ended last.
    ended: Option<u64>,
    /// Channels of the schema in force.
    channels: Vec<Channel>,
    brackets: Brackets,
    counts: Counts,
}

type Queue = VecDeque<Ahead<ImageEvent>>;

impl Series {
    /// Before the first message.
    pub fn new(url: DectrisUrl) -> Series {
        Series {
            url,
            open: None,
            ended: None,
            channels: Vec::new(),
            brackets: Brackets::default(),
            counts: Counts::default(),
        }
    }

    fn push(&mut self, transition: Transition, ahead: &mut Queue) {
        self.brackets.on(transition.kind);
        ahead.push_back(Ahead::Transition(transition));
    }

    /// Closes what is open of the transitions.
    fn close_brackets(&mut self, at_ns: u64, ahead: &mut Queue) {
        for transition in self.brackets.closing(at_ns) {
            self.push(transition, ahead);
        }
    }

    fn close(&mut self, ahead: &mut Queue) {
        if let Some(open) = self.open.take() {
            self.counts.missing_frames += open.frames.missing();
            self.ended = Some(open.series);
            self.close_brackets(open.newest_ns, ahead);
        }
    }

    fn on_start(&mut self, start: Start, at_ns: u64, ahead: &mut Queue) {
        self.counts.tables_left_out += start.left_out;
        let at_ns = start.at_ns.filter(|_| self.url.stamps == Stamps::Detector).unwrap_or(at_ns);
        match &mut self.open {
            Some(open) if open.series == start.series && open.header => {
                self.counts.repeated_headers += 1;
                return;
            }
            // Images came first, by another endpoint.
            Some(open) if open.series == start.series => {
                (open.header, open.held) = (true, Some(start.held));
            }
            _ => {
                self.close(ahead);
                self.begin(start.series, true, at_ns);
                if let Some(open) = &mut self.open {
                    open.held = Some(start.held);
                }
            }
        }
        if !start.channels.is_empty() {
            self.configure(start.channels, at_ns, ahead);
        }
    }

    fn begin(&mut self, series: u64, header: bool, at_ns: u64) {
        self.counts.series += 1;
        self.counts.series_without_header += u64::from(!header);
        let frames = if header { Frames::from_the_beginning() } else { Frames::default() };
        self.open = Some(Open {
            series,
            frames,
            header,
            held: None,
            ends: 0,
            zero_ns: None,
            newest_ns: at_ns,
        });
    }

    /// The fields of images from here on; with it a run begins.
    fn configure(&mut self, channels: Vec<Channel>, at_ns: u64, ahead: &mut Queue) {
        let Some(open) = &mut self.open else { return };
        let run = u32::try_from(open.series).ok();
        let values = open.held.take().unwrap_or_default();
        let schema = schema(&self.url.name, &channels, &values);
        let first = FIELDS.len() + channels.len();
        let held = (first as u32..).zip(values).map(|(at, (_, value))| (at, value)).collect();
        self.channels = channels;
        self.close_brackets(at_ns, ahead);
        let configure = plain(TransitionKind::Configure, at_ns);
        self.push(Transition { schema: Some(Arc::new(schema)), held, ..configure }, ahead);
        self.push(Transition { run, ..plain(TransitionKind::BeginRun, at_ns) }, ahead);
        self.push(plain(TransitionKind::Enable, at_ns), ahead);
    }

    fn on_image(&mut self, image: Image, message: Message, ahead: &mut Queue) {
        self.counts.unsupported_arrays += image.unsupported;
        if self.open.as_ref().is_none_or(|open| open.series != image.series) {
            if self.open.is_none() && self.ended == Some(image.series) {
                self.counts.images_after_end += 1;
                return;
            }
            self.close(ahead);
            self.begin(image.series, false, message.at_ns);
        }
        let Some(open) = &mut self.open else { return };
        match open.frames.on(image.frame) {
            Frame::New => {}
            Frame::Late => self.counts.late_frames += 1,
            Frame::Repeated => self.counts.repeated_frames += 1,
        }
        let stamp = open.stamp(&image, message.at_ns, self.url.stamps);
        open.newest_ns = open.newest_ns.max(stamp);
        if let Some(channels) = self.misfits(&image) {
            self.counts.reconfigured += u64::from(self.brackets.in_run());
            self.configure(channels, stamp, ahead);
        }
        let field = |name: &str| self.channels.iter().position(|c| c.name == name);
        let fields = image.planes.iter().map(|plane| field(&plane.channel));
        let fields = fields.map(|at| FIELDS.len() + at.unwrap_or(usize::MAX / 2)).collect();
        ahead.push_back(Ahead::Event(stamp, ImageEvent { message, image, fields }));
    }

    /// The channels there have to be, when an image does not fit those there are.
    fn misfits(&self, image: &Image) -> Option<Vec<Channel>> {
        let configured = self.brackets.in_run();
        let mut channels = if configured { self.channels.clone() } else { Vec::new() };
        let mut changed = !configured;
        for plane in &image.planes {
            let (dtype, rank) = (plane.dtype, plane.shape.len());
            let new = || Channel {
                name: plane.channel.clone(),
                dtype,
                shape: Some(plane.shape.clone()),
                rank,
            };
            match channels.iter_mut().find(|c| c.name == plane.channel) {
                None => channels.push(new()),
                Some(c) if (c.dtype, c.rank) != (dtype, rank) => *c = new(),
                Some(c) if c.shape.as_ref().is_some_and(|s| *s != plane.shape) => *c = new(),
                Some(_) => continue,
            }
            changed = true;
        }
        changed.then_some(channels)
    }

    fn on_end(&mut self, series: u64, ahead: &mut Queue) {
        let Some(open) = self.open.as_mut().filter(|open| open.series == series) else { return };
        open.ends += 1;
        if open.ends >= self.url.addresses.len() {
            self.close(ahead);
        }
    }
}

impl Open {
    fn stamp(&mut self, image: &Image, at_ns: u64, stamps: Stamps) -> u64 {
        let Some(start) = image.start_ns.filter(|_| stamps == Stamps::Detector) else {
            return at_ns;
        };
        // Without a date the detector's clock begins when the first image comes.
        let from_zero = || *self.zero_ns.get_or_insert(at_ns.saturating_sub(start));
        image.date_ns.unwrap_or_else(from_zero).saturating_add(start)
    }
}

fn schema(detector: &str, channels: &[Channel], held: &[(String, Value)]) -> Schema {
    let field = |name: String, dtype, rank, shape, kind| Field {
        name,
        aliases: Vec::new(),
        dtype,
        rank,
        shape,
        kind,
        labels: BTreeMap::new(),
    };
    let mut fields: Vec<Field> = FIELDS
        .iter()
        .map(|(name, dtype)| {
            field(format!("{detector}:raw:{name}"), *dtype, 0, Some(vec![]), Kind::Event)
        })
        .collect();
    for (at, c) in channels.iter().enumerate() {
        let name = format!("{detector}:raw:{}", c.name);
        let mut field = field(name, c.dtype, c.rank, c.shape.clone(), Kind::Event);
        if at == 0 && c.name != "image" {
            field.aliases.push(format!("{detector}:raw:image"));
        }
        fields.push(field);
    }
    for (name, value) in held {
        let shape = match value {
            Value::Array(array) => array.shape().to_vec(),
            Value::Scalar(_) | Value::Str(_) => Vec::new(),
        };
        let name = format!("{detector}:config:{name}");
        fields.push(field(name, value.dtype(), shape.len(), Some(shape), Kind::Held));
    }
    Schema { fields }
}

impl Wire for Series {
    type Event = ImageEvent;

    fn on(&mut self, message: Message, ahead: &mut Queue) {
        match read(&message, self.url.tables_bytes) {
            Ok(Said::Start(start)) => self.on_start(start, message.at_ns, ahead),
            Ok(Said::Image(image)) => self.on_image(image, message, ahead),
            Ok(Said::End(series)) => self.on_end(series, ahead),
            Err(Nonsense::Unknown) => self.counts.unknown_messages += 1,
            Err(Nonsense::Damaged) => self.counts.damaged_messages += 1,
        }
    }

    fn write(
        &mut self,
        event: &mut ImageEvent,
        stamp: u64,
        out: &mut ChunkWriter<'_>,
    ) -> Result<(), Full> {
        let ImageEvent { message, image, fields } = event;
        let seconds = [image.start_ns, image.stop_ns, image.real_ns];
        'again: loop {
            out.scalar(0, image.frame);
            for (field, ns) in (1..).zip(seconds) {
                if let Some(ns) = ns {
                    out.scalar(field, ns as f64 / 1e9);
                }
            }
            for (plane, &field) in image.planes.iter_mut().zip(&*fields) {
                if plane.damaged {
                    continue;
                }
                match plane.write(message, field, out) {
                    Ok(()) => {}
                    Err(Failed::Full) => return Err(Full),
                    Err(Failed::Damaged(reason)) => {
                        tracing::debug!(frame = image.frame, %reason, "an image is damaged");
                        self.counts.damaged_images += 1;
                        plane.damaged = true;
                        // What is half written goes; the rest of the event stands.
                        out.cancel();
                        out.event(stamp);
                        continue 'again;
                    }
                }
            }
            return Ok(());
        }
    }

    fn counters(&self) -> Vec<(&'static str, u64)> {
        let c = &self.counts;
        let missing = self.open.as_ref().map_or(0, |open| open.frames.missing());
        vec![
            ("unknown_messages", c.unknown_messages),
            ("damaged_messages", c.damaged_messages),
            ("damaged_images", c.damaged_images),
            ("unsupported_arrays", c.unsupported_arrays),
            ("tables_left_out", c.tables_left_out),
            ("missing_frames", c.missing_frames + missing),
            ("late_frames", c.late_frames),
            ("repeated_frames", c.repeated_frames),
            ("images_after_end", c.images_after_end),
            ("series", c.series),
            ("series_without_header", c.series_without_header),
            ("repeated_headers", c.repeated_headers),
            ("reconfigured", c.reconfigured),
        ]
    }
}
