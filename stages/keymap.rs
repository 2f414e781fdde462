//! Set the keyboard's layout.
//!
//! Writes `KEYMAP=…` to `/etc/vconsole.conf`, and nothing else but `FONT=…` where it is asked for; for X11, the layouts
//! to `/etc/X11/xorg.conf.d/00-keyboard.conf`. In trees of Debian and what is derived from it, both consoles have the
//! layout from `/etc/default/keyboard`: its `XKBLAYOUT` and `XKBVARIANT` become the X11 layouts, or else those that the
//! tree's systemd knows for the keymap; its other settings stay. The keymap itself must be brought by a package; that is
//! not checked.

mod xkb;

use module::{Args, Result, Tree, ensure};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::common;
use xkb::Layout;

const CONSOLE: &str = "etc/vconsole.conf";
const X11: &str = "etc/X11/xorg.conf.d/00-keyboard.conf";
const DEBIAN: &str = "etc/default/keyboard";

/// Options of `org.osbuild.keymap`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Options {
    /// The keymap of the text console, such as `de-nodeadkeys`.
    keymap: String,
    /// The layouts for X11.
    x11_keymap: Option<X11Keymap>,
    /// The font of the text console.
    #[serde(default)]
    font: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct X11Keymap {
    /// Names of XKB, the first is in use after the start.
    #[schemars(length(min = 1), inner(length(min = 2)))]
    layouts: Vec<String>,
}

module::stage! {
    file: "keymap.rs", name: "org.osbuild.keymap", options: Options, run: run,
    libraries: [common::SOURCE, xkb::SOURCE],
}

fn run(args: Args<Options>) -> Result<()> {
    let (tree, options) = (&args.tree, &args.options);
    let keymap = &options.keymap;
    tree.remove_all(CONSOLE)?;
    ensure!(
        common::is_plain_name(keymap),
        "`{keymap}` is not the name of a keymap: it looks like us or de-nodeadkeys"
    );
    let mut text = format!("KEYMAP={}\n", common::env_value(keymap));
    if !options.font.is_empty() {
        text.push_str(&format!("FONT={}\n", common::env_value(&options.font)));
    }
    common::write_below(tree, CONSOLE, &text)?;
    let layouts = options.x11_keymap.as_ref().map(|x11| x11.layouts.join(","));
    if let Some(layouts) = &layouts {
        common::write_below(tree, X11, &x11(layouts))?;
    }
    if common::is_debian(tree)? {
        let layout = match layouts {
            Some(name) => Layout::new(name, ""),
            None => xkb::of_keymap(tree, keymap)?,
        };
        write_debian(tree, &layout)?;
    }
    Ok(())
}

fn x11(layouts: &str) -> String {
    format!(
        "# Created by osbuild. Do not edit manually, use localectl(1).\nSection \"InputClass\"\n        \
         Identifier \"system-keyboard\"\n        MatchIsKeyboard \"on\"\n        Option \"XkbLayout\" \"{layouts}\"\n\
         EndSection\n"
    )
}

/// Sets the layout in keyboard(5), which is made where it is not there.
fn write_debian(tree: &Tree, layout: &Layout) -> Result<()> {
    let old = match tree.stat_followed(DEBIAN)? {
        Some(_) => tree.read_text(DEBIAN)?,
        None => "XKBMODEL=\"pc105\"\nXKBOPTIONS=\"\"\nBACKSPACE=\"guess\"\n".to_owned(),
    };
    let lines = common::KeyLines {
        separator: "=",
        ignore_case: false,
        block: None,
    };
    let settings = [
        ("XKBLAYOUT", format!("\"{}\"", layout.name)),
        ("XKBVARIANT", format!("\"{}\"", layout.variant)),
    ];
    common::write_below(tree, DEBIAN, &lines.set(&old, &settings))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn tree() -> (tempfile::TempDir, Tree) {
        let dir = tempfile::tempdir().unwrap();
        let tree = Tree::open(dir.path()).unwrap();
        tree.mkdir_all("etc/default").unwrap();
        (dir, tree)
    }

    fn set(tree: &Tree, options: Value) -> Result<()> {
        (MODULE.run)(json!({"tree": tree.path(), "options": options}))
    }

    #[test]
    fn debians_file_is_changed_in_debian_only() {
        let (_dir, tree) = tree();
        set(&tree, json!({"keymap": "de-nodeadkeys"})).unwrap();
        assert!(!tree.exists(DEBIAN));
        tree.write("etc/debian_version", "13\n").unwrap();
        tree.write(
            DEBIAN,
            "# mine\nXKBMODEL=\"pc104\"\nXKBLAYOUT=\"us\"\nXKBVARIANT=\"\"\n",
        )
        .unwrap();
        tree.mkdir_all("usr/share/systemd").unwrap();
        tree.write(
            "usr/share/systemd/kbd-model-map",
            "# c\nde-nodeadkeys\tde\tpc105\tnodeadkeys\tterminate:ctrl_alt_bksp\n",
        )
        .unwrap();
        set(&tree, json!({"keymap": "de-nodeadkeys"})).unwrap();
        assert_eq!(
            tree.read_text(DEBIAN).unwrap(),
            "# mine\nXKBMODEL=\"pc104\"\nXKBLAYOUT=\"de\"\nXKBVARIANT=\"nodeadkeys\"\n"
        );
        assert_eq!(tree.read_text(CONSOLE).unwrap(), "KEYMAP=de-nodeadkeys\n");
        set(
            &tree,
            json!({"keymap": "us", "x11-keymap": {"layouts": ["us", "cz"]}}),
        )
        .unwrap();
        let text = tree.read_text(DEBIAN).unwrap();
        assert!(text.contains("XKBLAYOUT=\"us,cz\"\nXKBVARIANT=\"\"\n"), "{text}");
    }

    #[test]
    fn a_name_that_is_none_is_refused() {
        let (_dir, tree) = tree();
        assert!(set(&tree, json!({"keymap": "../us"})).is_err());
        assert!(!tree.exists(CONSOLE));
    }
}
