//! GRUB images made by the tree's own `grub-mkimage`.

use module::{Result, Tool};
use tree::Tree;

use super::Search;
use super::menu::Menu;

/// The modules an image needs to reach `/boot/grub`, where the others are.
const REACH: &[&str] = &[
    "part_gpt",
    "part_msdos",
    "ext2",
    "xfs",
    "btrfs",
    "fat",
    "search_fs_uuid",
    "search_label",
];

/// What an image of one platform is.
#[derive(Debug)]
pub struct Image<'a> {
    /// GRUB's name for the platform, such as `i386-pc`.
    pub platform: &'a str,
    /// Modules beyond those that every platform takes; one the package lacks is left out.
    pub modules: &'a [&'a str],
    /// The image's path in the tree.
    pub output: &'a str,
}

impl Image<'_> {
    /// Makes the image; the configuration inside it finds `/boot/grub` by the file system's UUID or label.
    ///
    /// The configuration stays beside the modules as `load.cfg`, where grub-install leaves it as well.
    pub fn make(&self, tree: &Tree, boot: &Search, separate_boot: bool) -> Result<()> {
        let config = format!("boot/grub/{}/load.cfg", self.platform);
        tree.write(&config, load_cfg(boot, separate_boot))?;
        let library = format!("/usr/lib/grub/{}", self.platform);
        let modules = REACH
            .iter()
            .chain(self.modules)
            .filter(|name| tree.is_file(format!("{library}/{name}.mod")));
        Tool::in_root(tree.path(), "grub-mkimage")
            .env("LC_ALL", "C.UTF-8")
            .args(["--directory", &library, "--format", self.platform])
            .args(["--prefix", &format!("{}/grub", Menu::boot_path(separate_boot))])
            .args([
                "--config",
                &format!("/{config}"),
                "--output",
                &format!("/{}", self.output),
            ])
            .args(modules)
            .run()
    }
}

/// The configuration inside an image. It is read by GRUB's small parser: no `if`, one command a line.
fn load_cfg(boot: &Search, separate_boot: bool) -> String {
    let command = match boot {
        Search::Uuid(uuid) => format!("search.fs_uuid {uuid} root"),
        Search::Label(label) => format!("search.fs_label {label} root"),
    };
    format!(
        "{command}\nset prefix=($root)'{}/grub'\n",
        Menu::boot_path(separate_boot)
    )
}

/// The `grub.cfg` of the ESP, for images whose own prefix lies there.
pub fn stub(boot: &Search, separate_boot: bool) -> String {
    format!("{}configfile $prefix/grub.cfg\n", load_cfg(boot, separate_boot))
}
