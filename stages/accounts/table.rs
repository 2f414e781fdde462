//! One file of the database: lines of fields with colons between them.

use module::{Result, Tree, anyhow};
use rustix::fs::OFlags;

/// A file such as `/etc/passwd`. Lines that nobody touches stay as they are, comments and broken ones included.
#[derive(Debug)]
pub struct Table {
    path: &'static str,
    /// Whether the file is there.
    pub present: bool,
    /// How many fields a line has.
    width: usize,
    lines: Vec<String>,
    original: Vec<u8>,
    touched: bool,
}

impl Table {
    /// Reads the file `path`, whose lines have `width` fields; one that is not there is empty.
    pub fn read(tree: &Tree, path: &'static str, width: usize) -> Result<Self> {
        let present = tree.stat_followed(path)?.is_some();
        let original = if present { tree.read(path)? } else { Vec::new() };
        let text =
            std::str::from_utf8(&original).map_err(|_| anyhow!("/{path} is not UTF-8: convert it first"))?;
        let lines = text.lines().map(str::to_owned).collect();
        Ok(Self {
            path,
            present,
            width,
            lines,
            original,
            touched: false,
        })
    }

    /// The lines that are entries, as fields.
    pub fn entries(&self) -> impl Iterator<Item = Vec<&str>> {
        self.lines
            .iter()
            .filter(|line| is_entry(line))
            .map(|line| fields(line, self.width))
    }

    /// The entry whose first field is `name`.
    pub fn entry(&self, name: &str) -> Option<Vec<String>> {
        self.entries()
            .find(|entry| entry[0] == name)
            .map(|entry| entry.into_iter().map(str::to_owned).collect())
    }

    /// Replaces the entry whose first field is that of `entry`, or adds it at the end.
    pub fn set(&mut self, entry: &[String]) {
        let name = &entry[0];
        let line = entry.join(":");
        let old = self
            .lines
            .iter_mut()
            .find(|line| is_entry(line) && fields(line, 1)[0] == name);
        match old {
            Some(old) => *old = line,
            None => self.push(entry),
        }
        self.touched = true;
    }

    /// Adds a line at the end, whatever is there; but before the lines of the NIS, which stand for all that follows.
    pub fn push(&mut self, entry: &[String]) {
        let nis = self.lines.iter().position(|line| line.starts_with(['+', '-']));
        self.lines
            .insert(nis.unwrap_or(self.lines.len()), entry.join(":"));
        self.touched = true;
    }

    /// Sorts the lines by a number in them.
    pub fn sort_by_number(&mut self, field: usize) {
        self.lines
            .sort_by_key(|line| fields(line, self.width)[field].parse::<u64>().unwrap_or(u64::MAX));
    }

    /// Counts as changed even if it is not: the backup is made anew.
    pub fn touch(&mut self) {
        self.touched = true;
    }

    /// Writes the file if it was changed, after its content before went to `PATH-` with the same owner and mode.
    pub fn save(&self, tree: &Tree) -> Result<()> {
        if !self.touched {
            return Ok(());
        }
        if self.present {
            self.back_up(tree)?;
        } else {
            tree.mkdir_all("etc")?;
        }
        let mut text = self.lines.join("\n");
        if !text.is_empty() {
            text.push('\n');
        }
        if text.as_bytes() != self.original {
            tree.write(self.path, text)?;
        }
        Ok(())
    }

    fn back_up(&self, tree: &Tree) -> Result<()> {
        use std::io::Write;
        let backup = format!("{}-", self.path);
        let stat = tree
            .stat_followed(self.path)?
            .ok_or_else(|| anyhow!("/{} is gone", self.path))?;
        tree.remove_all(&backup)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
        // nobody may read a copy of the passwords before it has its owner
        let mut file = std::fs::File::from(tree.open_at(&backup, flags, 0o600)?);
        file.write_all(&self.original)?;
        tree.chown(&backup, Some(stat.uid), Some(stat.gid))?;
        Ok(tree.chmod(&backup, stat.mode)?)
    }
}

/// Not a comment, not empty, not a line of the NIS.
fn is_entry(line: &str) -> bool {
    !line.is_empty() && !line.starts_with(['#', '+', '-'])
}

/// At least `width` fields; those that the line lacks are empty.
fn fields(line: &str, width: usize) -> Vec<&str> {
    let mut fields: Vec<_> = line.split(':').collect();
    if fields.len() < width {
        fields.resize(width, "");
    }
    fields
}
