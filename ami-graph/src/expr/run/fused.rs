//! Groups of elementwise operations, run block by block so that what passes between them stays
//! in the processor's cache.
//!
//! The blocks go along the events when every operand is one scalar per event, and along the
//! elements of the result within one event otherwise; the loops are the same.

use crate::data::owned_column::scalar_of;
use crate::data::value::{DType, MAX_RANK, Scalar};
use crate::expr::arithmetic::kernel::{Operand, apply};
use crate::expr::arithmetic::operation::Op;
use crate::expr::arithmetic::promote::signed;
use crate::expr::arithmetic::shape::{Failure, Shape};
use crate::expr::run::slots::Source;
use crate::expr::run::slots::Values;

/// Elements of a block: three blocks of f64 fit into the first-level cache.
const BLOCK: usize = 1024;

/// Where a step finds an operand.
#[derive(Debug, Clone, Copy)]
pub(in crate::expr) enum Arg {
    Leaf(usize),
    Register(usize, DType),
    Const(Scalar),
}

/// One operation.
#[derive(Debug, Clone, Copy)]
pub(in crate::expr) struct Step {
    op: Op,
    of: DType,
    result: DType,
    args: [Arg; 3],
    count: usize,
    /// None for the last step: it writes the group's result.
    pub register: Option<usize>,
}

impl Step {
    /// Without operands yet.
    pub fn new(op: Op, of: DType, result: DType) -> Step {
        let none = Arg::Const(Scalar::Bool(false));
        Step { op, of, result, args: [none; 3], count: 0, register: None }
    }

    /// Adds an operand.
    pub fn push(&mut self, arg: Arg) {
        self.args[self.count] = arg;
        self.count += 1;
    }

    /// True when there are operands it fails on.
    fn fallible(&self) -> bool {
        // A constant exponent was found not to be negative when the expression was checked.
        self.op == Op::Pow && signed(self.of) && !matches!(self.args[1], Arg::Const(_))
    }
}

/// How a leaf is read in one run.
#[derive(Debug, Clone, Copy)]
enum Access {
    /// Element by element, in the order of the result.
    Each,
    One(Scalar),
    /// Broadcast: with these steps along the axes of the result.
    Strided([usize; MAX_RANK]),
}

/// A value from outside the group.
#[derive(Debug, Clone)]
struct Leaf {
    source: Source,
    dtype: DType,
    access: Access,
    /// A block gathered by broadcasting.
    gathered: Vec<u64>,
}

/// A group.
#[derive(Debug, Clone)]
pub(in crate::expr) struct Fused {
    pub steps: Vec<Step>,
    pub dtype: DType,
    leaves: Vec<Leaf>,
    registers: Vec<Vec<u64>>,
}

impl Fused {
    /// An empty group with results of this type.
    pub fn new(dtype: DType) -> Fused {
        Fused { steps: Vec::new(), dtype, leaves: Vec::new(), registers: Vec::new() }
    }

    /// Adds a value from outside.
    pub fn add_leaf(&mut self, source: Source, dtype: DType) -> usize {
        self.leaves.push(Leaf { source, dtype, access: Access::Each, gathered: Vec::new() });
        self.leaves.len() - 1
    }

    /// Adds a register.
    pub fn grow(&mut self) -> Option<usize> {
        self.registers.push(vec![0; BLOCK]);
        Some(self.registers.len() - 1)
    }

    /// True when a run may fail after [`shape`](Self::shape) has not.
    pub fn fallible(&self) -> bool {
        self.steps.iter().any(Step::fallible)
    }

    /// The shape of the result.
    pub fn shape(&self, values: &Values<'_>) -> Result<Shape, Failure> {
        let mut leaves = self.leaves.iter().map(|leaf| values.shape(leaf.source));
        let first = leaves.next().copied().unwrap_or(Shape::SCALAR);
        leaves.try_fold(first, |whole, shape| whole.broadcast(shape))
    }

    /// Computes all elements of a result of this shape.
    pub fn run(
        &mut self,
        values: &Values<'_>,
        shape: &Shape,
        out: &mut [u8],
    ) -> Result<(), Failure> {
        for leaf in &mut self.leaves {
            let own = values.shape(leaf.source);
            leaf.access = if own == shape {
                Access::Each
            } else if own.count() == 1 {
                Access::One(scalar_of(leaf.dtype, &values.data(leaf.source)[..leaf.dtype.size()]))
            } else {
                Access::Strided(own.strides_in(shape))
            };
        }
        let size = self.dtype.size();
        for (number, block) in out.chunks_mut(BLOCK * size).enumerate() {
            self.block(values, shape, number * BLOCK, block)?;
        }
        Ok(())
    }

    fn block(
        &mut self,
        values: &Values<'_>,
        shape: &Shape,
        start: usize,
        out: &mut [u8],
    ) -> Result<(), Failure> {
        let count = out.len() / self.dtype.size();
        for leaf in &mut self.leaves {
            if let Access::Strided(steps) = leaf.access {
                leaf.gathered.resize(BLOCK, 0);
                let size = leaf.dtype.size();
                let to = &mut bytemuck::cast_slice_mut(&mut leaf.gathered)[..count * size];
                gather(values.data(leaf.source), size, (shape, &steps, start), to);
            }
        }
        for number in 0..self.steps.len() {
            let step = self.steps[number];
            // Taken out while it is written, as the operands borrow the others; `fuse` sees to it
            // that no step reads the register it writes.
            let mut register = step.register.map(|r| std::mem::take(&mut self.registers[r]));
            let mut operands = [Operand::One(Scalar::Bool(false)); 3];
            for (operand, arg) in operands.iter_mut().zip(&step.args[..step.count]) {
                *operand = self.operand(*arg, values, start, count);
            }
            let operands = &operands[..step.count];
            let negative = step.fallible() && has_negative(step.of, operands[1]);
            match &mut register {
                _ if negative => {}
                None => apply(step.op, step.of, operands, out),
                Some(words) => {
                    let bytes = count * step.result.size();
                    let to = &mut bytemuck::cast_slice_mut(words)[..bytes];
                    apply(step.op, step.of, operands, to);
                }
            }
            if let (Some(place), Some(words)) = (step.register, register) {
                self.registers[place] = words;
            }
            if negative {
                return Err(Failure::NegativePower);
            }
        }
        Ok(())
    }

    fn operand<'a>(
        &'a self,
        arg: Arg,
        values: &Values<'a>,
        start: usize,
        count: usize,
    ) -> Operand<'a> {
        match arg {
            Arg::Const(scalar) => Operand::One(scalar),
            Arg::Register(register, dtype) => {
                let bytes = bytemuck::cast_slice(&self.registers[register]);
                Operand::Each(&bytes[..count * dtype.size()])
            }
            Arg::Leaf(leaf) => {
                let leaf = &self.leaves[leaf];
                let size = leaf.dtype.size();
                match leaf.access {
                    Access::One(scalar) => Operand::One(scalar),
                    Access::Each => Operand::Each(
                        &values.data(leaf.source)[start * size..(start + count) * size],
                    ),
                    Access::Strided(_) => {
                        Operand::Each(&bytemuck::cast_slice(&leaf.gathered)[..count * size])
                    }
                }
            }
        }
    }
}

/// True when an exponent of this signed type has negative elements.
fn has_negative(of: DType, exponent: Operand<'_>) -> bool {
    let bytes = match exponent {
        Operand::One(scalar) => return scalar.as_f64() < 0.0,
        Operand::Each(bytes) => bytes,
    };
    match of {
        DType::I8 => bytemuck::cast_slice::<u8, i8>(bytes).iter().any(|v| *v < 0),
        DType::I16 => bytemuck::cast_slice::<u8, i16>(bytes).iter().any(|v| *v < 0),
        DType::I32 => bytemuck::cast_slice::<u8, i32>(bytes).iter().any(|v| *v < 0),
        _ => bytemuck::cast_slice::<u8, i64>(bytes).iter().any(|v| *v < 0),
    }
}

/// Reads a block of a broadcast value: runs along the last axis, row after row.
fn gather(data: &[u8], size: usize, place: (&Shape, &[usize; MAX_RANK], usize), out: &mut [u8]) {
    match size {
        1 => gather_typed::<u8>(data, place, out),
        2 => gather_typed::<u16>(bytemuck::cast_slice(data), place, bytemuck::cast_slice_mut(out)),
        4 => gather_typed::<u32>(bytemuck::cast_slice(data), place, bytemuck::cast_slice_mut(out)),
        _ => gather_typed::<u64>(bytemuck::cast_slice(data), place, bytemuck::cast_slice_mut(out)),
    }
}

fn gather_typed<T: Copy>(
    data: &[T],
    (shape, steps, start): (&Shape, &[usize; MAX_RANK], usize),
    mut out: &mut [T],
) {
    let axes = shape.axes();
    let Some((&width, outer)) = axes.split_last() else { return };
    let last = steps[outer.len()];
    let mut next = start;
    while !out.is_empty() {
        let (mut row, column) = (next / width, next % width);
        let mut from = column * last;
        for axis in (0..outer.len()).rev() {
            from += row % outer[axis] * steps[axis];
            row /= outer[axis];
        }
        let length = (width - column).min(out.len());
        let (head, tail) = out.split_at_mut(length);
        if last == 0 {
            head.fill(data[from]);
        } else {
            head.copy_from_slice(&data[from..from + length]);
        }
        out = tail;
        next += length;
    }
}
