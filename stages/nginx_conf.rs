//! Write a configuration of nginx that serves one directory.
//!
//! What was in the file is replaced; its directory must be in the tree.

use module::{Args, Result};
use schemars::JsonSchema;
use serde::Deserialize;

/// Options of `org.osbuild.nginx.conf`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// The file.
    #[serde(default = "file")]
    #[schemars(regex(pattern = r"^\/(?!\.\.)((?!\/\.\.\/).)+$"))]
    path: String,
    /// What it says.
    config: Option<Config>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default)]
struct Config {
    /// Address and port.
    listen: String,
    /// The directory.
    root: String,
    /// Where nginx leaves its process id.
    pid: String,
    /// Whether nginx goes to the background.
    daemon: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: "*:80".into(),
            root: "/usr/share/nginx/html".into(),
            pid: "/run/nginx.pid".into(),
            daemon: true,
        }
    }
}

module::stage! { file: "nginx_conf.rs", name: "org.osbuild.nginx.conf", options: Options, run: run }

fn file() -> String {
    "/etc/nginx/nginx.conf".into()
}

fn run(args: Args<Options>) -> Result<()> {
    let defaults = Config::default();
    let config = args.options.config.as_ref().unwrap_or(&defaults);
    Ok(args.tree.write(&args.options.path, text(config))?)
}

fn text(config: &Config) -> String {
    let Config {
        listen,
        root,
        pid,
        daemon,
    } = config;
    let daemon = if *daemon { "on" } else { "off" };
    format!(
        "events {{}}\nhttp {{\n  server {{\n    listen {listen};\n    root {root};\n  }}\n}}\n\npid {pid};\n\
         daemon {daemon};\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_take_the_place_of_defaults() {
        let config = serde_json::json!({"listen": "*:8080", "daemon": false});
        let text = text(&serde_json::from_value(config).unwrap());
        assert!(
            text.contains("    listen *:8080;\n    root /usr/share/nginx/html;\n"),
            "{text}"
        );
        assert!(text.ends_with("pid /run/nginx.pid;\ndaemon off;\n"), "{text}");
    }
}
