//! From the names of all streams to ami's schema, and the route of every XTC2 field to its place in
//! it.
//!
//! A field is known as `det:alg:field`. With several segments that name is their stack, and each
//! segment is `det.N:alg:field`. Detectors of the whole run (scan, EPICS, run information) have no
//! segments: whichever stream carries them speaks for all.

use crate::xtc2::counts::{Count, Counts};
use crate::xtc2::names::{FieldType, Names, Table};
use ami_graph::data::schema::{Field, Kind, Schema};
use ami_graph::data::value::{DType, MAX_RANK};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

/// Detectors of the whole run, whose data are held.
const RUN_WIDE: [&str; 6] =
    ["scan", "epics", "epicsinfo", "runinfo", "chunkinfo", crate::xtc2::INFO];

/// Where the values of one XTC2 field go.
#[derive(Debug, Clone, Copy)]
pub struct Route {
    /// Index in the schema; None when the schema has no place for it.
    pub field: Option<u32>,
    /// Event or held.
    pub kind: Kind,
    /// The schema's element type.
    pub dtype: DType,
    /// Place among the members of stacks, counted through all of them.
    pub slot: Option<u32>,
}

/// A field made of the same field of several segments.
#[derive(Debug, Clone)]
pub struct Stack {
    /// Index in the schema.
    pub field: usize,
    /// Schema indices of the segments, ascending.
    pub members: Vec<usize>,
    /// Slot of the first; the others follow.
    pub first_slot: usize,
    /// Event or held.
    pub kind: Kind,
    /// Element type.
    pub dtype: DType,
}

/// Schema and routes between two Configures.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    /// What is on offer.
    pub schema: Arc<Schema>,
    /// By stream, place of the definition in its table, place of the field in it.
    pub routes: Vec<Vec<Vec<Route>>>,
    /// The stacks.
    pub stacks: Vec<Stack>,
    /// Number of slots of all stacks.
    pub slots: usize,
}

/// Codes by label of one enumeration.
pub type Codes = BTreeMap<String, i64>;
/// Which enumeration: detector, algorithm, name of the enumeration.
pub type EnumKey = (String, String, String);
/// All enumerations whose codes are known.
pub type Labels = HashMap<EnumKey, Codes>;

/// `gain:GainEnum` → `gain`, `GainEnum`.
pub fn enum_name(raw: &str) -> Option<(&str, &str)> {
    raw.rsplit_once(':')
}

/// Key of the enumeration that a field belongs to.
pub fn enum_key(names: &Names, raw: &str) -> Option<EnumKey> {
    let (_, name) = enum_name(raw)?;
    Some((names.det.clone(), names.alg.clone(), name.to_owned()))
}

/// True for data that a transition sets and that hold until the next.
fn held(names: &Names) -> bool {
    RUN_WIDE.contains(&names.det.as_str()) || names.alg.to_ascii_lowercase().ends_with("config")
}

/// True when a field goes by its own name: scan and EPICS variables, and what our writer found no
/// detector for.
fn own_name(det: &str, alg: &str) -> bool {
    matches!(det, "scan" | "epics") || (det, alg) == crate::xtc2::PLAIN
}

/// The same field of the same algorithm of all segments of a detector.
struct Group {
    det: String,
    alg: String,
    /// Without the enumeration's name.
    short: String,
    /// As in the file.
    raw: String,
    labels: Codes,
    held: bool,
    members: BTreeMap<u32, Member>,
}

struct Member {
    kind: FieldType,
    rank: usize,
    /// Stream, definition, field.
    places: Vec<(usize, usize, usize)>,
}

impl Group {
    fn full(&self) -> String {
        format!("{}:{}:{}", self.det, self.alg, self.short)
    }

    /// Names of a segment that is the only one.
    fn numbered(&self, segment: u32) -> Vec<String> {
        let mut names = vec![&self.short, &self.raw];
        names.dedup();
        names.iter().map(|n| format!("{}.{segment}:{}:{n}", self.det, self.alg)).collect()
    }

    fn own(&self) -> bool {
        own_name(&self.det, &self.alg)
    }

    /// The segments' common type and rank, when a stack of them can exist.
    fn stackable(&self) -> Option<(FieldType, usize)> {
        let mut members = self.members.values();
        let first = members.next()?;
        let same = members.all(|m| (m.kind, m.rank) == (first.kind, first.rank));
        let fits = self.members.len() > 1 && first.rank < MAX_RANK;
        (same && fits && first.kind != FieldType::CharStr).then_some((first.kind, first.rank))
    }
}

/// Groups in the order of their first appearance.
#[derive(Default)]
struct Groups {
    all: Vec<Group>,
    by_name: HashMap<(String, String, String), usize>,
}

impl Groups {
    fn add(&mut self, names: &Names, place: (usize, usize, usize), labels: &Labels) -> bool {
        let field = &names.fields[place.2];
        let short = match field.kind {
            FieldType::EnumVal => enum_name(&field.name).map_or(field.name.as_str(), |n| n.0),
            _ => &field.name,
        };
        // An enumeration that shortens to another field's name keeps its whole one.
        self.join(names, place, short, labels)
            || (short != field.name && self.join(names, place, &field.name, labels))
    }

    fn join(
        &mut self,
        names: &Names,
        place: (usize, usize, usize),
        short: &str,
        labels: &Labels,
    ) -> bool {
        let field = &names.fields[place.2];
        let key = (names.det.clone(), names.alg.clone(), short.to_owned());
        let at = *self.by_name.entry(key).or_insert_with(|| {
            self.all.push(Group {
                det: names.det.clone(),
                alg: names.alg.clone(),
                short: short.to_owned(),
                raw: field.name.clone(),
                labels: Codes::new(),
                held: held(names),
                members: BTreeMap::new(),
            });
            self.all.len() - 1
        });
        let group = &mut self.all[at];
        if group.raw != field.name {
            return false;
        }
        if field.kind == FieldType::EnumVal
            && let Some(codes) = enum_key(names, &field.name).and_then(|k| labels.get(&k))
        {
            group.labels = codes.clone();
        }
        let segment = if run_wide(names) { 0 } else { names.segment };
        let rank = if field.kind == FieldType::CharStr { 0 } else { field.rank };
        let member = group.members.entry(segment).or_insert_with(|| Member {
            kind: field.kind,
            rank,
            places: Vec::new(),
        });
        if (member.kind, member.rank) != (field.kind, rank) {
            return false;
        }
        member.places.push(place);
        true
    }
}

fn run_wide(names: &Names) -> bool {
    RUN_WIDE.contains(&names.det.as_str()) || own_name(&names.det, &names.alg)
}

/// Builds schema and routes from the names of all streams.
pub fn plan(tables: &[&Table], labels: &Labels, counts: &mut Counts) -> Plan {
    let nowhere = Route { field: None, kind: Kind::Event, dtype: DType::U8, slot: None };
    let mut plan = Plan::default();
    let mut groups = Groups::default();
    for (stream, table) in tables.iter().enumerate() {
        let mut routes = Vec::with_capacity(table.all().len());
        for (at, names) in table.all().iter().enumerate() {
            routes.push(vec![nowhere; names.fields.len()]);
            for field in 0..names.fields.len() {
                if !groups.add(names, (stream, at, field), labels) {
                    counts.add(Count::ConflictingFields);
                }
            }
        }
        plan.routes.push(routes);
    }
    let mut building = Building { plan, schema: Schema::default(), taken: HashSet::new() };
    for group in &groups.all {
        building.group(group, counts);
    }
    building.plan.schema = Arc::new(building.schema);
    building.plan
}

struct Building {
    plan: Plan,
    schema: Schema,
    taken: HashSet<String>,
}

impl Building {
    fn group(&mut self, group: &Group, counts: &mut Counts) {
        let kind = if group.held { Kind::Held } else { Kind::Event };
        let single = group.members.len() == 1;
        let stack = group.stackable().and_then(|(kind_, rank)| {
            let dtype = kind_.dtype();
            let field = self.offer(group, None, (dtype, rank + 1), &[], counts)? as usize;
            let first_slot = self.plan.slots;
            self.plan.slots += group.members.len();
            let members = Vec::with_capacity(group.members.len());
            Some(Stack { field, members, first_slot, kind, dtype })
        });
        let mut stack = stack;
        for (&segment, member) in &group.members {
            let dtype = member.kind.dtype();
            let type_ = (dtype, member.rank);
            let field = if single {
                let aliases = if run_wide_group(group) { vec![] } else { group.numbered(segment) };
                self.offer(group, None, type_, &aliases, counts)
            } else {
                self.offer(group, Some(segment), type_, &[], counts)
            };
            let slot = stack.as_mut().map(|s| {
                s.members.push(field.map_or(usize::MAX, |f| f as usize));
                (s.first_slot + s.members.len() - 1) as u32
            });
            for &(stream, at, index) in &member.places {
                self.plan.routes[stream][at][index] = Route { field, kind, dtype, slot };
            }
        }
        self.plan.stacks.extend(stack);
    }

    /// Puts a field into the schema. None when all its names are taken.
    fn offer(
        &mut self,
        group: &Group,
        segment: Option<u32>,
        (dtype, rank): (DType, usize),
        more: &[String],
        counts: &mut Counts,
    ) -> Option<u32> {
        let det = segment.map_or(group.det.clone(), |n| format!("{}.{n}", group.det));
        let full = format!("{det}:{}:{}", group.alg, group.short);
        let mut aliases = Vec::new();
        let name = if group.own() && !self.taken.contains(&group.short) {
            aliases.push(group.full());
            group.short.clone()
        } else {
            full
        };
        if !self.taken.insert(name.clone()) {
            counts.add(Count::ConflictingFields);
            return None;
        }
        aliases.extend_from_slice(more);
        if group.raw != group.short {
            aliases.push(format!("{det}:{}:{}", group.alg, group.raw));
        }
        let kind = if group.held { Kind::Held } else { Kind::Event };
        let labels = group.labels.clone();
        self.schema.fields.push(Field { name, aliases, dtype, rank, shape: None, kind, labels });
        Some(self.schema.fields.len() as u32 - 1)
    }
}

fn run_wide_group(group: &Group) -> bool {
    RUN_WIDE.contains(&group.det.as_str()) || group.own()
}

impl Plan {
    /// The same plan with the schema that a recording carries: its order, names, aliases, kinds,
    /// labels and shapes. None when the recording's schema does not fit its names: then it is not
    /// ours, or damaged.
    pub fn recorded(&self, schema: Schema) -> Option<Plan> {
        let to = self.moves(&schema)?;
        let mut plan = self.clone();
        for route in plan.routes.iter_mut().flatten().flatten() {
            route.field = route.field.and_then(|f| to[f as usize]);
            if let Some(field) = route.field.map(|f| &schema.fields[f as usize]) {
                (route.kind, route.dtype) = (field.kind, field.dtype);
            }
        }
        let moved = |f: usize| to.get(f).copied().flatten().map(|f| f as usize);
        let mut stacks = Vec::new();
        for stack in &plan.stacks {
            let members: Option<Vec<usize>> = stack.members.iter().map(|&m| moved(m)).collect();
            let (Some(field), Some(members)) = (moved(stack.field), members) else { continue };
            let same = |&m: &usize| {
                let (m, s) = (&schema.fields[m], &schema.fields[field]);
                (m.kind, m.dtype) == (s.kind, s.dtype)
            };
            if members.iter().all(same) {
                let Field { kind, dtype, .. } = schema.fields[field];
                stacks.push(Stack { field, members, kind, dtype, ..stack.clone() });
            }
        }
        plan.drop_slots(&stacks);
        plan.stacks = stacks;
        plan.schema = Arc::new(schema);
        Some(plan)
    }

    /// New index of each field of this plan in another schema. None when that has a field which this
    /// plan has not, or of another type, or twice.
    fn moves(&self, schema: &Schema) -> Option<Vec<Option<u32>>> {
        let fields = || self.schema.fields.iter().enumerate();
        let mut known: HashMap<&str, usize> = HashMap::new();
        for (at, name) in fields().flat_map(|(i, f)| f.aliases.iter().map(move |a| (i, a))) {
            known.entry(name).or_insert(at);
        }
        known.extend(fields().map(|(i, f)| (f.name.as_str(), i)));
        let mut to = vec![None; self.schema.fields.len()];
        for (new, field) in schema.fields.iter().enumerate() {
            let old = *known.get(field.name.as_str())?;
            let derived = &self.schema.fields[old];
            let boolean = (field.dtype, derived.dtype) == (DType::Bool, DType::U8);
            let shaped = field.shape.as_ref().is_none_or(|s| s.len() == field.rank);
            let same = field.dtype == derived.dtype || boolean;
            if !shaped || !same || field.rank != derived.rank {
                return None;
            }
            if to[old].replace(new as u32).is_some() {
                return None;
            }
        }
        Some(to)
    }

    /// Slots of stacks that are gone would gather values that nobody takes.
    fn drop_slots(&mut self, stacks: &[Stack]) {
        let kept = |slot: usize| {
            stacks.iter().any(|s| (s.first_slot..s.first_slot + s.members.len()).contains(&slot))
        };
        let kept: Vec<bool> = (0..self.slots).map(kept).collect();
        for route in self.routes.iter_mut().flatten().flatten() {
            route.slot = route.slot.filter(|&s| kept[s as usize]);
        }
    }
}
