//! Extended attributes, and what ext4 tells about a file besides.

use super::{Behaviour, behaviour, file};
use crate::outcome::{line, value, word};
use crate::sys::{self, xattr};

/// FS_IOC_GETFLAGS, FS_IOC_FIEMAP and FIGETBSZ of linux/fs.h.
const GETFLAGS: libc::Ioctl = 0x8008_6601;
const FIEMAP: libc::Ioctl = 0xC020_660B_u32 as libc::Ioctl;
const BLOCK_SIZE: libc::Ioctl = 2;
/// A request that nobody knows, without an argument.
const UNKNOWN: libc::Ioctl = 0x7AC8;

pub(super) const LIST: &[Behaviour] = &[
    behaviour("xattr.set", "ok", || {
        file("f", "x")?;
        Ok(word(xattr::set("f", "user.name", b"value")))
    }),
    behaviour("xattr.get", "ENODATA", || {
        file("f", "x")?;
        Ok(value(xattr::get("f", "user.name")))
    }),
    behaviour("xattr.list", "0", || {
        file("f", "x")?;
        Ok(value(xattr::list("f")))
    }),
    behaviour("xattr.remove", "ENODATA", || {
        file("f", "x")?;
        Ok(word(xattr::remove("f", "user.name")))
    }),
    behaviour("xattr.of-a-directory", "ok 5", || {
        std::fs::create_dir("d")?;
        line([
            word(xattr::set("d", "user.name", b"value")),
            value(xattr::get("d", "user.name")),
        ])
    }),
    behaviour("xattr.access-control-list", "ENODATA", || {
        file("f", "x")?;
        Ok(value(xattr::get("f", "system.posix_acl_access")))
    }),
    behaviour("xattr.unknown-space", "EOPNOTSUPP", || {
        file("f", "x")?;
        Ok(word(xattr::set("f", "nonsense.name", b"value")))
    }),
    behaviour("ioctl.flags", "ok", || {
        Ok(word(sys::ioctl(&file("f", "x")?, GETFLAGS)))
    }),
    behaviour("ioctl.extents", "ok", || {
        Ok(word(sys::ioctl(&file("f", "x")?, FIEMAP)))
    }),
    behaviour("ioctl.block-size", "ok", || {
        Ok(word(sys::ioctl(&file("f", "x")?, BLOCK_SIZE)))
    }),
    behaviour("ioctl.unknown", "ENOTTY", || {
        Ok(word(sys::ioctl(&file("f", "x")?, UNKNOWN)))
    }),
    behaviour("handle.of-a-name", "ok", || {
        file("f", "x")?;
        Ok(word(sys::handle("f")))
    }),
];
