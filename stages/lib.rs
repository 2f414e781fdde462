//! The stages, one file each. `cargo xtask gen` keeps the list.

mod accounts;
mod common;
mod units;

// <modules>
mod chmod;
mod chown;
mod copy;
mod deb;
mod error;
mod fstab;
mod groups;
mod grub2;
mod hostname;
mod kernel_cmdline;
mod locale;
mod machine_id;
mod mkdir;
mod noop;
mod rpm;
mod systemd;
mod timezone;
mod users;
// </modules>

/// Every stage, sorted by name.
pub static MODULES: &[&module::Module] = &[
    // <list>
    &chmod::MODULE,
    &chown::MODULE,
    &copy::MODULE,
    &deb::MODULE,
    &error::MODULE,
    &fstab::MODULE,
    &groups::MODULE,
    &grub2::MODULE,
    &hostname::MODULE,
    &kernel_cmdline::MODULE,
    &locale::MODULE,
    &machine_id::MODULE,
    &mkdir::MODULE,
    &noop::MODULE,
    &rpm::MODULE,
    &systemd::MODULE,
    &timezone::MODULE,
    &users::MODULE,
    // </list>
];
