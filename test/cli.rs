//! The command line: what it says of itself, how it refuses, where it reads.

use tests::TestEnv;

const NOOP: &str =
    r#"{"version": "2", "pipelines": [{"name": "tree", "stages": [{"type": "org.osbuild.noop"}]}]}"#;

#[test]
fn the_version_is_one_number() {
    let env = TestEnv::new();
    let run = env.osbuild(["--version"]).expect(0);
    let number = run
        .stdout
        .strip_prefix("osbuild ")
        .and_then(|rest| rest.strip_suffix('\n'));
    assert!(
        number.is_some_and(|number| number.parse::<u32>().is_ok()),
        "{run}"
    );
    // its callers ask so, whatever else stands there
    assert_eq!(
        env.osbuild(["--libdir", "x", "--version"]).expect(0).stdout,
        run.stdout
    );
    let ours = env.image_builder(["--version"]).expect(0);
    assert!(ours.stdout.starts_with("image-builder "), "{ours}");
}

#[test]
fn help_goes_to_stdout() {
    let env = TestEnv::new();
    let run = env.osbuild(["--help"]).expect(0);
    for option in [
        "--store",
        "--libdir",
        "--output",
        "--output-directory",
        "--export",
        "--json",
        "--repo",
    ] {
        assert!(run.stdout.contains(option), "{option} is not in {run}");
    }
    assert_eq!(run.stderr, "");
    let run = env.image_builder(["--help"]).expect(0);
    for command in ["manifest", "build", "resolve", "list"] {
        assert!(run.stdout.contains(command), "{command} is not in {run}");
    }
}

#[test]
fn a_result_that_cannot_be_written_is_a_failure_and_a_reader_that_has_gone_is_none() {
    let env = TestEnv::new();
    env.write("manifest.json", NOOP);
    let to = |where_to: &str, args: &[&str]| {
        let script = format!("exec \"$0\" \"$@\" {where_to}");
        let mut command = env.command("bash");
        command
            .args(["-c", &script])
            .arg(env.binaries().osbuild())
            .args(args);
        tests::run(&mut command, b"", std::time::Duration::from_secs(60))
    };
    for args in [
        &["--inspect", "manifest.json"][..],
        &["plan", "--json", "manifest.json"],
        &["modules"],
    ] {
        to("> /dev/full", args)
            .expect(1)
            .says(&["cannot write to stdout", "No space left on device"]);
        to("> >(exit)", args).expect(0);
    }
    // what is wrong counts more
    to("> /dev/full", &["--nonsense"]).expect(2);
}

#[test]
fn wrong_usage_is_2_and_does_nothing() {
    let env = TestEnv::new();
    for args in [
        &[][..],
        &["--nonsense", "x.json"],
        &["--store"],
        &["--repo", "no-equals-sign", "x.json"],
        &["--stage-timeout", "soon", "x.json"],
        &["one.json", "two.json"],
    ] {
        let run = env.osbuild(args).expect(2).says(&["error: "]);
        assert_eq!(run.stdout, "", "{run}");
    }
    env.osbuild(["--nonsense", "x.json"])
        .expect(2)
        .says(&["--nonsense"]);
    env.image_builder(["manifest", "--type", "floppy"])
        .expect(2)
        .says(&["floppy", "qcow2"]);
    assert!(!env.store().exists() && !env.path(".osbuild").exists());
}

#[test]
fn the_manifest_may_come_from_stdin() {
    let env = TestEnv::new();
    let args = ["--store", "store", "-o", "out", "-"];
    let run = env.osbuild_on(args, NOOP.as_bytes()).expect(0);
    assert!(run.stdout.contains("org.osbuild.noop"), "{run}");
    env.osbuild_on(["-"], b"{").expect(2).says(&["<stdin>", "line 1"]);
}

#[test]
fn abbreviated_options_are_those_of_the_python_osbuild() {
    let env = TestEnv::new();
    env.write("noop.json", NOOP);
    // --output-directory: without --export it only fetches the sources
    let run = env
        .osbuild(["--cache", "store", "--out", "there", "noop.json"])
        .expect(0);
    assert!(!run.stdout.contains("org.osbuild.noop"), "{run}");
    let args = [
        "--cache",
        "store",
        "--output-dir",
        "there",
        "--exp",
        "tree",
        "noop.json",
    ];
    env.osbuild(args).expect(0);
    assert!(env.path("there/tree").is_dir());
}

#[test]
fn json_is_one_document_and_no_other_word() {
    let env = TestEnv::new();
    env.write("noop.json", NOOP);
    let run = env
        .osbuild(["--store", "store", "-o", "out", "--json", "noop.json"])
        .expect(0);
    let result = run.json();
    assert_eq!(
        (&result["type"], &result["success"]),
        (&"result".into(), &true.into()),
        "{run}"
    );
    assert_eq!(run.stderr, "", "{run}");
    let run = env.osbuild_on(
        ["--store", "store", "--json", "-"],
        b"{\"version\": \"2\", \"pipelines\": 1}",
    );
    let result = run.clone().expect(2).json();
    assert_eq!(result["type"], "https://osbuild.org/validation-error", "{run}");
    assert_eq!(run.stderr, "", "{run}");
}
