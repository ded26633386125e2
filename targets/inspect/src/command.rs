//! The command `inspect` of a driver.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::json;

use crate::table::render;
use crate::{Inspector, Request};

/// Damage was found: the exit code.
const DAMAGED: u8 = 1;
/// Wrong use: the exit code.
const WRONG_USE: u8 = 2;

/// `PATH [--json] [--after-crash] [--expect WORD]... [--truncate OUT]`, as `plugpull inspect` passes
/// it on: looks, prints what was found, and writes the repaired copy where one is wanted. Exit codes:
/// 0 sound, 1 damage found, 2 wrong use.
pub fn main(inspector: &Inspector, args: &[String]) -> ExitCode {
    match run(inspector, args) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(DAMAGED),
        Err(why) => {
            // Nobody may be listening, and eprintln! would panic then.
            writeln!(io::stderr(), "plugpull: {why}").unwrap_or_default();
            ExitCode::from(WRONG_USE)
        }
    }
}

/// The arguments, read.
#[derive(Debug, Default)]
struct Arguments {
    request: Request,
    json: bool,
    truncate: Option<PathBuf>,
}

fn arguments(args: &[String]) -> Result<Arguments, String> {
    let mut read = Arguments::default();
    let mut path = None;
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or_else(|| format!("{arg} needs a value"));
        match arg.as_str() {
            "--json" => read.json = true,
            "--after-crash" => read.request.after_crash = true,
            "--expect" => read.request.expect.push(value()?.clone()),
            "--truncate" => read.truncate = Some(value()?.into()),
            "--" => path = Some(value()?.into()),
            other if path.is_none() && !other.starts_with("--") => path = Some(other.into()),
            other => return Err(format!("inspect does not take {other:?}")),
        }
    }
    read.request.path = path.ok_or("inspect needs a path")?;
    Ok(read)
}

/// Whether what was looked at is sound.
fn run(inspector: &Inspector, args: &[String]) -> Result<bool, String> {
    let Arguments {
        request,
        json,
        truncate,
    } = arguments(args)?;
    if !request.expect.is_empty() && inspector.expect.is_none() {
        return Err(format!("{} takes no --expect", inspector.name));
    }
    let repair = match (&truncate, inspector.repair) {
        (None, _) => None,
        (Some(to), Some(repair)) => Some((repair, to)),
        (Some(_), None) => {
            return Err(format!(
                "{}'s files cannot be repaired by cutting them, so it takes no --truncate",
                inspector.name
            ));
        }
    };
    let mut inspection = (inspector.inspect)(&request).map_err(|error| error.to_string())?;
    if let Some(second_opinion) = inspector.second_opinion {
        second_opinion(&request, &mut inspection);
    }
    let repaired = repair
        .map(|(repair, to)| repair(&request, to).map_err(|error| error.to_string()))
        .transpose()?;
    let text = if json {
        let mut value = serde_json::to_value(&inspection).map_err(|error| error.to_string())?;
        if let Some(repaired) = &repaired {
            value["repaired"] = json!(repaired);
        }
        serde_json::to_string_pretty(&value).map_err(|error| error.to_string())? + "\n"
    } else {
        render(&inspection, repaired.as_ref())
    };
    // Nobody may be listening any more; the exit code says it as well.
    io::stdout().write_all(text.as_bytes()).unwrap_or_default();
    Ok(inspection.sound)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(args: &[&str]) -> Result<Arguments, String> {
        let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        arguments(&args)
    }

    #[test]
    fn every_option_is_read_in_any_order() {
        let read_all = read(&[
            "--json",
            "--expect",
            "a",
            "file",
            "--after-crash",
            "--expect",
            "--b",
            "--truncate",
            "out",
        ])
        .expect("arguments");
        assert!(read_all.json && read_all.request.after_crash);
        assert_eq!(read_all.request.path, PathBuf::from("file"));
        assert_eq!(read_all.request.expect, ["a", "--b"]);
        assert_eq!(read_all.truncate, Some("out".into()));
        let dashes = read(&["--", "--json"]).expect("a path");
        assert!(!dashes.json);
        assert_eq!(dashes.request.path, PathBuf::from("--json"));
    }

    #[test]
    fn what_is_not_taken_is_named() {
        for (args, why) in [
            (&["file", "other"][..], "\"other\""),
            (&["--jsn", "file"], "\"--jsn\""),
            (&["file", "--expect"], "--expect needs a value"),
            (&[], "needs a path"),
        ] {
            let error = read(args).expect_err(why);
            assert!(error.contains(why), "{error}");
        }
    }
}
