//! One stream of a run: its chunks one after the other, as one sequence of datagrams, with the
//! names that are in force.

use crate::xtc2::counts::{Count, Counts};
use crate::xtc2::dgram::{BEGIN_RUN, CONFIGURE, ENABLE, END_RUN, Header};
use crate::xtc2::file::{DgramFile, First, Peek, first};
use crate::xtc2::names::{Table, text_of};
use crate::xtc2::paths::{StreamFiles, is_live, is_small};
use crate::xtc2::reading::Datagrams;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::path::{Path, PathBuf};

impl Datagrams for [Stream] {
    fn table(&self, stream: usize) -> &Table {
        self[stream].table()
    }

    fn dgram(&self, stream: usize) -> &[u8] {
        self[stream].dgram()
    }
}

/// What a stream has next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Head {
    /// A datagram.
    Dgram(Header),
    /// Nothing yet: the file is still being written.
    Pending,
    /// Nothing any more.
    End,
}

/// Where to go at the end of a file.
enum Following {
    File(PathBuf),
    NotYet,
    Nowhere,
}

/// A stream.
#[derive(Debug)]
pub struct Stream {
    file: DgramFile,
    /// Files named by the user that follow.
    queue: VecDeque<PathBuf>,
    /// Names of the files read, so that a chunk that names itself ends the stream.
    seen: Vec<PathBuf>,
    table: Table,
    /// The file that the last Enable announced.
    chunk: Option<String>,
    live: bool,
    run_ended: bool,
    ended: bool,
}

impl Stream {
    /// Opens the first of its files.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn open(files: &StreamFiles) -> anyhow::Result<Stream> {
        let mut queue: VecDeque<PathBuf> = files.iter().cloned().collect();
        let path = queue.pop_front().unwrap_or_default();
        Ok(Stream {
            file: DgramFile::open(&path)?,
            queue,
            live: is_live(&path),
            seen: vec![path],
            table: Table::default(),
            chunk: None,
            run_ended: false,
            ended: false,
        })
    }

    /// Names in force.
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// True while its file is being written.
    pub const fn live(&self) -> bool {
        self.live
    }

    /// The file being read.
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// The datagram that [`head`](Self::head) announced.
    pub fn dgram(&self) -> &[u8] {
        self.file.dgram()
    }

    /// What comes next; goes on to the next chunk by itself.
    ///
    /// # Errors
    /// When a file cannot be read or is not XTC2.
    pub fn head(&mut self, counts: &mut Counts) -> anyhow::Result<Head> {
        while !self.ended {
            let offset = self.file.offset();
            match self.file.peek()? {
                Peek::Ready(header) => return Ok(Head::Dgram(header)),
                Peek::Broken(extent) => {
                    counts.add(Count::CorruptExtent);
                    let path = self.file.path().display();
                    tracing::warn!(%path, offset, extent, "no datagram here; the rest is left out");
                    // Nothing tells where the next datagram would be.
                    self.live = false;
                }
                Peek::Partial(..) | Peek::End if self.growing() => return Ok(Head::Pending),
                Peek::Partial(have, want) => {
                    // A live file may have been completed and renamed between the two looks.
                    if matches!(self.file.peek()?, Peek::Ready(_)) {
                        continue;
                    }
                    counts.add(Count::Truncated);
                    let path = self.file.path().display();
                    tracing::warn!(%path, offset, have, want, "file ends within a datagram");
                }
                Peek::End => {
                    if matches!(self.file.peek()?, Peek::Ready(_) | Peek::Partial(..)) {
                        continue;
                    }
                }
            }
            match self.following(counts) {
                Following::File(path) => self.turn_to(path, counts)?,
                Following::NotYet => return Ok(Head::Pending),
                Following::Nowhere => self.ended = true,
            }
        }
        Ok(Head::End)
    }

    /// True while more may be written: a live file that is still called so and whose run has not
    /// ended and that has not announced the next chunk.
    fn growing(&mut self) -> bool {
        if self.live && (self.run_ended || self.chunk.is_some() || !self.file.path().exists()) {
            self.live = false;
        }
        self.live
    }

    fn following(&mut self, counts: &mut Counts) -> Following {
        let Some(chunk) = self.chunk.clone().filter(|_| !is_small(self.file.path())) else {
            return self.queue.pop_front().map_or(Following::Nowhere, Following::File);
        };
        let named = |p: &PathBuf| {
            p.to_str().is_some_and(|p| p.trim_end_matches(".inprogress").ends_with(&chunk))
        };
        if self.queue.front().is_some_and(named) {
            self.chunk = None;
            return self.queue.pop_front().map_or(Following::Nowhere, Following::File);
        }
        let path = self.file.path().with_file_name(&chunk);
        let live = self.file.path().with_file_name(format!("{chunk}.inprogress"));
        for path in [path, live] {
            if path.is_file() && !self.seen.contains(&path) {
                self.chunk = None;
                return Following::File(path);
            }
        }
        // The writer announces a chunk before it makes it.
        if is_live(self.file.path()) && !self.run_ended {
            return Following::NotYet;
        }
        self.chunk = None;
        if self.queue.is_empty() {
            counts.add(Count::MissingChunks);
            let path = self.file.path().display();
            tracing::warn!(%path, chunk, "the next chunk is not beside this file; the stream ends");
        }
        self.queue.pop_front().map_or(Following::Nowhere, Following::File)
    }

    /// A chunk that is empty or no XTC2 ends the stream as a truncated file does; files that the
    /// user named were looked at before.
    fn turn_to(&mut self, path: PathBuf, counts: &mut Counts) -> anyhow::Result<()> {
        let live = is_live(&path);
        match first(&path, live) {
            Ok(First::Dgram(header)) => {
                tracing::info!(path = %path.display(), first = header.service_name(), "next chunk");
            }
            Ok(First::Unknown) => {}
            Err(error) => {
                counts.add(Count::MissingChunks);
                tracing::warn!("the stream ends before its next chunk: {error:#}");
                self.ended = true;
                return Ok(());
            }
        }
        self.file = DgramFile::open(&path)?;
        self.seen.push(path);
        self.live = live;
        Ok(())
    }

    /// Takes the datagram that [`head`](Self::head) announced.
    pub fn advance(&mut self, header: &Header) {
        match header.service() {
            ENABLE => {
                if let Some(chunk) = self.announced() {
                    self.chunk = Some(chunk);
                }
            }
            BEGIN_RUN | CONFIGURE => self.run_ended = false,
            END_RUN => self.run_ended = true,
            _ => {}
        }
        self.file.advance();
    }

    /// Takes over the names of the Configure that stands next.
    pub fn configure(&mut self, counts: &mut Counts) {
        self.table = Table::read(self.file.dgram(), counts);
    }

    /// A reader of what stands behind the current datagram, in this file.
    pub fn ahead(&self) -> Option<DgramFile> {
        let mut file = self.file.fork().ok()?;
        file.peek().ok()?;
        file.advance();
        Some(file)
    }

    /// File name in the `chunkinfo` of the current datagram; only a bare name, whatever it says.
    fn announced(&self) -> Option<String> {
        let mut found = None;
        let mut counts = Counts::default();
        let walked = self.table.each::<Infallible>(self.file.dgram(), &mut counts, &mut |d, _| {
            if d.names.det == "chunkinfo" && d.name().name == "filename" {
                found = Some(text_of(d.bytes).0.into_owned());
            }
            Ok(())
        });
        let Ok(()) = walked;
        let found = found?;
        Path::new(&found).file_name()?.to_str().map(str::to_owned)
    }
}
