//! What went wrong inside files, counted by name: damage never ends a run, and is never silent.

/// A thing that is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // `NAMES` says each in words
pub enum Count {
    Truncated,
    CorruptExtent,
    UnknownNames,
    BadNames,
    DuplicateNames,
    NamesOutsideConfigure,
    ConflictingFields,
    ShortData,
    NestedTooDeep,
    UnterminatedText,
    DuplicateFields,
    EventFieldsInTransitions,
    HeldFieldsInEvents,
    StacksOfUnequalShapes,
    TransitionsMissing,
    OtherServices,
    MissingChunks,
    DamageTruncated,
    DamageOutOfOrder,
    DamageOutOfSynch,
    DamageCorrupted,
    DamageDropped,
    DamageMissing,
    DamageTimedOut,
    DamageUnnamed,
    DamageUser,
}

const NAMES: [&str; 26] = [
    "truncated",
    "corrupt_extent",
    "unknown_names",
    "bad_names",
    "duplicate_names",
    "names_outside_configure",
    "conflicting_fields",
    "short_data",
    "nested_too_deep",
    "unterminated_text",
    "duplicate_fields",
    "event_fields_in_transitions",
    "held_fields_in_events",
    "stacks_of_unequal_shapes",
    "transitions_missing_in_stream",
    "other_services",
    "missing_chunks",
    "damage_truncated",
    "damage_out_of_order",
    "damage_out_of_synch",
    "damage_corrupted",
    "damage_dropped_contribution",
    "damage_missing_data",
    "damage_timed_out",
    "damage_unnamed",
    "damage_user_defined",
];

/// Damage bits in their order; bits 7 to 11 have no name.
const DAMAGE: [Count; 7] = [
    Count::DamageTruncated,
    Count::DamageOutOfOrder,
    Count::DamageOutOfSynch,
    Count::DamageCorrupted,
    Count::DamageDropped,
    Count::DamageMissing,
    Count::DamageTimedOut,
];

/// The numbers.
#[derive(Debug, Clone, Default)]
pub struct Counts([u64; NAMES.len()]);

impl Counts {
    /// One more of it.
    pub fn add(&mut self, what: Count) {
        self.0[what as usize] += 1;
    }

    /// So many.
    pub fn get(&self, what: Count) -> u64 {
        self.0[what as usize]
    }

    /// Counts each damage bit that is set.
    pub fn damage(&mut self, damage: u16) {
        if damage == 0 {
            return;
        }
        for (bit, what) in DAMAGE.into_iter().enumerate() {
            if damage & (1 << bit) != 0 {
                self.add(what);
            }
        }
        if damage & 0x0f80 != 0 {
            self.add(Count::DamageUnnamed);
        }
        if damage & 0xf000 != 0 {
            self.add(Count::DamageUser);
        }
    }

    /// Adds all of `other` and clears it.
    pub fn take(&mut self, other: &mut Counts) {
        for (to, from) in self.0.iter_mut().zip(&mut other.0) {
            *to += std::mem::take(from);
        }
    }

    /// Every name with its number.
    pub fn list(&self) -> Vec<(&'static str, u64)> {
        NAMES.into_iter().zip(self.0).collect()
    }
}
