//! Every stage against what the peer's stage did: `conformance/goldens/STAGE/CASE.json`, options and the tree before and
//! after.
//!
//! A stage takes part as soon as it is in `stages::MODULES` and has goldens. `cargo test -p stages --test goldens NAME`
//! runs the cases whose `STAGE/CASE` contains NAME. Each case runs in a process of its own: this program again, called
//! with `--module NAME`.

mod semantic;
mod tree_spec;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use serde_json::{Map, Value, json};
use tree_spec::Spec;

/// The day on which the peer made its users.
const USERS_EPOCH: i64 = 20778 * 86400;
/// Cases (`STAGE/CASE`, or `STAGE/` for all of it) that need something of the machine: the path, and what it is.
const NEEDS: &[(&str, &str, &str)] = &[
    (
        "org.osbuild.grub2/hybrid",
        "/usr/lib/grub/i386-pc",
        "GRUB's BIOS modules",
    ),
    (
        "org.osbuild.grub2.iso.legacy/",
        "/usr/lib/grub/i386-pc",
        "GRUB's BIOS modules",
    ),
    ("org.osbuild.erofs/", "/usr/bin/mkfs.erofs", "mkfs.erofs"),
];

/// Cases of plain defects of the peer that are not repeated here; what is done instead is tested beside the stage, and
/// listed in docs/compatibility.md.
const REPAIRED: &[&str] = &[
    "org.osbuild.grub2.legacy/bios-uefi",
    "org.osbuild.selinux.config/type-only",
    "org.osbuild.sysconfig/livesys",
    "org.osbuild.yum.repos/percent-fails",
];

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let [first, name] = &args[..]
        && first == "--module"
    {
        return module_main(name);
    }
    if args.iter().any(|arg| arg == "--list") {
        return ExitCode::SUCCESS;
    }
    let filter = args.iter().find(|arg| !arg.starts_with('-'));
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/conformance/goldens");
    if !dir.is_dir() {
        println!("goldens: skipped: there is no {}", dir.display());
        return ExitCode::SUCCESS;
    }
    if !rustix::process::geteuid().is_root() {
        println!("goldens: skipped: owners can only be set by root");
        return ExitCode::SUCCESS;
    }
    run_all(&dir, filter.map_or("", String::as_str))
}

/// Runs the module `name` as the multi-call executable does.
fn module_main(name: &str) -> ExitCode {
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    let Some(module) = stages::MODULES.iter().find(|module| module.name == name) else {
        eprintln!("error: there is no module `{name}`");
        return ExitCode::FAILURE;
    };
    match module::run(module) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => match error.downcast_ref::<module::Exit>() {
            Some(module::Exit(code)) => ExitCode::from(*code),
            None => {
                eprintln!("error: {error:#}");
                ExitCode::FAILURE
            }
        },
    }
}

fn run_all(dir: &Path, filter: &str) -> ExitCode {
    let (mut passed, mut skipped, mut failed, mut absent) = (0, 0, 0, 0);
    for stage in sorted(dir).into_iter().filter(|path| path.is_dir()) {
        let name = stage.file_name().unwrap().to_string_lossy().into_owned();
        let known = stages::MODULES.iter().any(|module| module.name == name);
        let mut good = 0;
        let cases = sorted(&stage).into_iter();
        for file in cases.filter(|file| file.extension().is_some_and(|end| end == "json")) {
            let case = format!("{name}/{}", file.file_stem().unwrap().to_string_lossy());
            if !case.contains(filter) {
                continue;
            }
            if !known {
                absent += 1;
                continue;
            }
            if REPAIRED.contains(&case.as_str()) {
                println!("skipped {case}: a defect that is not repeated");
                skipped += 1;
                continue;
            }
            let lacks =
                |(name, path, _): &&(&str, &str, &str)| case.starts_with(name) && !Path::new(path).exists();
            if let Some((_, path, what)) = NEEDS.iter().find(lacks) {
                println!("skipped {case}: needs {what} in {path}");
                skipped += 1;
                continue;
            }
            let golden: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
            let complaints = run_case(&golden);
            if complaints.is_empty() {
                good += 1;
            } else {
                println!("FAILED {case}: {}", golden["options"]);
                complaints.iter().for_each(|line| println!("    {line}"));
                failed += 1;
            }
        }
        if good > 0 {
            println!("{name}: {good} passed");
        }
        passed += good;
    }
    println!(
        "goldens: {passed} passed, {failed} failed, {skipped} skipped, {absent} of stages that are not here"
    );
    if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn sorted(dir: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<_> = std::fs::read_dir(dir)
        .unwrap()
        .map(|e| e.unwrap().path())
        .collect();
    paths.sort();
    paths
}

/// Runs one case; what is wrong with its outcome, one line each.
fn run_case(golden: &Value) -> Vec<String> {
    let scratch = tempfile::tempdir().unwrap();
    let tree = fresh(scratch.path(), "tree");
    tree_spec::build(&tree, object(&golden["before"]));
    let extra = prepare(golden, &tree);
    let mounts_root = fresh(scratch.path(), "mounts");
    let mut mounts = Map::new();
    for (name, mount) in golden["mounts"].as_object().into_iter().flatten() {
        let path = mounts_root.join(mount["target"].as_str().unwrap().trim_start_matches('/'));
        std::fs::create_dir_all(&path).unwrap();
        tree_spec::build(&path, object(&mount["tree"]));
        mounts.insert(name.clone(), json!({"path": path}));
    }
    let epoch = epoch(golden);
    let document = json!({
        "tree": tree,
        "options": golden["options"],
        "inputs": inputs(golden, scratch.path()),
        "mounts": mounts,
        "paths": {"mounts": mounts_root},
        "meta": {"id": "0".repeat(64), "source-epoch": epoch},
    });
    let arguments = scratch.path().join("arguments");
    std::fs::write(&arguments, document.to_string()).unwrap();
    let output = command(golden["stage"].as_str().unwrap(), epoch)
        .stdin(std::fs::File::open(&arguments).unwrap())
        .output()
        .unwrap();

    let mut complaints = Vec::new();
    if output.status.success() != golden["success"] {
        complaints.push(format!(
            "ended with {}, success should be {}",
            output.status, golden["success"]
        ));
        complaints.push(String::from_utf8_lossy(&output.stderr).trim_end().to_owned());
    }
    let skip: Vec<&str> = ["volatile", "excluded_fixture_paths"]
        .iter()
        .flat_map(|key| golden[*key].as_array().into_iter().flatten())
        .filter_map(Value::as_str)
        .collect();
    // compressors of another version make other bytes
    let compressed = golden["semantic"]["decompressed_sha256"].is_string();
    let ignored = |path: &str| {
        let below = |dir: &str| path == dir || path.starts_with(&format!("{dir}/"));
        skip.iter().any(|dir| below(dir)) || extra.contains(&path) || compressed
    };
    if output.status.success() && golden["success"] == true {
        complaints.extend(semantic::complaints(golden, &tree));
    }
    complaints.extend(tree_spec::differences(
        object(&golden["after"]),
        &tree_spec::read(&tree),
        &ignored,
    ));
    if let Some(after) = golden["mounts_after"].as_object() {
        let after = after.clone();
        // mount points that were there before are the runner's, not the case's
        complaints.extend(tree_spec::differences(
            &after,
            &tree_spec::read(&mounts_root),
            &|_| false,
        ));
    }
    complaints
}

/// Where the peer's result depends on the distribution of its build root ours depends on that of the tree: says which
/// it is. Returns the paths that this adds.
fn prepare(golden: &Value, tree: &Path) -> Vec<&'static str> {
    let note = golden["environment_note"].as_str().unwrap_or_default();
    if !note.starts_with("Debian") {
        return Vec::new();
    }
    std::fs::create_dir_all(tree.join("usr/lib")).unwrap();
    std::fs::write(tree.join("usr/lib/os-release"), "ID=debian\n").unwrap();
    vec!["/usr", "/usr/lib", "/usr/lib/os-release"]
}

fn epoch(golden: &Value) -> Option<i64> {
    let on_that_day = golden["environment_note"]
        .as_str()
        .is_some_and(|note| note.contains("20778"));
    golden["source_epoch"]
        .as_i64()
        .or(on_that_day.then_some(USERS_EPOCH))
}

fn inputs(golden: &Value, scratch: &Path) -> Value {
    let mut inputs = Map::new();
    for (name, input) in golden["inputs"].as_object().into_iter().flatten() {
        let dir = fresh(scratch, &format!("input-{name}"));
        let mut data = Map::new();
        if let Some(files) = input["files"].as_object() {
            let spec = files.iter().map(|(name, file)| {
                let mut file = file.clone();
                file["type"] = "file".into();
                (name.clone(), file)
            });
            tree_spec::build(&dir, &spec.collect());
            let files = files.iter().map(|(name, file)| {
                let metadata = if file["meta"].is_null() {
                    json!({})
                } else {
                    file["meta"].clone()
                };
                (name.clone(), metadata)
            });
            data.insert("files".into(), Value::Object(files.collect()));
        } else {
            tree_spec::build(&dir, object(&input["tree"]));
        }
        inputs.insert(name.clone(), json!({"path": dir, "data": data}));
    }
    Value::Object(inputs)
}

/// This program as the module `name`, in the environment that the executor gives a stage.
fn command(name: &str, epoch: Option<i64>) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--module", name])
        .current_dir("/")
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin")
        .env("LC_CTYPE", "C.UTF-8")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    if let Some(epoch) = epoch {
        command.env("SOURCE_DATE_EPOCH", epoch.to_string());
    }
    command
}

fn fresh(scratch: &Path, name: &str) -> PathBuf {
    let dir = scratch.join(name);
    std::fs::create_dir(&dir).unwrap();
    dir
}

fn object(value: &Value) -> &Spec {
    value.as_object().unwrap()
}
