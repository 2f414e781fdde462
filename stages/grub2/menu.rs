//! Debian's `grub.cfg` and `/etc/default/grub`: pure text.

use super::kernels::Kernel;
use super::{Config, Search};

/// What the menu needs to know.
#[derive(Debug)]
pub struct Menu<'a> {
    pub config: &'a Config,
    pub root: &'a Search,
    /// The file system of `/boot`, where it is another one.
    pub boot: Option<&'a Search>,
    pub kernel_opts: &'a str,
    /// The distribution's name and its short id, as in os-release.
    pub name: &'a str,
    pub id: &'a str,
    pub kernels: &'a [Kernel],
}

const SERIAL: &str = "serial --unit=0 --speed=115200";

impl Menu<'_> {
    /// The path of `/boot` on the file system that GRUB boots from, without a slash at its end.
    pub fn boot_path(separate: bool) -> &'static str {
        if separate { "" } else { "/boot" }
    }

    /// The `grub.cfg`.
    pub fn grub_cfg(&self) -> String {
        let mut text = String::from(
            "# Made together with the image; update-grub makes it anew from /etc/default/grub and /etc/grub.d.\n\n",
        );
        text += "if [ -s $prefix/grubenv ]; then\n  load_env\nfi\n";
        text += "if [ \"${next_entry}\" ]; then\n  set default=\"${next_entry}\"\n  set next_entry=\n  \
                 save_env next_entry\n  set boot_once=true\nelse\n";
        text += &format!("  set default={}\nfi\n\n", quote(&self.default_entry()));
        text += &self.terminal();
        if let Some(style) = self.config.timeout_style {
            text += &format!("set timeout_style={}\n", style.as_str());
        }
        text += &format!("set timeout={}\n\n", self.config.timeout);
        text += "insmod part_gpt\ninsmod part_msdos\ninsmod gzio\n";
        let search = self.boot.unwrap_or(self.root).argument();
        text += &format!("search --no-floppy --set=root {search}\n");
        for kernel in self.kernels {
            text += &self.entry(kernel, "", "");
        }
        if self.config.disable_recovery == Some(false) {
            for kernel in self.kernels {
                text += &self.entry(kernel, " (recovery mode)", " single");
            }
        }
        text
    }

    fn default_entry(&self) -> String {
        match self.config.default.as_deref() {
            Some("saved") => "${saved_entry}".into(),
            Some(entry) => entry.into(),
            None => "0".into(),
        }
    }

    /// The terminal: what the options say, else the console and, where the machine has one, its first serial port.
    fn terminal(&self) -> String {
        let serial = self.serial();
        let [input, output] = self.terminals();
        let uses = |words: &[String]| words.iter().any(|word| word == "serial");
        let set = |indent: &str, input: &[String], output: &[String]| {
            format!(
                "{indent}terminal_input {}\n{indent}terminal_output {}\n",
                input.join(" "),
                output.join(" ")
            )
        };
        if !uses(&input) && !uses(&output) {
            return set("", &input, &output);
        }
        // without the port GRUB says so and stays with the console
        format!("if {serial}; then\n{}fi\n", set("  ", &input, &output))
    }

    fn serial(&self) -> &str {
        self.config.serial.as_deref().unwrap_or(SERIAL)
    }

    /// The input and the output devices. `terminal` overrides both, as in grub-mkconfig.
    fn terminals(&self) -> [Vec<String>; 2] {
        let both = self.config.terminal.clone();
        let default = || vec!["console".to_owned(), "serial".to_owned()];
        let pick = |one: &Option<Vec<String>>| both.clone().or_else(|| one.clone()).unwrap_or_else(default);
        [&self.config.terminal_input, &self.config.terminal_output].map(pick)
    }

    fn entry(&self, kernel: &Kernel, note: &str, more: &str) -> String {
        let boot = Self::boot_path(self.boot.is_some());
        let version = &kernel.version;
        let title = quote(&format!("{}, with Linux {version}{note}", self.name));
        let kind = if note.is_empty() { "simple" } else { "recovery" };
        let class = self.id;
        let mut text =
            format!("\nmenuentry {title} --class {class} --class gnu-linux --class gnu --class os ");
        text += &format!("--id 'gnulinux-{version}-{kind}' {{\n");
        text += &format!("  linux {boot}/vmlinuz-{version} {}{more}\n", self.command_line());
        if let Some(initrd) = &kernel.initrd {
            text += &format!("  initrd {boot}/{initrd}\n");
        }
        text + "}\n"
    }

    /// The kernel's command line.
    fn command_line(&self) -> String {
        let mut line = format!("root={}", self.root.spec());
        let has_mode = self
            .kernel_opts
            .split_whitespace()
            .any(|word| word == "ro" || word == "rw");
        if !has_mode {
            line += " ro";
        }
        for word in self.kernel_opts.split_whitespace() {
            line += " ";
            line += &escape(word);
        }
        line
    }

    /// `/etc/default/grub`, from which update-grub makes the same menu.
    pub fn defaults(&self) -> String {
        let config = self.config;
        let [input, output] = self.terminals();
        let distributor = config
            .distributor
            .clone()
            .unwrap_or("$(. /etc/os-release && echo \"$NAME\")".into());
        let mut text = String::from("# Run update-grub after a change here.\n");
        let mut set = |name: &str, value: &str| text += &format!("GRUB_{name}={value}\n");
        set("DEFAULT", &shell_quote(config.default.as_deref().unwrap_or("0")));
        set("TIMEOUT", &config.timeout.to_string());
        if let Some(style) = config.timeout_style {
            set("TIMEOUT_STYLE", style.as_str());
        }
        set("DISTRIBUTOR", &format!("\"{}\"", inner_quotes(&distributor)));
        set("CMDLINE_LINUX_DEFAULT", "\"\"");
        set("CMDLINE_LINUX", &shell_quote(self.kernel_opts.trim()));
        set("TERMINAL_INPUT", &format!("\"{}\"", input.join(" ")));
        set("TERMINAL_OUTPUT", &format!("\"{}\"", output.join(" ")));
        set("SERIAL_COMMAND", &shell_quote(self.serial()));
        set(
            "DISABLE_RECOVERY",
            bool_text(config.disable_recovery.unwrap_or(true)),
        );
        set(
            "DISABLE_SUBMENU",
            bool_text(config.disable_submenu.unwrap_or(true)),
        );
        set("DISABLE_OS_PROBER", "true");
        text
    }
}

fn bool_text(value: bool) -> &'static str {
    if value { "true" } else { "false" }
}

/// A word of GRUB's script language in which only `$` keeps its meaning.
fn quote(text: &str) -> String {
    if text.starts_with("${") {
        format!("\"{text}\"")
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}

/// `word` with a backslash before what GRUB's script language would take for its own.
fn escape(word: &str) -> String {
    let special = |c: char| "\\'\"$;&|<>{}#()*?[]".contains(c);
    word.chars()
        .flat_map(|c| special(c).then_some('\\').into_iter().chain([c]))
        .collect()
}

/// A word in the shell's single quotes.
fn shell_quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// What stays inside double quotes: a command substitution has its own quoting level.
fn inner_quotes(text: &str) -> String {
    if text.contains("$(") || text.contains('`') {
        text.to_owned()
    } else {
        text.replace('\\', "\\\\").replace('"', "\\\"")
    }
}
