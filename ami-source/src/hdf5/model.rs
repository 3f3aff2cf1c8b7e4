//! What the datasets of a file are: which are events, when these were, and what holds for all of them.

use crate::hdf5::column::Column;
use crate::hdf5::counts::Count;
use crate::hdf5::dataset::Dataset;
use crate::hdf5::files::Files;
use crate::hdf5::format::store::Store;
use crate::hdf5::joined::{alike, numbered};
use crate::hdf5::options::{Options, name_of, same};
use crate::hdf5::part::{Part, PartField, Rows, Stamps};
use crate::hdf5::stamps::Scale;
use crate::hdf5::tree::{Contents, Entry, walk};
use crate::hdf5::{held, pulses, xfel};
use crate::hints::did_you_mean;
use ami_graph::data::schema::{Field, Kind};
use ami_graph::data::value::{DType, MAX_RANK};
use anyhow::{Context, bail};
use std::collections::BTreeMap;
use std::path::Path;
use std::rc::Rc;

/// Fields of one file.
const MAX_FIELDS: usize = 1 << 14;
/// Bytes that the windows of all columns may have together.
const WINDOWS: usize = 128 << 20;
/// Names of datasets that say when events were, and which, without `_` and in small letters.
const TIMES: [&str; 5] = ["timestamp", "timestamps", "timestampns", "timens", "eventtimezero"];
const IDS: [&str; 6] = ["pulseid", "pulseids", "trainid", "trainids", "bunchid", "bunchids"];

/// A file and what it is made of.
pub struct Model {
    /// The layout that was recognised.
    pub layout: &'static str,
    /// Its parts.
    pub parts: Vec<Part>,
    /// What leads nowhere: path and reason.
    pub broken: Vec<(String, String)>,
}

/// What is known while a file is being sorted.
pub struct Draft<'a> {
    /// Its datasets that are not yet anything.
    pub contents: Contents,
    /// What was asked.
    pub options: &'a Options,
    /// Name of the file without directory and ending.
    pub stem: String,
    /// The file itself is still being written.
    pub live: bool,
}

impl Model {
    /// Reads what a file is.
    ///
    /// # Errors
    /// When it cannot be read, has no events, or has not what was asked for.
    pub fn of(
        files: &Rc<Files>,
        store: &Rc<Store>,
        options: &Options,
        live: bool,
    ) -> anyhow::Result<Model> {
        let path = store.path().display().to_string();
        let contents = walk(files, store).with_context(|| format!("{path}: its root"))?;
        let stem = store.path().file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let mut draft = Draft { contents, options, stem, live };
        draft.check(&path)?;
        draft.concatenate();
        let (layout, mut parts) = if draft.has("/INDEX/trainId") {
            ("European XFEL", xfel::parts(&mut draft)?)
        } else if let Some(parts) = pulses::parts(&mut draft) {
            ("NXevent_data", parts)
        } else {
            ("first axis is the event", vec![draft.frames(&path)?])
        };
        draft.finish(&mut parts, &path)?;
        for part in &parts {
            files.counts.more(Count::FieldsLeftOut, part.left_out.len() as u64);
        }
        Ok(Model { layout, parts, broken: draft.contents.broken })
    }
}

impl Draft<'_> {
    /// True when a dataset stands at a path.
    pub fn has(&self, path: &str) -> bool {
        self.contents.datasets.iter().any(|e| e.path == path)
    }

    /// Takes the dataset of a path out.
    pub fn take(&mut self, path: &str) -> Option<Entry> {
        let of = |e: &Entry| same(&e.path, path) || e.aliases.iter().any(|a| same(a, path));
        let at = self.contents.datasets.iter().position(of)?;
        Some(self.contents.datasets.remove(at))
    }

    /// What options name must be there.
    fn check(&self, path: &str) -> anyhow::Result<()> {
        let options = self.options;
        let asked =
            [("timestamp", &options.timestamp), ("id", &options.id), ("axis", &options.axis)];
        for (option, name) in asked {
            let Some(name) = name else { continue };
            let names = || self.contents.datasets.iter().flat_map(Entry::names);
            if !names().any(|n| same(n, name)) {
                let slashed = format!("/{}", name.trim_matches('/').replace(':', "/"));
                let hint = did_you_mean(&slashed, names());
                bail!("{path}: {option}={name}: no such dataset{hint}{}", self.listing());
            }
        }
        Ok(())
    }

    /// The first datasets, for a message.
    fn listing(&self) -> String {
        let all: Vec<&str> = self.contents.datasets.iter().map(|e| e.path.as_str()).collect();
        let more =
            if all.len() > 12 { format!(" and {} more", all.len() - 12) } else { String::new() };
        format!("; there are {}{more}", all[..all.len().min(12)].join(", "))
    }

    /// `data_000001`, `data_000002` … of one group become `data`.
    fn concatenate(&mut self) {
        let mut series: BTreeMap<String, Vec<(u64, usize)>> = BTreeMap::new();
        for (at, entry) in self.contents.datasets.iter().enumerate() {
            let (group, name) = entry.path.rsplit_once('/').unwrap_or(("", &entry.path));
            if let Some((stem, number)) = numbered(name)
                && !entry.dataset.shape().is_empty()
            {
                series.entry(format!("{group}/{stem}")).or_default().push((number, at));
            }
        }
        let mut taken: BTreeMap<usize, (String, u64)> = BTreeMap::new();
        for (path, mut pieces) in series {
            pieces.sort_unstable();
            let first = &self.contents.datasets[pieces[0].1].dataset;
            let fits =
                |&(_, at): &(u64, usize)| alike(first, &self.contents.datasets[at].dataset).is_ok();
            if pieces.iter().all(fits) && !self.has(&path) {
                taken.extend(pieces.into_iter().map(|(number, at)| (at, (path.clone(), number))));
            }
        }
        let mut whole: BTreeMap<String, Vec<(u64, Dataset)>> = BTreeMap::new();
        let mut rest = Vec::new();
        for (at, entry) in std::mem::take(&mut self.contents.datasets).into_iter().enumerate() {
            match taken.remove(&at) {
                Some((path, number)) => {
                    whole.entry(path).or_default().push((number, entry.dataset));
                }
                None => rest.push(entry),
            }
        }
        for (path, mut pieces) in whole {
            pieces.sort_by_key(|(number, _)| *number);
            let pieces = pieces.into_iter().map(|(_, dataset)| dataset).collect();
            if let Some(dataset) = Dataset::concatenated(pieces) {
                rest.push(Entry { path, aliases: Vec::new(), dataset });
            }
        }
        rest.sort_by(|a, b| a.path.cmp(&b.path));
        self.contents.datasets = rest;
    }

    /// Datasets whose first axes are of one length.
    fn frames(&mut self, path: &str) -> anyhow::Result<Part> {
        let rows = self.events(path)?;
        let is_event = |d: &Dataset| {
            let long = !d.shape().is_empty();
            long && (d.rows() == rows || self.live && d.grows())
        };
        let of_events: Vec<String> = self
            .contents
            .datasets
            .iter()
            .filter(|e| is_event(&e.dataset))
            .map(|e| e.path.clone())
            .collect();
        let mut part = self.part(self.stem.clone(), rows);
        let times = self.chosen(&self.options.timestamp, &TIMES, &of_events);
        let ids = self.chosen(&self.options.id, &IDS, &of_events);
        if let Some(ids) = ids {
            part.ids = self.copy(&ids);
        }
        if let Some(times) =
            times.filter(|_| self.options.epoch != crate::Epoch::Counter || part.ids.is_none())
            && let Some(column) = self.copy(&times)
        {
            let scale = Scale::of(&column.dataset.attributes, self.options.epoch);
            part.stamps = Stamps::Column(Box::new(column), scale);
        }
        for path in of_events {
            let Some(entry) = self.take(&path) else { continue };
            let name = name_of(&entry.path);
            self.add(&mut part, entry, name, Rows::Each);
        }
        Ok(part)
    }

    /// How many events there are: as long as most of the data are.
    fn events(&self, path: &str) -> anyhow::Result<u64> {
        let asked = self.options.axis.as_ref().or(self.options.timestamp.as_ref());
        if let Some(asked) = asked {
            let found = self.contents.datasets.iter().find(|e| e.names().any(|n| same(n, asked)));
            return Ok(found.map_or(0, |e| e.dataset.rows()));
        }
        let mut weights: BTreeMap<u64, u128> = BTreeMap::new();
        for Entry { dataset, .. } in &self.contents.datasets {
            if dataset.shape().is_empty() || (self.live && !dataset.grows()) {
                continue;
            }
            let row =
                u128::from(dataset.space.per_row().unwrap_or(0)) * dataset.element.size as u128;
            // In a file that grows even no rows are a sign.
            *weights.entry(dataset.rows()).or_default() += u128::from(dataset.rows()) * row + 1;
        }
        let heaviest = weights.into_iter().max_by_key(|(_, weight)| *weight);
        let Some((rows, _)) = heaviest else {
            let listing = self.listing();
            bail!("{path} has no dataset with an axis of events{listing}");
        };
        Ok(rows)
    }

    /// The dataset that an option names, else the first one of events that is called so.
    fn chosen(
        &self,
        asked: &Option<String>,
        names: &[&str],
        of_events: &[String],
    ) -> Option<String> {
        if let Some(asked) = asked {
            let of = |e: &&Entry| e.names().any(|n| same(n, asked));
            return self.contents.datasets.iter().find(of).map(|e| e.path.clone());
        }
        let simple = |path: &String| {
            let entry = self.contents.datasets.iter().find(|e| &e.path == path);
            entry.is_some_and(|e| {
                let dtype = e.dataset.element.dtype();
                let number = dtype.is_some_and(|d| d.is_integer() || d.is_float());
                number && e.dataset.shape().len() == 1 && e.dataset.element.axes.is_empty()
            })
        };
        names.iter().find_map(|name| {
            let called = |path: &&String| {
                let own = path.rsplit('/').next().unwrap_or("");
                own.replace('_', "").eq_ignore_ascii_case(name)
            };
            of_events.iter().filter(called).find(|p| simple(p)).cloned()
        })
    }

    /// A second reader of a dataset.
    pub fn copy(&self, path: &str) -> Option<Column> {
        let of = |e: &&Entry| e.names().any(|n| same(n, path));
        let entry = self.contents.datasets.iter().find(of)?;
        let again = entry.dataset.again().ok()??;
        Column::new(again).ok()
    }

    /// A part without fields.
    pub fn part(&self, name: String, len: u64) -> Part {
        Part {
            name,
            fields: Vec::new(),
            held: Vec::new(),
            left_out: Vec::new(),
            stamps: Stamps::Every(self.options.period(100.0)),
            ids: None,
            len,
            at: 0,
            live: self.live,
            damaged: Vec::new(),
        }
    }

    /// Makes a dataset a field, if it is wanted and can be one.
    pub fn add(&self, part: &mut Part, entry: Entry, name: String, rows: Rows) {
        let Entry { path, aliases, dataset } = entry;
        let mut names = vec![path.clone()];
        names.extend(aliases.into_iter().filter(|a| *a != path));
        if !self.options.wants(names.iter().chain([&name]).map(String::as_str)) {
            return;
        }
        if part.fields.len() >= MAX_FIELDS {
            part.left_out.push((path, format!("more than {MAX_FIELDS} fields")));
            return;
        }
        let column = match Column::new(dataset) {
            Ok(column) => column,
            Err(reason) => {
                part.left_out.push((path, reason));
                return;
            }
        };
        let many = matches!(rows, Rows::Spans(_, true));
        let lead = usize::from(many || column.is_list());
        let rank = column.shape.len() + lead;
        if rank > MAX_RANK || (many && (column.dtype == DType::Str || column.is_list())) {
            part.left_out.push((path, format!("more than {MAX_RANK} axes, or texts, in an event")));
            return;
        }
        let shape = (lead == 0).then(|| column.shape.clone());
        let labels = column.dataset.element.labels.clone();
        let field = Field {
            name,
            aliases: names,
            dtype: column.dtype,
            rank,
            shape,
            kind: Kind::Event,
            labels,
        };
        part.fields.push(PartField { field, column, rows, at: 0 });
    }

    /// What is left becomes held values of the first part, and every name is there once.
    fn finish(&mut self, parts: &mut [Part], path: &str) -> anyhow::Result<()> {
        let Some(first) = parts.first_mut() else { bail!("{path} has no events") };
        let mut room = held::MAX_ALL;
        for entry in std::mem::take(&mut self.contents.datasets) {
            self.hold(first, entry, &mut room);
        }
        let columns = parts.iter().map(|p| p.fields.len()).sum::<usize>() + 8;
        let room = (WINDOWS / columns).clamp(4096, 256 << 10);
        for part in parts.iter_mut() {
            part.fields.iter_mut().for_each(|f| f.column.keep_at_most(room));
        }
        let found = parts.iter().any(|p| !p.fields.is_empty() || !p.held.is_empty());
        if !found && !self.options.fields.is_empty() {
            let names: Vec<&str> = parts[0].left_out.iter().map(|(p, _)| p.as_str()).collect();
            let asked = self.options.fields.join(",");
            let hint = did_you_mean(&asked, names.iter().copied());
            bail!(
                "{path}: fields={asked}: nothing of that name{hint}; `ami-ventilator inspect` lists all"
            );
        }
        Ok(())
    }
}

/// Name of a file without directory and ending.
pub fn stem(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}
