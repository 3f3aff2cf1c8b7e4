//! What is in a file: every dataset once, under its first name, with its other names; and the groups.
//! Links are followed, within the file and to others.

use crate::hdf5::counts::Count;
use crate::hdf5::dataset::Dataset;
use crate::hdf5::files::Files;
use crate::hdf5::format::attribute::{Attribute, Plain, attributes};
use crate::hdf5::format::group::{Link, Target, is_group, links};
use crate::hdf5::format::header::messages;
use crate::hdf5::format::store::Store;
use crate::hdf5::format::{Problem, Result};
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

/// Bytes of a path.
const MAX_PATH: usize = 4096;
/// Groups within groups.
const MAX_DEPTH: usize = 32;
/// Links that follow one another.
const MAX_HOPS: usize = 16;
/// Groups and datasets of a file.
const MAX_OBJECTS: usize = 1 << 16;

/// A dataset under its names.
#[derive(Debug)]
pub struct Entry {
    /// Path, from the root on.
    pub path: String,
    /// Other paths of the same dataset.
    pub aliases: Vec<String>,
    /// The dataset.
    pub dataset: Dataset,
}

impl Entry {
    /// All its paths.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.path.as_str()).chain(self.aliases.iter().map(String::as_str))
    }
}

/// All that was found.
#[derive(Debug, Default)]
pub struct Contents {
    /// Datasets, by path.
    pub datasets: Vec<Entry>,
    /// Attributes of the groups, by path.
    pub groups: BTreeMap<String, Vec<Attribute>>,
    /// What leads nowhere or cannot be read: path and reason.
    pub broken: Vec<(String, String)>,
}

/// Text of an attribute.
pub fn text<'a>(attributes: &'a [Attribute], name: &str) -> Option<&'a str> {
    attributes.iter().find(|a| a.name == name).and_then(|a| match &a.value {
        Some(Plain::Text(text)) => Some(text.as_str()),
        _ => None,
    })
}

/// An object: the file it is in and where its header stands there.
type Place = (Rc<Store>, u64);

struct Walk<'a> {
    files: &'a Rc<Files>,
    contents: Contents,
    /// Datasets by file and header; groups are there with `usize::MAX`.
    seen: HashMap<((u64, u64), u64), usize>,
    /// Links that are followed when everything that is here in its own right is known.
    later: Vec<(Rc<Store>, String, Target)>,
    objects: usize,
}

/// Goes over all of a file.
///
/// # Errors
/// When its root is damaged or it has more objects than any should have. What is damaged farther down
/// is in [`Contents::broken`].
pub fn walk(files: &Rc<Files>, store: &Rc<Store>) -> Result<Contents> {
    let mut walk = Walk {
        files,
        contents: Contents::default(),
        seen: HashMap::new(),
        later: Vec::new(),
        objects: 0,
    };
    walk.object((store.clone(), store.superblock().root), "", 0)?;
    for hops in 0..MAX_HOPS {
        let later = std::mem::take(&mut walk.later);
        for (from, path, target) in later {
            walk.follow(&from, &path, &target, hops)?;
        }
    }
    let mut contents = walk.contents;
    contents.datasets.sort_by(|a, b| a.path.cmp(&b.path));
    files.counts.more(Count::LinksBroken, contents.broken.len() as u64);
    Ok(contents)
}

impl Walk<'_> {
    fn object(&mut self, (store, header): Place, path: &str, depth: usize) -> Result<()> {
        self.objects += 1;
        if self.objects > MAX_OBJECTS {
            return Err(Problem::Limit(format!("more than {MAX_OBJECTS} groups and datasets")));
        }
        let key = (store.identity(), header);
        match self.seen.get(&key) {
            Some(&usize::MAX) => return Ok(()),
            Some(&at) => {
                self.contents.datasets[at].aliases.push(path.to_owned());
                return Ok(());
            }
            None => {}
        }
        let found = messages(&store, header)?;
        if is_group(&found) {
            self.seen.insert(key, usize::MAX);
            if depth >= MAX_DEPTH {
                self.broken(path, "groups within groups without end");
                return Ok(());
            }
            let own = attributes(&store, &found).unwrap_or_default();
            self.contents.groups.insert(path.to_owned(), own);
            return self.group(&store, path, links(&store, &found)?, depth);
        }
        let Some(mut dataset) = Dataset::of(self.files, &store, header, &found)? else {
            return Ok(());
        };
        dataset.resolve()?;
        self.seen.insert(key, self.contents.datasets.len());
        let path = path.to_owned();
        self.contents.datasets.push(Entry { path, aliases: Vec::new(), dataset });
        Ok(())
    }

    fn group(
        &mut self,
        store: &Rc<Store>,
        path: &str,
        links: Vec<Link>,
        depth: usize,
    ) -> Result<()> {
        for Link { name, target } in links {
            if path.len() + name.len() > MAX_PATH {
                self.broken(path, "names that are too long");
                continue;
            }
            let path = format!("{path}/{name}");
            match target {
                Target::Hard(header) => {
                    match self.object((store.clone(), header), &path, depth + 1) {
                        // The walk itself is too long.
                        Err(limit @ Problem::Limit(_)) if self.objects > MAX_OBJECTS => {
                            return Err(limit);
                        }
                        Err(problem) => self.broken(&path, &problem.to_string()),
                        Ok(()) => {}
                    }
                }
                Target::Unknown => self.broken(&path, "a link of an unknown kind"),
                target => self.later.push((store.clone(), path, target)),
            }
        }
        Ok(())
    }

    fn follow(&mut self, from: &Rc<Store>, path: &str, target: &Target, hops: usize) -> Result<()> {
        let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent);
        let place = match target {
            // In a file that a link led to, `parent` is not its path there: relative links go from its root.
            Target::Soft(to) => lookup(self.files, from, &absolute(parent, to), hops),
            Target::External(file, to) => {
                self.files.linked(from, file).and_then(|store| lookup(self.files, &store, to, hops))
            }
            Target::Hard(_) | Target::Unknown => return Ok(()),
        };
        let depth = path.matches('/').count();
        match place.and_then(|place| self.object(place, path, depth)) {
            Err(limit @ Problem::Limit(_)) if self.objects > MAX_OBJECTS => Err(limit),
            Err(problem) => {
                self.broken(path, &describe(target, &problem));
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    fn broken(&mut self, path: &str, reason: &str) {
        self.contents.broken.push((path.to_owned(), reason.to_owned()));
    }
}

fn describe(target: &Target, problem: &Problem) -> String {
    match target {
        Target::External(file, to) => format!("a link to {to} in {file}: {problem}"),
        Target::Soft(to) => format!("a link to {to}: {problem}"),
        _ => problem.to_string(),
    }
}

/// A path from the root on; `..` is not known to the format.
fn absolute(parent: &str, to: &str) -> String {
    if to.starts_with('/') { to.to_owned() } else { format!("{parent}/{to}") }
}

/// The object that a path leads to.
fn lookup(files: &Rc<Files>, store: &Rc<Store>, path: &str, hops: usize) -> Result<Place> {
    if hops >= MAX_HOPS {
        return Err(Problem::Limit("links that lead to links without end".into()));
    }
    let mut place = (store.clone(), store.superblock().root);
    let mut so_far = String::new();
    for name in path.split('/').filter(|n| !n.is_empty() && *n != ".") {
        let Some(Link { target, .. }) = files.name(&place.0, place.1, name)? else {
            return Err(Problem::Damaged("nothing of that name is there"));
        };
        place = match target {
            Target::Hard(header) => (place.0, header),
            Target::Soft(to) => lookup(files, &place.0, &absolute(&so_far, &to), hops + 1)?,
            Target::External(file, to) => {
                let store = files.linked(&place.0, &file)?;
                lookup(files, &store, &to, hops + 1)?
            }
            Target::Unknown => {
                return Err(Problem::Unsupported("a link of an unknown kind".into()));
            }
        };
        so_far = format!("{so_far}/{name}");
    }
    Ok(place)
}

/// The dataset that a path leads to; None when nothing is there or it is none.
///
/// # Errors
/// When it is damaged.
pub fn dataset_at(files: &Rc<Files>, store: &Rc<Store>, path: &str) -> Result<Option<Dataset>> {
    match lookup(files, store, path, 0) {
        Ok((store, header)) => Dataset::open(files, &store, header),
        Err(Problem::Damaged(_)) => Ok(None),
        Err(problem) => Err(problem),
    }
}
