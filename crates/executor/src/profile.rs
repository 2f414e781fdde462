//! What a module may do in its box, by its metadata.
//!
//! Ours say all that they need (`needs`, see `module`), and get no more. Foreign modules are written for the capabilities
//! that the Python osbuild gives them all, and name further ones (`capabilities`).

use sandbox::Capability;
use serde_json::{Map, Value};

/// What a module gets.
#[derive(Debug, Clone, Copy)]
pub struct Profile<'a> {
    meta: &'a Value,
    foreign: bool,
}

impl<'a> Profile<'a> {
    /// That of the module with this metadata.
    pub fn of(meta: &'a Value, foreign: bool) -> Self {
        Self { meta, foreign }
    }

    /// Its capabilities, in order, within the user namespace of its box.
    ///
    /// # Errors
    /// A name that is no capability's.
    pub fn capabilities(&self) -> Result<Vec<Capability>, String> {
        let needed = &self.meta["needs"]["capabilities"];
        let mut all = match needed.is_array() && !self.foreign {
            true => named(needed)?,
            false => sandbox::DEFAULT_CAPABILITIES.to_vec(),
        };
        all.extend(named(&self.meta["capabilities"])?);
        all.sort_unstable_by_key(Capability::index);
        all.dedup();
        Ok(all)
    }

    /// Whether the executor sets labels for it.
    pub fn labels(&self) -> bool {
        self.says("labels")
    }

    /// Whether the executor makes device nodes for it.
    pub fn device_nodes(&self) -> bool {
        self.says("device_nodes")
    }

    /// Whether the executor makes loop devices for it, when it has these options.
    pub fn loop_devices(&self, options: &Map<String, Value>) -> bool {
        let needed = &self.meta["needs"]["loop_devices"];
        let by_option = || {
            // a JSON pointer
            let mut names = needed["option"].as_str()?.split('/').skip(1);
            let first = options.get(names.next()?)?;
            let option = names.try_fold(first, |value, name| value.get(name))?;
            Some(*option == needed["is"])
        };
        !self.foreign && (*needed == true || by_option().unwrap_or(false))
    }

    /// Whether what it runs may make sockets, which reach no farther than its box.
    pub fn sockets(&self) -> bool {
        self.foreign || self.meta["needs"]["sockets"] != false
    }

    fn says(&self, what: &str) -> bool {
        !self.foreign && self.meta["needs"][what] == true
    }
}

fn named(list: &Value) -> Result<Vec<Capability>, String> {
    let names = list.as_array().into_iter().flatten().filter_map(Value::as_str);
    names
        .map(|name| {
            sandbox::capability(name)
                .ok_or_else(|| format!("its metadata asks for {name}, which is no capability"))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn ours_get_what_they_name_and_foreign_ones_the_usual() {
        let meta = json!({
            "capabilities": ["CAP_MAC_ADMIN"],
            "needs": {"capabilities": ["CAP_CHOWN", "CAP_MAC_ADMIN"], "labels": true, "device_nodes": false, "sockets": false},
        });
        let ours = Profile::of(&meta, false);
        let both = vec![Capability::CAP_CHOWN, Capability::CAP_MAC_ADMIN];
        assert_eq!(ours.capabilities(), Ok(both));
        assert!(ours.labels() && !ours.device_nodes() && !ours.sockets());
        // what it says of itself is not believed
        let foreign = Profile::of(&meta, true);
        let all = foreign.capabilities().unwrap();
        assert!(!foreign.labels() && foreign.sockets() && all.contains(&Capability::CAP_MAC_ADMIN));
        assert!(all.contains(&Capability::CAP_SYS_ADMIN));
        let sometimes = json!({"needs": {"loop_devices": {"option": "/bootloader/type", "is": "zipl"}}});
        let devices =
            |options: Value| Profile::of(&sometimes, false).loop_devices(options.as_object().unwrap());
        assert!(devices(json!({"bootloader": {"type": "zipl"}})) && !devices(json!({})));
        assert!(!devices(json!({"bootloader": {"type": "grub2"}})) && !foreign.loop_devices(&Map::new()));
        let wrong = json!({"capabilities": ["CAP_WISH"]});
        assert!(
            Profile::of(&wrong, true)
                .capabilities()
                .unwrap_err()
                .contains("CAP_WISH")
        );
    }
}
