//! Pinning against repositories that the tests make with the distributions' own tools.

use std::process::Command;

use super::*;

/// Runs a script; `false` where a tool of it is missing here.
fn shell(dir: &Path, tools: &[&str], script: &str) -> bool {
    for tool in tools {
        let found = Command::new("sh")
            .args(["-c", &format!("command -v {tool}")])
            .output()
            .unwrap();
        if !found.status.success() {
            println!("skipped: there is no {tool} here");
            return false;
        }
    }
    let output = Command::new("sh")
        .args(["-euc", script])
        .current_dir(dir)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    true
}

/// Packages `base` (essential), `tool` (needs `lib`) and `lib`, in a signed repository.
const DEB: &str = r#"
make() {
    mkdir -p "$1/DEBIAN" pool
    printf 'Package: %s\nVersion: 1.0-1\nArchitecture: all\nMaintainer: Nobody <nobody@example.com>\n%sDescription: x\n' \
        "$1" "$2" > "$1/DEBIAN/control"
    dpkg-deb --root-owner-group --build "$1" pool >/dev/null
}
make base 'Essential: yes
'
make lib ''
make tool 'Depends: lib
'
mkdir -p dists/one/main/binary-amd64
dpkg-scanpackages --multiversion pool > dists/one/main/binary-amd64/Packages 2>/dev/null
cd dists/one
sum=$(sha256sum main/binary-amd64/Packages | cut -d' ' -f1)
size=$(stat -c %s main/binary-amd64/Packages)
printf 'Origin: Example\nSuite: one\nCodename: one\nDate: Sat, 06 Sep 2025 10:11:12 UTC\nArchitectures: amd64\nComponents: main\nSHA256:\n %s %s main/binary-amd64/Packages\n' "$sum" "$size" > Release
export GNUPGHOME=$PWD/../../gnupg
mkdir -m 700 "$GNUPGHOME"
gpg --batch --quiet --passphrase '' --quick-generate-key nobody@example.com default default never 2>/dev/null
gpg --batch --quiet --export > ../../key.gpg
gpg --batch --quiet --clearsign -o InRelease Release 2>/dev/null
gpgconf --kill all
rm -rf "$GNUPGHOME"
"#;

const DEB_TOOLS: &[&str] = &["apt-get", "dpkg-deb", "dpkg-scanpackages", "gpg"];

fn apt_pipeline(dir: &Path, options: &str) -> String {
    let url = format!("file://{}", dir.display());
    let key = dir.join("key.gpg").display().to_string();
    format!(
        r#"{{"version": "2", "pipelines": [{{"name": "os", "stages": [{{"type": "org.osbuild.apt", "options": {{
        "repos": {{"mine": {{"url": "{url}", "suites": ["one"], "components": ["main"], "key": "{key}"}}}}, {options}}}}}]}}]}}"#
    )
}

fn context(dir: &Path) -> Context {
    Context {
        cache: dir.join("cache"),
        ..Context::default()
    }
}

#[test]
fn names_of_debian_packages_become_digests() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    if !shell(dir, DEB_TOOLS, DEB) {
        return;
    }
    let text = apt_pipeline(dir, r#""packages": ["tool"], "exclude": {"docs": true}"#);
    let manifest = pin("p.json", &text, &context(dir)).unwrap();
    let stage = &manifest["pipelines"][0]["stages"][0];
    assert_eq!(stage["type"], "org.osbuild.deb");
    assert_eq!(stage["options"], json!({"exclude": {"docs": true}}));
    assert_eq!(manifest["pipelines"][0]["source-epoch"], 1_757_153_472);
    let source = &manifest["sources"]["org.osbuild.librepo"];
    let references = stage["inputs"]["packages"]["references"].as_array().unwrap();
    // what every system has is there as well, and what is needed comes first
    let paths: Vec<&str> = references
        .iter()
        .map(|digest| {
            source["items"][digest.as_str().unwrap()]["path"]
                .as_str()
                .unwrap()
        })
        .collect();
    let place = |name: &str| {
        paths
            .iter()
            .position(|path| *path == format!("pool/{name}_1.0-1_all.deb"))
            .unwrap()
    };
    assert_eq!(paths.len(), 3);
    assert!(place("lib") < place("tool") && place("base") < 3);
    for path in paths {
        let digest = Command::new("sha256sum")
            .arg(dir.join(path))
            .output()
            .unwrap()
            .stdout;
        let digest = String::from_utf8_lossy(&digest[..64]).into_owned();
        assert_eq!(source["items"][format!("sha256:{digest}")]["path"], path);
    }
    let url = format!("file://{}", dir.display());
    assert_eq!(
        source["options"]["mirrors"]["mine"],
        json!({"url": url, "type": "baseurl"})
    );
    // the same again, now from the cache
    assert_eq!(pin("p.json", &text, &context(dir)).unwrap(), manifest);
}

#[test]
fn a_build_root_has_just_what_is_named_and_needed() {
    let temp = tempfile::tempdir().unwrap();
    if !shell(temp.path(), DEB_TOOLS, DEB) {
        return;
    }
    let text = apt_pipeline(temp.path(), r#""packages": ["tool"], "unpack_only": true"#);
    let manifest = pin("p.json", &text, &context(temp.path())).unwrap();
    let stage = &manifest["pipelines"][0]["stages"][0];
    assert_eq!(
        stage["inputs"]["packages"]["references"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
    assert_eq!(stage["options"], json!({"unpack_only": true}));
}

#[test]
fn an_unknown_package_is_named_with_its_neighbour() {
    let temp = tempfile::tempdir().unwrap();
    if !shell(temp.path(), DEB_TOOLS, DEB) {
        return;
    }
    let text = apt_pipeline(temp.path(), r#""packages": ["tol"]"#);
    let failure = pin("p.json", &text, &context(temp.path())).unwrap_err();
    assert_eq!(
        failure.message,
        "p.json: .pipelines[0].stages[0]: there is no package `tol` in the repositories"
    );
    assert_eq!(failure.hint.as_deref(), Some("did you mean `tool`?"));
    assert_eq!(failure.exit_code(), 2);
}

#[test]
fn a_repository_signed_by_another_is_refused() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    let again = "export GNUPGHOME=$PWD/gnupg; mkdir -m 700 gnupg\n\
        gpg --batch --quiet --passphrase '' --quick-generate-key other@example.com default default never 2>/dev/null\n\
        gpg --batch --quiet --export > key.gpg; gpgconf --kill all; rm -rf gnupg";
    if !shell(dir, DEB_TOOLS, DEB) || !shell(dir, DEB_TOOLS, again) {
        return;
    }
    let text = apt_pipeline(dir, r#""packages": ["tool"]"#);
    let failure = pin("p.json", &text, &context(dir)).unwrap_err();
    assert!(
        failure.message.contains("cannot fetch the package lists"),
        "{failure}"
    );
    assert!(
        failure.hint.as_deref().unwrap().contains("has no key"),
        "{failure}"
    );
    assert_eq!(failure.exit_code(), 1);
}

/// Packages `tool` (needs `lib`) and `lib` in a repository with the group `core`.
const RPM: &str = r#"
for name in lib tool; do
    need=
    test $name = lib || need='Requires: lib'
    printf 'Name: %s\nVersion: 1.0\nRelease: 1\nSummary: x\nLicense: MIT\nBuildArch: noarch\n%s\n%%description\nx\n%%files\n' \
        "$name" "$need" > $name.spec
    rpmbuild -bb --quiet --define "_topdir $PWD/top" --define "_rpmdir $PWD/repo" $name.spec
done
cat > comps.xml <<END
<comps><group><id>core</id><name>Core</name><description/><default>true</default><uservisible>true</uservisible>
<packagelist><packagereq type="mandatory">tool</packagereq></packagelist></group></comps>
END
createrepo_c --quiet --groupfile "$PWD/comps.xml" repo
"#;

const RPM_TOOLS: &[&str] = &["dnf", "rpmbuild", "createrepo_c"];

const KEY: &str = "-----BEGIN PGP PUBLIC KEY BLOCK-----\\n\\nab\\n-----END PGP PUBLIC KEY BLOCK-----\\n";

#[test]
fn the_oldest_pipeline_of_fedora_is_pinned() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    if !shell(dir, RPM_TOOLS, RPM) {
        return;
    }
    let text = format!(
        r#"{{"name": "base", "stages": [
            {{"name": "org.osbuild.dnf", "options": {{"releasever": "27", "repos": {{"fedora": {{
                "name": "Fedora", "baseurl": "file://{}/r$releasever/$basearch", "gpgkey": "{KEY}"}}}},
                "packages": ["@core"]}}}},
            {{"name": "org.osbuild.systemd", "options": {{"enabled_services": ["sshd"]}}}}],
          "assembler": {{"name": "io.weldr.qcow2", "options": {{"filename": "base.qcow2"}}}}}}"#,
        dir.display()
    );
    std::fs::create_dir(dir.join("r27")).unwrap();
    std::os::unix::fs::symlink("../repo", dir.join("r27/x86_64")).unwrap();
    let manifest = pin("p.json", &text, &context(dir)).unwrap();
    let stage = &manifest["pipelines"][0]["stages"][0];
    assert_eq!(stage["type"], "org.osbuild.rpm");
    assert_eq!(stage["options"]["gpgkeys"].as_array().unwrap().len(), 1);
    let references = stage["inputs"]["packages"]["references"].as_object().unwrap();
    assert_eq!(references.len(), 2);
    let source = &manifest["sources"]["org.osbuild.librepo"];
    for (digest, options) in references {
        assert_eq!(options["metadata"]["rpm.check_gpg"], true);
        let path = source["items"][digest]["path"].as_str().unwrap();
        let sum = Command::new("sha256sum")
            .arg(dir.join("repo").join(path))
            .output()
            .unwrap()
            .stdout;
        assert_eq!(*digest, format!("sha256:{}", String::from_utf8_lossy(&sum[..64])));
    }
    let url = format!("file://{}/r27/x86_64", dir.display());
    assert_eq!(
        source["options"]["mirrors"]["fedora"],
        json!({"url": url, "type": "baseurl"})
    );
    assert_eq!(
        manifest["pipelines"][0]["stages"][1]["type"],
        "org.osbuild.systemd"
    );
    assert_eq!(manifest["pipelines"][1]["stages"][0]["type"], "io.weldr.qcow2");
    // an address from the command line takes the place of the pipeline's
    let mut other = context(dir);
    other
        .addresses
        .insert("fedora".into(), format!("file://{}/repo", dir.display()));
    let moved = pin("p.json", &text, &other).unwrap();
    assert_eq!(moved["sources"]["org.osbuild.librepo"]["items"], source["items"]);
}

#[test]
fn mistakes_in_options_are_named_with_their_place() {
    let temp = tempfile::tempdir().unwrap();
    let message = |text: &str| pin("p.json", text, &context(temp.path())).unwrap_err();
    let failure = message(
        r#"{"stages": [{"name": "org.osbuild.noop"}, {"name": "org.osbuild.dnf", "options": {"relasever": "1"}}]}"#,
    );
    assert_eq!(
        failure.message,
        "p.json: .stages[1]: unknown option `relasever` of org.osbuild.dnf"
    );
    assert_eq!(failure.hint.as_deref(), Some("did you mean `releasever`?"));
    let failure = message(
        r#"{"pipeline": {"stages": [{"name": "org.osbuild.dnf", "options": {"releasever": 1, "packages": ["a"],
            "repos": {"x": {"name": "X"}}}}]}}"#,
    );
    assert_eq!(
        failure.message,
        "p.json: .pipeline.stages[0]: options of org.osbuild.dnf.repos.x: there is none of baseurl, metalink, mirrorlist"
    );
    let failure = message("{\n \"stages\": [\n}");
    assert!(
        failure.message.starts_with("p.json: ") && failure.message.contains("line 3"),
        "{failure}"
    );
}

#[test]
fn what_is_pinned_already_stays_as_it_is() {
    let temp = tempfile::tempdir().unwrap();
    let text = r#"{"version": "2", "pipelines": [{"name": "a", "stages": [{"type": "org.osbuild.noop"}]}]}"#;
    let manifest = pin("p.json", text, &context(temp.path())).unwrap();
    assert_eq!(manifest, serde_json::from_str::<Value>(text).unwrap());
}

#[test]
fn the_samples_are_understood() {
    let samples = concat!(env!("CARGO_MANIFEST_DIR"), "/../../samples");
    let mut seen = 0;
    for entry in std::fs::read_dir(samples).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        if path.extension().is_some_and(|extension| extension == "json") {
            upgrade::to_format_2(serde_json::from_str(&text).unwrap()).unwrap();
        } else {
            crate::blueprint::read(&path).unwrap();
        }
        seen += 1;
    }
    assert!(seen >= 6);
}
