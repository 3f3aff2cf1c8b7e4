//! The files that a source reads: the one that was named and those that its links lead to, each open
//! once; and the memory that their datasets share.

use crate::hdf5::counts::Counts;
use crate::hdf5::decode::Steps;
use crate::hdf5::format::group::{Link, links};
use crate::hdf5::format::header::messages;
use crate::hdf5::format::store::Store;
use crate::hdf5::format::{Problem, Result};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// Files that links may lead to.
const MAX_FILES: usize = 4096;
/// Bytes of decoded chunks kept, over all datasets.
const KEPT: usize = 256 << 20;
/// Groups looked into for what links lead to, and names known of these.
const MAX_LOOKUPS: u64 = 1 << 20;
const MAX_LISTS: usize = 256;

/// What tells an object from all others: device and inode of its file, address of its header.
pub type ObjectId = ((u64, u64), u64);

/// Open files and shared memory.
#[derive(Debug, Default)]
pub struct Files {
    open: RefCell<BTreeMap<PathBuf, Rc<Store>>>,
    /// For the bytes of a chunk as they are stored, and between filters.
    pub(super) scratch: RefCell<Scratch>,
    kept: Cell<usize>,
    lists: RefCell<HashMap<ObjectId, Rc<[Link]>>>,
    lookups: Cell<u64>,
    /// What was left out or went wrong.
    pub counts: Counts,
}

#[derive(Debug, Default)]
pub(super) struct Scratch {
    pub stored: Vec<u8>,
    pub decoded: Vec<u8>,
    pub steps: Steps,
}

impl Files {
    /// The file of a path, opened if it is not yet.
    ///
    /// # Errors
    /// When it cannot be opened, or too many are.
    pub fn open(&self, path: &Path) -> Result<Rc<Store>> {
        if let Some(store) = self.open.borrow().get(path) {
            return Ok(store.clone());
        }
        if self.open.borrow().len() >= MAX_FILES {
            return Err(Problem::Limit(format!("links lead to more than {MAX_FILES} files")));
        }
        let store = Rc::new(Store::open(path)?);
        self.open.borrow_mut().insert(path.to_path_buf(), store.clone());
        Ok(store)
    }

    /// The file that a link in another one names: an absolute path, or one beside that file.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn linked(&self, from: &Store, name: &str) -> Result<Rc<Store>> {
        let beside = from.path().parent().unwrap_or(Path::new("")).join(name);
        match self.open(&beside) {
            // A file that was moved with all that belongs to it.
            Err(Problem::Io(error)) if Path::new(name).is_absolute() => {
                let own = Path::new(name).file_name().map(|own| from.path().with_file_name(own));
                own.and_then(|own| self.open(&own).ok()).ok_or(Problem::Io(error))
            }
            opened => opened,
        }
    }

    /// The name in a group, if it is there.
    ///
    /// # Errors
    /// When the group is damaged, or links lead around without end.
    pub fn name(&self, store: &Store, header: u64, name: &str) -> Result<Option<Link>> {
        self.lookups.set(self.lookups.get() + 1);
        if self.lookups.get() > MAX_LOOKUPS {
            return Err(Problem::Limit("links that lead to links without end".into()));
        }
        let id = (store.identity(), header);
        let known = self.lists.borrow().get(&id).cloned();
        let list = match known {
            Some(list) => list,
            None => {
                let list: Rc<[Link]> = links(store, &messages(store, header)?)?.into();
                let mut lists = self.lists.borrow_mut();
                if lists.len() >= MAX_LISTS {
                    lists.clear();
                }
                lists.insert(id, list.clone());
                list
            }
        };
        let at = list.binary_search_by(|link| link.name.as_str().cmp(name));
        Ok(at.ok().map(|at| list[at].clone()))
    }

    /// Forgets which names are in groups: these may have more now.
    pub fn refresh(&self) {
        self.lists.borrow_mut().clear();
        self.lookups.set(0);
    }

    /// Every open file.
    pub fn all(&self) -> Vec<Rc<Store>> {
        self.open.borrow().values().cloned().collect()
    }

    /// Takes memory for a decoded chunk; false when there is no more.
    pub(super) fn reserve(&self, bytes: usize) -> bool {
        let kept = self.kept.get().saturating_add(bytes);
        let room = kept <= KEPT;
        if room {
            self.kept.set(kept);
        }
        room
    }

    pub(super) fn release(&self, bytes: usize) {
        self.kept.set(self.kept.get().saturating_sub(bytes));
    }
}
