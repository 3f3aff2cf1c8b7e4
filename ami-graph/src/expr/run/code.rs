//! From checked nodes to code: elementwise operations are gathered into groups that run block by
//! block, everything else is one instruction; `and`, `or` and `if` become jumps.

use crate::data::value::DType;
use crate::expr::arithmetic::index::Item;
use crate::expr::arithmetic::reduce::Reduction;
use crate::expr::check::Checked;
use crate::expr::check::ir::computed_in;
use crate::expr::check::ir::{Id, Kind, Node, Text};
use crate::expr::run::fused::{Arg, Fused, Step};
use crate::expr::run::slots::{Slot, Source};
use std::collections::HashMap;

/// One instruction; results go into the slot beside it.
#[derive(Debug, Clone)]
pub(in crate::expr) enum Action {
    Fused(Fused),
    TextEqual {
        left: Text,
        right: Text,
        equal: bool,
    },
    Not(Source, DType),
    /// A copy, converted.
    Move(Source, DType, DType),
    Reduce(Reduction, Source, DType, Option<i64>),
    Len(Source),
    Cumsum(Source, DType, Option<i64>),
    Diff(Source, DType, i64),
    Sort(Source, DType, i64),
    Dot(Source, Source, DType),
    Index(Source, DType, Vec<Item<(Source, DType)>>),
    /// Goes to the instruction if the truth value is this one.
    JumpIf(Source, DType, bool, usize),
    Jump(usize),
}

/// An action, where its result goes and what part of the text it comes from.
#[derive(Debug, Clone)]
pub(in crate::expr) struct Instruction {
    pub action: Action,
    pub slot: usize,
    pub at: usize,
}

/// The compiled expression.
#[derive(Debug, Clone)]
pub(in crate::expr) struct Code {
    pub instructions: Vec<Instruction>,
    /// Results of instructions; constants are in theirs from the start.
    pub slots: Vec<Slot>,
    pub root: Source,
}

/// Compiles.
pub(in crate::expr) fn generate(checked: &Checked) -> Code {
    let Checked { nodes, root, .. } = checked;
    let mut generator = Generator {
        nodes,
        groups: groups(nodes, *root),
        marks: HashMap::new(),
        instructions: Vec::new(),
        slots: Vec::new(),
        places: HashMap::new(),
        patches: HashMap::new(),
        members: HashMap::new(),
    };
    for (id, node) in nodes.iter().enumerate() {
        if let Some(group) = generator.groups[id] {
            generator.members.entry(group).or_default().push(id);
            generator.note_marks(id, &node.kind);
        }
    }
    for (id, node) in nodes.iter().enumerate() {
        if matches!(node.kind, Kind::Mark) {
            generator.mark(id);
        } else if generator.groups[id] == Some(id) {
            generator.node(id);
        }
    }
    let root = generator.source(*root);
    Code { instructions: generator.instructions, slots: generator.slots, root }
}

/// Per node: the elementwise node whose group computes it, itself for every other node, None for
/// nodes that nothing needs.
fn groups(nodes: &[Node], root: Id) -> Vec<Option<Id>> {
    let mut groups: Vec<Option<Id>> = vec![None; nodes.len()];
    groups[root] = Some(root);
    // Users stand behind their operands, so every node's users are known when it is reached.
    for id in (0..nodes.len()).rev() {
        let Some(group) = groups[id] else { continue };
        let fuses = matches!(nodes[id].kind, Kind::Elem { .. });
        nodes[id].kind.operands(|operand| {
            let joins = fuses && matches!(nodes[operand].kind, Kind::Elem { .. });
            groups[operand] = Some(match groups[operand] {
                None if joins => group,
                Some(other) if joins && other == group => group,
                // Needed by two groups, or by something else: it is computed on its own.
                _ => operand,
            });
        });
    }
    groups
}

/// What a mark stands behind, and of which node; so what is emitted there.
#[derive(Clone, Copy)]
enum After {
    Left(Id),
    Cond(Id),
    Yes(Id),
}

struct Generator<'a> {
    nodes: &'a [Node],
    groups: Vec<Option<Id>>,
    /// Nodes of each group in order.
    members: HashMap<Id, Vec<Id>>,
    marks: HashMap<Id, After>,
    instructions: Vec<Instruction>,
    slots: Vec<Slot>,
    /// Slots by node.
    places: HashMap<Id, usize>,
    /// Jumps whose goal is not known yet, by the node they belong to.
    patches: HashMap<Id, Vec<usize>>,
}

impl Generator<'_> {
    fn note_marks(&mut self, id: Id, kind: &Kind) {
        match kind {
            Kind::Junction { mark, .. } => {
                self.marks.insert(*mark, After::Left(id));
            }
            Kind::If { then_mark, else_mark, .. } => {
                self.marks.insert(*then_mark, After::Cond(id));
                self.marks.insert(*else_mark, After::Yes(id));
            }
            _ => {}
        }
    }

    fn dtype(&self, id: Id) -> DType {
        self.nodes[id].ty.dtype
    }

    fn slot(&mut self, id: Id) -> usize {
        if let Some(&slot) = self.places.get(&id) {
            return slot;
        }
        let mut slot = Slot::default();
        if let Kind::Const(scalar) = self.nodes[id].kind {
            slot.set_scalar(scalar);
        }
        self.slots.push(slot);
        self.places.insert(id, self.slots.len() - 1);
        self.slots.len() - 1
    }

    fn source(&mut self, id: Id) -> Source {
        match self.nodes[id].kind {
            Kind::Input(input) => Source::Input(input),
            _ => Source::Slot(self.slot(id)),
        }
    }

    fn emit(&mut self, id: Id, action: Action) {
        let slot = self.slot(id);
        self.instructions.push(Instruction { action, slot, at: self.nodes[id].at });
    }

    /// Emits a jump on behalf of a node; where to is filled in by [`land`](Self::land).
    fn jump(&mut self, id: Id, action: Action) {
        self.patches.entry(id).or_default().push(self.instructions.len());
        self.emit(id, action);
    }

    /// Makes the oldest jump of a node, or all, go to the next instruction.
    fn land(&mut self, id: Id, only_first: bool) {
        let goal = self.instructions.len();
        let Some(jumps) = self.patches.get_mut(&id) else { return };
        let count = if only_first { 1.min(jumps.len()) } else { jumps.len() };
        for jump in jumps.drain(..count) {
            match &mut self.instructions[jump].action {
                Action::Jump(to) | Action::JumpIf(_, _, _, to) => *to = goal,
                _ => unreachable!("only jumps are noted"),
            }
        }
    }

    fn take(&mut self, id: Id, from: Id) {
        let (source, from, to) = (self.source(from), self.dtype(from), self.dtype(id));
        self.emit(id, Action::Move(source, from, to));
    }

    fn mark(&mut self, mark: Id) {
        let nodes = self.nodes;
        match self.marks.get(&mark) {
            None => {}
            Some(&After::Left(id)) => {
                let Kind::Junction { and, left, .. } = nodes[id].kind else { return };
                self.take(id, left);
                let source = self.source(left);
                self.jump(id, Action::JumpIf(source, self.dtype(left), !and, 0));
            }
            Some(&After::Cond(id)) => {
                let Kind::If { cond, .. } = nodes[id].kind else { return };
                let source = self.source(cond);
                self.jump(id, Action::JumpIf(source, self.dtype(cond), false, 0));
            }
            Some(&After::Yes(id)) => {
                let Kind::If { yes, .. } = nodes[id].kind else { return };
                self.take(id, yes);
                self.jump(id, Action::Jump(0));
                self.land(id, true);
            }
        }
    }

    fn node(&mut self, id: Id) {
        let nodes = self.nodes;
        let action = match &nodes[id].kind {
            Kind::Input(_) | Kind::Const(_) | Kind::Mark => return,
            Kind::Junction { right: last, .. } | Kind::If { no: last, .. } => {
                self.take(id, *last);
                self.land(id, false);
                return;
            }
            Kind::Elem { .. } => Action::Fused(self.fuse(id)),
            Kind::TextEqual { left, right, equal } => {
                Action::TextEqual { left: left.clone(), right: right.clone(), equal: *equal }
            }
            Kind::Not(a) => Action::Not(self.source(*a), self.dtype(*a)),
            Kind::Reduce { reduction, arg, axis } => {
                Action::Reduce(*reduction, self.source(*arg), self.dtype(*arg), *axis)
            }
            Kind::Len(a) => Action::Len(self.source(*a)),
            Kind::Cumsum(a, axis) => Action::Cumsum(self.source(*a), self.dtype(*a), *axis),
            Kind::Diff(a, axis) => Action::Diff(self.source(*a), self.dtype(*a), *axis),
            Kind::Sort(a, axis) => Action::Sort(self.source(*a), self.dtype(*a), *axis),
            Kind::Dot(a, b) => Action::Dot(self.source(*a), self.source(*b), self.dtype(*a)),
            Kind::Index(base, items) => {
                let items = items.iter().map(|item| self.item(item)).collect();
                Action::Index(self.source(*base), self.dtype(*base), items)
            }
        };
        self.emit(id, action);
    }

    fn item(&mut self, item: &Item<Id>) -> Item<(Source, DType)> {
        let mut part = |id: &Id| (self.source(*id), self.dtype(*id));
        match item {
            Item::At(id) => Item::At(part(id)),
            Item::Slice(a, b, c) => {
                let [a, b, c] = [a, b, c].map(|bound| bound.as_ref().map(&mut part));
                Item::Slice(a, b, c)
            }
            Item::Ellipsis => Item::Ellipsis,
            Item::NewAxis => Item::NewAxis,
        }
    }

    /// The group of this root: its steps in order, with as few registers as it takes.
    fn fuse(&mut self, root: Id) -> Fused {
        let members = self.members.remove(&root).unwrap_or_default();
        let nodes = self.nodes;
        let mut uses: HashMap<Id, usize> = HashMap::new();
        for &id in &members {
            nodes[id].kind.operands(|operand| *uses.entry(operand).or_default() += 1);
        }
        let mut fused = Fused::new(self.dtype(root));
        let mut leaves: HashMap<Source, usize> = HashMap::new();
        let mut registers: HashMap<Id, usize> = HashMap::new();
        let mut free: Vec<usize> = Vec::new();
        for &id in &members {
            let Kind::Elem { op, args } = &nodes[id].kind else { continue };
            let of = computed_in(*op, args, |a| self.dtype(a));
            let mut step = Step::new(*op, of, nodes[id].ty.dtype);
            for &arg in args {
                step.push(if let Some(&register) = registers.get(&arg) {
                    Arg::Register(register, self.dtype(arg))
                } else if let Kind::Const(scalar) = nodes[arg].kind {
                    Arg::Const(scalar)
                } else {
                    let source = self.source(arg);
                    let dtype = self.dtype(arg);
                    let leaf = leaves.entry(source);
                    Arg::Leaf(*leaf.or_insert_with(|| fused.add_leaf(source, dtype)))
                });
            }
            // Its register is taken before those of its operands are free: they are read while
            // it is written.
            step.register = if id == root { None } else { free.pop().or_else(|| fused.grow()) };
            for arg in args {
                let left = uses.get_mut(arg).map_or(0, |n| {
                    *n -= 1;
                    *n
                });
                if let (0, Some(&register)) = (left, registers.get(arg)) {
                    free.push(register);
                }
            }
            if let Some(register) = step.register {
                registers.insert(id, register);
            }
            fused.steps.push(step);
        }
        fused
    }
}
