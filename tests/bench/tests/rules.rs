//! The benchmark's rules are Python's; their tests run with all others.

use std::process::Command;

#[test]
fn the_rules_of_the_benchmark_hold() {
    let tests = Command::new("python3")
        .args(["-m", "unittest", "test_rules"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(
        tests.status.success(),
        "{}",
        String::from_utf8_lossy(&tests.stderr)
    );
}
