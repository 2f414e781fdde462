//! Commands for users and groups.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Number;

/// The text of this file, for the digest of the stage.
pub const SOURCE: &str = include_str!("users.rs");

#[derive(Debug, Deserialize, JsonSchema)]
pub struct Group {
    /// Its id.
    gid: Option<Number>,
}

impl Group {
    pub fn line(&self, name: &str) -> String {
        let gid = self.gid.as_ref().filter(|gid| gid.as_f64() != Some(0.0));
        let gid = gid.map_or_else(String::new, |gid| format!(" --gid {gid}"));
        format!("group --name {name}{gid}")
    }
}

#[derive(Debug, Deserialize, JsonSchema)]
pub struct User {
    /// The user's id.
    uid: Option<Number>,
    /// Id of the user's own group.
    gid: Option<Number>,
    /// Further groups.
    #[serde(default)]
    groups: Vec<String>,
    /// Who it is; not written.
    #[allow(dead_code)]
    description: Option<String>,
    /// The home directory.
    #[serde(default)]
    home: String,
    /// The login shell.
    #[serde(default)]
    shell: String,
    /// The password as crypt(5) has it. Empty: none is needed.
    password: Option<String>,
    /// A public key for SSH.
    #[serde(default)]
    key: String,
}

impl User {
    pub fn lines(&self, name: &str) -> Vec<String> {
        let mut line = format!("user --name {name}");
        if let Some(password) = &self.password {
            let password = if password.is_empty() { "\"\"" } else { password };
            line.push_str(&format!(" --password {password} --iscrypted"));
        }
        let text = |value: &Option<Number>| value.as_ref().map(Number::to_string).unwrap_or_default();
        let settings = [
            ("--shell", self.shell.clone()),
            ("--uid", text(&self.uid)),
            ("--gid", text(&self.gid)),
            ("--groups", self.groups.join(",")),
            ("--homedir", self.home.clone()),
        ];
        for (option, value) in settings.iter().filter(|(_, value)| !value.is_empty()) {
            line.push_str(&format!(" {option} {value}"));
        }
        let key = (!self.key.is_empty()).then(|| format!("sshkey --username {name} \"{}\"", self.key));
        std::iter::once(line).chain(key).collect()
    }
}

#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(extend("anyOf" = [
    {"required": ["lock"], "not": {"required": ["allow_ssh"]}},
    {"required": ["iscrypted", "password"], "not": {"required": ["plaintext"]}},
    {"required": ["plaintext", "password"], "not": {"required": ["iscrypted"]}},
]))]
pub struct RootPassword {
    /// Nobody can log in as root.
    #[serde(default)]
    lock: bool,
    /// The password is the password itself.
    #[serde(default)]
    plaintext: bool,
    /// The password is as crypt(5) has it.
    #[serde(default)]
    iscrypted: bool,
    /// root may log in by SSH with it.
    #[serde(default)]
    allow_ssh: bool,
    /// The password.
    #[serde(default)]
    #[schemars(length(min = 1))]
    password: String,
}

impl RootPassword {
    pub fn line(&self) -> Option<String> {
        let flags = [
            ("--lock", self.lock),
            ("--plaintext", self.plaintext),
            ("--iscrypted", self.iscrypted),
            ("--allow-ssh", self.allow_ssh),
        ];
        let words = flags.iter().filter(|(_, set)| *set).map(|(flag, _)| *flag);
        let password = Some(&*self.password).filter(|password| !password.is_empty());
        let words: Vec<&str> = words.chain(password).collect();
        (!words.is_empty()).then(|| format!("rootpw {}", words.join(" ")))
    }
}
