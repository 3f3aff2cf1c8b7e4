//! How the fields of a schema are laid out in a recording: which detector, segment, algorithm and
//! name each has, and which are written together.

use crate::xtc2::counts::Counts;
use crate::xtc2::dgram::{NAMES, Xtc};
use crate::xtc2::names::{FieldType, Name, Names, TEXT, Table, encoded_len};
use crate::xtc2::schema::{Codes, Labels, plan};
use crate::xtc2::{INFO, PLAIN};
use ami_graph::data::schema::{Field, Kind, Schema};
use ami_graph::data::value::DType;
use anyhow::bail;
use std::collections::{HashMap, HashSet};

/// Ids per node: the DAQ reserves those from 252 on.
const IDS: u32 = 250;
/// Node numbers have 12 bits.
const NODES: u32 = 4095;

/// Where the values of one column of a block come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slot {
    /// A field of the schema.
    Field(usize),
    /// The code of a label.
    Code(i32),
    /// The run's number: this field's, else the transition's.
    Run(Option<usize>),
    /// The schema itself.
    Schema,
    /// The step's number.
    Step,
}

/// Fields that are written together.
#[derive(Debug, Default)]
pub struct Block {
    /// Their definition.
    pub names: usize,
    /// Their values, in the definition's order.
    pub slots: Vec<Slot>,
    /// Definitions of each field alone, for events that have only some of them.
    pub singles: Vec<usize>,
}

/// All blocks and definitions.
#[derive(Debug, Default)]
pub struct Layout {
    /// The blocks.
    pub blocks: Vec<Block>,
    /// The definitions.
    pub names: Vec<Names>,
}

/// Address of a field in the format.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Address {
    det: String,
    segment: u32,
    alg: String,
    field: String,
}

/// `det.N:alg:field` taken apart.
fn split(name: &str) -> Option<(&str, Option<u32>, &str, &str)> {
    let mut parts = name.splitn(3, ':');
    let (det, alg, field) = (parts.next()?, parts.next()?, parts.next()?);
    if det.is_empty() || alg.is_empty() || field.is_empty() {
        return None;
    }
    let numbered = det.rsplit_once('.').and_then(|(d, n)| Some((d, n.parse().ok()?)));
    Some(match numbered {
        Some((det, segment)) => (det, Some(segment), alg, field),
        None => (det, None, alg, field),
    })
}

/// A field of scan or EPICS goes by its own name and has its address as an alias.
fn run_wide(field: &Field) -> Option<Address> {
    field.aliases.iter().find_map(|alias| {
        let (det, _, alg, name) = split(alias)?;
        (matches!(det, "scan" | "epics") && name == field.name)
            .then(|| address(det, 0, alg, &field.name))
    })
}

fn address(det: &str, segment: u32, alg: &str, field: &str) -> Address {
    Address { det: det.to_owned(), segment, alg: alg.to_owned(), field: field.to_owned() }
}

fn address_of(field: &Field) -> Address {
    if let Some(address) = run_wide(field) {
        return address;
    }
    let Some((det, segment, alg, name)) = split(&field.name) else {
        let (det, alg) = if field.kind == Kind::Held { ("scan", "raw") } else { PLAIN };
        return address(det, 0, alg, &field.name);
    };
    let alias = field.aliases.iter().find_map(|alias| {
        let (d, segment, a, n) = split(alias)?;
        ((d, a, n) == (det, alg, name)).then_some(segment?)
    });
    address(det, segment.or(alias).unwrap_or(0), alg, name)
}

/// The whole name of an enumeration's field, `gain:GainEnum`; None for every other field.
fn enumeration(field: &Field, name: &str) -> Option<String> {
    if field.dtype != DType::I32 || field.rank != 0 {
        return None;
    }
    let full = field.aliases.iter().find_map(|alias| {
        let (_, _, _, raw) = split(alias)?;
        let rest = raw.strip_prefix(name)?.strip_prefix(':')?;
        (!rest.is_empty() && !rest.contains(':')).then(|| raw.to_owned())
    });
    full.or_else(|| (!field.labels.is_empty()).then(|| format!("{name}:{name}Enum")))
}

/// Stacks are made of their segments when read, and not written.
fn is_stack(schema: &Schema, field: &Field, names: &HashMap<&str, usize>) -> bool {
    let Some((det, None, alg, name)) = split(&field.name) else { return false };
    let prefix = format!("{det}.");
    let segments = names.iter().filter(|(other, at)| {
        other.starts_with(&prefix)
            && split(other).is_some_and(|(d, n, a, f)| n.is_some() && (d, a, f) == (det, alg, name))
            && schema.fields[**at].rank + 1 == field.rank
            && schema.fields[**at].dtype == field.dtype
    });
    field.rank > 0 && segments.count() > 1
}

/// One block while it is put together.
struct Draft {
    address: Address,
    held: bool,
    columns: Vec<(Name, Slot)>,
}

impl Layout {
    /// For the fields of a schema.
    ///
    /// # Errors
    /// When a name does not fit the format, or two fields would become one.
    pub fn new(schema: &Schema) -> anyhow::Result<Layout> {
        let mut layout = Layout::default();
        for draft in drafts(schema)? {
            layout.add(&draft)?;
        }
        let table = Table::of(layout.names.clone());
        let back = plan(&[&table], &Labels::new(), &mut Counts::default());
        if back.recorded(schema.clone()).is_none() {
            let missing = schema.fields.iter().find(|f| back.schema.find(&f.name).is_none());
            bail!(
                "the schema cannot be recorded: field {:?} would not be found again under its name \
                 and type; rename it to detector:algorithm:field",
                missing.or(schema.fields.first()).map_or("", |f| f.name.as_str())
            );
        }
        Ok(layout)
    }

    fn add(&mut self, draft: &Draft) -> anyhow::Result<()> {
        let fields: Vec<Name> = draft.columns.iter().map(|c| c.0.clone()).collect();
        let mut block = Block {
            names: self.define(&draft.address, fields)?,
            slots: draft.columns.iter().map(|c| c.1).collect(),
            singles: Vec::new(),
        };
        if block.slots.len() > 1 {
            for (name, _) in &draft.columns {
                block.singles.push(self.define(&draft.address, vec![name.clone()])?);
            }
        }
        self.blocks.push(block);
        Ok(())
    }

    fn define(&mut self, address: &Address, fields: Vec<Name>) -> anyhow::Result<usize> {
        let at = self.names.len() as u32;
        let texts = fields.iter().map(|f| f.name.as_str());
        for text in texts.chain([address.det.as_str(), address.alg.as_str()]) {
            if text.len() >= TEXT || text.contains('\0') {
                bail!("the name {text:?} does not fit XTC2's 255 bytes without NUL: shorten it");
            }
        }
        let node = 1 + at / IDS;
        if node > NODES {
            bail!("the schema has more fields than XTC2 has ids: record fewer fields");
        }
        let src = (node << 8) | (at % IDS);
        let extent = encoded_len(fields.len()) as u32;
        self.names.push(Names {
            xtc: Xtc { src, damage: 0, contains: NAMES, extent },
            arrays: fields.iter().filter(|f| f.rank > 0).count() as u32,
            det_type: address.det.clone(),
            det: address.det.clone(),
            det_id: String::new(),
            alg: address.alg.clone(),
            alg_version: 0,
            segment: address.segment,
            fields,
        });
        Ok(at as usize)
    }
}

fn name(name: &str, kind: FieldType, rank: usize) -> Name {
    let rank = if kind == FieldType::CharStr { 1 } else { rank };
    Name { name: name.to_owned(), kind, rank, alg: String::new(), alg_version: 0 }
}

fn type_of(dtype: DType) -> FieldType {
    match dtype {
        DType::Bool | DType::U8 => FieldType::U8,
        DType::U16 => FieldType::U16,
        DType::U32 => FieldType::U32,
        DType::U64 => FieldType::U64,
        DType::I8 => FieldType::I8,
        DType::I16 => FieldType::I16,
        DType::I32 => FieldType::I32,
        DType::I64 => FieldType::I64,
        DType::F32 => FieldType::F32,
        DType::F64 => FieldType::F64,
        DType::Str => FieldType::CharStr,
    }
}

fn drafts(schema: &Schema) -> anyhow::Result<Vec<Draft>> {
    let names: HashMap<&str, usize> =
        schema.fields.iter().enumerate().map(|(i, f)| (f.name.as_str(), i)).collect();
    let mut drafts: Vec<Draft> = Vec::new();
    let mut dictionaries: Vec<(usize, String, Codes)> = Vec::new();
    let mut run = None;
    for (at, field) in schema.fields.iter().enumerate() {
        if is_stack(schema, field, &names) {
            continue;
        }
        let address = address_of(field);
        let held = field.kind == Kind::Held;
        let same = |d: &Draft| {
            let (a, b) = (&d.address, &address);
            (&a.det, &a.alg, a.segment, d.held) == (&b.det, &b.alg, b.segment, held)
        };
        let draft = drafts.iter().position(same).unwrap_or_else(|| {
            drafts.push(Draft { address: address.clone(), held, columns: Vec::new() });
            drafts.len() - 1
        });
        let mut column = (name(&address.field, type_of(field.dtype), field.rank), Slot::Field(at));
        if let Some(raw) = enumeration(field, &address.field) {
            dictionaries.push((draft, raw.clone(), field.labels.clone()));
            column.0 = name(&raw, FieldType::EnumVal, 0);
        }
        if (address.det.as_str(), address.field.as_str()) == ("runinfo", "runnum")
            && field.dtype == DType::U32
        {
            run = Some(at);
            column.1 = Slot::Run(run);
        }
        drafts[draft].columns.push(column);
    }
    for (draft, raw, codes) in dictionaries {
        dictionary(&mut drafts[draft], &raw, &codes);
    }
    if run.is_none() {
        drafts.push(extra(
            "runinfo",
            "runinfo",
            name("runnum", FieldType::U32, 0),
            Slot::Run(None),
        ));
    }
    drafts.push(extra(INFO, "step", name("step", FieldType::U32, 0), Slot::Step));
    drafts.push(extra(INFO, "schema", name("schema", FieldType::CharStr, 1), Slot::Schema));
    Ok(drafts)
}

/// Codes of an enumeration: the schema's own fields where it has them, else constants.
fn dictionary(draft: &mut Draft, raw: &str, codes: &Codes) {
    let Some((_, enumeration)) = raw.rsplit_once(':') else { return };
    let mut known: HashSet<String> = HashSet::new();
    for (label, code) in codes {
        let full = format!("{label}:{enumeration}");
        if !known.insert(full.clone()) || full.len() >= TEXT || label.contains(['\0', ':']) {
            continue;
        }
        if let Some(column) = draft.columns.iter_mut().find(|c| c.0.name == full) {
            if column.0.kind == FieldType::I32 && column.0.rank == 0 {
                column.0.kind = FieldType::EnumDict;
            }
        } else if let Ok(code) = i32::try_from(*code) {
            draft.columns.push((name(&full, FieldType::EnumDict, 0), Slot::Code(code)));
        }
    }
}

fn extra(det: &str, alg: &str, name: Name, slot: Slot) -> Draft {
    Draft { address: address(det, 0, alg, ""), held: true, columns: vec![(name, slot)] }
}
