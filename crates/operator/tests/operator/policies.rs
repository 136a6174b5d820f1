//! `crds/policies.yaml` and the code: what the policies know by its name is called so.

use std::path::Path;

#[test]
fn agents_jobs_are_known_by_the_name_that_they_are_given() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../crds/policies.yaml");
    let text = std::fs::read_to_string(file).unwrap();
    let prefix = punching_fist_core::job::name("");
    // Of what is touched, of who touches it, and of what is made.
    assert_eq!(text.matches(&format!(".startsWith('{prefix}')")).count(), 3, "{prefix}");
}
