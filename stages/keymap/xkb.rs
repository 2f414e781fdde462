//! Layouts of XKB that go with keymaps of the console.

use module::{Result, Tree};

/// The text of this file, for the digest of the stage.
pub const SOURCE: &str = include_str!("xkb.rs");

/// systemd's table: keymap, layout, model, variant and options in columns, `-` for none.
const TABLE: &str = "usr/share/systemd/kbd-model-map";

/// A layout, or several with commas between them, and the variant of each.
#[derive(Debug, PartialEq, Eq)]
pub struct Layout {
    pub name: String,
    pub variant: String,
}

impl Layout {
    pub fn new(name: impl Into<String>, variant: impl Into<String>) -> Self {
        let (name, variant) = (name.into(), variant.into());
        Self { name, variant }
    }
}

/// The layout that goes with `keymap`: what the table of the tree says, else the part of its name that names a country.
pub fn of_keymap(tree: &Tree, keymap: &str) -> Result<Layout> {
    let table = if tree.is_file(TABLE) {
        tree.read_text(TABLE)?
    } else {
        String::new()
    };
    Ok(in_table(&table, keymap).unwrap_or_else(|| by_name(keymap)))
}

fn in_table(table: &str, keymap: &str) -> Option<Layout> {
    let rows = table
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| line.split_whitespace().collect::<Vec<_>>());
    let row = rows.into_iter().find(|row| row.first() == Some(&keymap))?;
    let variant = row.get(3).filter(|variant| **variant != "-").unwrap_or(&"");
    Some(Layout::new(*row.get(1)?, *variant))
}

/// `de-latin1` is `de`; the keymaps' name for Great Britain is another one than XKB's.
fn by_name(keymap: &str) -> Layout {
    match keymap.split(['-', '_']).next().unwrap_or(keymap) {
        "uk" => Layout::new("gb", ""),
        country => Layout::new(country, ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_asked_first() {
        let table = "# k l m v o\nsg-latin1\tch\tpc105\tde_nodeadkeys\tx\nus\tus\tpc105+inet\t-\tx\n";
        assert_eq!(
            in_table(table, "sg-latin1"),
            Some(Layout::new("ch", "de_nodeadkeys"))
        );
        assert_eq!(in_table(table, "us"), Some(Layout::new("us", "")));
        assert_eq!(in_table(table, "k"), None);
        assert_eq!(by_name("de-latin1"), Layout::new("de", ""));
        assert_eq!(by_name("uk"), Layout::new("gb", ""));
    }
}
