//! Set where chrony has the time from.
//!
//! Edits chrony.conf(5), `/etc/chrony.conf` or, where Debian and others have it, `/etc/chrony/chrony.conf`: the lines
//! that start with `server`, `pool` and `peer` go, and what the options ask for is put on top. The last option's lines
//! come first: `refclocks`, `leapsectz`, `servers`, `timeservers`.

use module::{Args, Result, Tree, bail};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Number;

const FILES: [&str; 2] = ["etc/chrony.conf", "etc/chrony/chrony.conf"];

/// Options of `org.osbuild.chrony`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("minProperties" = 1))]
pub struct Options {
    /// Names or addresses of servers, each asked with `iburst`.
    #[serde(default)]
    timeservers: Vec<String>,
    /// Servers with options of their own.
    #[serde(default)]
    servers: Vec<Server>,
    /// The time zone, such as `right/UTC`, whose data tell the leap seconds. Empty: none.
    leapsectz: Option<String>,
    /// Clocks of this machine.
    #[serde(default)]
    refclocks: Vec<Refclock>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Server {
    /// Name or address.
    hostname: String,
    /// Shortest time between two questions, as a power of two seconds.
    #[schemars(range(min = -6, max = 24))]
    minpoll: Option<i64>,
    /// Longest time between two questions, as a power of two seconds.
    #[schemars(range(min = -6, max = 24))]
    maxpoll: Option<i64>,
    /// Ask several times in a row at the start.
    #[serde(default = "yes")]
    iburst: bool,
    /// Prefer it to others.
    #[serde(default)]
    prefer: bool,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Refclock {
    /// What drives it.
    driver: Driver,
    /// Time between two samples, as a power of two seconds.
    poll: Option<i64>,
    /// Time between two readings, as a power of two seconds.
    dpoll: Option<i64>,
    /// Seconds to add to what it says.
    offset: Option<Number>,
}

/// The driver of a clock and its options, see `refclock` in chrony.conf(5).
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(tag = "name", deny_unknown_fields)]
enum Driver {
    /// Pulses per second.
    #[serde(rename = "PPS")]
    Pps {
        #[schemars(regex(pattern = r"^\/(?!\.\.)((?!\/\.\.\/).)+$"))]
        device: String,
        #[serde(default)]
        clear: bool,
    },
    /// Shared memory, as gpsd writes it.
    #[serde(rename = "SHM")]
    Shm {
        segment: i64,
        #[schemars(regex(pattern = "^[0-7]{4}$"))]
        perm: Option<String>,
    },
    /// A socket, as gpsd writes to it.
    #[serde(rename = "SOCK")]
    Sock {
        #[schemars(regex(pattern = r"^\/(?!\.\.)((?!\/\.\.\/).)+$"))]
        path: String,
    },
    /// A hardware clock.
    #[serde(rename = "PHC")]
    Phc {
        #[schemars(regex(pattern = r"^\/(?!\.\.)((?!\/\.\.\/).)+$"))]
        path: String,
        #[serde(default)]
        nocrossts: bool,
        #[serde(default)]
        extpps: bool,
        pin: Option<i64>,
        channel: Option<i64>,
        #[serde(default)]
        clear: bool,
    },
}

module::stage! { file: "chrony.rs", name: "org.osbuild.chrony", options: Options, run: run }

fn yes() -> bool {
    true
}

fn run(args: Args<Options>) -> Result<()> {
    let file = file(&args.tree)?;
    let text = edited(&args.tree.read_text(file)?, &args.options);
    Ok(args.tree.write(file, text)?)
}

fn file(tree: &Tree) -> Result<&'static str> {
    match FILES.into_iter().find(|file| tree.exists(file)) {
        Some(file) => Ok(file),
        None => bail!(
            "neither /{} nor /{} is in the tree: install chrony before this stage",
            FILES[0],
            FILES[1]
        ),
    }
}

fn edited(text: &str, options: &Options) -> String {
    let starts = |line: &str, words: &[&str]| {
        words
            .iter()
            .any(|word| line.strip_prefix(word).is_some_and(|rest| rest.starts_with(' ')))
    };
    let mut new: Vec<String> = options.refclocks.iter().map(refclock).collect();
    if let Some(zone) = options.leapsectz.as_ref().filter(|zone| !zone.is_empty()) {
        new.push(format!("leapsectz {zone}"));
    }
    new.extend(options.servers.iter().map(server));
    new.extend(
        options
            .timeservers
            .iter()
            .map(|name| format!("server {name} iburst")),
    );
    let old = text.split('\n').filter(|line| {
        let replaced = starts(line, &["server", "pool", "peer"]);
        let leap = options.leapsectz.is_some() && starts(line, &["leapsectz"]);
        !replaced && !leap
    });
    let lines: Vec<&str> = new.iter().map(String::as_str).chain(old).collect();
    lines.join("\n")
}

fn server(server: &Server) -> String {
    let mut line = format!("server {}", server.hostname);
    if server.prefer {
        line.push_str(" prefer");
    }
    if server.iburst {
        line.push_str(" iburst");
    }
    line + &word("minpoll", &server.minpoll) + &word("maxpoll", &server.maxpoll)
}

fn refclock(clock: &Refclock) -> String {
    let (general, options) = match &clock.driver {
        Driver::Pps { device, clear } => (format!("PPS {device}"), vec![flag("clear", *clear)]),
        Driver::Shm { segment, perm } => (format!("SHM {segment}"), vec![value("perm", perm)]),
        Driver::Sock { path } => (format!("SOCK {path}"), Vec::new()),
        Driver::Phc {
            path,
            nocrossts,
            extpps,
            pin,
            channel,
            clear,
        } => (
            format!("PHC {path}"),
            vec![
                flag("nocrossts", *nocrossts),
                flag("extpps", *extpps),
                value("pin", pin),
                value("channel", channel),
                flag("clear", *clear),
            ],
        ),
    };
    let options: Vec<String> = options.into_iter().flatten().collect();
    let colon = if options.is_empty() { "" } else { ":" };
    format!(
        "refclock {general}{colon}{}{}{}{}",
        options.join(","),
        word("poll", &clock.poll),
        word("dpoll", &clock.dpoll),
        word("offset", &clock.offset)
    )
}

/// ` name value`, or nothing.
fn word<T: std::fmt::Display>(name: &str, value: &Option<T>) -> String {
    value
        .as_ref()
        .map_or_else(String::new, |value| format!(" {name} {value}"))
}

fn flag(name: &str, set: bool) -> Option<String> {
    set.then(|| name.to_owned())
}

fn value<T: std::fmt::Display>(name: &str, value: &Option<T>) -> Option<String> {
    value.as_ref().map(|value| format!("{name}={value}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn top(options: Value) -> Vec<String> {
        let options: Options = serde_json::from_value(options).unwrap();
        let text = edited("pool x iburst\nrtcsync\nleapsectz right/UTC\n", &options);
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn servers_come_below_clocks() {
        let lines = top(json!({
            "timeservers": ["a"],
            "servers": [{"hostname": "b", "minpoll": 0, "maxpoll": 4, "iburst": false, "prefer": true}],
            "leapsectz": "",
            "refclocks": [
                {"driver": {"name": "PPS", "device": "/dev/pps0", "clear": true}, "poll": 3, "offset": 0.3},
                {"driver": {"name": "SHM", "segment": 1, "perm": "0660"}},
                {"driver": {"name": "SOCK", "path": "/run/s"}, "dpoll": -2},
                {"driver": {"name": "PHC", "path": "/dev/ptp0", "nocrossts": true, "pin": 0, "channel": 1}},
            ],
        }));
        let expected = [
            "refclock PPS /dev/pps0:clear poll 3 offset 0.3",
            "refclock SHM 1:perm=0660",
            "refclock SOCK /run/s dpoll -2",
            "refclock PHC /dev/ptp0:nocrossts,pin=0,channel=1",
            "server b prefer minpoll 0 maxpoll 4",
            "server a iburst",
            "rtcsync",
        ];
        assert_eq!(lines, expected);
    }

    #[test]
    fn debians_file_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let tree = Tree::open(dir.path()).unwrap();
        let run = || (MODULE.run)(json!({"tree": dir.path(), "options": {"timeservers": ["a"]}}));
        assert!(run().unwrap_err().to_string().contains("install chrony"));
        tree.mkdir_all("etc/chrony").unwrap();
        tree.write(FILES[1], "pool 2.debian.pool.ntp.org iburst\n")
            .unwrap();
        run().unwrap();
        assert_eq!(tree.read_text(FILES[1]).unwrap(), "server a iburst\n");
    }
}
