//! Boxes with a defence less, for tests: what an attempt is refused by is what it succeeds without. See [`fault::lifted`].
//!
//! | name | what is taken away |
//! |---|---|
//! | `filter` | the filter of system calls |
//! | `capabilities` | what is dropped of them |
//! | `switches` | the covers of `/proc`; `/sys` is the host's |
//! | `read-only` | that what is lent cannot be written |
//! | `workbench` | that the directories of an overlay are unmounted when it is put together |
//! | `sizes` | the sizes of memory file systems |
//! | `groups`, `processes`, `network`, `ipc` | a namespace of the box's own |
//! | `users` | the user namespace |
//! | `descriptors` | that descriptors of the caller are closed |
//! | `environment` | that the caller's is left behind |
//! | `outside` | that of the host there is only what is lent: the directory `OSBUILD_LIFT_OUTSIDE` is there too |

use fault::lifted;

use crate::plan::{Idmap, Mount, Plan, Source};
use crate::steps::Step;

pub(crate) fn plan(mut plan: Plan) -> Plan {
    if lifted!("environment") {
        plan.command.env.extend(std::env::vars_os());
    }
    if lifted!("outside")
        && let Some(outside) = std::env::var_os("OSBUILD_LIFT_OUTSIDE")
    {
        // nothing may lie where it is to appear
        let below = |target: &std::path::Path| std::path::Path::new(&outside).starts_with(target);
        plan.mounts
            .retain(|mount| !matches!(mount, Mount::Bind { target, .. } | Mount::Tmpfs { target, .. } if below(target)));
        plan.mounts.push(Mount::Bind {
            source: Source::at(&outside),
            target: outside.into(),
            writable: true,
            idmap: Idmap::Wanted,
        });
    }
    plan
}

pub(crate) fn steps(steps: Vec<Step<'static>>) -> Vec<Step<'static>> {
    steps.into_iter().filter_map(step).collect()
}

fn step(mut step: Step<'static>) -> Option<Step<'static>> {
    if let Step::Clone { read_only, .. } = &mut step {
        *read_only &= !lifted!("read-only");
    }
    match step {
        Step::Filter { .. } if lifted!("filter") => None,
        Step::Capabilities { .. } if lifted!("capabilities") => None,
        Step::OwnGroups if lifted!("groups") => None,
        Step::Protect { .. } | Step::Mask { .. } if lifted!("switches") => None,
        Step::Sys { target } if lifted!("switches") => Some(Step::Clone {
            root: c"/sys".into(),
            path: c"".into(),
            target,
            read_only: false,
            idmap: Idmap::None,
            devices: false,
            optional: false,
            follow: false,
        }),
        Step::Unmount { .. } | Step::RemoveDirectory { .. } if lifted!("workbench") => None,
        Step::Tmpfs { target, .. } if lifted!("sizes") => Some(Step::Tmpfs {
            target,
            data: c"mode=1777".into(),
        }),
        step => Some(step),
    }
}

/// The flags of `clone(2)` for the namespaces of a box.
pub(crate) fn namespaces(mut flags: libc::c_int) -> libc::c_int {
    for (name, flag) in [
        (lifted!("processes"), libc::CLONE_NEWPID),
        (lifted!("network"), libc::CLONE_NEWNET),
        (lifted!("ipc"), libc::CLONE_NEWIPC),
    ] {
        flags &= if name { !flag } else { !0 };
    }
    flags
}
