//! As an ordinary user: without `/dev/fuse` it does what it can, and with it everything but what
//! needs a cgroup. Root's tests, since only root can become somebody else.

use std::process::Command;

use plugpull_testing::test;

use crate::support::{Reported, list, machine, reported, text};

/// Nobody, whom every machine has and who owns nothing.
const AS_NOBODY: &str = "setpriv --reuid=65534 --regid=65534 --clear-groups --inh-caps=-all";

/// Runs a script of root's, in which `$AS_NOBODY "$PLUGPULL"` is plugpull as an ordinary user.
fn as_nobody(script: &str, options: &str) -> Reported {
    use std::os::unix::fs::PermissionsExt;

    let (directory, program) = machine::own_copy();
    let work = directory.path().join("work");
    std::fs::create_dir(&work).unwrap();
    std::fs::set_permissions(&work, std::fs::Permissions::from_mode(0o777)).unwrap();
    let json = work.join("report.json");
    let mut command = Command::new("sh");
    command
        .args(["-ec", script, "sh", "run", "-q", "--json"])
        .arg(&json)
        .args(options.split_whitespace())
        .env("AS_NOBODY", AS_NOBODY)
        .env("PLUGPULL", &program)
        .env_remove("TMPDIR")
        .current_dir(&work);
    reported(&mut command, &json)
}

fn bitten(run: &Reported) -> Vec<&str> {
    let rows = list(&run.report, "faults").iter();
    rows.filter(|row| row["bit"] != 0)
        .map(|row| text(row, "fault"))
        .collect()
}

#[test(needs = "root user-namespaces setpriv fuse-closed")]
fn without_the_device_it_does_what_needs_none() {
    let run = as_nobody(
        r#"exec $AS_NOBODY "$PLUGPULL" "$@""#,
        "reference --rounds 1 --seed 3",
    );
    assert_eq!(run.ran.code, 3, "{:?}", run.ran);
    run.must_have_no_finding();
    for fault in ["kill", "stop", "term", "disk-full", "bit-flip"] {
        assert!(bitten(&run).contains(&fault), "{fault}: {}", run.ran.stdout);
    }
    let row = run.row("power-loss");
    assert_eq!(text(row, "verdict"), "not-measured", "{row}");
    assert!(text(row, "why").contains("plugpull doctor"), "{row}");
}

#[test(needs = "root user-namespaces fuse setpriv unshare mount mknod")]
fn with_the_device_it_does_everything() {
    // A private mount namespace, in which the device is open to everyone: the machine's own is not
    // touched, and what is mounted goes with the script.
    let script = r#"
        exec unshare -m --propagation private sh -ec '
            mount -t tmpfs -o mode=755 tmpfs /mnt
            mknod /mnt/fuse c 10 229
            chmod 0666 /mnt/fuse
            mount --bind /mnt/fuse /dev/fuse
            umount -l /mnt
            exec $AS_NOBODY "$PLUGPULL" "$@"
        ' sh "$@"
    "#;
    let run = as_nobody(script, "reference --rounds 2 --seed 3");
    run.must_have_no_finding();
    let bitten = bitten(&run);
    for row in list(&run.report, "faults") {
        let fault = text(row, "fault");
        let why = text(row, "why");
        assert!(!why.contains("FUSE"), "{row}");
        // What fires in recovery may come too late twice, and a power loss may twice find nothing to
        // lose (the last run here has one that does); what needs a cgroup may be unavailable.
        let may_miss = [
            "kill-recovery",
            "power-loss",
            "power-loss-subset",
            "power-loss-recovery",
            "eio-read",
            "power-loss-torn",
        ];
        if !why.contains("cgroup") && !may_miss.contains(&fault) {
            assert!(bitten.contains(&fault), "{row}");
        }
        if fault == "power-loss" || fault == "power-loss-subset" {
            // It happened, whatever there was to lose.
            assert!(
                bitten.contains(&fault) || why.contains(" 0 were lost "),
                "{row}"
            );
        }
    }
    let broken = as_nobody(
        script,
        "reference --set defect=no-fsync --clients 1 --rounds 1 --seed 1 \
         --fault power-loss@op=write,path=log-1,n=12",
    );
    assert_eq!(broken.ran.code, 1, "{:?}", broken.ran);
    assert_eq!(broken.kinds(), ["lost-ack"], "{}", broken.ran.stdout);
}
