//! A module of ours gets the capabilities that it names, which are shown, and no others.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tests::manifests::tree_of;
use tests::{TestEnv, need};

/// Some numbers of linux/capability.h.
const NUMBERS: [(&str, u32); 10] = [
    ("CAP_CHOWN", 0),
    ("CAP_DAC_OVERRIDE", 1),
    ("CAP_FOWNER", 3),
    ("CAP_FSETID", 4),
    ("CAP_KILL", 5),
    ("CAP_SETGID", 6),
    ("CAP_SETUID", 7),
    ("CAP_SYS_CHROOT", 18),
    ("CAP_SYS_ADMIN", 21),
    ("CAP_SETFCAP", 31),
];

/// `needs` of what is called so.
fn needs(env: &TestEnv, name: &str) -> Value {
    let list = env.osbuild(["modules", "--json", name]).expect(0).json();
    list[0]["meta"]["needs"].clone()
}

fn names(list: &Value) -> BTreeSet<String> {
    let list = list.as_array().unwrap().iter();
    list.map(|name| name.as_str().unwrap().to_owned()).collect()
}

#[test]
fn what_a_module_needs_is_shown() {
    let env = TestEnv::new();
    let page = env.osbuild(["modules", "hostname"]).expect(0).stdout;
    let needs_of_a_file = "\nneeds:\n  to: change files\n  capabilities: CHOWN DAC_OVERRIDE FOWNER FSETID\n  /proc: its own, \
                           without the kernel's switches\n  devices: none\n  labels: none\n  device nodes: none\n  \
                           network: never, nor sockets\n";
    assert!(page.ends_with(needs_of_a_file), "{page}");
    assert_eq!(needs(&env, "selinux")["labels"], true);
    assert_eq!(needs(&env, "untar")["device_nodes"], true);
    assert_eq!(needs(&env, "hostname")["sockets"], false);
    assert_eq!(needs(&env, "ostree.pull")["sockets"], true);
    assert_eq!(needs(&env, "mkfs.ext4")["devices"], "stretches of files");
    env.stage("org.example.theirs", "");
    let run = env.osbuild(["-l", "lib", "modules", "--json", "org.example.theirs"]);
    let list = run.expect(0).json();
    let theirs = names(&list[0]["meta"]["needs"]["capabilities"]);
    assert!(
        theirs.contains("CAP_SYS_ADMIN") && theirs.contains("CAP_MKNOD"),
        "{theirs:?}"
    );
}

#[test]
fn nothing_of_ours_has_more_than_it_needs() {
    let env = TestEnv::new();
    let list = env.osbuild(["modules", "--json"]).expect(0).json();
    let (mut files_only, mut more) = (0, 0);
    for module in list.as_array().unwrap() {
        let needs = &module["meta"]["needs"];
        if !["stage", "assembler"].contains(&module["kind"].as_str().unwrap()) {
            assert!(needs.is_null(), "{module}");
            continue;
        }
        match names(&needs["capabilities"]).len() {
            4 => files_only += 1,
            _ => more += 1,
        }
    }
    assert!(
        files_only > 2 * more,
        "{files_only} modules only change files, {more} do not"
    );
}

/// Puts a shell with its libraries into the tree, and a program that says what it may.
const TREE: &str = r#"set -e
tree=/run/osbuild/tree
for file in /usr/bin/dash $(ldd /usr/bin/dash | grep -o '/[^ ]*'); do
    mkdir -p "$tree$(dirname "$file")"
    cp -L "$file" "$tree$file"
done
mkdir -p "$tree/usr/sbin"
cat > "$tree/usr/sbin/update-ca-certificates" <<'END'
#!/usr/bin/dash
while read -r key value; do
    case $key in CapBnd:|CapEff:|CapPrm:) echo "$key $value" ;; esac
done < /proc/self/status
END
chmod 755 "$tree/usr/sbin/update-ca-certificates"
"#;

#[test]
fn a_program_of_the_tree_gets_just_that() {
    let what = "capabilities of a stage";
    if !need::root(what) || !need::tools(&["dash", "ldd"], what) {
        return;
    }
    let env = TestEnv::new();
    env.stage("org.example.tree", TREE);
    let stage = "org.osbuild.pki.update-ca-trust";
    let manifest = tree_of(json!([{"type": "org.example.tree"}, {"type": stage, "options": {}}]));
    let document = env.build(&manifest, &["-l", "lib", "--json"]).expect(0).json();
    let stages = document["log"]["tree"].as_array().unwrap();
    let output = stages[1]["output"].as_str().unwrap();
    let shown = names(&needs(&env, stage)["capabilities"]);
    let mask = NUMBERS
        .iter()
        .filter(|(name, _)| shown.contains(*name))
        .fold(0u64, |mask, (_, number)| mask | 1 << number);
    assert_eq!(mask.count_ones() as usize, shown.len(), "{shown:?}");
    let sets: Vec<(&str, u64)> = output
        .lines()
        .filter_map(|line| line.split_once(": "))
        .filter_map(|(set, hex)| Some((set, u64::from_str_radix(hex.trim(), 16).ok()?)))
        .collect();
    assert_eq!(
        sets,
        [("CapPrm", mask), ("CapEff", mask), ("CapBnd", mask)],
        "{output}"
    );
}
