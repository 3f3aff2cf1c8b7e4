//! The root's state into a checkpoint and out of it.

use crate::root::checkpoint::{self, Header, Image, LoadError, Restored};
use crate::root::known_graphs::KnownGraphs;
use crate::root::{Host, Root};
use ami_graph::error::DecodeError;
use ami_graph::graph::spec::GraphSet;
use ami_graph::root::RootStage;
use ami_graph::wire::partial::Partial;
use ami_proto::process::daemon::now_ns;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

/// A checkpoint larger than this is none of ours.
const MOST: u64 = 16 << 30;

impl Root {
    /// Writes a checkpoint if one is due; notes what has reached the disk.
    pub(super) fn save(&mut self) {
        if let Some(builder) = self.saver.written() {
            self.builder.durable(&builder);
        }
        if self.saver.due() {
            let start = Instant::now();
            let image = self.image();
            self.saver.save(image, start);
        }
    }

    /// Before a stop: what is decided will be known to the next life.
    pub(super) fn save_last(&mut self) {
        if self.saver.wait() {
            let start = Instant::now();
            let image = self.image();
            self.saver.save(image, start);
            self.saver.wait();
        }
    }

    fn image(&self) -> Image {
        let mut frames = self.frames.save();
        let mut lengths = Vec::with_capacity(1 + frames.open.len());
        let mut body: Vec<Vec<u8>> = Vec::new();
        let mut add = |parts: Vec<Vec<u8>>| {
            lengths.push(parts.iter().map(|part| part.len() as u64).collect());
            body.extend(parts);
        };
        add(self.stage.as_ref().map(|(_, stage)| stage.save()).unwrap_or_default());
        for (_, pending) in &mut frames.open {
            let (header, arrays) = std::mem::take(&mut pending.partial).encode();
            add(std::iter::once(header).chain(arrays).collect());
        }
        // Of what is restored; others are asked for when a flush needs them.
        let version = self.stage.as_ref().map(|(plan, _)| plan.version());
        let open = frames.open.iter().map(|(key, _)| key.version);
        let needed: BTreeSet<u64> = open.chain(version).collect();
        let mut graphs = Vec::new();
        for version in needed {
            if let Some(json) = self.graphs.json(version) {
                graphs.push(version);
                add(vec![json.to_vec()]);
            }
        }
        let newest = |(name, host): (&String, &Host)| {
            let (number, schema) = host.schemas.last_key_value()?;
            Some((name.clone(), (*number, (**schema).clone())))
        };
        let header = Header {
            builder: self.builder.clone(),
            schemas: self.hosts.iter().filter_map(newest).collect(),
            graphs,
            version,
            newest: self.newest.clone(),
            seqs: self.publisher.seqs.clone(),
            frames,
            readings: self.readings.clone(),
            lengths,
        };
        Image { header, body }
    }

    /// Goes on from a checkpoint. One that cannot be used is put aside.
    pub(super) fn restore(&mut self, path: &Path) {
        let result = checkpoint::load(path, MOST).and_then(|found| match found {
            Some(restored) => self.adopt(&restored).map(|()| true),
            None => Ok(false),
        });
        match result {
            Ok(true) => tracing::info!(
                path = %path.display(),
                open = self.frames.len(),
                "goes on from the checkpoint"
            ),
            Ok(false) => tracing::info!("no checkpoint: windows begin anew"),
            Err(error) => {
                let aside = checkpoint::put_aside(path);
                tracing::error!(
                    path = %path.display(),
                    aside = %aside.display(),
                    "the checkpoint {error}: it is put aside, windows begin anew; what no host holds \
                     is declared lost"
                );
            }
        }
    }

    /// All or nothing.
    fn adopt(&mut self, restored: &Restored) -> Result<(), LoadError> {
        let wrong = |e: DecodeError| LoadError::Damaged(e.to_string());
        let states = restored.states()?;
        let mut header = restored.header.clone();
        let mut states = states.iter();
        let windows = states.next().map(|parts| parts.concat()).unwrap_or_default();
        if states.len() != header.frames.open.len() + header.graphs.len() {
            return Err(LoadError::Damaged("not as many states as it names".into()));
        }
        for ((_, pending), parts) in header.frames.open.iter_mut().zip(states.by_ref()) {
            let Some((head, arrays)) = parts.split_first() else {
                return Err(LoadError::Damaged("an open heartbeat without state".into()));
            };
            pending.partial = Partial::decode(head, arrays).map_err(wrong)?;
        }
        let mut graphs = KnownGraphs::default();
        for (version, parts) in header.graphs.into_iter().zip(states) {
            let json = parts.concat();
            let set = GraphSet::from_json_bytes(&json)
                .map_err(|e| LoadError::Damaged(format!("graphs of version {version}: {e}")))?;
            graphs.insert(Arc::new(set), json);
        }
        for (host, (number, schema)) in header.schemas {
            let schemas = BTreeMap::from([(number, Arc::new(schema))]);
            self.hosts.insert(host, Host { schemas, ..Host::default() });
        }
        if let Some(set) = header.version.and_then(|v| graphs.get(v)) {
            let schema = self.all_fields();
            let plan = self.plan(set.clone(), schema);
            let stage = RootStage::restore(plan.clone(), &windows);
            let stage = stage.map_err(wrong).inspect_err(|_| {
                self.hosts.clear();
                self.fields = None;
            })?;
            self.stage = Some((plan, stage));
        }
        self.graphs = graphs;
        self.builder = header.builder.restored();
        self.frames.restore(header.frames, now_ns());
        self.readings = header.readings;
        self.publisher.seqs = header.seqs;
        self.newest = header.newest;
        // A store that was restarted, too, gets the last values.
        self.changed = self.newest.is_some();
        Ok(())
    }
}
