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
