//! What a call would do, action by action, for `--dry-run`.

use super::endpoint::Endpoint;
use super::options::{AttachOptions, Mode};
use super::rounds::ACKS;
use super::supervision::Supervision;

/// Every action, in order.
pub(super) fn actions(
    args: &AttachOptions,
    modes: &[(Mode, String)],
    endpoint: &Endpoint,
    supervision: &Supervision,
    work_dir: Option<&std::path::Path>,
) -> Vec<String> {
    let texts = supervision.describe();
    let prefix = &args.prefix;
    let mut all = Vec::new();
    if let Some(directory) = work_dir {
        all.push(format!(
            "make and lock the work directory {}",
            directory.display()
        ));
    }
    all.push(format!("to learn the main process: {}", texts.look));
    all.push(format!("to write and read: {}", endpoint.describe()));
    all.push(format!(
        "remove what is left of earlier calls: keys under {prefix:?}"
    ));
    let start = |texts: &super::supervision::ActionTexts| match &texts.start {
        Some(start) => format!(
            "wait {:.0?} for its supervisor to start it, then {start}; wait {:.0?} in all",
            supervision.wait, args.start_limit
        ),
        None => format!(
            "wait {:.0?} for its supervisor to start it",
            args.start_limit
        ),
    };
    for round in 1..=args.rounds {
        for (mode, name) in modes {
            let mut say = |text: String| all.push(format!("{name}, round {round}: {text}"));
            say(format!(
                "{} clients write keys under {prefix:?}, at most {} transactions a second, until {} \
                 to {} are acknowledged",
                args.clients,
                args.rate,
                ACKS.start(),
                ACKS.end()
            ));
            match mode {
                Mode::Corruption if args.in_place => {
                    say(format!("stop the service: {}", texts.hold));
                    say(format!("copy {} to the work directory", directory(args)));
                    say(format!("flip one bit of a file in {}", directory(args)));
                    say(format!(
                        "start it: {}",
                        texts.start.as_deref().unwrap_or("not known how")
                    ));
                    say("read everything back, and judge".into());
                    say(format!(
                        "stop it, put {} back from the copy, start it",
                        directory(args)
                    ));
                    continue;
                }
                Mode::Corruption => {
                    let command = args.start_cmd.as_deref().unwrap_or("not known how");
                    say(format!("copy {} to the work directory", directory(args)));
                    say(format!(
                        "start a second service on the copy: run `{command}`; kill it"
                    ));
                    say("flip one bit of a file in the copy".into());
                    say(format!(
                        "start it on the copy: run `{command}`; read back, judge, kill it"
                    ));
                    say("remove the copy".into());
                    continue;
                }
                Mode::DiskFull => {
                    say(format!(
                        "take all space of {}, at most {} MiB, in a file without a name, until a \
                         call fails; give it back",
                        args.fill
                            .as_ref()
                            .map_or_else(|| "nothing".into(), |mount| mount.display().to_string()),
                        args.fill_limit
                    ));
                }
                Mode::Reorg => say(format!(
                    "ask the driver to replace the last {} blocks",
                    args.reorg_depth.unwrap_or_default()
                )),
                _ => {}
            }
            match mode {
                Mode::Restart => say(texts.terminate.clone()),
                _ => say(texts.kill.clone()),
            }
            say(start(&texts));
            say("read everything back".into());
            if matches!(mode, Mode::Crash | Mode::Restart) {
                say(format!("once more without writes: {}", texts.kill));
                say(start(&texts));
                say("read everything back".into());
            }
            say("judge".into());
        }
    }
    all.push(match args.leave_keys {
        true => format!("leave the keys under {prefix:?}"),
        false => format!("remove the keys under {prefix:?}"),
    });
    if work_dir.is_some() {
        all.push("remove the work directory".into());
    }
    all
}

fn directory(args: &AttachOptions) -> String {
    args.data_dir.as_ref().map_or_else(
        || "nothing".into(),
        |directory| directory.display().to_string(),
    )
}
