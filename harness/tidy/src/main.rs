//! Prints the size of each crate of a workspace, and what `tidy` counts in it; with `--broken` as the
//! first argument the rules that each crate does not keep, as `exempt.txt` lists them.

use std::path::PathBuf;
use std::process::ExitCode;

use plugpull_tidy::source::{self, Crate, File};
use plugpull_tidy::{Rule, check, circles, names, small};

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1).peekable();
    let broken = arguments.next_if(|first| first == "--broken").is_some();
    let workspace = arguments.next();
    let workspace = workspace.map_or_else(|| PathBuf::from("."), PathBuf::from);
    match source::read(&workspace) {
        Ok(crates) if broken => show_broken(&crates),
        Ok(crates) => show_sizes(&crates),
        Err(error) => {
            eprintln!("plugpull-size: {}: {error}", workspace.display());
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}

fn show_broken(crates: &[Crate]) {
    for one in crates {
        let violations = check(one);
        let names: Vec<&str> = Rule::ALL
            .into_iter()
            .filter(|rule| violations.iter().any(|violation| violation.rule == *rule))
            .map(Rule::name)
            .collect();
        if !names.is_empty() {
            println!("{}: {}", one.directory, names.join(" "));
        }
    }
}

fn show_sizes(crates: &[Crate]) {
    println!(
        "| crate | files | lines without tests | types twice | circles | files under 60 lines |"
    );
    println!("| --- | --: | --: | --: | --: | --: |");
    let mut total = [0; 5];
    for one in crates {
        let source = |file: &&File| file.is_rust() && file.in_src && !file.is_test();
        let files = one.files.iter().filter(source);
        let row = [
            files.clone().count(),
            files.map(|file| file.lines_without_tests().count()).sum(),
            names::twice(&one.files).len(),
            circles::circles(&one.files).len(),
            small(&one.files).len(),
        ];
        if row[0] == 0 {
            continue;
        }
        for (sum, value) in total.iter_mut().zip(row) {
            *sum += value;
        }
        let row = row.map(|number| number.to_string()).join(" | ");
        println!("| {} | {row} |", one.directory);
    }
    let total = total.map(|number| number.to_string()).join(" | ");
    println!("| all | {total} |");
}
