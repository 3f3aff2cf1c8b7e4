//! The root stage as bytes and back: windows, truth, reports, the newest values.

use crate::data::bytes::{Reader, Writer, split};
use crate::error::DecodeError;
use crate::plan::{Plan, Planned};
use crate::root::RootStage;
use crate::root::windowed::Windowed;
use crate::wire::partial::{Partial, read_reports, write_reports};
use std::sync::Arc;

/// First byte of a checkpoint; changes with the layout.
const LAYOUT: u8 = 4;

impl RootStage {
    /// Everything as bytes, in parts that make one piece one after the other: each state is copied
    /// once, and what is large is not copied again.
    pub fn save(&self) -> Vec<Vec<u8>> {
        let mut writer = Writer::default();
        writer.u8(LAYOUT);
        writer.u64(self.closed);
        let windows: Vec<(&Planned, &Windowed)> = self
            .plan
            .planned
            .iter()
            .zip(&self.windows)
            .filter_map(|(node, window)| Some((node, window.as_ref()?)))
            .collect();
        writer.u32(windows.len() as u32);
        for (node, window) in windows {
            writer.text(&node.graph);
            writer.text(&node.name);
            writer.slice(&node.identity);
            // As a piece of its own, so that a window nobody wants any more can be skipped.
            let mut piece = Writer::default();
            window.encode(&mut piece);
            writer.piece(piece);
        }
        writer.u64(self.plan.version());
        write_reports(&self.reports, &mut writer);
        let (segment, heartbeat) = self.newest_frame.unwrap_or_default();
        writer.bool(self.newest_frame.is_some());
        writer.u64(segment);
        writer.u64(heartbeat);
        let (header, frames) = self.values.clone().encode();
        writer.piece(Writer { header, frames });
        writer.into_parts()
    }

    /// Goes on from [`save`](Self::save). Windows of nodes that the plan does not have, or has
    /// otherwise, are left behind.
    ///
    /// # Errors
    /// When the bytes are not a checkpoint.
    pub fn restore(plan: Arc<Plan>, bytes: &[u8]) -> Result<RootStage, DecodeError> {
        const WHAT: &str = "checkpoint";
        let (header, frames) = split(bytes)?;
        let mut reader = Reader::new(header, &frames);
        let layout = reader.u8("layout of a checkpoint")?;
        if layout != LAYOUT {
            return Err(DecodeError::invalid("layout of a checkpoint", layout));
        }
        let mut stage = RootStage::new(plan);
        stage.closed = reader.u64(WHAT)?;
        for _ in 0..reader.count(16, "windows of a checkpoint")? {
            stage.restore_window(&mut reader)?;
        }
        // Reports and values go by ordinal, which means another node in another version.
        let same_version = reader.u64(WHAT)? == stage.plan.version();
        let reports = read_reports(&mut reader)?.into_iter();
        let known = stage.plan.planned.len();
        stage.reports = reports.filter(|r| same_version && (r.ordinal as usize) < known).collect();
        let (any, place) = (reader.bool(WHAT)?, (reader.u64(WHAT)?, reader.u64(WHAT)?));
        stage.newest_frame = any.then_some(place);
        let values = reader.piece("newest values")?;
        if same_version {
            let (header, frames) = values.into_inner();
            stage.values = Partial::decode(header, frames)?;
        }
        reader.finish(WHAT)?;
        Ok(stage)
    }

    fn restore_window(&mut self, reader: &mut Reader<'_>) -> Result<(), DecodeError> {
        let (graph, name) = (reader.text("graph")?, reader.text("node")?);
        let identity = reader.bytes("identity")?;
        let mut piece = reader.piece("window")?;
        let Some(ordinal) = self.plan.ordinal(graph, name).map(|o| o as usize) else {
            return Ok(());
        };
        let Some(window) = &mut self.windows[ordinal] else { return Ok(()) };
        if self.plan.planned[ordinal].identity != identity {
            return Ok(());
        }
        let budget = self.plan.planned[ordinal].budget;
        *window = Windowed::decode(window.window(), budget, &mut piece)?;
        if let Some(reduction) = self.plan.planned[ordinal].reduction() {
            window.adopt(reduction);
        }
        piece.finish("window")
    }
}
