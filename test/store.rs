//! `osbuild store`: damage is found, taken out of the way and never handed out; what takes space is told as it is; nothing is
//! removed that is in use; looking changes nothing.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use tests::manifests::{fetching, sha256, tree_of};
use tests::{Run, TestEnv, listing, need, oracle};

use crate::gate::Gate;

/// A tree of three layers.
fn three() -> Value {
    tree_of(json!([{"type": "org.test.a"}, {"type": "org.test.b"}, {"type": "org.test.c"}]))
}

/// A place with the modules of [`three`], which has been built.
fn built() -> TestEnv {
    let env = TestEnv::new();
    env.stage(
        "org.test.a",
        "cd /run/osbuild/tree; echo a > a; seq 1000 > many; ln -s a link",
    );
    env.stage("org.test.b", "cd /run/osbuild/tree; mkdir dir; echo b > dir/b");
    env.stage(
        "org.test.c",
        "cd /run/osbuild/tree; rm link; echo more >> a; chmod 600 dir/b",
    );
    assert_eq!(ran(&env, &three()), ["org.test.a", "org.test.b", "org.test.c"]);
    env
}

/// The stages that a build of `manifest` runs.
fn ran(env: &TestEnv, manifest: &Value) -> Vec<String> {
    let _ = fs::remove_dir_all(env.out());
    let run = env.build(manifest, &["-l", "lib", "--json"]).expect(0);
    let log = run.json()["log"]["tree"].clone();
    let stages = log.as_array().cloned().unwrap_or_default();
    stages
        .iter()
        .map(|stage| stage["type"].as_str().unwrap().to_owned())
        .collect()
}

fn store(env: &TestEnv, args: &[&str]) -> Run {
    env.osbuild([&["store", "--store", "store"], args].concat())
}

/// The document of a command that ends with `code`.
#[track_caller]
fn asked(env: &TestEnv, args: &[&str], code: i32) -> Value {
    let run = store(env, &[args, &["--json"]].concat()).expect(code);
    assert_eq!(run.stderr, "");
    run.json()
}

/// The id of a stage, and the object it made.
fn of(env: &TestEnv, name: &str) -> (String, PathBuf) {
    let list = asked(env, &["ls"], 0);
    let mut all = list.as_array().unwrap().iter();
    let stage = all.find(|stage| stage["type"] == name).unwrap();
    let object = env.store().join("objects").join(stage["tree"].as_str().unwrap());
    (stage["id"].as_str().unwrap().to_owned(), object)
}

/// What was handed out, whenever it was made.
fn content(env: &TestEnv) -> listing::Listing {
    listing::without(&listing::list(&env.out()), |item| item.mtime = 0)
}

fn flip(path: &Path) {
    let mut content = fs::read(path).unwrap();
    let middle = content.len() / 2;
    content[middle] ^= 1;
    fs::write(path, content).unwrap();
}

/// In the middle of an index there may be a time of a build, which is no part of what its digest covers.
fn flip_last(path: &Path) {
    let mut content = fs::read(path).unwrap();
    *content.last_mut().unwrap() ^= 1;
    fs::write(path, content).unwrap();
}

fn cut(path: &Path) {
    let content = fs::read(path).unwrap();
    fs::write(path, &content[..content.len() / 2]).unwrap();
}

#[test]
fn damage_is_found_taken_away_and_made_again() {
    if !need::root("building") {
        return;
    }
    let env = built();
    let whole = content(&env);
    asked(&env, &["fsck", "--deep"], 0);
    let (id, object) = of(&env, "org.test.b");
    let (base_id, base) = of(&env, "org.test.a");
    let link = env.store().join("refs").join(&id);
    let record = link.with_extension("json");
    let layer = |name: &str| object.join("layer").join(name);
    // what, who does it, who runs again, what the reason names; the first one only shows when contents are read
    type Damage<'a> = (&'a dyn Fn(), &'a [&'a str], &'a str);
    let (a, b) = (["org.test.a"], ["org.test.b"]);
    let damages: [Damage<'_>; 15] = [
        (&|| flip(&layer("dir/b")), &b, "/dir/b: content changed"),
        (&|| cut(&layer("dir/b")), &b, "/dir/b: content changed"),
        (
            &|| fs::remove_file(layer("dir/b")).unwrap(),
            &b,
            "/dir/b: missing",
        ),
        (&|| fs::remove_dir_all(layer("dir")).unwrap(), &b, "/dir: missing"),
        (
            &|| fs::write(layer("new"), "").unwrap(),
            &b,
            "/new: does not belong there",
        ),
        (&|| fs::remove_dir_all(object.join("layer")).unwrap(), &b, "layer"),
        (&|| flip_last(&object.join("index")), &b, "index"),
        (&|| cut(&object.join("info")), &b, "info"),
        (&|| fs::write(object.join("parent"), "x").unwrap(), &b, "parent"),
        (&|| fs::remove_file(object.join("lock")).unwrap(), &b, "lock"),
        (&|| fs::remove_file(&link).unwrap(), &b, "link is missing"),
        (
            &|| {
                fs::remove_file(&link).unwrap();
                symlink("../objects/nothing", &link).unwrap();
            },
            &b,
            "no tree",
        ),
        (&|| cut(&record), &b, "makes no sense"),
        (&|| fs::remove_file(&record).unwrap(), &b, "cannot be read"),
        (&|| fs::remove_dir_all(&base).unwrap(), &a, "missing"),
    ];
    for (number, (damage, runs, reason)) in damages.into_iter().enumerate() {
        damage();
        println!("{number}: {reason}");
        if number == 0 {
            asked(&env, &["fsck"], 0);
        }
        let found = asked(&env, &["fsck", "--deep"], 1);
        let about = format!("{number}: {found:#}");
        let list = found["damage"].as_array().unwrap();
        assert!(
            list.iter()
                .any(|one| one["reason"].as_str().unwrap().contains(reason)),
            "{about}"
        );
        assert!(list.iter().all(|one| one["repair"].is_null()), "{about}");
        let stages: Vec<&Value> = list
            .iter()
            .flat_map(|one| one["stages"].as_array().unwrap())
            .collect();
        let expected = if runs == a { &base_id } else { &id };
        assert_eq!(stages, [&json!(expected)], "{about}");
        if number > 0 {
            assert_eq!(asked(&env, &["fsck"], 1)["damage"], found["damage"], "{about}");
        }
        let repaired = asked(&env, &["fsck", "--deep", "--repair"], 1);
        let repairs = repaired["damage"].as_array().unwrap();
        assert!(
            repairs.iter().all(|one| one["repair"].is_string()),
            "{repaired:#}"
        );
        asked(&env, &["fsck", "--deep"], 0);
        assert_eq!(ran(&env, &three()), runs, "{about}");
        assert_eq!(content(&env), whole, "{about}");
        asked(&env, &["fsck", "--deep"], 0);
        assert_eq!(ran(&env, &three()), [""; 0], "{about}");
    }
    store(&env, &["gc"]).expect(0);
    assert_eq!(fs::read_dir(env.store().join("damaged")).unwrap().count(), 0);
    assert_eq!(ran(&env, &three()), [""; 0]);
}

#[test]
fn people_are_told_what_is_damaged_and_what_to_do() {
    if !need::root("building") {
        return;
    }
    let env = built();
    let (id, object) = of(&env, "org.test.b");
    cut(&object.join("layer/dir/b"));
    let digest = object.file_name().unwrap().to_str().unwrap();
    let what = format!(
        "damaged: tree {} of stage {}: /dir/b: content changed\n",
        &digest[..12],
        &id[..12]
    );
    let sum = "3 stages, 3 trees, without reading their contents (`--deep` does):";
    assert_eq!(
        store(&env, &["fsck"]).expect(1).stdout,
        format!("{what}{sum} 1 damaged; `--repair` takes it out of the way\n")
    );
    assert_eq!(
        store(&env, &["fsck", "--repair"]).expect(1).stdout,
        format!(
            "{what}         moved to damaged/ in the store; `osbuild store gc` removes it\n\
             {sum} 1 damaged, out of the way now: the next build makes it again\n"
        )
    );
    assert_eq!(
        store(&env, &["fsck"]).expect(0).stdout,
        "1 tree waits for what was damaged below to be built again\n2 stages, 2 trees, without reading their \
         contents (`--deep` does): no damage\n"
    );
}

#[test]
fn a_damaged_download_is_fetched_again() {
    if !need::root("building") {
        return;
    }
    let env = TestEnv::new();
    let checksum = sha256("content");
    let item = json!({"encoding": "base64", "data": "Y29udGVudA=="});
    let manifest = fetching("org.osbuild.inline", vec![(checksum.clone(), item)]);
    env.build(&manifest, &[]).expect(0);
    let file = env.store().join("sources/org.osbuild.files").join(&checksum);
    flip(&file);
    asked(&env, &["fsck"], 0);
    let found = asked(&env, &["fsck", "--deep", "--repair"], 1);
    assert_eq!(found["damage"][0]["name"], checksum);
    assert!(!file.exists());
    env.build(&manifest, &[]).expect(0);
    assert_eq!(fs::read_to_string(&file).unwrap(), "content");
    asked(&env, &["fsck", "--deep"], 0);
}

/// A build that runs.
fn start(env: &TestEnv, out: &str) -> Child {
    let mut command = env.command(env.binaries().osbuild());
    command.args([
        "--json",
        "-l",
        "lib",
        "--store",
        "store",
        "-o",
        out,
        "manifest.json",
    ]);
    command.stdout(Stdio::piped()).spawn().unwrap()
}

#[test]
fn builders_are_not_disturbed() {
    if !need::root("building") {
        return;
    }
    let env = built();
    let mut gate = Gate::new(&env);
    let more = format!(
        "cat /run/osbuild/tree/dir/b /run/osbuild/tree/many; {}; echo d > /run/osbuild/tree/d",
        Gate::SCRIPT
    );
    env.stage("org.test.d", &more);
    let mut four = three();
    four["pipelines"][0]["stages"]
        .as_array_mut()
        .unwrap()
        .push(json!({"type": "org.test.d"}));
    env.write("manifest.json", four.to_string());
    let builder = start(&env, "out-2");
    gate.reached();
    // what it stands on is damaged, and nobody's any more
    let (_, base) = of(&env, "org.test.a");
    flip(&base.join("layer/many"));
    for name in ["org.test.a", "org.test.b", "org.test.c"] {
        fs::remove_file(env.store().join("refs").join(of(&env, name).0)).unwrap();
    }
    asked(&env, &["gc"], 0);
    let found = asked(&env, &["fsck", "--deep", "--repair"], 1);
    assert_eq!(found["damage"][0]["repair"], "disabled", "{found:#}");
    asked(&env, &["gc"], 0);
    assert!(base.join("layer/many").exists(), "it is mounted");
    gate.open();
    let output = builder.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(fs::read_to_string(env.path("out-2/d")).unwrap(), "d\n");
    // nobody else is given it
    let many: String = (1..=1000).map(|n| format!("{n}\n")).collect();
    assert_eq!(ran(&env, &three()), ["org.test.a", "org.test.b", "org.test.c"]);
    assert_eq!(fs::read_to_string(env.out().join("many")).unwrap(), many);
    asked(&env, &["gc"], 0);
    asked(&env, &["fsck", "--deep"], 0);
}

#[test]
fn garbage_is_what_nobody_will_ask_for() {
    if !need::root("building") {
        return;
    }
    let env = built();
    let mut gate = Gate::new(&env);
    env.stage(
        "org.test.held",
        &format!("echo > /run/osbuild/tree/x; {}", Gate::SCRIPT),
    );
    env.write(
        "manifest.json",
        tree_of(json!([{"type": "org.test.held"}])).to_string(),
    );
    let mut killed = start(&env, "out-2");
    gate.reached();
    killed.kill().unwrap();
    killed.wait().unwrap();
    let unfinished: Vec<_> = fs::read_dir(env.store().join("tmp")).unwrap().collect();
    assert!(!unfinished.is_empty());

    let ((last, last_tree), (first, _)) = (of(&env, "org.test.c"), of(&env, "org.test.a"));
    fs::remove_file(env.store().join("refs").join(&last)).unwrap();
    let log = env.store().join("logs").join(format!("{first}.log"));
    let old = SystemTime::now() - Duration::from_secs(8 * 24 * 3600);
    fs::File::options()
        .write(true)
        .open(&log)
        .unwrap()
        .set_modified(old)
        .unwrap();

    let before = listing::list(&env.store());
    let seen = asked(&env, &["gc", "--dry-run"], 0);
    assert_eq!(listing::list(&env.store()), before, "a dry run removes nothing");
    let kinds = |document: &Value| -> Vec<String> {
        let list = document["garbage"].as_array().unwrap().iter();
        let mut kinds: Vec<String> = list.map(|one| one["kind"].as_str().unwrap().to_owned()).collect();
        kinds.dedup();
        kinds
    };
    assert_eq!(kinds(&seen), ["unfinished", "stage", "tree", "log"], "{seen:#}");
    let done = asked(&env, &["gc"], 0);
    assert_eq!(done["garbage"], seen["garbage"]);
    assert!(done["bytes"].as_u64().unwrap() > 0);
    assert!(!last_tree.exists() && !log.exists());
    assert_eq!(fs::read_dir(env.store().join("tmp")).unwrap().count(), 0);
    assert_eq!(store(&env, &["gc"]).expect(0).stdout, "nothing to remove\n");
    assert_eq!(
        ran(&env, &three()),
        ["org.test.c"],
        "what has a stage is still there"
    );
}

#[test]
fn sizes_are_those_of_the_file_system() {
    if !need::root("building") || !need::tools(&["du"], "sizes") {
        return;
    }
    let env = built();
    let usage = asked(&env, &["du"], 0);
    let du = |dir: &Path| -> u64 {
        let text = oracle::tool(env.command("du").args(["-s", "--block-size=1"]).arg(dir)).unwrap();
        text.split_whitespace().next().unwrap().parse().unwrap()
    };
    let trees = usage["trees"].as_array().unwrap();
    assert_eq!(trees.len(), 3);
    for tree in trees {
        let dir = env.store().join("objects").join(tree["tree"].as_str().unwrap());
        assert_eq!(tree["own"], du(&dir));
        assert_eq!(tree["stages"].as_array().unwrap().len(), 1);
    }
    let own = |name: &str| {
        let tree = trees
            .iter()
            .find(|tree| tree["stages"][0]["type"] == name)
            .unwrap();
        (
            tree["own"].as_u64().unwrap(),
            tree["below"].as_u64().unwrap(),
            &tree["above"],
        )
    };
    let (a, b, c) = (own("org.test.a"), own("org.test.b"), own("org.test.c"));
    assert_eq!((a.1, b.1, c.1), (0, a.0, a.0 + b.0), "what is shared counts once");
    assert_eq!((a.2, c.2), (&json!(1), &json!(0)));
    assert_eq!(usage["sums"]["trees"], a.0 + b.0 + c.0);
    assert_eq!(usage["sums"]["logs"], du(&env.store().join("logs")));
    let text = store(&env, &["du"]).expect(0).stdout;
    assert!(
        text.contains("  OWN") && text.contains("3 trees (limit ") && text.contains(" free\n"),
        "{text}"
    );
}

#[test]
fn stages_are_listed_and_told_apart() {
    if !need::root("building") {
        return;
    }
    let env = built();
    env.build(&three(), &["-l", "lib", "--checkpoint", "org.test.b"])
        .expect(0);
    let list = asked(&env, &["ls"], 0);
    let pinned: Vec<&Value> = list
        .as_array()
        .unwrap()
        .iter()
        .filter(|stage| stage["pinned"] == true)
        .map(|stage| &stage["type"])
        .collect();
    assert_eq!(pinned, ["org.test.b"]);
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap()
        .as_secs();
    for stage in list.as_array().unwrap() {
        assert!(
            stage["size"].as_u64().unwrap() > 0 && stage["duration"].is_f64(),
            "{stage}"
        );
        assert!(now - stage["used"].as_u64().unwrap() < 600, "{stage}");
    }
    let text = store(&env, &["ls"]).expect(0).stdout;
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 5, "{text}");
    assert!(
        lines[0].starts_with("ID            STAGE") && lines[4].starts_with("3 stages, 3 trees, "),
        "{text}"
    );
    assert_eq!(
        lines.iter().filter(|line| line.ends_with("  pinned")).count(),
        1,
        "{text}"
    );

    // by name, id, the beginning of one, digest
    let (id, tree) = of(&env, "org.test.a");
    let digest = tree.file_name().unwrap().to_str().unwrap().to_owned();
    for word in ["org.test.a", &id, &id[..8], &digest, &digest[..8]] {
        let run = store(&env, &["diff", word, "org.test.c"]).expect(1);
        assert_eq!(
            run.stdout, "~ /a  content\n+ /dir\n+ /dir/b\n- /link\n",
            "{word}: {run}"
        );
    }
    let same = asked(&env, &["diff", &id, &digest], 0);
    assert_eq!((&same["from"], &same["added"]), (&same["to"], &json!([])));
    let changed = asked(&env, &["diff", "org.test.b", "org.test.c"], 1);
    assert_eq!(
        changed["changed"],
        json!([{"path": "/a", "what": ["content"]}, {"path": "/dir/b", "what": ["mode"]}])
    );
    assert_eq!(changed["removed"], json!(["/link"]));
    store(&env, &["diff", "org.test.a", "nothing"])
        .expect(2)
        .says(&["nothing in the store is called nothing"]);

    // a name that two stages have says too little
    env.stage("org.test.c", "echo other > /run/osbuild/tree/other");
    let mut other = three();
    other["pipelines"][0]["stages"][2]["options"] = json!({"other": 1});
    env.build(&other, &["-l", "lib"]).expect(0);
    store(&env, &["rm", "org.test.c"])
        .expect(2)
        .says(&["org.test.c can mean\n", "hint: more of the id"]);
}

#[test]
fn what_is_named_is_removed_unless_others_need_it() {
    if !need::root("building") {
        return;
    }
    let env = built();
    let ((b, b_tree), (c, c_tree)) = (of(&env, "org.test.b"), of(&env, "org.test.c"));
    let run = store(&env, &["rm", &b]).expect(0);
    assert!(run.stdout.contains("stays: 1 other tree lies on it"), "{run}");
    assert!(b_tree.exists());
    assert_eq!(
        ran(&env, &three()),
        ["org.test.b"],
        "it is forgotten, and what lies on it is not"
    );
    let removed = asked(&env, &["rm", &c[..10], &b[..10]], 0);
    assert!(
        removed[0]["bytes"].as_u64().unwrap() > 0 && removed[1]["bytes"].as_u64().unwrap() > 0,
        "{removed}"
    );
    assert!(!b_tree.exists() && !c_tree.exists());
    asked(&env, &["fsck", "--deep"], 0);
    assert_eq!(ran(&env, &three()), ["org.test.b", "org.test.c"]);

    // one that is being built stays
    let mut gate = Gate::new(&env);
    env.stage(
        "org.test.c",
        &format!("{}; echo new > /run/osbuild/tree/new", Gate::SCRIPT),
    );
    env.write("manifest.json", three().to_string());
    let builder = start(&env, "out-2");
    gate.reached();
    let run = store(&env, &["rm", &c]).expect(1);
    assert!(run.stdout.contains("is being built and stays"), "{run}");
    gate.open();
    assert!(builder.wait_with_output().unwrap().status.success());
    assert_eq!(ran(&env, &three()), [""; 0]);
}

#[test]
fn who_only_looks_changes_nothing() {
    if !need::root("building") {
        return;
    }
    let env = built();
    let manifest = three().to_string();
    let plan = |env: &TestEnv, libdir: &[&str]| {
        let args = [&["plan", "--store", "store", "-"], libdir].concat();
        env.osbuild_on(args, manifest.as_bytes()).expect(0)
    };
    let before = listing::list(&env.store());
    for args in [
        &["ls"][..],
        &["du"],
        &["fsck", "--deep"],
        &["diff", "org.test.a", "org.test.b"],
        &["gc", "--dry-run"],
    ] {
        assert!(store(&env, args).code < 2);
        assert_eq!(listing::list(&env.store()), before, "{args:?}");
    }
    plan(&env, &["-l", "lib"]);
    assert_eq!(listing::list(&env.store()), before, "plan");

    // one that the Python osbuild has begun, and that holds nothing of ours
    let theirs = TestEnv::new();
    theirs.stage("org.test.a", ":");
    theirs.stage("org.test.b", ":");
    theirs.stage("org.test.c", ":");
    let object = format!("store/objects/{}/data/tree", "ab".repeat(32));
    fs::create_dir_all(theirs.path(object)).unwrap();
    theirs.write("store/cache.info", "{\"version\": 1}");
    let before = listing::list(&theirs.store());
    plan(&theirs, &["-l", "lib"]);
    assert_eq!(asked(&theirs, &["ls"], 0), json!([]));
    asked(&theirs, &["fsck", "--deep"], 0);
    asked(&theirs, &["gc", "--dry-run"], 0);
    assert_eq!(listing::list(&theirs.store()), before);
    asked(&theirs, &["gc"], 0);
    assert!(
        theirs
            .store()
            .join("objects")
            .join("ab".repeat(32))
            .join("data/tree")
            .is_dir()
    );
}

#[test]
fn what_makes_no_sense_is_a_usage_error() {
    let env = TestEnv::new();
    for args in [&[][..], &["nonsense"], &["rm"], &["diff", "a"], &["ls", "--deep"]] {
        store(&env, args).expect(2);
    }
    store(&env, &["fsck"])
        .expect(2)
        .says(&["there is no store in store", "hint: "]);
    let document = asked(&env, &["gc"], 2);
    assert_eq!(document["success"], false);
    assert!(!env.store().exists());
}
