//! `cargo xtask new-stage` makes a stage that compiles, passes its own test and is listed.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tests::{Run, TestEnv, repository, run};

const LIMIT: Duration = Duration::from_secs(1800);

fn new_stage(dir: &Path, args: &[&str]) -> Run {
    let mut command = Command::new(env!("CARGO"));
    command.args(["run", "--quiet", "--package", "xtask", "--", "new-stage", "--dir"]);
    command.arg(dir).args(args).current_dir(repository());
    run(&mut command, b"", LIMIT)
}

/// A directory as the repository is, with one module in each folder.
fn layout(env: &TestEnv) {
    let list = "// <modules>\n// </modules>\n\n/// All.\npub static ALL: &[&module::Module] = &[\n    // <list>\n    // </list>\n];\n";
    for folder in ["stages", "assemblers"] {
        env.write(&format!("copy/{folder}/lib.rs"), list);
    }
    let own = |path: &str| fs::read_to_string(repository().join(path)).unwrap();
    env.write("copy/stages/hostname.rs", own("stages/hostname.rs"));
    env.write("copy/assemblers/tar.rs", own("assemblers/tar.rs"));
}

#[test]
fn names_that_exist_are_refused() {
    let env = TestEnv::new();
    layout(&env);
    let dir = env.path("copy");
    for (name, says) in [
        ("hostname", "stages/hostname.rs is org.osbuild.hostname already"),
        ("org.osbuild.tar", "assemblers/tar.rs is org.osbuild.tar already"),
        ("../x", "is no name for a stage"),
    ] {
        new_stage(&dir, &[name]).expect(1).says(&[says]);
    }
    // a file that is there is never overwritten, whatever it is
    env.write("copy/stages/motd.rs", "// mine\n");
    new_stage(&dir, &["motd"]).expect(1).says(&["stages/motd.rs"]);
    assert_eq!(
        fs::read_to_string(dir.join("stages/motd.rs")).unwrap(),
        "// mine\n"
    );
}

#[test]
fn a_new_stage_compiles_and_passes_its_test() {
    let env = TestEnv::new();
    layout(&env);
    let dir = env.path("copy");
    fs::remove_file(dir.join("stages/hostname.rs")).unwrap();
    let made = new_stage(&dir, &["ssh-motd", "--summary", "Greet whoever logs in"]).expect(0);
    assert!(made.stdout.contains("stages/ssh_motd.rs is made"), "{made}");
    let list = fs::read_to_string(dir.join("stages/lib.rs")).unwrap();
    assert!(
        list.contains("\nmod ssh_motd;\n") && list.contains("    &ssh_motd::MODULE,\n"),
        "{list}"
    );
    new_stage(&dir, &["ssh-motd"]).expect(1);
    let text = fs::read_to_string(dir.join("stages/ssh_motd.rs")).unwrap();
    assert!(text.starts_with("//! Greet whoever logs in.\n"), "{text}");
    let mut format = Command::new("rustfmt");
    format
        .args(["--check", "--edition", "2024", "--config-path"])
        .arg(repository());
    run(format.arg(dir.join("stages/ssh_motd.rs")), b"", LIMIT).expect(0);
    // a workspace of its own, with the versions of ours
    let manifest = fs::read_to_string(repository().join("Cargo.toml")).unwrap();
    let version = |name: &str| {
        let begins = |line: &&str| line.starts_with(&format!("{name} = "));
        manifest.lines().find(begins).expect(name).to_owned()
    };
    let module = repository().join("crates/module");
    let dependencies = ["serde", "serde_json", "schemars", "tempfile"]
        .map(version)
        .join("\n");
    let manifest = format!(
        "[package]\nname = \"new-stage\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\n[lib]\npath = \"lib.rs\"\n\n\
         [workspace]\n\n[dependencies]\nmodule = {{ path = {module:?} }}\n{dependencies}\n"
    );
    env.write("copy/stages/Cargo.toml", manifest);
    fs::copy(repository().join("Cargo.lock"), dir.join("stages/Cargo.lock")).unwrap();
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["test", "--quiet", "--offline", "--lib", "--target-dir"]);
    cargo.arg(Path::new(env!("CARGO_TARGET_TMPDIR")).join("new-stage"));
    let tested = run(cargo.current_dir(dir.join("stages")), b"", LIMIT).expect(0);
    assert!(tested.stdout.contains("1 passed"), "{tested}");
}
