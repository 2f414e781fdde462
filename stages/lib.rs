//! The stages, one file each. `cargo xtask gen` keeps the list.

mod accounts;
mod common;
mod disk;
mod images;
mod sysroot;
mod units;

// <modules>
mod anaconda;
mod apt_config;
mod authconfig;
mod authselect;
mod bootc_install_config;
mod buildstamp;
mod chattr;
mod chmod;
mod chown;
mod chrony;
mod clevis_luks_bind;
mod cloud_init;
mod container_deploy;
mod containers_storage_conf;
mod containers_unit_create;
mod copy;
mod coreos_platform;
mod createaddrsize;
mod cron_script;
mod crypttab;
mod dd;
mod deb;
mod debug_shell;
mod discinfo;
mod dnf4_mark;
mod dnf4_versionlock;
mod dnf_automatic_config;
mod dnf_config;
mod dnf_module_config;
mod dracut;
mod dracut_conf;
mod error;
mod experimental_ostree_config;
mod fdo;
mod firewall;
mod first_boot;
mod fix_bls;
mod fstab;
mod gcp_guest_agent_conf;
mod greenboot;
mod groups;
mod grub2;
mod hmac;
mod hostname;
mod idmap;
mod ignition;
mod insights_client_config;
mod kernel_cmdline;
mod kernel_cmdline_bls_append;
mod keymap;
mod kickstart;
mod livesys;
mod ln;
mod locale;
mod lorax_script;
mod machine_id;
mod mkdir;
mod mkfs_btrfs;
mod mkfs_ext4;
mod mkfs_fat;
mod mkfs_xfs;
mod mks390image;
mod mkswap;
mod modprobe;
mod nginx_conf;
mod nm_conf;
mod nm_conn;
mod noop;
mod oci_archive;
mod oscap_autotailor;
mod oscap_remediation;
mod ostree_aleph;
mod ostree_commit;
mod ostree_config;
mod ostree_deploy;
mod ostree_deploy_container;
mod ostree_encapsulate;
mod ostree_fillvar;
mod ostree_genkey;
mod ostree_grub2;
mod ostree_init;
mod ostree_init_fs;
mod ostree_os_init;
mod ostree_passwd;
mod ostree_post_copy;
mod ostree_preptree;
mod ostree_pull;
mod ostree_remotes;
mod ostree_selinux;
mod ostree_sign;
mod pacman_conf;
mod pacman_mirrorlist_conf;
mod pam_limits_conf;
mod pki_update_ca_trust;
mod pwquality_conf;
mod qemu;
mod resolv_conf;
mod rhsm;
mod rhsm_facts;
mod rpm;
mod rpm_macros;
mod selinux_config;
mod sfdisk;
mod shell_init;
mod skopeo;
mod sshd_config;
mod sudoers;
mod sysconfig;
mod sysctld;
mod systemd;
mod systemd_journald;
mod systemd_logind;
mod systemd_preset;
mod systemd_sysusers;
mod systemd_sysusers_d;
mod systemd_unit;
mod systemd_unit_create;
mod test;
mod timezone;
mod tmpfilesd;
mod treeinfo;
mod truncate;
mod tuned;
mod udev_rules;
mod update_crypto_policies;
mod users;
mod waagent_conf;
mod write_device;
mod wsl_conf;
mod wsl_distribution_conf;
mod yum_config;
mod yum_repos;
mod zipl;
mod zipl_inst;
// </modules>

/// Every stage, sorted by name.
pub static MODULES: &[&module::Module] = &[
    // <list>
    &anaconda::MODULE,
    &apt_config::MODULE,
    &authconfig::MODULE,
    &authselect::MODULE,
    &bootc_install_config::MODULE,
    &buildstamp::MODULE,
    &chattr::MODULE,
    &chmod::MODULE,
    &chown::MODULE,
    &chrony::MODULE,
    &clevis_luks_bind::MODULE,
    &cloud_init::MODULE,
    &container_deploy::MODULE,
    &containers_storage_conf::MODULE,
    &containers_unit_create::MODULE,
    &copy::MODULE,
    &coreos_platform::MODULE,
    &createaddrsize::MODULE,
    &cron_script::MODULE,
    &crypttab::MODULE,
    &dd::MODULE,
    &deb::MODULE,
    &debug_shell::MODULE,
    &discinfo::MODULE,
    &dnf4_mark::MODULE,
    &dnf4_versionlock::MODULE,
    &dnf_automatic_config::MODULE,
    &dnf_config::MODULE,
    &dnf_module_config::MODULE,
    &dracut::MODULE,
    &dracut_conf::MODULE,
    &error::MODULE,
    &experimental_ostree_config::MODULE,
    &fdo::MODULE,
    &firewall::MODULE,
    &first_boot::MODULE,
    &fix_bls::MODULE,
    &fstab::MODULE,
    &gcp_guest_agent_conf::MODULE,
    &greenboot::MODULE,
    &groups::MODULE,
    &grub2::MODULE,
    &hmac::MODULE,
    &hostname::MODULE,
    &idmap::MODULE,
    &ignition::MODULE,
    &insights_client_config::MODULE,
    &kernel_cmdline::MODULE,
    &kernel_cmdline_bls_append::MODULE,
    &keymap::MODULE,
    &kickstart::MODULE,
    &livesys::MODULE,
    &ln::MODULE,
    &locale::MODULE,
    &lorax_script::MODULE,
    &machine_id::MODULE,
    &mkdir::MODULE,
    &mkfs_btrfs::MODULE,
    &mkfs_ext4::MODULE,
    &mkfs_fat::MODULE,
    &mkfs_xfs::MODULE,
    &mks390image::MODULE,
    &mkswap::MODULE,
    &modprobe::MODULE,
    &nginx_conf::MODULE,
    &nm_conf::MODULE,
    &nm_conn::MODULE,
    &noop::MODULE,
    &oci_archive::MODULE,
    &oscap_autotailor::MODULE,
    &oscap_remediation::MODULE,
    &ostree_aleph::MODULE,
    &ostree_commit::MODULE,
    &ostree_config::MODULE,
    &ostree_deploy::MODULE,
    &ostree_deploy_container::MODULE,
    &ostree_encapsulate::MODULE,
    &ostree_fillvar::MODULE,
    &ostree_genkey::MODULE,
    &ostree_grub2::MODULE,
    &ostree_init::MODULE,
    &ostree_init_fs::MODULE,
    &ostree_os_init::MODULE,
    &ostree_passwd::MODULE,
    &ostree_post_copy::MODULE,
    &ostree_preptree::MODULE,
    &ostree_pull::MODULE,
    &ostree_remotes::MODULE,
    &ostree_selinux::MODULE,
    &ostree_sign::MODULE,
    &pacman_conf::MODULE,
    &pacman_mirrorlist_conf::MODULE,
    &pam_limits_conf::MODULE,
    &pki_update_ca_trust::MODULE,
    &pwquality_conf::MODULE,
    &qemu::MODULE,
    &resolv_conf::MODULE,
    &rhsm::MODULE,
    &rhsm_facts::MODULE,
    &rpm::MODULE,
    &rpm_macros::MODULE,
    &selinux_config::MODULE,
    &sfdisk::MODULE,
    &shell_init::MODULE,
    &skopeo::MODULE,
    &sshd_config::MODULE,
    &sudoers::MODULE,
    &sysconfig::MODULE,
    &sysctld::MODULE,
    &systemd::MODULE,
    &systemd_journald::MODULE,
    &systemd_logind::MODULE,
    &systemd_preset::MODULE,
    &systemd_sysusers::MODULE,
    &systemd_sysusers_d::MODULE,
    &systemd_unit::MODULE,
    &systemd_unit_create::MODULE,
    &test::MODULE,
    &timezone::MODULE,
    &tmpfilesd::MODULE,
    &treeinfo::MODULE,
    &truncate::MODULE,
    &tuned::MODULE,
    &udev_rules::MODULE,
    &update_crypto_policies::MODULE,
    &users::MODULE,
    &waagent_conf::MODULE,
    &write_device::MODULE,
    &wsl_conf::MODULE,
    &wsl_distribution_conf::MODULE,
    &yum_config::MODULE,
    &yum_repos::MODULE,
    &zipl::MODULE,
    &zipl_inst::MODULE,
    // </list>
];
