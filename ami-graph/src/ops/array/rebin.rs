//! `rebin`: blocks of an array as one element each.

use crate::data::column_views::{Number, typed};
use crate::data::owned_column::scalar_bytes;
use crate::data::types::Type;
use crate::data::value::{DType, MAX_RANK};
use crate::error::Fault;
use crate::op::checks::numbers_only;
use crate::op::doc::{Class, Form, InputDoc, OpDoc, OutputDoc, ParamDoc};
use crate::op::event_by_event::{Each, Item, Out, each};
use crate::op::kind::{OpKind, Prepared};
use crate::op::parameters::Args;
use crate::op::per_event::{Kernel, PerEvent};
use crate::ops::array::statistic::Statistic;
use crate::ops::array::strided_view::Misfit;
use crate::with_type;

const STATS: [&str; 9] = ["sum", "mean", "min", "max", "std", "var", "rms", "median", "norm"];

static DOC: OpDoc = OpDoc {
    name: "rebin",
    summary: "blocks of an array as one element each",
    text: "The array is cut into blocks of `by` elements along each axis, from its first element \
           on; what remains at the end of an axis is left out. Each block becomes its statistic, \
           with the element types of `array_stat`. In numpy, for an image whose sides divide: \
           a.reshape(h, fy, w, fx).sum(axis=(1, 3)).",
    example: r#"{"op": "rebin", "in": "image", "by": [2, 1]}"#,
    class: Class::PerEvent,
    form: Form::Fixed(&[InputDoc { name: "array", doc: "array of numbers", required: true }]),
    with: false,
    params: &[
        ParamDoc {
            name: "by",
            kind: "list of integers",
            default: "",
            unit: "pixels",
            range: "one whole number per axis, from 1",
            doc: "size of a block: [rows, columns] for images",
        },
        ParamDoc {
            name: "stat",
            kind: "word",
            default: "\"sum\"",
            unit: "",
            range: "sum mean min max std var rms median norm",
            doc: "what a block becomes",
        },
    ],
    outputs: &[OutputDoc { name: "value", doc: "of the input's axes, each shorter by its factor" }],
};

/// The op.
pub struct Rebin;

impl OpKind for Rebin {
    fn doc(&self) -> &'static OpDoc {
        &DOC
    }

    fn prepare(&self, args: &Args<'_>) -> Result<Prepared, Fault> {
        args.require("by", "one whole number per axis, as [2, 2]")?;
        let by = args.integers("by", 1..=MAX_RANK, 1..=i64::from(u32::MAX))?.unwrap_or_default();
        let by = by.into_iter().map(|n| n as usize).collect();
        let stat = Statistic::named(args.word("stat", "sum", &STATS)?).unwrap_or(Statistic::Sum);
        Ok(Prepared::per_event(Blocks { by, stat }))
    }
}

#[derive(Debug, Clone)]
struct Blocks {
    by: Vec<usize>,
    stat: Statistic,
}

impl Blocks {
    fn output(&self, input: &Type) -> Result<Type, Misfit> {
        let dtype = self.stat.result(input.dtype);
        let Some(rank) = input.rank else { return Ok(Type::array(dtype, self.by.len())) };
        self.check(rank)?;
        let Some(shape) = &input.shape else { return Ok(Type::array(dtype, rank)) };
        if let Some(axis) = (0..rank).find(|&k| self.by[k] > shape[k]) {
            let reason = format!("a block of {} on axis {axis} of {}", self.by[axis], shape[axis]);
            return Err(("by", reason));
        }
        Ok(Type::shaped(dtype, &self.shape(shape)))
    }

    fn check(&self, rank: usize) -> Result<(), Misfit> {
        match self.by.len() {
            given if given == rank => Ok(()),
            given => Err(("by", format!("{given} factors for an input of {rank} axes"))),
        }
    }

    fn shape(&self, shape: &[usize]) -> Vec<usize> {
        shape.iter().zip(&self.by).map(|(n, by)| n / by).collect()
    }

    /// Sums in float64 are exact for integers of up to 32 bits in blocks of up to 2^21.
    fn adds(&self, dtype: DType) -> bool {
        let few = self.by.iter().try_fold(1usize, |n, &by| n.checked_mul(by));
        let exact = dtype.is_float() || (dtype.size() < 8 && few.is_some_and(|n| n <= 1 << 21));
        exact && matches!(self.stat, Statistic::Sum | Statistic::Mean)
    }
}

impl PerEvent for Blocks {
    fn bind(&self, inputs: &[Type]) -> Result<(Vec<Type>, Box<dyn Kernel>), Fault> {
        numbers_only(inputs, &["array"])?;
        let output = self.output(&inputs[0]).map_err(|(parameter, reason)| {
            let hint = format!("the input is {}; give a factor per axis that fits", inputs[0]);
            Fault::of(parameter, reason, hint)
        })?;
        let work = Work { blocks: self.clone(), sums: Vec::new(), line: Vec::new() };
        Ok(each(vec![output], work))
    }
}

struct Work {
    blocks: Blocks,
    /// One row of blocks.
    sums: Vec<f64>,
    /// The elements of one block.
    line: Vec<u8>,
}

impl Each for Work {
    fn event(&mut self, inputs: &[Item<'_>], out: &mut Out<'_, '_>) -> Result<(), String> {
        let [item] = inputs else { return Ok(()) };
        let shape = item.shape();
        self.blocks.check(shape.len()).map_err(|(_, reason)| reason)?;
        let left = self.blocks.shape(shape);
        out.bytes(0, &left, |to| {
            if to.is_empty() {
                return;
            }
            if self.blocks.adds(item.dtype) {
                with_type!(item.dtype, T => self.add::<T>(item, &typed::<T>(item.data), to));
            } else {
                self.reduce(item, to);
            }
        });
        Ok(())
    }
}

impl Work {
    /// Sums and means, row by row as memory lies.
    fn add<T: Number>(&mut self, item: &Item<'_>, data: &[T], to: &mut [u8]) {
        let Blocks { by, stat } = &self.blocks;
        let result = stat.result(item.dtype);
        let (shape, last) = (item.shape(), by.len() - 1);
        let count = by.iter().product::<usize>() as f64;
        let width = shape[last] / by[last];
        for (row, to) in to.chunks_exact_mut(width * result.size()).enumerate() {
            self.sums.clear();
            self.sums.resize(width, 0.0);
            rows(&shape[..last], &by[..last], row, &mut |k| {
                let from = &data[k * shape[last]..][..width * by[last]];
                for (sum, block) in self.sums.iter_mut().zip(from.chunks_exact(by[last])) {
                    *sum += block.iter().map(|x| x.f64()).sum::<f64>();
                }
            });
            let divisor = if *stat == Statistic::Mean { count } else { 1.0 };
            for (to, sum) in to.chunks_exact_mut(result.size()).zip(&self.sums) {
                let x = sum / divisor;
                match result {
                    DType::U64 => to.copy_from_slice(&(x as u64).to_le_bytes()),
                    DType::I64 => to.copy_from_slice(&(x as i64).to_le_bytes()),
                    DType::F32 => to.copy_from_slice(&(x as f32).to_le_bytes()),
                    _ => to.copy_from_slice(&x.to_le_bytes()),
                }
            }
        }
    }

    /// Any statistic, block by block.
    fn reduce(&mut self, item: &Item<'_>, to: &mut [u8]) {
        let Blocks { by, stat } = &self.blocks;
        let (shape, last, size) = (item.shape(), by.len() - 1, item.dtype.size());
        let result = stat.result(item.dtype).size();
        let width = shape[last] / by[last];
        for (place, to) in to.chunks_exact_mut(result).enumerate() {
            let (row, column) = (place / width, place % width);
            self.line.clear();
            rows(&shape[..last], &by[..last], row, &mut |k| {
                let first = (k * shape[last] + column * by[last]) * size;
                self.line.extend_from_slice(&item.data[first..first + by[last] * size]);
            });
            // No block is empty, which is the only failure.
            if let Ok(value) = stat.of(item.dtype, &self.line, &mut self.sums) {
                to.copy_from_slice(&scalar_bytes(value)[..result]);
            }
        }
    }
}

/// The rows of the input, counted along all axes but the last, that make up a row of blocks.
fn rows(shape: &[usize], by: &[usize], row: usize, f: &mut dyn FnMut(usize)) {
    let mut corner = [0; MAX_RANK];
    let mut rest = row;
    for axis in (0..shape.len()).rev() {
        let blocks = shape[axis] / by[axis];
        corner[axis] = (rest % blocks) * by[axis];
        rest /= blocks;
    }
    inside(shape, by, &corner, 0, f);
}

fn inside(shape: &[usize], by: &[usize], corner: &[usize], above: usize, f: &mut dyn FnMut(usize)) {
    let (Some((&n, shape)), Some((&by, rest))) = (shape.split_first(), by.split_first()) else {
        return f(above);
    };
    for k in 0..by {
        inside(shape, rest, &corner[1..], above * n + corner[0] + k, f);
    }
}
