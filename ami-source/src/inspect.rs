//! `ami-ventilator inspect`: lists what XTC2 files hold without running anything.
//!
//! With `json` one line per datagram; otherwise, per file, how many datagrams of each service and
//! which fields they carry.

use crate::xtc2::dgram::{CONFIGURE, Header};
use crate::xtc2::dump::Record;
use crate::xtc2::file::{DgramFile, First, Peek, first};
use crate::xtc2::names::Table;
use crate::xtc2::paths::{RunName, expand, is_live};
use anyhow::{Context, bail};
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Lists the files, or the files of the directories, to `out`. `hash` adds a checksum of each
/// field's bytes to the JSON. A reader that goes away ends the listing.
///
/// # Errors
/// When a file cannot be read or is not XTC2, or `out` fails.
pub fn run(paths: &[PathBuf], json: bool, hash: bool, out: &mut dyn Write) -> anyhow::Result<()> {
    let files = expand(paths)?;
    let mut table = None;
    for path in &files {
        let mut listing = Listing {
            file: DgramFile::open(path)?,
            several: files.len() > 1,
            table: names_before(path, table.take())?,
            hash,
        };
        let done = if json { listing.json(out) } else { listing.table(out) };
        match done {
            Err(error) if reader_is_gone(&error) => return Ok(()),
            done => done?,
        }
        table = Some(listing.table);
    }
    out.flush().or_else(|e| if e.kind() == io::ErrorKind::BrokenPipe { Ok(()) } else { Err(e) })?;
    Ok(())
}

fn reader_is_gone(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe)
}

/// Names for a file that does not begin with Configure: those of the file before it, else of the
/// first chunk beside it.
fn names_before(path: &Path, before: Option<Table>) -> anyhow::Result<Table> {
    let begins = match first(path, is_live(path))? {
        First::Dgram(header) => header.service() == CONFIGURE,
        First::Unknown => true,
    };
    if begins {
        return Ok(Table::default());
    }
    if let Some(table) = before.filter(|t| !t.all().is_empty()) {
        return Ok(table);
    }
    let Some(sibling) = first_chunk(path) else {
        bail!(
            "{} does not begin with Configure, so its fields have no names, and its first chunk is \
             not beside it: name the first chunk (…-c000.xtc2) before it",
            path.display()
        );
    };
    let mut file = DgramFile::open(&sibling)?;
    let ready = matches!(file.peek()?, Peek::Ready(_));
    let table = Table::read(if ready { file.dgram() } else { &[] }, &mut Default::default());
    tracing::info!(path = %path.display(), names = %sibling.display(), "names of the first chunk");
    Ok(table)
}

/// The first chunk of the same name, else the only one of the same stream in the directory.
fn first_chunk(path: &Path) -> Option<PathBuf> {
    let name = RunName::parse(path)?;
    let same = name.first_chunk(path);
    if same != path && same.is_file() {
        return Some(same);
    }
    let directory = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut others = expand(&[directory.to_path_buf()]).ok()?.into_iter().filter(|p| {
        RunName::parse(p).is_some_and(|n| {
            (n.stream, n.chunk, n.run.2) == (name.stream, 0, name.run.2) && p != path
        })
    });
    let only = others.next()?;
    others.next().is_none().then_some(only)
}

struct Listing {
    file: DgramFile,
    several: bool,
    table: Table,
    hash: bool,
}

impl Listing {
    /// Visits all datagrams with the names in force.
    fn each(
        &mut self,
        mut visit: impl FnMut(Record, &Header) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let mut index = 0;
        loop {
            let header = match self.file.peek()? {
                Peek::Ready(header) => header,
                Peek::End => return Ok(()),
                Peek::Partial(have, want) => {
                    let path = self.file.path().display();
                    let offset = self.file.offset();
                    tracing::warn!(%path, offset, have, want, "file ends within a datagram");
                    return Ok(());
                }
                Peek::Broken(extent) => {
                    let path = self.file.path().display();
                    let offset = self.file.offset();
                    tracing::warn!(%path, offset, extent, "no datagram here; the rest is left out");
                    return Ok(());
                }
            };
            if header.service() == CONFIGURE {
                self.table = Table::read(self.file.dgram(), &mut Default::default());
            }
            let place = (index, self.file.offset());
            let record = Record::new(place, &header, self.file.dgram(), &self.table, self.hash);
            visit(record, &header)?;
            self.file.advance();
            index += 1;
        }
    }

    fn json(&mut self, out: &mut dyn Write) -> anyhow::Result<()> {
        let name = self.several.then(|| self.file.path().display().to_string());
        self.each(|mut record, _| {
            record.file.clone_from(&name);
            let line = serde_json::to_string(&record).context("a record cannot be written")?;
            writeln!(out, "{line}")?;
            Ok(())
        })
    }

    fn table(&mut self, out: &mut dyn Write) -> anyhow::Result<()> {
        self.hash = false;
        let path = self.file.path().display().to_string();
        let mut summary = Summary::default();
        self.each(|record, header| {
            summary.add(&record, header);
            Ok(())
        })?;
        writeln!(out, "{path}")?;
        summary.print(out)?;
        Ok(())
    }
}

/// Datagrams by service, and fields.
#[derive(Default)]
struct Summary {
    services: BTreeMap<(u8, &'static str), (u64, u64)>,
    fields: BTreeMap<String, FieldSummary>,
}

#[derive(Default)]
struct FieldSummary {
    dtype: &'static str,
    /// Least and greatest length of each axis.
    axes: Vec<(u32, u32)>,
    services: BTreeMap<&'static str, u64>,
}

impl Summary {
    fn add(&mut self, record: &Record, header: &Header) {
        let key = (header.service(), record.service);
        let service = self.services.entry(key).or_default();
        *service = (service.0 + 1, service.1 + record.size as u64);
        for datum in &record.data {
            let name = format!("{}.{}:{}:{}", datum.det, datum.segment, datum.alg, datum.field);
            let field = self.fields.entry(name).or_default();
            field.dtype = datum.dtype;
            field.axes.resize(datum.shape.len(), (u32::MAX, 0));
            for (axis, &n) in field.axes.iter_mut().zip(&datum.shape) {
                *axis = (axis.0.min(n), axis.1.max(n));
            }
            *field.services.entry(record.service).or_default() += 1;
        }
    }

    fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "  {:<20} {:>10} {:>14}", "service", "datagrams", "bytes")?;
        for ((_, name), (count, bytes)) in &self.services {
            writeln!(out, "  {name:<20} {count:>10} {bytes:>14}")?;
        }
        let width = self.fields.keys().map(String::len).max().unwrap_or(0).max(5);
        writeln!(out, "  {:<width$}  {:<8}  {:<16}  found in", "field", "dtype", "shape")?;
        for (name, field) in &self.fields {
            let (dtype, shape) = (field.dtype, field.shape());
            let services: Vec<String> =
                field.services.iter().map(|(service, n)| format!("{service} {n}")).collect();
            let services = services.join(", ");
            writeln!(out, "  {name:<width$}  {dtype:<8}  {shape:<16}  {services}")?;
        }
        writeln!(out)
    }
}

impl FieldSummary {
    fn shape(&self) -> String {
        let axis = |&(least, most): &(u32, u32)| {
            if least == most { least.to_string() } else { format!("{least}..{most}") }
        };
        if self.axes.is_empty() {
            return "scalar".to_owned();
        }
        self.axes.iter().map(axis).collect::<Vec<_>>().join("×")
    }
}
