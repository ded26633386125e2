//! Tests that need something of the machine: ignored where it is missing, failed where it was
//! promised.
//!
//! A test program with `harness = false` has one `main.rs` with its modules, and calls [`main`]:
//!
//! ```no_run
//! use plugpull_testing::test;
//!
//! #[test]
//! fn two_and_two() {
//!     assert_eq!(2 + 2, 4);
//! }
//!
//! #[test(needs = "fuse")]
//! fn a_disk_is_mounted() {}
//!
//! fn main() -> std::process::ExitCode {
//!     plugpull_testing::main(|capability| match capability {
//!         "fuse" => Err("there is no /dev/fuse".to_owned()),
//!         other => plugpull_testing::program(other),
//!     })
//! }
//! ```
//!
//! Every module must import `plugpull_testing::test`: the compiler drops its own `#[test]` from such
//! a program in silence.
//!
//! The environment variable `PLUGPULL_REQUIRE` lists capabilities that this machine was promised to
//! have, separated by commas. A test that needs one of them fails where it is missing. Without the
//! variable the test is ignored. It never passes without having run.
//!
//! What takes long is named: at its end such a program prints one line on standard error with the
//! tests that took more than ten seconds, or more than the variable `PLUGPULL_TEST_TIMES` says.

use std::collections::BTreeMap;
use std::process::{Command, ExitCode, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

pub use inventory;
use libtest_mimic::{Arguments, Failed, Trial};
pub use plugpull_testing_macros::test;

/// The capabilities that the machine was promised to have.
pub const REQUIRE: &str = "PLUGPULL_REQUIRE";

/// How many seconds a test may take before it is named among the slow ones; 10 without it.
pub const TIMES: &str = "PLUGPULL_TEST_TIMES";
/// The same, where nobody says.
const SLOW: Duration = Duration::from_secs(10);

/// A test, as the attribute registers it.
pub struct Test {
    /// The path of its module, with the name of the program in front.
    pub module: &'static str,
    /// The name of its function.
    pub name: &'static str,
    /// The capabilities that it needs, separated by spaces.
    pub needs: &'static str,
    /// Why it runs only when it is asked for; empty where it always runs.
    pub ignore: &'static str,
    /// What it does. It fails by panicking.
    pub run: fn(),
}

inventory::collect!(Test);

/// A test that is made at run time.
pub struct MadeTest {
    /// Its name.
    pub name: String,
    /// The capabilities that it needs, separated by spaces.
    pub needs: &'static str,
    /// What it does. It fails by panicking.
    pub run: Box<dyn FnOnce() + Send>,
}

/// Whether a program can be started here, as a capability of that name.
///
/// # Errors
/// It cannot; says why.
pub fn program(name: &str) -> Result<(), String> {
    let mut command = Command::new(name);
    command.arg("--version").stdin(Stdio::null());
    command.stdout(Stdio::null()).stderr(Stdio::null());
    match command.status() {
        Ok(_) => Ok(()),
        Err(error) => Err(format!("{name} cannot be started: {error}")),
    }
}

impl MadeTest {
    /// A test that fails by its result.
    pub fn of(name: &str, needs: &'static str, run: fn() -> Result<(), Failed>) -> Self {
        Self {
            name: name.to_owned(),
            needs,
            run: Box::new(move || {
                if let Err(failed) = run() {
                    panic!("{}", failed.message().unwrap_or("it failed"));
                }
            }),
        }
    }
}

/// What became of each capability: why it is missing, when it is.
struct Machine<'a> {
    probe: &'a dyn Fn(&str) -> Result<(), String>,
    probed: BTreeMap<String, Result<(), String>>,
    promised: Vec<String>,
}

/// Whether a test can run.
enum Ready {
    Yes,
    /// It is ignored.
    Missing,
    /// It fails: what is missing was promised.
    Promised(String),
}

impl Machine<'_> {
    fn missing(&mut self, capability: &str) -> Option<String> {
        let probe = self.probe;
        let probed = self.probed.entry(capability.to_owned()).or_insert_with(|| {
            let probed = probe(capability);
            if let Err(why) = &probed {
                eprintln!("no {capability} here, the tests that need it are ignored: {why}");
            }
            probed
        });
        probed.clone().err()
    }

    fn ready(&mut self, needs: &str) -> Ready {
        let mut ready = Ready::Yes;
        for capability in needs.split_whitespace() {
            let Some(why) = self.missing(capability) else {
                continue;
            };
            if self.promised.iter().any(|promised| promised == capability) {
                return Ready::Promised(format!("{REQUIRE} promises {capability}: {why}"));
            }
            ready = Ready::Missing;
        }
        ready
    }
}

/// Runs the tests of this program, with the arguments of a test program.
///
/// `probe` says whether the machine has a capability, or why not. It is asked once for each
/// capability that a test needs.
#[must_use]
pub fn main(probe: impl Fn(&str) -> Result<(), String>) -> ExitCode {
    main_with(probe, Vec::new())
}

/// As [`main`], with further tests that are made at run time.
#[must_use]
pub fn main_with(
    probe: impl Fn(&str) -> Result<(), String>,
    more: impl IntoIterator<Item = MadeTest>,
) -> ExitCode {
    // More than half of the time they wait: for a stall, a limit, a process that is to end.
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    run(probe, more, |asked| asked.unwrap_or(cores * 2))
}

/// As [`main_with`], one test after the other, whatever the arguments say.
#[must_use]
pub fn main_in_turn(
    probe: impl Fn(&str) -> Result<(), String>,
    more: impl IntoIterator<Item = MadeTest>,
) -> ExitCode {
    run(probe, more, |_| 1)
}

/// `threads` says how many there are, from how many the arguments ask for.
fn run(
    probe: impl Fn(&str) -> Result<(), String>,
    more: impl IntoIterator<Item = MadeTest>,
    threads: impl Fn(Option<usize>) -> usize,
) -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(threads(arguments.test_threads));
    let promised = std::env::var(REQUIRE).unwrap_or_default();
    let mut machine = Machine {
        probe: &probe,
        probed: BTreeMap::new(),
        promised: promised
            .split(',')
            .map(|word| word.trim().to_owned())
            .collect(),
    };
    let times = Times::default();
    let mut trials = Vec::new();
    for test in inventory::iter::<Test> {
        let ready = machine.ready(test.needs);
        let made = MadeTest {
            name: test.path(),
            needs: test.needs,
            run: Box::new(test.run),
        };
        trials.push(trial(made, ready, !test.ignore.is_empty(), &times));
    }
    for test in more {
        let ready = machine.ready(test.needs);
        trials.push(trial(test, ready, false, &times));
    }
    trials.sort_by(|a, b| a.name().cmp(b.name()));
    let conclusion = libtest_mimic::run(&arguments, trials);
    let limit = std::env::var(TIMES).ok().and_then(|text| text.parse().ok());
    if let Some(line) = times.slowest(limit.map_or(SLOW, Duration::from_secs)) {
        eprintln!("{line}");
    }
    conclusion.exit_code()
}

/// How long each test took that ran to its end.
#[derive(Clone, Default)]
struct Times(Arc<Mutex<Vec<(Duration, String)>>>);

impl Times {
    fn note(&self, name: String, took: Duration) {
        let mut times = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        times.push((took, name));
    }

    /// The tests that took longer, the slowest first; none where there is none.
    fn slowest(&self, limit: Duration) -> Option<String> {
        let mut times = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        times.retain(|(took, _)| *took > limit);
        times.sort_by(|one, other| other.cmp(one));
        let named: Vec<String> = times
            .iter()
            .map(|(took, name)| format!("{name} {:.1} s", took.as_secs_f64()))
            .collect();
        (!named.is_empty()).then(|| format!("slow tests: {}", named.join(", ")))
    }
}

impl Test {
    /// Its name behind its module, without the name of the program.
    fn path(&self) -> String {
        match self.module.split_once("::") {
            Some((_program, module)) => format!("{module}::{}", self.name),
            None => self.name.to_owned(),
        }
    }
}

/// The test as the runner takes it.
fn trial(test: MadeTest, ready: Ready, on_demand: bool, times: &Times) -> Trial {
    let ignored = on_demand || matches!(ready, Ready::Missing);
    let (name, times) = (test.name.clone(), times.clone());
    Trial::test(test.name, move || match ready {
        Ready::Yes => {
            let began = Instant::now();
            // A panic is caught by the runner.
            (test.run)();
            times.note(name, began.elapsed());
            Ok(())
        }
        Ready::Missing => Err(Failed::from(format!(
            "this machine lacks one of: {}",
            test.needs
        ))),
        Ready::Promised(why) => Err(Failed::from(why)),
    })
    .with_ignored_flag(ignored)
}
