//! The stages, one file each. `cargo xtask gen` keeps the list.

mod accounts;
mod artifacts;
mod common;
mod disk;
mod images;
mod labels;
mod sysroot;
mod units;

// <modules>
mod anaconda;
mod apk;
mod apt_config;
mod authconfig;
mod authselect;
mod bfb;
mod bootc_install_config;
mod bootc_install_to_filesystem;
mod bootctl_install_root;
mod bootiso_mono;
mod bootupd;
mod bootupd_gen_metadata;
mod btrfs_subvol;
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
mod coreos_live_artifacts_mono;
mod coreos_platform;
mod cpio_out;
mod createaddrsize;
mod cron_script;
mod crypttab;
mod dd;
mod deb;
mod debug_shell;
mod discinfo;
mod dmverity;
mod dnf4_mark;
mod dnf4_versionlock;
mod dnf_automatic_config;
mod dnf_config;
mod dnf_module_config;
mod dracut;
mod dracut_conf;
mod erofs;
mod error;
mod experimental_ostree_config;
mod fdo;
mod firewall;
mod first_boot;
mod fix_bls;
mod flatpak_build_import_bundle_oci;
mod fstab;
mod gcp_guest_agent_conf;
mod greenboot;
mod groups;
mod grub2;
mod grub2_d;
mod grub2_inst;
mod grub2_iso;
mod grub2_iso_legacy;
mod grub2_legacy;
mod gunzip;
mod gzip;
mod hmac;
mod hostname;
mod idmap;
mod ignition;
mod implantisomd5;
mod initramfs_tools;
mod insights_client_config;
mod isolinux;
mod kernel_cmdline;
mod kernel_cmdline_bls_append;
mod keymap;
mod kickstart;
mod livesys;
mod ln;
mod locale;
mod lorax_script;
mod luks2_format;
mod luks2_remove_key;
mod lvm2_create;
mod lvm2_metadata;
mod machine_id;
mod mkdir;
mod mkfs_btrfs;
mod mkfs_ext4;
mod mkfs_fat;
mod mkfs_xfs;
mod mkinitcpio;
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
mod ostree;
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
mod ovf;
mod pacman;
mod pacman_conf;
mod pacman_keyring;
mod pacman_mirrorlist_conf;
mod pam_limits_conf;
mod parted;
mod pki_update_ca_trust;
mod pwquality_conf;
mod qemu;
mod resolv_conf;
mod rhsm;
mod rhsm_facts;
mod rpm;
mod rpm_macros;
mod rpm_ostree;
mod rpmkeys_import;
mod selinux;
mod selinux_config;
mod sfdisk;
mod sgdisk;
mod shell_init;
mod skopeo;
mod squashfs;
mod sshd_config;
mod sudoers;
mod sysconfig;
mod sysctld;
mod systemd;
mod systemd_journald;
mod systemd_logind;
mod systemd_preset;
mod systemd_repart_create;
mod systemd_sysusers;
mod systemd_sysusers_d;
mod systemd_unit;
mod systemd_unit_create;
mod tar;
mod test;
mod timezone;
mod tmpfilesd;
mod treeinfo;
mod truncate;
mod tuned;
mod udev_rules;
mod uki;
mod untar;
mod update_crypto_policies;
mod users;
mod vagrant;
mod waagent_conf;
mod write_device;
mod wsl_conf;
mod wsl_distribution_conf;
mod xorrisofs;
mod xz;
mod yum_config;
mod yum_repos;
mod zip;
mod zipl;
mod zipl_inst;
mod zstd;
// </modules>

pub use qemu::stand_in as qemu_img;

/// Every stage, sorted by name.
pub static MODULES: &[&module::Module] = &[
    // <list>
    &anaconda::MODULE,
    &apk::MODULE,
    &apt_config::MODULE,
    &authconfig::MODULE,
    &authselect::MODULE,
    &bfb::MODULE,
    &bootc_install_config::MODULE,
    &bootc_install_to_filesystem::MODULE,
    &bootctl_install_root::MODULE,
    &bootiso_mono::MODULE,
    &bootupd::MODULE,
    &bootupd_gen_metadata::MODULE,
    &btrfs_subvol::MODULE,
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
    &coreos_live_artifacts_mono::MODULE,
    &coreos_platform::MODULE,
    &cpio_out::MODULE,
    &createaddrsize::MODULE,
    &cron_script::MODULE,
    &crypttab::MODULE,
    &dd::MODULE,
    &deb::MODULE,
    &debug_shell::MODULE,
    &discinfo::MODULE,
    &dmverity::MODULE,
    &dnf4_mark::MODULE,
    &dnf4_versionlock::MODULE,
    &dnf_automatic_config::MODULE,
    &dnf_config::MODULE,
    &dnf_module_config::MODULE,
    &dracut::MODULE,
    &dracut_conf::MODULE,
    &erofs::MODULE,
    &error::MODULE,
    &experimental_ostree_config::MODULE,
    &fdo::MODULE,
    &firewall::MODULE,
    &first_boot::MODULE,
    &fix_bls::MODULE,
    &flatpak_build_import_bundle_oci::MODULE,
    &fstab::MODULE,
    &gcp_guest_agent_conf::MODULE,
    &greenboot::MODULE,
    &groups::MODULE,
    &grub2::MODULE,
    &grub2_d::MODULE,
    &grub2_inst::MODULE,
    &grub2_iso::MODULE,
    &grub2_iso_legacy::MODULE,
    &grub2_legacy::MODULE,
    &gunzip::MODULE,
    &gzip::MODULE,
    &hmac::MODULE,
    &hostname::MODULE,
    &idmap::MODULE,
    &ignition::MODULE,
    &implantisomd5::MODULE,
    &initramfs_tools::MODULE,
    &insights_client_config::MODULE,
    &isolinux::MODULE,
    &kernel_cmdline::MODULE,
    &kernel_cmdline_bls_append::MODULE,
    &keymap::MODULE,
    &kickstart::MODULE,
    &livesys::MODULE,
    &ln::MODULE,
    &locale::MODULE,
    &lorax_script::MODULE,
    &luks2_format::MODULE,
    &luks2_remove_key::MODULE,
    &lvm2_create::MODULE,
    &lvm2_metadata::MODULE,
    &machine_id::MODULE,
    &mkdir::MODULE,
    &mkfs_btrfs::MODULE,
    &mkfs_ext4::MODULE,
    &mkfs_fat::MODULE,
    &mkfs_xfs::MODULE,
    &mkinitcpio::MODULE,
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
    &ostree::MODULE,
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
    &ovf::MODULE,
    &pacman::MODULE,
    &pacman_conf::MODULE,
    &pacman_keyring::MODULE,
    &pacman_mirrorlist_conf::MODULE,
    &pam_limits_conf::MODULE,
    &parted::MODULE,
    &pki_update_ca_trust::MODULE,
    &pwquality_conf::MODULE,
    &qemu::MODULE,
    &resolv_conf::MODULE,
    &rhsm::MODULE,
    &rhsm_facts::MODULE,
    &rpm::MODULE,
    &rpm_macros::MODULE,
    &rpm_ostree::MODULE,
    &rpmkeys_import::MODULE,
    &selinux::MODULE,
    &selinux_config::MODULE,
    &sfdisk::MODULE,
    &sgdisk::MODULE,
    &shell_init::MODULE,
    &skopeo::MODULE,
    &squashfs::MODULE,
    &sshd_config::MODULE,
    &sudoers::MODULE,
    &sysconfig::MODULE,
    &sysctld::MODULE,
    &systemd::MODULE,
    &systemd_journald::MODULE,
    &systemd_logind::MODULE,
    &systemd_preset::MODULE,
    &systemd_repart_create::MODULE,
    &systemd_sysusers::MODULE,
    &systemd_sysusers_d::MODULE,
    &systemd_unit::MODULE,
    &systemd_unit_create::MODULE,
    &tar::MODULE,
    &test::MODULE,
    &timezone::MODULE,
    &tmpfilesd::MODULE,
    &treeinfo::MODULE,
    &truncate::MODULE,
    &tuned::MODULE,
    &udev_rules::MODULE,
    &uki::MODULE,
    &untar::MODULE,
    &update_crypto_policies::MODULE,
    &users::MODULE,
    &vagrant::MODULE,
    &waagent_conf::MODULE,
    &write_device::MODULE,
    &wsl_conf::MODULE,
    &wsl_distribution_conf::MODULE,
    &xorrisofs::MODULE,
    &xz::MODULE,
    &yum_config::MODULE,
    &yum_repos::MODULE,
    &zip::MODULE,
    &zipl::MODULE,
    &zipl_inst::MODULE,
    &zstd::MODULE,
    // </list>
];
