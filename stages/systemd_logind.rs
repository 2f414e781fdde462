//! Configure systemd's log-in manager.
//!
//! Writes a file in `/usr/lib/systemd/logind.conf.d`; what was in it is replaced. See logind.conf(5).

use module::{Args, Result};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::common::{self, InOrder, Ini};

/// Options of `org.osbuild.systemd-logind`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// Name of the file.
    #[schemars(regex(pattern = r"^[\w.-]{1,250}\.conf$"))]
    filename: String,
    /// The settings.
    config: Config,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("minProperties" = 1))]
struct Config {
    /// The section `Login`.
    #[serde(rename = "Login")]
    login: Option<InOrder<Login>>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("minProperties" = 1))]
#[allow(dead_code)] // the members are written in the manifest's order
struct Login {
    /// How many terminals get a log-in prompt when they are switched to.
    #[serde(rename = "NAutoVTs")]
    #[schemars(range(min = 0))]
    n_auto_vts: Option<u64>,
    /// The terminal that always has one.
    #[serde(rename = "ReserveVT")]
    #[schemars(range(min = 0))]
    reserve_vt: Option<u64>,
}

module::stage! {
    file: "systemd_logind.rs", name: "org.osbuild.systemd-logind", options: Options, run: run,
    libraries: [common::SOURCE],
}

fn run(args: Args<Options>) -> Result<()> {
    let mut ini = Ini::default();
    if let Some(login) = &args.options.config.login {
        let section = ini.section("Login");
        for (key, value) in login.iter() {
            section.set(key, common::plain(value, ("no", "yes"), " "));
        }
    }
    let path = format!("usr/lib/systemd/logind.conf.d/{}", args.options.filename);
    common::write_below(&args.tree, &path, &ini.text("="))
}
