//! Reading a blueprint; what is wrong in it is named with its line.

use std::collections::BTreeSet;
use std::path::Path;

use super::{Blueprint, Customizations, Filesystem};
use crate::error::{Failure, OrFail, Result, did_you_mean, nearest};

/// Reads the blueprint in `file`: JSON where it is called so or begins with a brace, else TOML.
pub fn read(file: &Path) -> Result<Blueprint> {
    let name = file.display().to_string();
    let text = std::fs::read_to_string(file)
        .or_fail(|| format!("cannot read the blueprint {name}"))
        .map_err(|failure| Failure::input(failure.message))?;
    parse(&name, &text)
}

/// Reads a blueprint's text; `name` is what errors call it.
pub fn parse(name: &str, text: &str) -> Result<Blueprint> {
    let json = name.ends_with(".json") || text.trim_start().starts_with('{');
    let parsed = if json { from_json(text) } else { from_toml(text) };
    let blueprint = parsed.map_err(|(line, message)| explain(name, line, &message))?;
    check(&blueprint).map_err(|wrong| {
        let line = wrong
            .value
            .and_then(|value| line_of_value(text, &value, wrong.again));
        Failure::input(match line {
            Some(line) => format!("{name}, line {line}: {}", wrong.message),
            None => format!("{name}: {}", wrong.message),
        })
        .hint_if(wrong.hint)
    })?;
    Ok(blueprint)
}

type Located = (Option<usize>, String);

fn from_json(text: &str) -> std::result::Result<Blueprint, Located> {
    serde_json::from_str(text).map_err(|error| {
        let message = error.to_string();
        // the line is said on its own
        let end = message.rfind(" at line ").unwrap_or(message.len());
        (Some(error.line()), message[..end].to_owned())
    })
}

fn from_toml(text: &str) -> std::result::Result<Blueprint, Located> {
    toml::from_str(text).map_err(|error| {
        let line = error.span().map(|span| line_at(text, span.start));
        (line, error.message().to_owned())
    })
}

fn line_at(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
}

/// Says an error of the parser in our words, with the nearest key where one is unknown.
fn explain(name: &str, line: Option<usize>, message: &str) -> Failure {
    let place = line.map_or_else(|| name.to_owned(), |line| format!("{name}, line {line}"));
    let message = message.trim_end().replace('\n', ", ");
    let Some(rest) = message.strip_prefix("unknown field ") else {
        return Failure::input(format!("{place}: {message}"));
    };
    let words: Vec<&str> = rest.split('`').skip(1).step_by(2).collect();
    let (unknown, known) = words.split_first().unwrap_or((&"", &[]));
    let hint = did_you_mean(&nearest(unknown, known.iter().copied()));
    Failure::input(format!("{place}: unknown key `{unknown}`"))
        .hint(hint.unwrap_or_else(|| format!("known here: {}", known.join(", "))))
}

/// Something that the types cannot say; `value` stands in the text where it is wrong.
struct Wrong {
    message: String,
    hint: Option<String>,
    value: Option<String>,
    /// Whether it is wrong where it stands for the second time.
    again: bool,
}

fn wrong(message: String, value: &str) -> Wrong {
    Wrong {
        message,
        hint: None,
        value: (!value.is_empty()).then(|| value.to_owned()),
        again: false,
    }
}

/// The line on which `value` is written as a text, for the first time or the second.
fn line_of_value(text: &str, value: &str, again: bool) -> Option<usize> {
    let quoted = [format!("\"{value}\""), format!("'{value}'")];
    let mut found: Vec<usize> = quoted
        .iter()
        .flat_map(|quoted| text.match_indices(quoted))
        .map(|(at, _)| at)
        .collect();
    found.sort_unstable();
    let at = found.get(usize::from(again))?;
    Some(line_at(text, *at))
}

fn check(blueprint: &Blueprint) -> std::result::Result<(), Wrong> {
    for package in blueprint.packages() {
        check_name("package", &package.name, "+.:-_")?;
        let version = package.version.chars();
        if version
            .clone()
            .any(|c| !(c.is_ascii_alphanumeric() || ".+-~:*".contains(c)))
        {
            return Err(wrong(
                format!("`{}` is no version", package.version),
                &package.version,
            ));
        }
    }
    let custom = &blueprint.customizations;
    blueprint
        .groups
        .iter()
        .try_for_each(|group| check_name("package group", &group.name, "+.-_"))?;
    custom
        .user
        .iter()
        .try_for_each(|user| check_name("user", &user.name, "._-"))?;
    custom
        .group
        .iter()
        .try_for_each(|group| check_name("group", &group.name, "._-"))?;
    custom
        .sshkey
        .iter()
        .try_for_each(|entry| check_name("user", &entry.user, "._-"))?;
    check_unique("user", custom.user.iter().map(|user| user.name.as_str()))?;
    check_unique("group", custom.group.iter().map(|group| group.name.as_str()))?;
    check_unique("file", custom.files.iter().map(|file| file.path.as_str()))?;
    let services = &custom.services;
    let units = services
        .enabled
        .iter()
        .chain(&services.disabled)
        .chain(&services.masked);
    units
        .into_iter()
        .try_for_each(|unit| check_name("service", unit, "@:._-\\"))?;
    if let Some(zone) = &custom.timezone.timezone {
        check_name("time zone", zone, "/+-_")?;
    }
    for server in &custom.timezone.ntpservers {
        check_name("NTP server", server, ".:-")?;
    }
    for language in &custom.locale.languages {
        check_name("locale", language, "_.@-")?;
    }
    if let Some(keyboard) = &custom.locale.keyboard {
        check_name("keyboard", keyboard, "_-")?;
    }
    let paths = custom.files.iter().map(|file| &file.path);
    let paths = paths.chain(custom.directories.iter().map(|dir| &dir.path));
    paths.into_iter().try_for_each(|path| check_path(path))?;
    check_places(custom)?;
    custom.filesystem.iter().try_for_each(check_filesystem)
}

fn check_name(what: &str, name: &str, extra: &str) -> std::result::Result<(), Wrong> {
    let letter = |c: char| c.is_ascii_alphanumeric() || extra.contains(c);
    let starts = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if name.starts_with(starts) && name.chars().all(letter) {
        return Ok(());
    }
    Err(wrong(format!("`{name}` is no name of a {what}"), name))
}

fn check_unique<'a>(what: &str, names: impl Iterator<Item = &'a str>) -> std::result::Result<(), Wrong> {
    let mut seen = BTreeSet::new();
    for name in names {
        if !seen.insert(name) {
            return Err(wrong(format!("the {what} `{name}` is there twice"), ""));
        }
    }
    Ok(())
}

fn check_path(path: &str) -> std::result::Result<(), Wrong> {
    let good = |part: &str| !part.is_empty() && part != "." && part != ".." && !part.contains('\0');
    match path.strip_prefix('/') {
        Some(rest) if rest.split('/').all(good) => Ok(()),
        _ => Err(wrong(
            format!("`{path}` is no plain absolute path (as /etc/motd is)"),
            path,
        )),
    }
}

/// A path is either a file or a directory.
fn check_places(custom: &Customizations) -> std::result::Result<(), Wrong> {
    let files: BTreeSet<&str> = custom.files.iter().map(|file| file.path.as_str()).collect();
    let dirs = custom.directories.iter().map(|dir| dir.path.as_str());
    if let Some(path) = dirs.clone().find(|path| files.contains(path)) {
        let message = format!("`{path}` is one of the files and one of the directories");
        return Err(Wrong {
            again: true,
            ..wrong(message, path)
        });
    }
    for path in files.iter().copied().chain(dirs) {
        let above = path.match_indices('/').map(|(at, _)| &path[..at]);
        if let Some(file) = above.into_iter().find(|above| files.contains(above)) {
            let message = format!("`{path}` cannot be in `{file}`, which is one of the files");
            return Err(wrong(message, path));
        }
    }
    Ok(())
}

fn check_filesystem(filesystem: &Filesystem) -> std::result::Result<(), Wrong> {
    if filesystem.mountpoint == "/" {
        return Ok(());
    }
    let mut wrong = wrong(
        format!("`{}` cannot have a file system of its own", filesystem.mountpoint),
        &filesystem.mountpoint,
    );
    wrong.hint = Some("an image has one root file system; give `/` the size of both".into());
    Err(wrong)
}

#[cfg(test)]
mod tests {
    use super::super::{Bytes, Id, Mode, Owner};
    use super::*;
    use crate::error::Kind;

    const TOML: &str = r#"
name = "server"
version = "1.0.0"
[[packages]]
name = "nginx"
version = "*"
[[groups]]
name = "ssh-server"
[customizations]
hostname = "web1"
[customizations.kernel]
append = "quiet"
[[customizations.user]]
name = "ada"
key = "ssh-ed25519 AAAA a"
groups = ["sudo"]
uid = 1200
[[customizations.sshkey]]
user = "ada"
key = "ssh-ed25519 BBBB b"
[[customizations.filesystem]]
mountpoint = "/"
minsize = "20 GiB"
[[customizations.files]]
path = "/etc/motd"
mode = "0600"
user = "ada"
group = 4
data = "hello\n"
"#;

    #[test]
    fn toml_is_read_whole() {
        let blueprint = parse("server.toml", TOML).unwrap();
        assert_eq!(blueprint.packages[0].name, "nginx");
        assert_eq!(blueprint.customizations.hostname.as_deref(), Some("web1"));
        assert_eq!(blueprint.customizations.filesystem[0].minsize, Bytes(20 << 30));
        let file = &blueprint.customizations.files[0];
        assert_eq!(file.mode, Some(Mode(0o600)));
        assert_eq!(file.user, Some(Owner::Name("ada".into())));
        assert_eq!(file.group, Some(Owner::Id(Id(4))));
        assert_eq!(
            blueprint.keys()["ada"],
            ["ssh-ed25519 AAAA a", "ssh-ed25519 BBBB b"]
        );
    }

    #[test]
    fn json_says_the_same_as_toml() {
        let value: serde_json::Value = toml::from_str(TOML).unwrap();
        let json = serde_json::to_string_pretty(&value).unwrap();
        assert_eq!(
            parse("server.json", &json).unwrap(),
            parse("server.toml", TOML).unwrap()
        );
    }

    #[test]
    fn an_unknown_key_is_named_with_its_line_and_the_nearest() {
        let failure = parse("b.toml", "name = \"x\"\n[customizations]\n# a\nhostnme = \"y\"\n").unwrap_err();
        assert_eq!(failure.message, "b.toml, line 4: unknown key `hostnme`");
        assert_eq!(failure.hint.as_deref(), Some("did you mean `hostname`?"));
        assert_eq!(failure.exit_code(), 2);
        let text = "{\n \"name\": \"x\",\n \"packges\": []\n}";
        let failure = parse("b.json", text).unwrap_err();
        assert_eq!(failure.message, "b.json, line 3: unknown key `packges`");
        assert_eq!(failure.hint.as_deref(), Some("did you mean `packages`?"));
    }

    #[test]
    fn a_key_without_a_neighbour_lists_what_is_known() {
        let failure = parse("b.toml", "[[packages]]\nname = \"a\"\nzzzzzz = 1\n").unwrap_err();
        assert_eq!(failure.message, "b.toml, line 3: unknown key `zzzzzz`");
        assert_eq!(failure.hint.as_deref(), Some("known here: name, version"));
    }

    #[test]
    fn broken_syntax_and_wrong_types_have_their_line() {
        let failure = parse("b.toml", "name = \"x\"\nversion = = 3\n").unwrap_err();
        assert!(failure.message.starts_with("b.toml, line 2: "), "{failure}");
        let failure = parse("b.toml", "name = \"x\"\npackages = 3\n").unwrap_err();
        assert!(failure.message.starts_with("b.toml, line 2: "), "{failure}");
        let failure = parse("b.json", "{\"name\":").unwrap_err();
        assert!(failure.message.starts_with("b.json, line 1: "), "{failure}");
    }

    #[test]
    fn values_that_cannot_be_meant_are_refused() {
        let cases = [
            (
                "[[customizations.filesystem]]\nmountpoint = \"/var\"\n",
                "`/var` cannot have",
            ),
            (
                "[[customizations.files]]\npath = \"/etc/../x\"\n",
                "no plain absolute path",
            ),
            ("[[packages]]\nname = \"-oDir=/x\"\n", "no name of a package"),
            ("[[customizations.user]]\nname = \"a b\"\n", "no name of a user"),
            (
                "[[customizations.files]]\npath = \"/x\"\nmode = \"rw\"\n",
                "permissions in octal",
            ),
        ];
        for (text, message) in cases {
            let failure = parse("b.toml", text).unwrap_err();
            assert!(failure.message.contains(message), "{failure}");
            assert!(failure.message.contains("line "), "{failure}");
        }
    }

    #[test]
    fn a_list_in_the_place_of_keys_is_refused() {
        let cases = [
            (
                "b.json",
                "[\"web\"]",
                1,
                "a blueprint, with keys such as `packages`",
            ),
            (
                "b.json",
                "{\"customizations\":\n[]}",
                2,
                "customizations, with keys such as `hostname`",
            ),
            (
                "b.json",
                "{\"packages\": [\n[\"nginx\"]]}",
                2,
                "a package, with the key `name`",
            ),
            (
                "b.toml",
                "name = \"x\"\npackages = [[\"nginx\"]]\n",
                2,
                "a package, with the key `name`",
            ),
        ];
        for (name, text, line, wanted) in cases {
            let failure = parse(name, text).unwrap_err();
            let message = format!("{name}, line {line}: invalid type: sequence, expected {wanted}");
            assert_eq!((failure.message, failure.kind), (message, Kind::Input));
        }
    }

    /// What a blueprint with this customization, on its line 2, is refused for.
    fn refused(line: &str) -> String {
        let toml = format!("name = \"x\"\ncustomizations.{line}\n");
        let toml = parse("b", &toml).unwrap_err().message;
        let message = toml
            .strip_prefix("b, line 2: ")
            .unwrap_or_else(|| panic!("{toml}"));
        message.to_owned()
    }

    #[test]
    fn host_names_are_those_of_linux() {
        let longer = "x".repeat(65);
        for name in ["", "a-", "-a", "a..b", "a_b", &longer] {
            let message = refused(&format!("hostname = \"{name}\""));
            assert!(
                message.contains(name) && message.contains("at most 64 characters"),
                "{message}"
            );
        }
        let longest = format!("customizations.hostname = \"{}\"", "x".repeat(64));
        parse("b.toml", &longest).unwrap();
    }

    #[test]
    fn ids_are_those_a_tree_can_have() {
        for wrong in [
            "user = [{name = \"a\", uid = 65536}]",
            "user = [{name = \"a\", gid = -1}]",
            "group = [{name = \"a\", gid = 4294967295}]",
            "files = [{path = \"/a\", user = 70000}]",
            "directories = [{path = \"/a\", group = 65536}]",
        ] {
            let message = refused(wrong);
            assert!(message.contains("from 0 to 65535"), "{message}");
        }
        parse(
            "b.toml",
            "customizations.user = [{name = \"a\", uid = 65535, gid = 0}]",
        )
        .unwrap();
    }

    #[test]
    fn fields_of_passwd_are_one_line_without_colons() {
        for (field, wanted) in [
            ("description", "a description without colons and line breaks"),
            (
                "home",
                "a home directory: an absolute path without colons and line breaks",
            ),
            (
                "shell",
                "a shell: an absolute path without colons and line breaks",
            ),
        ] {
            for value in ["/a:b", "/a\\nb"] {
                let message = refused(&format!("user = [{{name = \"a\", {field} = \"{value}\"}}]"));
                assert_eq!(
                    message,
                    format!("invalid value: string \"{value}\", expected {wanted}")
                );
            }
        }
        refused("user = [{name = \"a\", shell = \"bash\"}]");
        let user = "name = \"a\", home = \"\", shell = \"/bin/sh\", description = \"Ada L.\"";
        parse("b.toml", &format!("customizations.user = [{{{user}}}]")).unwrap();
    }

    #[test]
    fn a_file_is_nothing_else() {
        let text =
            "[[customizations.directories]]\npath = \"/a/b\"\n[[customizations.files]]\npath = \"/a/b\"\n";
        let failure = parse("b.toml", text).unwrap_err();
        assert_eq!(
            failure.message,
            "b.toml, line 4: `/a/b` is one of the files and one of the directories"
        );
        for other in ["directories", "files"] {
            let text = format!(
                "[[customizations.files]]\npath = \"/a\"\n[[customizations.{other}]]\npath = \"/a/b/c\"\n"
            );
            let failure = parse("b.toml", &text).unwrap_err();
            assert_eq!(
                failure.message,
                "b.toml, line 4: `/a/b/c` cannot be in `/a`, which is one of the files"
            );
        }
        let text = "[[customizations.files]]\npath = \"/a\"\n[[customizations.files]]\npath = \"/ab\"\n";
        parse("b.toml", text).unwrap();
    }
}
