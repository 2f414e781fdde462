//! Users and groups.

use serde_json::{Map, Value, json};

use crate::blueprint::{Blueprint, User};
use crate::crypt::password_hash;
use crate::error::Result;

/// The shell of a user for whom none is named.
const SHELL: &str = "/bin/bash";

/// `org.osbuild.groups` and `org.osbuild.users`, as far as there are any.
pub fn stages(blueprint: &Blueprint) -> Result<Vec<Value>> {
    let custom = &blueprint.customizations;
    let mut stages = Vec::new();
    if !custom.group.is_empty() {
        let mut groups = Map::new();
        for group in &custom.group {
            let options = group.gid.map_or_else(|| json!({}), |gid| json!({"gid": gid.0}));
            groups.insert(group.name.clone(), options);
        }
        stages.push(json!({"type": "org.osbuild.groups", "options": {"groups": groups}}));
    }
    let mut users = Map::new();
    for user in &custom.user {
        users.insert(user.name.clone(), options(user)?);
    }
    for (name, keys) in blueprint.keys() {
        let user = users.entry(name).or_insert_with(|| json!({}));
        user["keys"] = json!(keys);
    }
    if !users.is_empty() {
        stages.push(json!({"type": "org.osbuild.users", "options": {"users": users}}));
    }
    Ok(stages)
}

fn options(user: &User) -> Result<Value> {
    let mut options = Map::new();
    let mut put = |key: &str, value: Option<Value>| {
        if let Some(value) = value {
            options.insert(key.to_owned(), value);
        }
    };
    put("uid", user.uid.map(|uid| uid.0.into()));
    put("gid", user.gid.map(|gid| gid.0.into()));
    put(
        "groups",
        Some(&user.groups)
            .filter(|list| !list.is_empty())
            .map(|list| json!(list)),
    );
    put("description", user.description.clone().map(Value::from));
    put("home", user.home.clone().map(Value::from));
    // root has a shell already
    let shell = (user.name != "root").then(|| SHELL.to_owned());
    put("shell", user.shell.clone().or(shell).map(Value::from));
    let password = user.password.as_deref();
    let password = password
        .map(|password| password_hash(&user.name, password))
        .transpose()?;
    put("password", password.map(Value::from));
    put("expiredate", user.expiredate.map(Value::from));
    put("force_password_reset", user.force_password_reset.map(Value::from));
    Ok(options.into())
}
