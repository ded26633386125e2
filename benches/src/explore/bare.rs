//! The target by itself: started on a plain directory in memory, asked, checked and killed, with no
//! plugpull around it.

use std::collections::BTreeMap;
use std::io;
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context;
use plugpull_driver::{Host, Launch, Part, Pipes, Process, Target};
use plugpull_sandbox::pin;
use plugpull_targets::catalog;
use plugpull_workloads::{Generator, WorkloadConfig};
use tempfile::TempDir;

/// How long anything may take.
const LIMIT: Duration = Duration::from_secs(20);
/// Transactions in the store.
const TXNS: usize = 100;

/// A store with some transactions in it.
pub(crate) struct Bare {
    host: PlainHost,
    target: Box<dyn Target>,
}

impl Bare {
    /// Fills a store.
    pub(crate) fn new(target: &str, settings: &[(&str, &str)]) -> anyhow::Result<Self> {
        let settings = settings
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_string()));
        let target = catalog::open(target, &settings.collect::<BTreeMap<_, _>>())?;
        let data = tempfile::tempdir_in("/dev/shm").context("a directory in memory")?;
        let host = PlainHost { data };
        let config = WorkloadConfig {
            clients: 1,
            value_len: 1..=200,
            ..WorkloadConfig::default()
        };
        let mut generator = Generator::new(&config, 1, 0)?;
        let deadline = Instant::now() + LIMIT;
        let mut running = target.start(&host, deadline)?;
        let mut client = running.connect(deadline)?;
        for _ in 0..TXNS {
            client.apply(&generator.transaction(), deadline)?;
        }
        stop(running.process());
        drop(running);
        Ok(Self { host, target })
    }

    /// Seconds that one start, reading everything, the check and the end take, of so many. On one
    /// CPU, as a trial.
    pub(crate) fn start_check_stop(&self, times: u64) -> anyhow::Result<f64> {
        let cpu = pin::all().into_iter().next();
        std::thread::scope(|scope| {
            let work = || -> anyhow::Result<f64> {
                if let Some(cpu) = cpu {
                    pin::this_thread(cpu)?;
                }
                let began = Instant::now();
                for _ in 0..times {
                    self.once()?;
                }
                Ok(began.elapsed().as_secs_f64() / times as f64)
            };
            let thread = scope.spawn(work);
            thread
                .join()
                .map_err(|_| anyhow::anyhow!("the timing thread panicked"))?
        })
    }

    fn once(&self) -> anyhow::Result<()> {
        let deadline = Instant::now() + LIMIT;
        let mut running = self.target.start(&self.host, deadline)?;
        let mut client = running.connect(deadline)?;
        client.get("no-such-key", deadline)?;
        let all = client.read_all(deadline)?;
        anyhow::ensure!(!all.is_empty(), "the store is empty");
        let wrong = client.check(deadline)?;
        anyhow::ensure!(wrong.is_none(), "the store is damaged: {wrong:?}");
        stop(running.process());
        Ok(())
    }
}

/// Kills it: dropping the process does.
fn stop(process: Option<&mut dyn Process>) {
    if let Some(process) = process {
        drop(process.wait(Instant::now()));
    }
}

struct PlainHost {
    data: TempDir,
}

impl Host for PlainHost {
    fn spawn(&self, _launch: &Launch) -> io::Result<Box<dyn Process>> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn spawn_piped(&self, launch: &Launch, _part: Part) -> io::Result<(Box<dyn Process>, Pipes)> {
        let (its_stdin, stdin) = io::pipe()?;
        let (stdout, its_stdout) = io::pipe()?;
        let child = Command::new(&launch.program)
            .args(&launch.args)
            .envs(launch.env.iter().cloned())
            .current_dir(self.data.path())
            .stdin(its_stdin)
            .stdout(its_stdout)
            .stderr(Stdio::null())
            .spawn()?;
        Ok((Box::new(Plain { child }), Pipes { stdin, stdout }))
    }

    fn connect(&self, _port: u16) -> io::Result<TcpStream> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn data_dir(&self) -> &Path {
        self.data.path()
    }
}

struct Plain {
    child: Child,
}

impl Process for Plain {
    fn stdout_line(&mut self, _deadline: Instant) -> io::Result<Option<String>> {
        Ok(None)
    }

    fn wait(&mut self, _deadline: Instant) -> io::Result<Option<i32>> {
        self.child.kill()?;
        Ok(self.child.wait()?.code())
    }

    fn output(&self) -> String {
        String::new()
    }
}
