//! The first events of a source, read in this process: the values of a few of its fields.

use crate::commands::node::inputs::Input;
use crate::failure::Failure;
use ami_graph::data::column_views::value_at;
use ami_graph::data::schema::{Held, Schema};
use ami_graph::data::value::Value;
use ami_proto::data_path::chunk::{ChunkView, ChunkWriter, HeapArena, Staging};
use ami_source::source::{Next, Source, Transition, Written};
use ami_source::{Pace, SourceSpec};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Memory for the events that are read at once; what is not written to takes nothing.
const ARENA: usize = 512 << 20;
/// Bytes of events that are read at once, and how many.
const CHUNK: usize = 16 << 20;
const CHUNK_EVENTS: usize = 256;
/// Most bytes of arrays that are kept.
const KEPT: usize = 512 << 20;
/// So long a source may have nothing before what came has to do.
const PATIENCE: Duration = Duration::from_secs(10);

/// Values of events.
#[derive(Debug, Default)]
pub struct Events {
    /// Where they are from, as people see it: input, field and type.
    pub inputs: Vec<Input>,
    /// What the source has on offer.
    pub schema: Arc<Schema>,
    /// For each input, its value in each event.
    pub values: Vec<Vec<Option<Value>>>,
    /// How many events.
    pub count: usize,
}

/// Reads at most so many events. `choose` says which fields are wanted, when they are known.
///
/// # Errors
/// When the source cannot be opened or breaks, or has no event.
pub fn read(
    url: &str,
    most: usize,
    choose: impl Fn(&Schema) -> Result<Vec<Input>, Failure>,
) -> anyhow::Result<Events> {
    let mut spec: SourceSpec = url.parse().map_err(|e: ami_source::url::UrlError| {
        Failure::usage(e.to_string(), "such as sim:pump-probe or xtc2:FILE")
    })?;
    spec.pace = Some(Pace::Max);
    let mut source = ami_source::open(&spec, 0, "check", 0)?;
    let mut reading = Reading::new();
    let mut since = Instant::now();
    while reading.events.count < most && reading.kept < KEPT {
        match source.next()? {
            Next::Event(_) => {
                reading.take(&mut *source, most)?;
                since = Instant::now();
            }
            Next::Transition(_) => {
                let Some(transition) = source.transition() else { continue };
                if transition.schema.is_some() && reading.events.count > 0 {
                    // Other fields from here on.
                    break;
                }
                reading.follow(transition, &choose)?;
            }
            Next::Pending if since.elapsed() > PATIENCE => break,
            Next::Pending => {
                std::thread::sleep(
                    source.due_in().unwrap_or_default().max(Duration::from_millis(5)),
                );
            }
            Next::End => break,
        }
    }
    if reading.events.count == 0 {
        let error = format!("source {url}: no event came");
        return Err(
            Failure::failed(error, "name another with --source, such as sim:pump-probe").into()
        );
    }
    Ok(reading.events)
}

struct Reading {
    events: Events,
    held: Held,
    staging: Staging,
    arena: HeapArena,
    /// By field: whether it is an input.
    wanted: Vec<bool>,
    kept: usize,
}

impl Reading {
    fn new() -> Reading {
        Reading {
            events: Events::default(),
            held: Held::new(),
            staging: Staging::default(),
            arena: HeapArena::new(ARENA),
            wanted: Vec::new(),
            kept: 0,
        }
    }

    fn follow(
        &mut self,
        transition: Transition,
        choose: impl Fn(&Schema) -> Result<Vec<Input>, Failure>,
    ) -> Result<(), Failure> {
        if let Some(schema) = transition.schema {
            let inputs = choose(&schema)?;
            self.wanted = vec![false; schema.fields.len()];
            for Input { field, .. } in &inputs {
                if let Some(wanted) = self.wanted.get_mut(*field) {
                    *wanted = true;
                }
            }
            self.staging = Staging::new(&schema);
            self.held.clear();
            let values = vec![Vec::new(); inputs.len()];
            self.events = Events { inputs, schema, values, count: 0 };
        }
        self.held.extend(transition.held);
        Ok(())
    }

    /// Takes the events that come next.
    fn take(&mut self, source: &mut dyn Source, most: usize) -> anyhow::Result<()> {
        let max = (most - self.events.count).min(CHUNK_EVENTS);
        let mut out = ChunkWriter::new(&mut self.staging, &mut self.arena, 0, max, CHUNK);
        let (Written::Events(written) | Written::Full(written)) =
            source.write(&mut out, u64::MAX, max)?;
        let sealed = out.seal(0, 0).ok();
        let Some(sealed) = sealed.filter(|_| written > 0) else {
            let error = format!("an event has more than {} MiB", ARENA >> 20);
            return Err(Failure::failed(error, "name another source with --source").into());
        };
        let bytes: &[u8] = bytemuck::cast_slice(&self.arena.words);
        let (arrays, index) = bytes.split_at(sealed.index as usize);
        let view = ChunkView::new(&arrays, &index[..sealed.index_len])?;
        let batch = view.batch(&self.events.schema, &self.held, &self.wanted)?;
        for (input, values) in self.events.inputs.iter().zip(&mut self.events.values) {
            for event in 0..batch.len() {
                let value =
                    batch.columns.get(input.field).and_then(|column| value_at(column, event));
                if let Some(Value::Array(array)) = &value {
                    self.kept += array.bytes().len();
                }
                values.push(value);
            }
        }
        self.events.count += batch.len();
        self.arena.head = 0;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inputs(names: &'static [&'static str]) -> impl Fn(&Schema) -> Result<Vec<Input>, Failure> {
        move |schema| {
            let input =
                |name: &&str| Input { name: (*name).into(), field: schema.find(name).unwrap() };
            Ok(names.iter().map(input).collect())
        }
    }

    #[test]
    fn events_are_read_over_transitions() {
        let names = inputs(&["pulse:raw:id", "delay_stage", "jungfrau:raw:raw"]);
        let events = read("sim:pump-probe", 60, names).unwrap();
        assert_eq!(events.count, 60);
        let number = |input: usize, event: usize| match &events.values[input][event] {
            Some(Value::Scalar(scalar)) => scalar.as_f64(),
            other => panic!("{other:?}"),
        };
        assert_eq!([number(0, 0), number(0, 59)], [1_000_000.0, 1_000_059.0]);
        // The stage moves after 24 events.
        assert_eq!([number(1, 0), number(1, 23)], [-1.0, -1.0]);
        assert!(number(1, 24) > -1.0);
        let Some(Value::Array(image)) = &events.values[2][59] else { panic!() };
        assert_eq!(image.shape(), [256, 256]);
    }

    #[test]
    fn a_source_without_events_is_told() {
        let error = read("sim:pump-probe?start=5&events=0", 5, inputs(&[])).unwrap_err();
        assert!(error.to_string().contains("events=0"), "{error}");
        let error = read("smi:pump-probe", 5, inputs(&[])).unwrap_err();
        assert!(error.to_string().contains("did you mean \"sim\""), "{error}");
    }
}
