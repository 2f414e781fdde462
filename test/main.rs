//! One file a promise.

mod archives;
mod artifacts;
mod bad_input;
mod boots;
mod cache;
mod callers;
mod cli;
mod commits;
mod confinement;
mod conformance;
mod container_images;
mod coreos_live;
mod debian;
mod device_mapper;
mod disks;
mod docs;
mod failures;
mod faults;
mod foreign;
mod foreign_limits;
mod foreign_peer;
mod foreign_protocol;
mod full_disk;
mod gate;
mod hostile;
mod in_vm;
mod inode_flags;
mod install;
mod jobs;
mod monitors;
mod new_stage;
mod overlay_store;
mod plan;
mod profiles;
mod repositories;
mod reproducible;
mod rootless;
mod rpm;
mod samples;
mod samples_boot;
mod sbom;
mod signals;
mod source_failures;
mod sources;
mod stand_in;
mod store;
mod surroundings;
mod zipl;

#[test]
fn no_file_is_forgotten() {
    let here = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let main = include_str!("main.rs");
    for entry in std::fs::read_dir(here).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if let Some(name) = name.strip_suffix(".rs").filter(|name| *name != "main") {
            assert!(
                main.contains(&format!("\nmod {name};\n")),
                "main.rs does not name {name}.rs"
            );
        }
    }
}
