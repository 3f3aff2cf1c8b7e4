//! Messages become events, and senders that ask get an answer once theirs was taken.

use crate::brackets::{Brackets, plain};
use crate::live::fields::{Fields, converted, write_scalar};
use crate::live::{Ahead, Message, Replies, Wire};
use crate::source::Transition;
use crate::zmq::read::{Mistake, Said, Val, read};
use crate::zmq::url::{Pattern, ZmqUrl};
use ami_graph::data::value::DType;
use ami_proto::data_path::chunk::{ChunkWriter, Full};
use ami_proto::data_path::transition::TransitionKind;
use serde_json::{Value as Json, json};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

/// Topics whose sequence is remembered.
const TOPICS: usize = 4096;

/// An event as it came.
#[derive(Debug)]
pub struct MessageEvent {
    message: Message,
    values: Vec<(usize, Val)>,
    id: Option<Json>,
}

#[derive(Debug, Default)]
struct Counts {
    damaged_messages: u64,
    values_left_out: u64,
    repeats: u64,
    markers: u64,
    answers: u64,
    reconfigured: u64,
}

/// The protocol.
#[derive(Debug)]
pub struct Events {
    url: ZmqUrl,
    replies: Option<Replies>,
    fields: Fields,
    /// The newest sequence number by topic: what is subscribed to anew comes again.
    seen: HashMap<String, u64>,
    run: Option<u32>,
    brackets: Brackets,
    counts: Counts,
}

type Queue = VecDeque<Ahead<MessageEvent>>;

impl Events {
    /// Before the first message. Answers go to `replies`, where there are any.
    pub fn new(url: ZmqUrl, replies: Option<Replies>) -> Events {
        Events {
            url,
            replies,
            fields: Fields::new(&[]),
            seen: HashMap::new(),
            run: None,
            brackets: Brackets::default(),
            counts: Counts::default(),
        }
    }

    /// Frames before the message itself: who sent it, and what a REQ socket puts between.
    fn envelope(&self, message: &Message) -> usize {
        match self.url.pattern {
            Pattern::Rep => 1 + usize::from(message.frame(1).is_empty()),
            Pattern::Pull | Pattern::Sub => 0,
        }
    }

    fn answer(&mut self, message: &Message, mut answer: Json, id: Option<Json>) {
        let Some(replies) = &self.replies else { return };
        if let Some(id) = id {
            answer["id"] = id;
        }
        let envelope = self.envelope(message);
        let frames = message.frames.iter().take(envelope).map(|f| zmq::Message::from(&f[..]));
        let body = zmq::Message::from(answer.to_string().as_bytes());
        replies.send(message.from, frames.chain([body]).collect());
        self.counts.answers += 1;
    }

    fn begin(&mut self, said: &Said, stamp: u64, ahead: &mut Queue) {
        let begun = self.brackets.in_run();
        if let Some(schema) = self.fields.news() {
            let configure = plain(TransitionKind::Configure, stamp);
            let schema = Some(Arc::new(schema));
            ahead.push_back(Ahead::Transition(Transition { schema, ..configure }));
            self.counts.reconfigured += u64::from(begun);
        }
        if begun && (said.run.is_none() || said.run == self.run) {
            return;
        }
        for transition in self.brackets.closing(stamp) {
            self.push(transition, ahead);
        }
        self.run = said.run.or(self.run);
        let run = said.run;
        self.push(Transition { run, ..plain(TransitionKind::BeginRun, stamp) }, ahead);
        self.push(plain(TransitionKind::Enable, stamp), ahead);
    }

    fn push(&mut self, transition: Transition, ahead: &mut Queue) {
        self.brackets.on(transition.kind);
        ahead.push_back(Ahead::Transition(transition));
    }

    /// True of what had come before.
    fn repeated(&mut self, said: &Said) -> bool {
        let (Some(topic), Some(seq)) = (&said.topic, said.seq) else { return false };
        if let Some(seen) = self.seen.get_mut(topic) {
            // A lower number is a new beginning.
            return std::mem::replace(seen, seq) == seq;
        }
        if self.seen.len() < TOPICS {
            self.seen.insert(topic.clone(), seq);
        }
        false
    }

    /// The message with the fields of its values; what has no field is left out.
    fn with_fields(&mut self, said: Said, message: Message) -> MessageEvent {
        self.counts.values_left_out += said.left_out;
        let mut values = Vec::with_capacity(said.values.len());
        for (name, value) in said.values {
            let (dtype, shape): (_, &[usize]) = match &value {
                Val::Scalar(scalar) => (scalar.dtype(), &[]),
                Val::Text(_) => (DType::Str, &[]),
                Val::Array { dtype, shape, .. } => (*dtype, shape),
            };
            if let Some(field) = self.fields.fit(&name, dtype, shape) {
                values.push((field, value));
            }
        }
        // A name that comes twice in one message may have changed its own type.
        values.retain(|(field, value)| match value {
            Val::Array { dtype, .. } => self.fields.dtype(*field) == Some(*dtype),
            Val::Scalar(_) | Val::Text(_) => true,
        });
        MessageEvent { message, values, id: said.id }
    }
}

impl Wire for Events {
    type Event = MessageEvent;

    fn on(&mut self, message: Message, ahead: &mut Queue) {
        let said = match read(&message, self.envelope(&message), &self.url.name) {
            Ok(said) => said,
            Err(Mistake(error)) => {
                self.counts.damaged_messages += 1;
                let hint = "send [header as JSON, buffers…]; see docs/sources/zmq.md";
                return self.answer(&message, json!({"error": error, "hint": hint}), None);
            }
        };
        if said.marker {
            self.counts.markers += 1;
            return self.answer(&message, json!({"ok": true}), said.id);
        }
        if self.repeated(&said) {
            self.counts.repeats += 1;
            return self.answer(&message, json!({"ok": true, "repeat": true}), said.id);
        }
        let stamp = said.timestamp_ns.unwrap_or(message.at_ns);
        let (run, topic) = (said.run, said.topic.clone());
        let event = self.with_fields(said, message);
        self.begin(&Said { run, topic, ..Said::default() }, stamp, ahead);
        ahead.push_back(Ahead::Event(stamp, event));
    }

    fn write(
        &mut self,
        event: &mut MessageEvent,
        _: u64,
        out: &mut ChunkWriter<'_>,
    ) -> Result<(), Full> {
        for (field, value) in &event.values {
            match value {
                Val::Scalar(scalar) => {
                    let wanted = self.fields.dtype(*field).unwrap_or(scalar.dtype());
                    if let Some(scalar) = converted(*scalar, wanted) {
                        write_scalar(*field, scalar, out);
                    }
                }
                Val::Text(text) => out.text(*field, text),
                Val::Array { shape, frame, .. } => {
                    out.array_from(*field, shape, event.message.frame(*frame))?;
                }
            }
        }
        Ok(())
    }

    fn taken(&mut self, event: MessageEvent, written: bool) {
        if self.replies.is_some() {
            let answer = match written {
                true => json!({"ok": true}),
                false => json!({"ok": true, "dropped": true}),
            };
            self.answer(&event.message, answer, event.id);
        }
    }

    fn counters(&self) -> Vec<(&'static str, u64)> {
        let c = &self.counts;
        vec![
            ("damaged_messages", c.damaged_messages),
            ("values_left_out", c.values_left_out + self.fields.misfits),
            ("repeats", c.repeats),
            ("markers", c.markers),
            ("answers", c.answers),
            ("reconfigured", c.reconfigured),
        ]
    }
}
