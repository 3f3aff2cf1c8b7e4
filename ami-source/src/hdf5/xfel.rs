//! Files of European XFEL: events are trains; `INDEX` says which rows of a source are a train's.

use crate::hdf5::column::Column;
use crate::hdf5::model::Draft;
use crate::hdf5::part::{Part, Rows, Spans, Stamps};
use crate::hdf5::stamps::Scale;
use crate::hdf5::tree::Entry;
use anyhow::{Context, bail};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

/// Trains per second.
const RATE: f64 = 10.0;

/// Trains of a file: half a year of them.
const MAX_TRAINS: u64 = 1 << 27;

/// Indices by the path that they are about, without `INSTRUMENT/` or `CONTROL/`.
type Index = BTreeMap<String, (Rc<RefCell<Spans>>, bool)>;

/// The file's trains.
///
/// # Errors
/// When its index is damaged.
pub fn parts(draft: &mut Draft<'_>) -> anyhow::Result<Vec<Part>> {
    let ids = draft.take("/INDEX/trainId").map(|e| Column::new(e.dataset));
    let Some(Ok(ids)) = ids else { bail!("{}: INDEX/trainId are no numbers", draft.stem) };
    let mut part = draft.part(draft.stem.clone(), ids.rows());
    if ids.rows() > MAX_TRAINS {
        bail!("{}: more than {MAX_TRAINS} trains", draft.stem);
    }
    part.stamps = Stamps::Every(draft.options.period(RATE));
    if let Some(entry) = draft.take("/INDEX/timestamp")
        && draft.options.epoch != crate::Epoch::Counter
        && let Ok(mut column) = Column::new(entry.dataset)
        && column.rows() >= ids.rows()
        && column.count(0).is_ok_and(|first| first > 0)
    {
        let scale = Scale::of(&column.dataset.attributes, draft.options.epoch);
        part.stamps = Stamps::Column(Box::new(column), scale);
    }
    let index = index(draft, ids.rows())?;
    part.ids = Some(ids);
    let all: Vec<String> = draft.contents.datasets.iter().map(|e| e.path.clone()).collect();
    for path in all {
        let Some((kind, below)) = of_source(&path) else { continue };
        // The longest index that is about it.
        let about = index.iter().rfind(|(about, _)| {
            below.strip_prefix(about.as_str()).is_some_and(|rest| rest.starts_with('/'))
        });
        let Some((about, (spans, many))) = about else { continue };
        let Some(entry) = draft.take(&path) else { continue };
        let many = *many && kind == "INSTRUMENT";
        draft.add(&mut part, entry, name(about, below), Rows::Spans(spans.clone(), many));
    }
    Ok(vec![part])
}

fn of_source(path: &str) -> Option<(&str, &str)> {
    let (kind, below) = path.strip_prefix('/')?.split_once('/')?;
    matches!(kind, "INSTRUMENT" | "CONTROL").then_some((kind, below))
}

/// `SOURCE:key.of.it`: a source ends with the part that has a colon, else where its index does.
fn name(about: &str, below: &str) -> String {
    let mut end = about.len();
    let mut at = 0;
    for part in about.split('/') {
        at += part.len();
        if part.contains(':') {
            end = at;
            break;
        }
        at += 1;
    }
    let (source, key) = below.split_at(end.min(below.len()));
    format!("{source}:{}", key.trim_matches('/').replace('/', "."))
}

/// `first` and `count` of every source; true where a train has more than one row.
fn index(draft: &mut Draft<'_>, trains: u64) -> anyhow::Result<Index> {
    let of_index = |e: &Entry| {
        let about = e.path.strip_prefix("/INDEX/")?.strip_suffix("/first")?;
        Some(about.to_owned())
    };
    let abouts: Vec<String> = draft.contents.datasets.iter().filter_map(of_index).collect();
    let mut index = Index::new();
    for about in abouts {
        let (first, count) = (
            draft.take(&format!("/INDEX/{about}/first")),
            draft.take(&format!("/INDEX/{about}/count")),
        );
        let (Some(first), Some(count)) = (first, count) else { continue };
        let (Ok(first), Ok(mut count)) = (Column::new(first.dataset), Column::new(count.dataset))
        else {
            continue;
        };
        let mut many = false;
        for train in 0..trains.min(count.rows()) {
            let rows = count.count(train).with_context(|| format!("INDEX/{about}/count"))?;
            many |= rows > 1;
        }
        let spans = Spans { first, count: Some(count) };
        index.insert(about, (Rc::new(RefCell::new(spans)), many));
    }
    Ok(index)
}
