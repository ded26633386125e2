//! The real filesystems that there are: how each is made and mounted.

use std::path::{Path, PathBuf};

/// A real filesystem.
#[derive(Clone, Copy, Debug)]
pub struct Filesystem {
    /// Its name on the command line, which is that of its persistence model too.
    pub name: &'static str,
    /// What mount(2) calls it.
    pub kind: &'static str,
    /// How it is made, but for the device: program and arguments.
    pub mkfs: &'static [&'static str],
    /// The options it is mounted with.
    pub options: &'static str,
    /// What of its options matters for a crash, for people.
    pub mode: &'static str,
    /// The size of its device, in bytes: not much more than the least that mkfs takes.
    pub bytes: u64,
}

const EXT4: Filesystem = Filesystem {
    name: "ext4",
    kind: "ext4",
    mkfs: &[
        "mkfs.ext4",
        "-q",
        "-F",
        "-b",
        "4096",
        "-E",
        "lazy_itable_init=0,lazy_journal_init=0",
    ],
    options: "data=ordered",
    mode: "data=ordered",
    bytes: 64 << 20,
};

/// Those that are known, the ones that most users have first.
pub const FILESYSTEMS: [Filesystem; 4] = [
    EXT4,
    Filesystem {
        name: "xfs",
        kind: "xfs",
        mkfs: &["mkfs.xfs", "-q", "-f"],
        // Two copies of one image have one UUID.
        options: "nouuid",
        mode: "",
        bytes: 320 << 20,
    },
    Filesystem {
        name: "btrfs",
        kind: "btrfs",
        mkfs: &["mkfs.btrfs", "-q", "-f"],
        options: "",
        mode: "",
        bytes: 160 << 20,
    },
    Filesystem {
        name: "ext4-writeback",
        options: "data=writeback",
        mode: "data=writeback",
        ..EXT4
    },
];

impl Filesystem {
    /// The filesystem of this name.
    pub fn named(name: &str) -> Option<Self> {
        FILESYSTEMS.into_iter().find(|one| one.name == name)
    }

    /// Its program that makes one; none where there is none here.
    pub fn program(&self) -> Option<PathBuf> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let system = ["/usr/sbin", "/sbin", "/usr/local/sbin"].map(PathBuf::from);
        std::env::split_paths(&path)
            .chain(system)
            .map(|directory| directory.join(self.mkfs[0]))
            .find(|program| program.is_file())
    }

    /// The name of the kernel's filesystem as its people write it, with what matters of its options and
    /// the kernel's version.
    pub fn described(&self) -> String {
        let written = match self.kind {
            "xfs" => "XFS",
            kind => kind,
        };
        let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let version: Vec<&str> = kernel.trim().splitn(3, '.').take(2).collect();
        let mode = match self.mode {
            "" => String::new(),
            mode => format!("{mode}, "),
        };
        format!("{written} ({mode}kernel {})", version.join("."))
    }

    /// The filesystem that a device begins with, by the number that each writes into its first block.
    pub fn of_image(read: impl Fn(u64, usize) -> Vec<u8>) -> Option<Self> {
        let magics: [(&str, u64, &[u8]); 3] = [
            ("ext4", 1024 + 56, &[0x53, 0xef]),
            ("xfs", 0, b"XFSB"),
            ("btrfs", 65536 + 64, b"_BHRfS_M"),
        ];
        let found = magics
            .into_iter()
            .find(|(_, at, magic)| read(*at, magic.len()) == *magic);
        found.and_then(|(name, ..)| Self::named(name))
    }
}

/// What a machine needs and is not here, by name: root, FUSE, loop devices. Each filesystem needs its
/// program besides.
pub fn missing_here() -> Vec<&'static str> {
    let mut missing = Vec::new();
    if !nix::unistd::geteuid().is_root() {
        missing.push("root");
    }
    for (path, name) in [
        ("/dev/fuse", "/dev/fuse"),
        ("/dev/loop-control", "/dev/loop-control"),
    ] {
        if !Path::new(path).exists() {
            missing.push(name);
        }
    }
    missing
}
