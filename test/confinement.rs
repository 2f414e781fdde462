//! What a stage sees of the host: nothing but its tools.

use std::os::unix::fs::MetadataExt;

use serde_json::json;
use tests::manifests::tree_of;
use tests::{TestEnv, need};

#[test]
fn nothing_of_the_host_is_in_the_box() {
    if !need::root("what a box hides") {
        return;
    }
    let env = TestEnv::new();
    env.stage(
        "org.example.spy",
        r#"set -u
echo "etc: $(ls /etc | grep -v -e '^alternatives$' -e '^containers$' -e '^ld.so.cache$' -e '^mke2fs.conf$' -e '^selinux$')"
for path in /home /root /boot /srv /mnt /opt "$(sed -n 's/.*"outside":"\([^"]*\)".*/\1/p')" /run/osbuild/lib/../store; do
    test ! -e "$path" || echo "there is $path: $(ls -A "$path")"
done
echo "env: $(env | grep -v -e ^PWD= -e ^_= | cut -d= -f1 | sort | tr '\n' ' ')"
echo "secret: ${SECRET-none}"
echo "net: $(sed -n 's/^ *\([a-z0-9]*\):.*/\1/p' /proc/net/dev | tr '\n' ' ')"
echo "host: $(uname -n), init: $(readlink /proc/1/exe >/dev/null 2>&1 && echo seen || echo hidden)"
echo "descriptors: $(ls /proc/self/fd | tr '\n' ' ')"
echo "uids: $(cat /proc/self/uid_map)"
echo "gids: $(cat /proc/self/gid_map)"
echo "id: $(id -u) $(id -g) $(id -G)"
echo "terminal: $( (cat < /dev/tty && echo there) 2>/dev/null)"
for path in /usr/written /proc/sys/kernel/hostname; do
    if (echo x > "$path") 2>/dev/null; then echo "wrote $path"; fi
done
for path in /tmp /var/tmp /run; do
    (echo x > "$path/file") 2>/dev/null || echo "cannot write $path"
done
mknod /run/osbuild/tree/device b 7 0 2>/dev/null && echo "made a device"
touch /run/osbuild/tree/file; chown 1234:4321 /run/osbuild/tree/file; chmod 4755 /run/osbuild/tree/file
true"#,
    );
    env.write("outside/file", "not for everybody");
    let options = json!({"outside": env.path("outside")});
    let manifest = tree_of(json!([{"type": "org.example.spy", "options": options}]));
    let mut command = env.build_command();
    command.args(["-l", "lib", "--json"]).env("SECRET", "xyz");
    let limit = std::time::Duration::from_secs(60);
    let run = tests::run(&mut command, manifest.to_string().as_bytes(), limit).expect(0);
    let result = run.json();
    let mut lines: Vec<&str> = result["log"]["tree"][0]["output"]
        .as_str()
        .unwrap()
        .lines()
        .collect();
    let mut maps = Vec::new();
    lines.retain(|line| {
        let map = line.starts_with("uids:") || line.starts_with("gids:");
        if map {
            maps.push((*line).to_owned());
        }
        !map
    });
    assert_eq!(
        lines,
        [
            "etc: ",
            "env: LC_CTYPE PATH PYTHONPATH PYTHONUNBUFFERED TERM container ",
            "secret: none",
            "net: lo ",
            "host: localhost, init: hidden",
            "descriptors: 0 1 2 3 ",
            "id: 0 0 0",
            "terminal: ",
        ]
    );
    for map in maps {
        let numbers: Vec<u32> = map
            .split_whitespace()
            .skip(1)
            .map(|n| n.parse().unwrap())
            .collect();
        assert!(
            matches!(numbers[..], [0, high, 65536] if high >= 65536),
            "the box's root is the host's: {map}"
        );
    }
    // but in the tree owners are true
    let metadata = std::fs::metadata(env.out().join("file")).unwrap();
    assert_eq!(
        (metadata.uid(), metadata.gid(), metadata.mode() & 0o7777),
        (1234, 4321, 0o4755)
    );
}

#[test]
fn nothing_but_the_tree_passes_from_a_stage_to_the_next() {
    if !need::root("what a box hides") {
        return;
    }
    let env = TestEnv::new();
    let look = "ls -A /var /var/tmp /tmp /dev/shm /run/osbuild/tree; stat -c '%a %u %g %s %n' /var /var/tmp \
                /run/osbuild/tree /run/osbuild/meta; ls /run";
    env.stage("org.example.base", "touch /run/osbuild/tree/file");
    env.stage("org.example.look", look);
    // what is undone leaves the tree as it was
    let restless = [
        "cd /run/osbuild/tree; touch x; rm x; mkdir d; rmdir d; chmod 700 .; chmod 755 .",
        "touch /var/left /var/tmp/left /tmp/left /dev/shm/left /run/left; chmod 700 /var/tmp; chown 5:5 /var",
        "touch -d @0 /var /var/tmp; rm -r /var/tmp; chmod 600 /run/osbuild/meta",
    ];
    let mut stages = vec![
        json!({"type": "org.example.base"}),
        json!({"type": "org.example.look"}),
    ];
    for (number, script) in restless.into_iter().enumerate() {
        let name = format!("org.example.restless-{number}");
        env.stage(&name, script);
        let options = json!({"number": number});
        // one of ours too: that has the places of others
        stages.extend([
            json!({"type": name}),
            json!({"type": "org.osbuild.noop", "options": options}),
            json!({"type": "org.example.look", "options": options}),
        ]);
    }
    let mut command = env.build_command();
    command.args(["-l", "lib", "--json"]);
    let limit = std::time::Duration::from_secs(60);
    let run = tests::run(&mut command, tree_of(json!(stages)).to_string().as_bytes(), limit).expect(0);
    let result = run.json();
    let stages = result["log"]["tree"].as_array().unwrap();
    let looks: Vec<&str> = stages
        .iter()
        .filter(|stage| stage["type"] == "org.example.look")
        .map(|stage| stage["output"].as_str().unwrap())
        .collect();
    assert_eq!(looks.len(), 4);
    assert!(
        looks[0].contains("755 0 0 ") && !looks[0].contains("left"),
        "{}",
        looks[0]
    );
    assert!(looks.iter().all(|look| look == &looks[0]), "{looks:#?}");
}
