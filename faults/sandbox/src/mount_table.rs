//! The lines of the kernel's mount tables (`/proc/self/mountinfo`, proc(5)).

use std::path::PathBuf;

use nix::mount::MsFlags;

/// The mount point of a line of `/proc/self/mountinfo` (proc(5)) and those of its options that a
/// remount must repeat, because a user namespace may not clear them.
pub(super) fn parse_mount(line: &str) -> Option<(PathBuf, MsFlags)> {
    let mut fields = line.split(' ');
    let path = unescape(fields.nth(4)?);
    let mut flags = MsFlags::empty();
    for option in fields.next()?.split(',') {
        flags |= match option {
            "nosuid" => MsFlags::MS_NOSUID,
            "nodev" => MsFlags::MS_NODEV,
            "noexec" => MsFlags::MS_NOEXEC,
            "noatime" => MsFlags::MS_NOATIME,
            "nodiratime" => MsFlags::MS_NODIRATIME,
            "relatime" => MsFlags::MS_RELATIME,
            _ => MsFlags::empty(),
        };
    }
    Some((path, flags))
}

/// Undoes the octal escapes (`\040`) of the kernel's mount tables.
pub(super) fn unescape(field: &str) -> PathBuf {
    use std::os::unix::ffi::OsStringExt;
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let octal = after
            .get(..3)
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match (byte, octal) {
            (b'\\', Some(value)) => {
                bytes.push(value);
                rest = &after[3..];
            }
            _ => {
                bytes.push(byte);
                rest = after;
            }
        }
    }
    std::ffi::OsString::from_vec(bytes).into()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn a_line_of_the_mount_table_is_read() {
        let line = "36 35 98:0 /mnt1 /mnt\\0402/a rw,nosuid,noatime master:1 - ext3 /dev/root rw";
        let (path, flags) = parse_mount(line).expect("a line");
        assert_eq!(path, Path::new("/mnt 2/a"));
        assert_eq!(flags, MsFlags::MS_NOSUID | MsFlags::MS_NOATIME);
        assert!(parse_mount("36 35").is_none());
    }

    #[test]
    fn escapes_are_undone_and_other_backslashes_kept() {
        assert_eq!(unescape(r"a\134b\x\04"), Path::new(r"a\b\x\04"));
    }
}
