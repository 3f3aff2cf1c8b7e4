//! One run: a file, or several whose events are joined by id, as parts with one schema.

use crate::hdf5::files::Files;
use crate::hdf5::format::Problem;
use crate::hdf5::format::store::Store;
use crate::hdf5::model::{Model, stem};
use crate::hdf5::options::Options;
use crate::hdf5::part::{Part, Stamps};
use ami_graph::data::schema::{Field, Schema};
use ami_graph::data::value::{Scalar, Value};
use anyhow::{Context, anyhow, bail};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

/// Files in a directory that are read.
const ENDINGS: [&str; 5] = ["h5", "hdf5", "nxs", "cxi", "hdf"];

/// A run, opened.
pub struct Run {
    /// Its files.
    pub files: Rc<Files>,
    /// Those that were named.
    pub stores: Vec<Rc<Store>>,
    /// Rows that are events.
    pub parts: Vec<Part>,
    /// All fields.
    pub schema: Arc<Schema>,
    /// Values that hold from the beginning.
    pub held: Vec<(u32, Value)>,
    /// Its number, where a file says it.
    pub number: Option<u32>,
    /// Still being written.
    pub live: bool,
    /// The writer said so: when it says so no more, the run has ended.
    pub announced: bool,
}

/// True for a file that is read by its ending alone.
pub fn known_ending(path: &str) -> bool {
    path.rsplit_once('.').is_some_and(|(_, ending)| ENDINGS[..4].contains(&ending))
}

/// Directories become the files in them, by name.
///
/// # Errors
/// When a directory cannot be read or has none.
pub fn expand(paths: &[PathBuf]) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in paths {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let name = path.display();
        let entries = std::fs::read_dir(path)
            .with_context(|| format!("directory {name} cannot be read: check its permissions"))?;
        let mut found: Vec<PathBuf> = entries
            .filter_map(|e| e.ok().map(|e| e.path()))
            .filter(|p| p.extension().is_some_and(|e| ENDINGS.iter().any(|known| e == *known)))
            .collect();
        found.sort();
        if found.is_empty() {
            bail!(
                "directory {name} holds no {} file: name the directory that has them",
                ENDINGS.join(", ")
            );
        }
        files.extend(found);
    }
    Ok(files)
}

/// What a problem with a file means for a person.
pub fn explain(path: &Path, problem: &Problem) -> anyhow::Error {
    let path = path.display();
    match problem {
        Problem::Io(error) => anyhow!(
            "HDF5 file {path} cannot be read: {error}; check the path and that this user may read it"
        ),
        Problem::Damaged(what) => anyhow!(
            "{path}: {what}; was it copied whole, and is it HDF5? `h5dump -H {path}` is a second opinion"
        ),
        other => anyhow!("{path} {other}"),
    }
}

impl Run {
    /// Opens files whose events are joined; one is the usual case.
    ///
    /// # Errors
    /// When one cannot be read or has no events, or they cannot be joined.
    pub fn open(paths: &[PathBuf], options: &Options) -> anyhow::Result<Run> {
        let files = Rc::new(Files::default());
        let mut run = Run {
            files: files.clone(),
            stores: Vec::new(),
            parts: Vec::new(),
            schema: Arc::default(),
            held: Vec::new(),
            number: None,
            live: false,
            announced: false,
        };
        for path in paths {
            let store = files.open(path).map_err(|problem| explain(path, &problem))?;
            let written = store.superblock().written_for_readers();
            let live = options.follow.unwrap_or(written);
            let model = Model::of(&files, &store, options, live)?;
            for (path, reason) in model.broken.iter().take(10) {
                tracing::warn!(path, reason, "left out");
            }
            if model.broken.len() > 10 {
                tracing::warn!(links = model.broken.len(), "left out; `inspect` lists them");
            }
            tracing::info!(path = %path.display(), layout = model.layout, live, "reading");
            (run.live, run.announced) = (run.live | live, run.announced | (live && written));
            run.stores.push(store);
            run.parts.extend(model.parts);
        }
        run.arrange(paths, options)?;
        Ok(run)
    }

    fn arrange(&mut self, paths: &[PathBuf], options: &Options) -> anyhow::Result<()> {
        if paths.len() > 1 {
            let number = |p: &Part| p.ids.is_none() && matches!(p.stamps, Stamps::Every(_));
            if let Some(without) = self.parts.iter().find(|p| number(p)) {
                bail!(
                    "{}: it has neither ids nor times to be joined by: name the dataset, id=PATH or timestamp=PATH",
                    without.name
                );
            }
            self.part_names()?;
        }
        self.schema(options);
        Ok(())
    }

    /// Files of one time that have fields of one name get their own names before these.
    fn part_names(&mut self) -> anyhow::Result<()> {
        let mut ranges = Vec::new();
        for part in &mut self.parts {
            let first = part.head()?;
            let at = std::mem::replace(&mut part.at, part.len.saturating_sub(1));
            let last = part.head()?;
            part.at = at;
            ranges.push(first.zip(last).map(|((a, _), (b, _))| (a.min(b), a.max(b))));
        }
        let names: Vec<BTreeSet<String>> = self
            .parts
            .iter()
            .map(|p| p.fields.iter().map(|f| f.field.name.clone()).collect())
            .collect();
        let meet = |a: usize, b: usize| match (ranges[a], ranges[b]) {
            (Some((a0, a1)), Some((b0, b1))) => a0 <= b1 && b0 <= a1,
            _ => true,
        };
        let all = self.parts.len();
        let clash = |name: &String, a: usize| {
            (0..all).any(|b| b != a && names[b].contains(name) && meet(a, b))
        };
        let mut rename: Vec<(usize, String)> = Vec::new();
        for (a, own) in names.iter().enumerate() {
            rename.extend(own.iter().filter(|name| clash(name, a)).map(|name| (a, name.clone())));
        }
        for (a, name) in rename {
            let part = &mut self.parts[a];
            let stem = stem(Path::new(&format!("{}.h5", part.name)));
            for field in part.fields.iter_mut().filter(|f| f.field.name == name) {
                field.field.name = format!("{stem}:{name}");
                field.field.aliases.clear();
            }
        }
        Ok(())
    }

    /// One schema for all parts. A name that is there twice means the same field, if its type does.
    fn schema(&mut self, _: &Options) {
        let mut fields: Vec<Field> = Vec::new();
        let mut known: BTreeMap<String, usize> = BTreeMap::new();
        let mut place = |field: &Field, part: &str| -> usize {
            let mut field = field.clone();
            if let Some(&at) = known.get(&field.name) {
                let there = &mut fields[at];
                if (there.dtype, there.rank, there.kind) == (field.dtype, field.rank, field.kind) {
                    if there.shape != field.shape {
                        there.shape = None;
                    }
                    return at;
                }
                field.name = format!("{part}:{}", field.name);
                field.aliases.clear();
            }
            known.insert(field.name.clone(), fields.len());
            fields.push(field);
            fields.len() - 1
        };
        let mut held: BTreeMap<u32, Value> = BTreeMap::new();
        for part in &mut self.parts {
            for own in &mut part.fields {
                own.at = place(&own.field, &part.name);
            }
        }
        for part in &mut self.parts {
            for (field, value) in std::mem::take(&mut part.held) {
                held.entry(place(&field, &part.name) as u32).or_insert(value);
            }
        }
        self.number =
            fields.iter().enumerate().find_map(|(at, f)| number(f, held.get(&(at as u32))?));
        self.held = held.into_iter().collect();
        self.schema = Arc::new(Schema { fields });
    }

    /// Says when a file is not what was opened. Of many files a few are looked at.
    ///
    /// # Errors
    /// What happened to it.
    pub fn unchanged(&self, turn: u64) -> anyhow::Result<()> {
        let check = |store: &Rc<Store>| {
            store.unchanged().map_err(|problem| {
                anyhow!("HDF5 file {} {problem}: it is opened again", store.path().display())
            })
        };
        self.stores.iter().take(16).try_for_each(check)?;
        let all = self.files.all();
        let one = all.get(turn as usize % all.len().max(1));
        one.map_or(Ok(()), check)
    }
}

/// The number of the run, if this field is it.
fn number(field: &Field, value: &Value) -> Option<u32> {
    let own = field.name.rsplit([':', '.']).next()?.replace('_', "").to_ascii_lowercase();
    let number = match value {
        _ if own != "runnumber" => return None,
        Value::Scalar(s @ (Scalar::F32(_) | Scalar::F64(_) | Scalar::Bool(_))) => {
            let _ = s;
            return None;
        }
        Value::Scalar(s) => s.as_f64(),
        Value::Str(text) => text.trim().parse().ok()?,
        Value::Array(_) => return None,
    };
    (0.0..=f64::from(u32::MAX)).contains(&number).then_some(number as u32)
}
