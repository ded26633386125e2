//! What a call would do, action by action, for `--dry-run`.

use super::endpoint::Endpoint;
use super::options::{AttachOptions, Mode};
use super::rounds::ACKS;
use super::supervision::{ActionTexts, Supervision};

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
    all.push(
        "check that the process, the data directory and what clients connect to belong together; end \
         with exit code 2 where they do not"
            .into(),
    );
    all.push(format!(
        "remove what is left of earlier calls: keys under {prefix:?}"
    ));
    for round in 1..=args.rounds {
        for (mode, name) in modes {
            let actions = round_actions(args, *mode, supervision, &texts);
            let named = |text| format!("{name}, round {round}: {text}");
            all.extend(actions.into_iter().map(named));
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

/// The actions of one round.
fn round_actions(
    args: &AttachOptions,
    mode: Mode,
    supervision: &Supervision,
    texts: &ActionTexts,
) -> Vec<String> {
    let mut all = vec![format!(
        "{} clients write keys under {:?}, at most {} transactions a second, until {} to {} are \
         acknowledged",
        args.clients,
        args.prefix,
        args.rate,
        ACKS.start(),
        ACKS.end()
    )];
    match mode {
        Mode::Corruption if args.in_place => all.extend(damage_in_place(args, texts)),
        Mode::Corruption => all.extend(damage_of_a_copy(args)),
        Mode::DiskFull => {
            let mount = args.fill.as_ref();
            all.push(format!(
                "take all space of {}, at most {} MiB, in a file without a name, until a call fails; \
                 give it back",
                mount.map_or_else(|| "nothing".into(), |mount| mount.display().to_string()),
                args.fill_limit
            ));
        }
        Mode::Action => all.push(format!("have the driver do {}", args.action_named())),
        Mode::Crash | Mode::Restart | Mode::All => {}
    }
    if mode == Mode::Corruption {
        return all;
    }
    let start = match &texts.start {
        Some(start) => format!(
            "wait {:.0?} for its supervisor to start it, then {start}; wait {:.0?} in all",
            supervision.wait, args.start_limit
        ),
        None => format!(
            "wait {:.0?} for its supervisor to start it",
            args.start_limit
        ),
    };
    all.push(match mode {
        Mode::Restart => texts.terminate.clone(),
        _ => texts.kill.clone(),
    });
    all.push(start.clone());
    all.push("read everything back".into());
    if matches!(mode, Mode::Crash | Mode::Restart) {
        all.push(format!("once more without writes: {}", texts.kill));
        all.push(start);
        all.push("read everything back".into());
    }
    all.push("judge".into());
    all
}

fn damage_in_place(args: &AttachOptions, texts: &ActionTexts) -> [String; 6] {
    let data = directory(args);
    [
        format!("stop the service: {}", texts.hold),
        format!("copy {data} to the work directory"),
        format!("flip one bit of a file in {data}"),
        format!(
            "start it: {}",
            texts.start.as_deref().unwrap_or("not known how")
        ),
        "read everything back, and judge".into(),
        format!("stop it, put {data} back from the copy, start it"),
    ]
}

fn damage_of_a_copy(args: &AttachOptions) -> [String; 5] {
    let command = args.start_cmd.as_deref().unwrap_or("not known how");
    [
        format!("copy {} to the work directory", directory(args)),
        format!("start a second service on the copy: run `{command}`; kill it"),
        "flip one bit of a file in the copy".into(),
        format!("start it on the copy: run `{command}`; read back, judge, kill it"),
        "remove the copy".into(),
    ]
}

fn directory(args: &AttachOptions) -> String {
    args.data_dir.as_ref().map_or_else(
        || "nothing".into(),
        |directory| directory.display().to_string(),
    )
}
