//! Short versions of what `make shows` runs at length.

use ami_tests::shows::soak;

#[test]
fn memory_stays_over_many_heartbeats() {
    // Two thousand heartbeats do not fill what is bounded: windows, histories, pools of the allocator.
    let report = soak::run(20_000, 4000, Some(2 << 20));
    println!("{report}");
    assert!(report.violations.is_empty(), "{report}");
}
