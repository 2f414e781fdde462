//! Where a target that writes files writes them.

use std::path::PathBuf;

use tempfile::TempDir;

/// A directory in the one for temporary files; the tree from which nothing may get out is in it.
pub struct Place(TempDir);

impl Place {
    pub fn new() -> Self {
        Self(TempDir::new().expect("there is a directory for temporary files"))
    }

    /// Makes a directory in it.
    pub fn dir(&self, name: &str) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::create_dir(&path).expect("a directory can be made in a new one");
        path
    }

    /// What lies in it, sorted.
    #[allow(dead_code)]
    pub fn names(&self) -> Vec<String> {
        let list = std::fs::read_dir(self.0.path()).expect("it is there");
        let mut names: Vec<String> = list
            .map(|entry| {
                entry
                    .expect("it can be read")
                    .file_name()
                    .to_string_lossy()
                    .into_owned()
            })
            .collect();
        names.sort();
        names
    }
}
