//! Short versions of what `make shows` runs at length.

use ami_tests::shows::soak;

#[test]
fn memory_stays_over_many_heartbeats() {
    // Too few heartbeats to fill what is bounded: windows, histories, pools of the allocator.
    let report = soak::run(20_000, 4000, None);
    println!("{report}");
    assert!(report.violations.is_empty(), "{report}");
}
