//! Choose the services that greenboot watches.
//!
//! Adds services to `GREENBOOT_MONITOR_SERVICES` in `/etc/greenboot/greenboot.conf`, before those that are watched
//! already. The file comes with greenboot.

use module::{Args, Result};
use schemars::JsonSchema;
use serde::Deserialize;

const FILE: &str = "etc/greenboot/greenboot.conf";
const KEY: &str = "GREENBOOT_MONITOR_SERVICES";

/// Options of `org.osbuild.greenboot`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// What to set.
    config: Config,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Config {
    /// Services to watch.
    monitor_services: Option<Vec<String>>,
}

module::stage! { file: "greenboot.rs", name: "org.osbuild.greenboot", options: Options, run: run }

fn run(args: Args<Options>) -> Result<()> {
    let text = args.tree.read_text(FILE)?;
    match &args.options.config.monitor_services {
        Some(services) => Ok(args.tree.write(FILE, with_services(&text, services))?),
        None => Ok(()),
    }
}

fn with_services(text: &str, services: &[String]) -> String {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let key = |line: &String| {
        line.split_once('=')
            .is_some_and(|(key, rest)| key == KEY && !rest.contains('='))
    };
    let old = lines.iter_mut().find(|line| key(line));
    match old {
        Some(line) => {
            let watched = line
                .split_once('=')
                .map_or("", |(_, value)| value.trim_matches('"'));
            let watched: Vec<&str> = watched.split(' ').collect();
            let new = services
                .iter()
                .map(String::as_str)
                .filter(|name| !watched.contains(name));
            let all: Vec<&str> = new.chain(watched.iter().copied()).collect();
            *line = format!("{KEY}=\"{}\"", all.join(" "));
        }
        None => lines.push(format!("{KEY}=\"{}\"", services.join(" "))),
    }
    lines.iter().map(|line| format!("{line}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::with_services;

    #[test]
    fn services_are_added_once() {
        let add = |text| with_services(text, &["a".into(), "b".into()]);
        assert_eq!(
            add("# x=1\nGREENBOOT_MONITOR_SERVICES=\"b c\"\nY=2\n"),
            "# x=1\nGREENBOOT_MONITOR_SERVICES=\"a b c\"\nY=2\n"
        );
        assert_eq!(
            add("#GREENBOOT_MONITOR_SERVICES=\"b\""),
            "#GREENBOOT_MONITOR_SERVICES=\"b\"\nGREENBOOT_MONITOR_SERVICES=\"a b\"\n"
        );
    }
}
