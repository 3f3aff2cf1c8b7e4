//! The lane slots: what the writer and one worker tell each other in shared memory.
//!
//! The writer opens a lane for a generation, the worker claims it, the writer fences it. After that
//! nothing the worker does can be mistaken for the doing of the next generation.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering, compiler_fence};

use crate::layout::{Bank, NO_UNIT, Slot};
use crate::map::LaneTable;

/// Bits of a process id: Linux has no more (PID_MAX_LIMIT).
const PID_BITS: u32 = 22;
const PID_MASK: u64 = (1 << PID_BITS) - 1;
/// Generations have the bits that state and process id leave.
const MAX_GENERATION: u64 = (1 << (62 - PID_BITS)) - 1;

/// What a lane is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum LaneState {
    /// Never opened.
    Free = 0,
    /// Opened by the writer, not yet claimed.
    Open = 1,
    /// A worker has it.
    Claimed = 2,
    /// The writer has taken it away.
    Fenced = 3,
}

/// Generation, process id and state, in the one word that changes atomically.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Word {
    generation: u64,
    pid: u32,
    state: LaneState,
}

impl Word {
    fn pack(self) -> u64 {
        let pid = u64::from(self.pid) & PID_MASK;
        self.generation << (2 + PID_BITS) | pid << 2 | self.state as u64
    }

    fn unpack(word: u64) -> Word {
        let state = match word & 3 {
            0 => LaneState::Free,
            1 => LaneState::Open,
            2 => LaneState::Claimed,
            _ => LaneState::Fenced,
        };
        let pid = (word >> 2 & PID_MASK) as u32;
        Word { generation: word >> (2 + PID_BITS), pid, state }
    }

    fn load(slot: &Slot) -> Word {
        // Pairs with the Release in `open`, `fence` and `LaneSlot::claim`.
        Word::unpack(slot.word.load(Ordering::Acquire))
    }

    fn bank(self, slot: &Slot) -> &Bank {
        &slot.banks[(self.generation % 4) as usize]
    }
}

/// Opens the slot for a generation, which must be larger than any before.
pub(crate) fn open(slot: &Slot, generation: u64) {
    let before = Word::load(slot);
    assert!(
        before.state == LaneState::Free || generation > before.generation,
        "generation {generation} of a lane is not above {}",
        before.generation
    );
    assert!(generation <= MAX_GENERATION, "generation {generation} is above {MAX_GENERATION}");
    let word = Word { generation, pid: 0, state: LaneState::Open };
    let bank = word.bank(slot);
    bank.cursor.store(NO_UNIT, Ordering::Relaxed);
    bank.progress.store(0, Ordering::Relaxed);
    bank.waiting.store(0, Ordering::Relaxed);
    // Pairs with the Acquire in `LaneSlot::claim`: the worker finds its bank cleared.
    slot.word.store(word.pack(), Ordering::Release);
}

/// Takes the lane from whoever has it.
pub(crate) fn fence(slot: &Slot) {
    if Word::load(slot).state != LaneState::Free {
        // One read-modify-write, so that a claim at the same instant either comes before and is
        // fenced, or fails. Release pairs with the Acquire in `Word::load` (`LaneSlot::fenced`).
        slot.word.fetch_or(LaneState::Fenced as u64, Ordering::AcqRel);
    }
}

/// A lane as the writer sees it. What a worker wrote is to be taken as a hint: it may be garbage.
#[derive(Clone, Copy)]
pub struct Lane<'a> {
    slot: &'a Slot,
}

impl<'a> Lane<'a> {
    pub(crate) fn new(slot: &'a Slot) -> Lane<'a> {
        Lane { slot }
    }

    /// Whether it is free, open, claimed or fenced.
    pub fn state(&self) -> LaneState {
        Word::load(self.slot).state
    }

    /// The generation it was last opened for.
    pub fn generation(&self) -> u64 {
        Word::load(self.slot).generation
    }

    /// The worker that has or had it; none before it is claimed.
    pub fn pid(&self) -> Option<u32> {
        Some(Word::load(self.slot).pid).filter(|&pid| pid != 0)
    }

    /// The unit being worked on. After the death of the worker: the one it died of.
    pub fn cursor(&self) -> Option<u64> {
        // Pairs with the Release in `LaneSlot::set_cursor`.
        Some(self.read(|bank| &bank.cursor)).filter(|&unit| unit != NO_UNIT)
    }

    /// Grows whenever the worker gets something done.
    pub fn progress(&self) -> u64 {
        // Pairs with the Release in `LaneSlot::beat`.
        self.read(|bank| &bank.progress)
    }

    /// Whether the worker waits for someone else, so that no progress is no fault of its own.
    pub fn waiting(&self) -> bool {
        // Pairs with the Release in `LaneSlot::set_waiting`.
        self.read(|bank| &bank.waiting) != 0
    }

    fn read(&self, field: impl Fn(&Bank) -> &AtomicU64) -> u64 {
        field(Word::load(self.slot).bank(self.slot)).load(Ordering::Acquire)
    }
}

/// A lane as its worker sees it: claimed for one generation, alive as long as this value.
///
/// It keeps its part of the mapping by itself, so it may outlive the [`crate::RingReader`].
pub struct LaneSlot {
    table: Arc<LaneTable>,
    index: usize,
    word: u64,
}

impl LaneSlot {
    /// None if the lane is not open for this generation, or another process has it.
    pub(crate) fn claim(table: &Arc<LaneTable>, index: usize, generation: u64) -> Option<LaneSlot> {
        if generation > MAX_GENERATION {
            return None;
        }
        let slot = table.slot(index);
        let open = Word { generation, pid: 0, state: LaneState::Open }.pack();
        let mine = Word { generation, pid: std::process::id(), state: LaneState::Claimed }.pack();
        // Acquire pairs with the Release in `open`, Release with the Acquire in `Word::load`.
        let claimed = slot.word.compare_exchange(open, mine, Ordering::AcqRel, Ordering::Acquire);
        match claimed {
            Ok(_) => {}
            // Claimed before by this very process: it may let go and come back.
            Err(word) if word == mine => {}
            Err(_) => return None,
        }
        Some(LaneSlot { table: Arc::clone(table), index, word: mine })
    }

    /// The index of the lane.
    pub fn index(&self) -> usize {
        self.index
    }

    /// The generation it was claimed for.
    pub fn generation(&self) -> u64 {
        Word::unpack(self.word).generation
    }

    /// True once the writer has taken the lane away: discard the work, ask for a new lane.
    pub fn fenced(&self) -> bool {
        // Pairs with the Release in `fence` and in `open`.
        self.table.slot(self.index).word.load(Ordering::Acquire) != self.word
    }

    /// Says which unit is worked on from now on.
    pub fn set_cursor(&self, unit: u64) {
        // Pairs with the Acquire in `Lane::cursor`.
        self.bank().cursor.store(unit, Ordering::Release);
        // If the unit kills this process, its number must already be there: the compiler may not
        // move work on the unit before the store. (The processor retires in program order.)
        compiler_fence(Ordering::SeqCst);
    }

    /// Says that no unit is worked on.
    pub fn clear_cursor(&self) {
        // The other way round: the work is done before the store.
        compiler_fence(Ordering::SeqCst);
        // Pairs with the Acquire in `Lane::cursor`.
        self.bank().cursor.store(NO_UNIT, Ordering::Release);
    }

    /// Shows progress.
    pub fn beat(&self) {
        let progress = &self.bank().progress;
        // Not a fetch_add: only this worker writes here, and a locked instruction costs tenfold.
        let next = progress.load(Ordering::Relaxed).wrapping_add(1);
        // Pairs with the Acquire in `Lane::progress`.
        progress.store(next, Ordering::Release);
    }

    /// Says whether the worker waits for someone else.
    pub fn set_waiting(&self, waiting: bool) {
        // Pairs with the Acquire in `Lane::waiting`.
        self.bank().waiting.store(u64::from(waiting), Ordering::Release);
    }

    fn bank(&self) -> &Bank {
        Word::unpack(self.word).bank(self.table.slot(self.index))
    }
}

impl std::fmt::Debug for LaneSlot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut out = f.debug_struct("LaneSlot");
        out.field("index", &self.index).field("generation", &self.generation()).finish()
    }
}

impl std::fmt::Debug for Lane<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Word { generation, pid, state } = Word::load(self.slot);
        let mut out = f.debug_struct("Lane");
        out.field("state", &state).field("generation", &generation).field("pid", &pid);
        out.field("cursor", &self.cursor()).field("progress", &self.progress());
        out.field("waiting", &self.waiting()).finish()
    }
}
