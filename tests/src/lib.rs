//! What the end-to-end tests share. The tests themselves stand beside this package's manifest, one file per subject.
