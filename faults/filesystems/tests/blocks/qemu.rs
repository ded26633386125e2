//! A log of block writes that somebody else's program wrote: QEMU's `blklogwrites`.

use std::path::Path;
use std::process::Command;

use plugpull_crashsim::fs::{Op, ROOT, Tree};
use plugpull_crashsim::persist::{Device, Index, STRICT};
use plugpull_filesystems::{BlockLog, read_log_writes};
use plugpull_testing::test;

/// Does these commands of qemu-io on an image of 1 MiB; the image then, and the log.
fn written(commands: &[&str], directory: &Path) -> (Vec<u8>, BlockLog) {
    let (image, log) = (directory.join("image"), directory.join("log"));
    std::fs::File::create(&image)
        .unwrap()
        .set_len(1 << 20)
        .unwrap();
    std::fs::File::create(&log).unwrap();
    let options = format!(
        "driver=blklogwrites,file.driver=file,file.filename={},log.driver=file,log.filename={}",
        image.display(),
        log.display()
    );
    let mut qemu = Command::new("qemu-io");
    qemu.args(["--image-opts", &options]);
    for command in commands {
        qemu.args(["-c", command]);
    }
    let done = qemu.output().unwrap();
    assert!(done.status.success(), "{done:?}");
    let read = read_log_writes(std::fs::File::open(&log).unwrap()).unwrap();
    (std::fs::read(image).unwrap(), read)
}

fn bytes(tree: &Tree) -> Vec<u8> {
    let dir = tree.dir(ROOT).unwrap();
    let (_, image) = dir.iter().next().unwrap();
    let mut bytes = Vec::new();
    tree.content(image.ino)
        .unwrap()
        .read(0, 1 << 20, &mut bytes);
    bytes
}

#[test(needs = "qemu-io")]
fn the_image_of_a_log_is_the_one_that_qemu_wrote() {
    let directory = tempfile::tempdir().unwrap();
    let commands = [
        "write -P 0xaa 0 64k",
        "flush",
        "write -P 0xbb 4k 8k",
        "write -f -P 0xcc 128k 4k",
        "discard 0 4k",
        "write -z 200k 4k",
        "write -P 0xdd 512 512",
    ];
    let (image, blocks) = written(&commands, directory.path());
    let index = Index::new(&blocks.log, &STRICT, Device::default());
    let end = index.window(blocks.log.records().len());
    let whole = end.state(&Default::default()).tree;
    assert!(bytes(&whole) == image, "the image is another one");
    assert_eq!(blocks.from, blocks.log.records().len(), "it has no mark");
}

#[test(needs = "qemu-io")]
fn what_qemu_flushed_stays_and_all_else_may_go() {
    let directory = tempfile::tempdir().unwrap();
    let commands = [
        "write -P 1 0 4k",
        "flush",
        "write -P 2 8k 4k",
        "write -P 3 16k 4k",
    ];
    let (_, blocks) = written(&commands, directory.path());
    // QEMU flushes at its end too: the power goes before that.
    let records = blocks.log.records();
    let is_write = |op: &Op| matches!(op, Op::Write { .. });
    let last = records
        .iter()
        .rposition(|record| is_write(&record.op))
        .unwrap();
    let index = Index::new(&blocks.log, &STRICT, Device::with_sector(4096).unwrap());
    let window = index.window(last + 1);
    let states = window.every_state();
    let mut seen: Vec<[u8; 3]> = states
        .map(|state| bytes(&state.tree))
        .map(|bytes| [bytes[0], bytes[8192], bytes[16384]])
        .collect();
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen, [[1, 0, 0], [1, 0, 3], [1, 2, 0], [1, 2, 3]]);
}
