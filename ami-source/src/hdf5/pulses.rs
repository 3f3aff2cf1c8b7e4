//! Neutron events, `NXevent_data`: each pulse is an event, with as many neutrons as there were.

use crate::hdf5::column::Column;
use crate::hdf5::model::Draft;
use crate::hdf5::options::name_of;
use crate::hdf5::part::{Part, Rows, Spans, Stamps};
use crate::hdf5::stamps::Scale;
use crate::hdf5::tree::text;
use std::cell::RefCell;
use std::rc::Rc;

/// A part for every group of the class that has its pulses; None when there is none.
pub fn parts(draft: &mut Draft<'_>) -> Option<Vec<Part>> {
    let is_events = |attributes: &[_]| {
        matches!(text(attributes, "NX_class"), Some("NXevent_data" | "NXevents"))
    };
    let groups: Vec<String> = draft
        .contents
        .groups
        .iter()
        .filter(|(path, own)| {
            let has = |name: &str| draft.has(&format!("{path}/{name}"));
            is_events(own) && has("event_index") && has("event_time_zero")
        })
        .map(|(path, _)| path.clone())
        .collect();
    let parts: Vec<Part> = groups.iter().filter_map(|group| part(draft, group)).collect();
    (!parts.is_empty()).then_some(parts)
}

fn part(draft: &mut Draft<'_>, group: &str) -> Option<Part> {
    let times = draft.take(&format!("{group}/event_time_zero"))?;
    let index = draft.take(&format!("{group}/event_index"))?;
    let times = Column::new(times.dataset).ok()?;
    let first = Column::new(index.dataset).ok()?;
    let pulses = times.rows().min(first.rows());
    let scale = Scale::of(&times.dataset.attributes, draft.options.epoch);
    let mut part = draft.part(name_of(group), pulses);
    part.stamps = Stamps::Column(Box::new(times), scale);
    let spans = Rc::new(RefCell::new(Spans { first, count: None }));
    let all: Vec<String> = draft.contents.datasets.iter().map(|e| e.path.clone()).collect();
    // What is as long as the neutrons belongs to them; what is as long as the pulses, to these.
    let neutrons = draft
        .contents
        .datasets
        .iter()
        .find(|e| {
            e.path == format!("{group}/event_id") || e.path == format!("{group}/event_time_offset")
        })
        .map(|e| e.dataset.rows())?;
    for path in all {
        let own = path.strip_prefix(group).and_then(|rest| rest.strip_prefix('/'));
        if own.is_none_or(|own| own.contains('/')) {
            continue;
        }
        let dataset = &draft.contents.datasets.iter().find(|e| e.path == path)?.dataset;
        let rows = match dataset.rows() {
            _ if dataset.shape().is_empty() => continue,
            n if n == neutrons => Rows::Spans(spans.clone(), true),
            n if n == pulses => Rows::Each,
            _ => continue,
        };
        let entry = draft.take(&path)?;
        let name = name_of(&entry.path);
        draft.add(&mut part, entry, name, rows);
    }
    Some(part)
}
