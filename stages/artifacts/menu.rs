//! GRUB's menu on an installation medium, the same for BIOS and UEFI machines but for the modules it loads.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

/// An entry of one's own; variables such as `${kernelpath}` in it are replaced.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Custom {
    /// What the menu shows.
    name: String,
    /// The kernel and its parameters.
    linux: String,
    /// The initial ram disk.
    initrd: String,
}

/// What the menu is made of.
#[derive(Debug)]
pub struct Menu<'a> {
    pub product: &'a str,
    pub version: &'a str,
    pub isolabel: &'a str,
    /// The directory of kernel and initial ram disk.
    pub kernel_dir: &'a str,
    pub kernel_opts: &'a [String],
    pub timeout: u64,
    pub default: Option<i64>,
    pub custom: &'a [Custom],
    pub install: bool,
    pub test: bool,
    pub fips: bool,
    pub troubleshooting: bool,
    /// Modules for video.
    pub video: &'a [&'a str],
    /// Modules for the medium.
    pub modules: &'a [&'a str],
    /// An entry that boots the first disk.
    pub first_drive: bool,
}

const CLASSES: &str = "--class fedora --class gnu-linux --class gnu --class os";

impl Menu<'_> {
    /// The configuration, as lines of GRUB's language.
    pub fn text(&self) -> String {
        let mut text = String::new();
        if let Some(default) = self.default {
            text += &format!("set default=\"{default}\"\n");
        }
        text += "\nfunction load_video {\n";
        for module in self.video {
            text += &format!("  insmod {module}\n");
        }
        text += "}\n\nload_video\nset gfxpayload=keep\n";
        for module in self.modules {
            text += &format!("insmod {module}\n");
        }
        text += &format!(
            "\nset timeout={}\n### END /etc/grub.d/00_header ###\n\n",
            self.timeout
        );
        text += &format!("search --no-floppy --set=root -l '{}'\n\n", self.isolabel);
        let custom: String = self.custom.iter().map(|entry| self.custom(entry)).collect();
        let title = format!("{} {}", self.product, self.version);
        let optional = |wanted: bool, entry: String| if wanted { entry } else { String::new() };
        for part in [
            custom,
            optional(
                self.install,
                self.entry("", &format!("Install {title}"), "quiet") + "}",
            ),
            optional(
                self.test,
                self.entry(
                    "",
                    &format!("Test this media & install {title}"),
                    "rd.live.check quiet",
                ) + "}",
            ),
            optional(
                self.fips,
                self.entry("", &format!("Install {title} in FIPS mode"), "quiet fips=1") + "}\n",
            ),
            optional(self.troubleshooting, self.troubleshooting(&title)),
        ] {
            text += &part;
            text += "\n";
        }
        text
    }

    /// An entry, all but its closing bracket.
    fn entry(&self, indent: &str, title: &str, parameters: &str) -> String {
        let (linux, initrd) = (self.path("vmlinuz"), self.path("initrd.img"));
        let opts = self.kernel_opts.join(" ");
        format!(
            "\n{indent}menuentry '{title}' {CLASSES} {{\n{indent}\tlinux {linux} {opts} {parameters}\n\
             {indent}\tinitrd {initrd}\n{indent}"
        )
    }

    fn troubleshooting(&self, title: &str) -> String {
        let mut text = "\nsubmenu 'Troubleshooting -->' {".to_owned();
        let basic = format!("Install {title} in basic graphics mode");
        let rescue = format!("Rescue a {} system", self.product);
        for (title, parameters) in [(basic, "nomodeset quiet"), (rescue, "inst.rescue quiet")] {
            text += &(self.entry("\t", &title, parameters) + "}");
        }
        if self.first_drive {
            text += &format!("\n\tmenuentry 'Boot first drive' {CLASSES} {{\n\t\tchainloader (hd0)+1\n\t}}");
        }
        text + "\n}"
    }

    fn custom(&self, entry: &Custom) -> String {
        let Custom { name, linux, initrd } = entry;
        let text = format!("\nmenuentry '{name}' {CLASSES} {{\n\tlinux {linux}\n\tinitrd {initrd}\n}}");
        let variables = BTreeMap::from([
            ("version", self.version.to_owned()),
            ("product", self.product.to_owned()),
            ("kernelpath", self.path("vmlinuz")),
            ("initrdpath", self.path("initrd.img")),
            ("isolabel", self.isolabel.to_owned()),
            ("root", self.kernel_opts.join(" ")),
            ("timeout", self.timeout.to_string()),
        ]);
        substitute(&text, &variables)
    }

    fn path(&self, name: &str) -> String {
        match self.kernel_dir.ends_with('/') || self.kernel_dir.is_empty() {
            true => format!("{}{name}", self.kernel_dir),
            false => format!("{}/{name}", self.kernel_dir),
        }
    }
}

/// Replaces `$NAME` and `${NAME}`, and `$$` by a dollar; what has no value stays as it is.
fn substitute(text: &str, variables: &BTreeMap<&str, String>) -> String {
    let mut result = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        result += &rest[..at];
        rest = &rest[at..];
        let after = &rest[1..];
        let bare = after
            .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
            .unwrap_or(after.len());
        let braced = after.strip_prefix('{').and_then(|name| name.split_once('}'));
        let (name, length) = match braced {
            _ if after.starts_with('$') => ("$", 2),
            Some((name, _)) => (name, name.len() + 3),
            None => (&after[..bare], bare + 1),
        };
        match variables.get(name) {
            _ if name == "$" => result.push('$'),
            Some(value) => result += value,
            None => result += &rest[..length],
        }
        rest = &rest[length..];
    }
    result + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_replaced_once() {
        let variables = BTreeMap::from([("a", "1".to_owned()), ("b", "$a".to_owned())]);
        let replace = |text| substitute(text, &variables);
        assert_eq!(
            replace("$a ${a}x $b $$a ${c} $c $ ${a"),
            "1 1x $a $a ${c} $c $ ${a"
        );
        assert_eq!(replace("é$a$"), "é1$");
    }
}
