//! Nodes that read the same frames take them together, band by band, so that the frames are read
//! from memory once for all of them.

use crate::data::bands::{Band, Frames};
use crate::data::batch::Batch;
use crate::data::owned_column::EventErrors;
use crate::data::reused_lists::Few;
use crate::plan::{From, Plan};
use crate::worker::{WorkerStage, note};

/// The nodes whose only input is this field of the schema: two or more.
#[derive(Debug)]
pub struct Readers {
    field: usize,
    /// Places of steps.
    steps: Vec<usize>,
    /// Places of intakes.
    intakes: Vec<usize>,
}

/// What the batch at hand needs no more: it was taken in bands.
#[derive(Debug, Default)]
pub struct Taken {
    pub steps: Vec<bool>,
    pub intakes: Vec<bool>,
}

impl Readers {
    /// Of all fields that a plan reads more than once.
    pub fn of(plan: &Plan) -> Vec<Readers> {
        let of = |field: usize| {
            let reads = |inputs: &[From]| matches!(inputs, [From::Field(f)] if *f == field);
            let steps = (0..plan.steps.len()).filter(|&s| reads(&plan.steps[s].inputs));
            let intakes = (0..plan.intakes.len()).filter(|&i| reads(&plan.intakes[i].inputs));
            Readers { field, steps: steps.collect(), intakes: intakes.collect() }
        };
        let all = (0..plan.schema.fields.len()).map(of);
        all.filter(|readers| readers.steps.len() + readers.intakes.len() > 1).collect()
    }
}

/// Those of them that take the frames at hand together: place, and ns that it has cost.
struct Together {
    steps: Few<(usize, u64)>,
    intakes: Few<(usize, u64)>,
}

/// The time since it was last asked, ns.
struct Lap {
    clock: Option<fn() -> u64>,
    last: u64,
}

impl Lap {
    fn begin(clock: Option<fn() -> u64>) -> Lap {
        Lap { clock, last: clock.map_or(0, |now| now()) }
    }

    fn time(&mut self) -> u64 {
        let now = self.clock.map_or(0, |now| now());
        now.saturating_sub(std::mem::replace(&mut self.last, now))
    }
}

impl WorkerStage {
    /// Lets those that can take frames in bands do so, where they are two or more. What has no
    /// state yet cannot: the ordinary way starts it.
    pub(super) fn sweep(&mut self, batch: &Batch<'_>) {
        self.taken.steps.clear();
        self.taken.steps.resize(self.plan.steps.len(), false);
        self.taken.intakes.clear();
        self.taken.intakes.resize(self.plan.intakes.len(), false);
        let readers = std::mem::take(&mut self.readers);
        for readers in &readers {
            let frames = batch.columns.get(readers.field).and_then(Frames::of);
            if let Some(frames) = frames
                && let Some(together) = self.together(readers, &frames)
            {
                self.take_together(together, &frames);
            }
        }
        self.readers = readers;
    }

    fn together(&mut self, readers: &Readers, frames: &Frames<'_>) -> Option<Together> {
        let WorkerStage { plan, kernels, partial, .. } = self;
        let (dtype, axes) = (frames.dtype, frames.dims.axes());
        let step = |&step: &usize| kernels[step].as_mut()?.banded(dtype, axes).map(|_| (step, 0));
        let intake = |&intake: &usize| {
            let slot = partial.slots.get_mut(&plan.intakes[intake].key)?;
            slot.banded(dtype, axes).map(|_| (intake, 0))
        };
        let together = Together {
            steps: readers.steps.iter().filter_map(step).collect(),
            intakes: readers.intakes.iter().filter_map(intake).collect(),
        };
        (together.steps.len() + together.intakes.len() > 1).then_some(together)
    }

    fn take_together(&mut self, mut together: Together, frames: &Frames<'_>) {
        let mut lap = Lap::begin(self.clock);
        frames.each_band(|band| self.band(band, frames, &mut together, &mut lap));
        let nothing = EventErrors::default();
        for (step, cost) in together.steps {
            note(&mut self.partial, self.plan.steps[step].ordinals[0], &nothing, cost);
            self.taken.steps[step] = true;
        }
        for (intake, cost) in together.intakes {
            note(&mut self.partial, self.plan.intakes[intake].key.0, &nothing, cost);
            self.taken.intakes[intake] = true;
        }
    }

    fn band(
        &mut self,
        band: &Band<'_>,
        frames: &Frames<'_>,
        together: &mut Together,
        lap: &mut Lap,
    ) {
        let WorkerStage { plan, kernels, columns, partial, .. } = self;
        let (dtype, axes) = (frames.dtype, frames.dims.axes());
        for (place, cost) in &mut together.steps {
            let step = &plan.steps[*place];
            let outputs = &mut columns[step.first..step.first + step.outputs];
            if let Some(kernel) = kernels[*place].as_mut().and_then(|k| k.banded(dtype, axes)) {
                kernel.band(band, outputs);
            }
            *cost += lap.time();
        }
        for (place, cost) in &mut together.intakes {
            let slot = partial.slots.get_mut(&plan.intakes[*place].key);
            if let Some(state) = slot.and_then(|slot| slot.banded(dtype, axes)) {
                state.band(band, &mut []);
            }
            *cost += lap.time();
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::data::batch::{ArrayRef, Batch, Column, Dims};
    use crate::data::schema::{Field, Kind, Schema};
    use crate::data::value::{Array, DType};
    use crate::graph::spec::{GraphSet, GraphSpec};
    use crate::plan::Plan;
    use crate::plan::limits::Limits;
    use crate::worker::WorkerStage;
    use proptest::prelude::*;
    use std::sync::Arc;

    /// Nodes over frames that can take them in bands, alone and in the same order in one graph; each
    /// with what shows every event's value.
    const NODES: [&str; 5] = [
        r#""a": {"op": "mean", "in": "frame"}"#,
        r#""b": {"op": "sum", "in": "frame"}"#,
        r#""c": {"op": "project", "in": "frame"}, "c_all": {"op": "buffer", "in": "c", "n": 99}"#,
        r#""d": {"op": "project", "in": "frame", "stat": "mean"},
           "d_all": {"op": "buffer", "in": "d", "n": 99}"#,
        r#""e": {"op": "array_stat", "in": "frame", "axis": -2}, "e_mean": {"op": "mean", "in": "e"}"#,
    ];

    /// `frame`: two axes of any length.
    fn stage(nodes: &str, dtype: DType) -> WorkerStage {
        let frame = Field {
            name: "frame".into(),
            aliases: Vec::new(),
            dtype,
            rank: 2,
            shape: None,
            kind: Kind::Event,
            labels: Default::default(),
        };
        let spec = GraphSpec::parse(&format!(r#"{{"name": "g", "nodes": {{{nodes}}}}}"#)).unwrap();
        let schema = Arc::new(Schema { fields: vec![frame] });
        let plan = Plan::new(Arc::new(GraphSet::of(spec)), schema, &Limits::default());
        assert!(plan.errors().is_empty(), "{}", plan.errors()[0]);
        WorkerStage::new(Arc::new(plan))
    }

    /// Numbers of very different size, of which the largest cancel within their column: every
    /// order of adding them gives another sum.
    fn frames(dtype: DType, shapes: &[Option<[usize; 2]>], seed: u64) -> Vec<Option<Array>> {
        let mut state = seed;
        let mut random = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 32) as u32
        };
        let mut number = || (f64::from(random()) - 2e9) * f64::from(random() % 120).exp2();
        let mut array = |shape: [usize; 2]| {
            let mut array = Array::zeros(dtype, &shape);
            let mut numbers: Vec<f64> = (0..array.len()).map(|_| number()).collect();
            for i in 0..numbers.len() / shape[1] / 2 * shape[1] {
                let below = (shape[0] - 1 - i / shape[1]) * shape[1] + i % shape[1];
                numbers[below] = if i % 3 > 0 { -numbers[i] } else { numbers[below] / 1e36 };
            }
            match dtype {
                DType::F64 => array.elements_mut().unwrap().copy_from_slice(&numbers),
                DType::F32 => {
                    let elements = array.elements_mut::<f32>().unwrap().iter_mut();
                    elements.zip(&numbers).for_each(|(x, n)| *x = (n / 1e30) as f32);
                }
                _ => array
                    .bytes_mut()
                    .iter_mut()
                    .zip(&numbers)
                    .for_each(|(x, n)| *x = (n.to_bits() >> 20) as u8),
            }
            array
        };
        shapes.iter().map(|shape| shape.map(&mut array)).collect()
    }

    fn absorb(stage: &mut WorkerStage, dtype: DType, first: u64, frames: &[Option<Array>]) {
        fn item(a: &Array) -> ArrayRef<'_> {
            ArrayRef { dims: Dims::new(a.shape()).unwrap(), data: a.bytes() }
        }
        let items = frames.iter().map(|a| a.as_ref().map(item)).collect();
        let timestamps: Vec<u64> = (0..frames.len() as u64).map(|i| first + i).collect();
        let columns = vec![Column::Arrays { dtype, items }];
        stage.absorb(&Batch {
            host: 0,
            belonging: Default::default(),
            first_sequence: first,
            timestamps: &timestamps,
            columns,
        });
    }

    /// States as bytes, in the order of nodes.
    fn states(stage: &mut WorkerStage) -> Vec<Vec<u8>> {
        let slots = stage.take().slots.into_values();
        let bytes = |slot: crate::wire::slot::Slot| {
            let mut writer = crate::data::bytes::Writer::default();
            slot.encode(&mut writer);
            let mut all = writer.header;
            writer.frames.iter().for_each(|frame| all.extend(frame));
            all
        };
        slots.map(bytes).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn together_or_alone_the_bits_are_the_same(
            dtype in prop::sample::select(vec![DType::F64, DType::F32, DType::U16, DType::I8, DType::I64, DType::Bool]),
            rows in 1usize..40,
            width in prop::sample::select(vec![1usize, 3, 1000, 4000]),
            units in prop::collection::vec((0u8..12, 1usize..10), 1..4),
            seed: u64,
        ) {
            let mut alone = NODES.map(|nodes| stage(nodes, dtype));
            let mut together = stage(&NODES.join(", "), dtype);
            let mut first = 0;
            for (oddity, events) in units {
                let mut shapes = vec![Some([rows, width]); events];
                match oddity {
                    0 => shapes[events / 2] = None,
                    1 => shapes[events / 2] = Some([rows + 1, width]),
                    _ => {}
                }
                let frames = frames(dtype, &shapes, seed ^ first);
                alone.iter_mut().for_each(|stage| absorb(stage, dtype, first, &frames));
                absorb(&mut together, dtype, first, &frames);
                first += events as u64;
            }
            let alone: Vec<Vec<u8>> = alone.iter_mut().flat_map(states).collect();
            prop_assert!(states(&mut together) == alone);
        }
    }

    #[test]
    fn frames_are_taken_together_once_there_is_a_state() {
        let mut stage = stage(&NODES.join(", "), DType::U16);
        let all = frames(DType::U16, &[Some([20, 30]); 6], 1);
        absorb(&mut stage, DType::U16, 0, &all);
        assert_eq!(stage.taken.steps, [true; 3], "kernels need no state");
        assert_eq!(stage.taken.intakes[..2], [false; 2]);
        absorb(&mut stage, DType::U16, 6, &all);
        assert_eq!(
            (&stage.taken.steps[..], &stage.taken.intakes[..2]),
            (&[true; 3][..], &[true; 2][..])
        );
        let gap = frames(DType::U16, &[Some([20, 30]), None], 1);
        absorb(&mut stage, DType::U16, 12, &gap);
        assert!(!stage.taken.steps.contains(&true) && !stage.taken.intakes.contains(&true));
    }

    #[test]
    fn a_node_alone_goes_the_ordinary_way() {
        let mut stage = stage(NODES[0], DType::U16);
        let all = frames(DType::U16, &[Some([20, 30]); 6], 1);
        absorb(&mut stage, DType::U16, 0, &all);
        absorb(&mut stage, DType::U16, 6, &all);
        assert!(!stage.taken.intakes.contains(&true));
    }
}
