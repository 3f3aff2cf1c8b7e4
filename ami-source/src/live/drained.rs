//! For tests: everything that a source gives, one event after the other, and messages with damage.

use crate::source::{Next, Source, Transition};
use ami_graph::data::batch::Column;
use ami_graph::data::schema::Schema;
use ami_proto::data_path::chunk::{ChunkView, ChunkWriter, HeapArena, Staging};
use ami_proto::data_path::transition::TransitionKind;
use proptest::prelude::*;
use proptest::sample::Index;
use std::collections::BTreeMap;

/// An event: timestamp, and its fields with shape and bytes.
pub type Event = (u64, BTreeMap<String, (Vec<u32>, Vec<u8>)>);

/// All of a source.
#[derive(Default)]
pub struct Taken {
    pub transitions: Vec<Transition>,
    /// The newest fields.
    pub schema: Schema,
    pub events: Vec<Event>,
    pub counters: BTreeMap<&'static str, u64>,
}

impl Taken {
    pub fn kinds(&self) -> Vec<TransitionKind> {
        self.transitions.iter().map(|t| t.kind).collect()
    }
}

/// Takes all of a source that has all it will ever have.
pub fn take_all(source: &mut dyn Source) -> Taken {
    let (mut taken, mut staging) = (Taken::default(), Staging::default());
    loop {
        match source.next().unwrap() {
            Next::End => break,
            Next::Pending => panic!("all is there"),
            Next::Transition(_) => {
                let transition = source.transition().unwrap();
                if let Some(new) = &transition.schema {
                    (taken.schema, staging) = ((**new).clone(), Staging::new(new));
                }
                taken.transitions.push(transition);
            }
            Next::Event(stamp) => {
                let mut arena = HeapArena::new(4 << 20);
                let mut out = ChunkWriter::new(&mut staging, &mut arena, 0, 1, usize::MAX);
                source.write(&mut out, u64::MAX, 1).unwrap();
                let sealed = out.seal(0, 0).unwrap();
                let bytes: &[u8] = bytemuck::cast_slice(&arena.words);
                let index = &bytes[sealed.index as usize..][..sealed.index_len];
                let view = ChunkView::new(&bytes, index).unwrap();
                let held = Default::default();
                let batch = view.batch(&taken.schema, &held, &[]).unwrap();
                assert_eq!(batch.timestamps, [stamp]);
                let columns = taken.schema.fields.iter().zip(&batch.columns);
                let fields = columns.filter_map(|(f, c)| Some((f.name.clone(), value(c)?)));
                taken.events.push((stamp, fields.collect()));
            }
        }
    }
    taken.counters = source.counters().into_iter().collect();
    taken
}

fn value(column: &Column<'_>) -> Option<(Vec<u32>, Vec<u8>)> {
    match column {
        Column::Scalars { data, present, .. } => {
            present.is_none_or(|mask| mask[0] != 0).then(|| (vec![], data.to_vec()))
        }
        Column::Strings(texts) => texts[0].map(|t| (vec![], t.as_bytes().to_vec())),
        Column::Arrays { items, .. } => items[0].map(|a| (a.dims.axes().to_vec(), a.data.to_vec())),
        _ => None,
    }
}

/// What happens to one frame of one of several messages: bytes that change, and an early end.
#[derive(Debug, Clone)]
pub struct Harm {
    message: Index,
    frame: Index,
    flips: Vec<(Index, u8)>,
    cut: Option<Index>,
}

/// Any harm.
pub fn harm() -> impl Strategy<Value = Harm> {
    let flips = proptest::collection::vec((any::<Index>(), any::<u8>()), 1..6);
    let all = (any::<Index>(), any::<Index>(), flips, proptest::option::of(any::<Index>()));
    all.prop_map(|(message, frame, flips, cut)| Harm { message, frame, flips, cut })
}

impl Harm {
    /// Does it.
    pub fn to(self, mut messages: Vec<Vec<Vec<u8>>>) -> Vec<Vec<Vec<u8>>> {
        let message = self.message.index(messages.len());
        let frame = self.frame.index(messages[message].len());
        let bytes = &mut messages[message][frame];
        for (at, flip) in self.flips {
            let at = at.index(bytes.len());
            bytes[at] ^= flip;
        }
        if let Some(cut) = self.cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        messages
    }
}
