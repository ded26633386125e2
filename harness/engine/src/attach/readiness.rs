//! Waiting for the service to come back, and what is noticed meanwhile: a supervisor that gives up,
//! crash loops, the kernel's out-of-memory killer.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use plugpull_driver::Client;

use super::endpoint::{Connection, Endpoint};
use super::incarnation::belongs;
use super::prefix::Prefixed;
use super::process;
use super::supervision::{Seen, Supervision};
use crate::trial::PROBE;

/// So many starts without an answer are a crash loop.
const CRASH_LOOP: u64 = 5;
/// A service that runs and has not answered within the limit is waited for so many times longer: what is
/// slow by nature can then be distinguished from what hangs.
const PATIENCE: u32 = 2;
/// How many times longer than it took to come back in an earlier round a service must have been waited
/// for to count as hung without more.
const HUNG_FACTOR: u32 = 10;
/// How long one question may take while the service is waited for, before it is asked again.
const QUESTION: Duration = Duration::from_secs(2);

/// What is waited for, and with whose help.
pub(super) struct ReadinessProbe<'s, 'a> {
    pub(super) endpoint: &'a Endpoint,
    pub(super) supervision: &'a Supervision,
    /// The data directory, where it is on this machine.
    pub(super) data: Option<&'s Path>,
    pub(super) stop: &'a AtomicBool,
    pub(super) limit: Duration,
    /// How long it took to come back in the quickest round so far.
    pub(super) quickest: Option<Duration>,
}

/// Another life of the service answers.
pub(super) struct ServiceReady<'endpoint> {
    /// The client's way; a driver ends with it.
    _connection: Connection<'endpoint>,
    pub(super) client: Prefixed,
    /// From the start of its first new process to its first correct answer.
    pub(super) recovery: Duration,
    /// What was noticed on the way, in words.
    pub(super) notes: Vec<String>,
}

/// The service does not answer.
#[derive(Debug)]
pub(super) enum NotReady {
    /// It ended, again and again; with what is known of it.
    Refused(String),
    /// It runs and does not answer; what it had used of CPU and I/O.
    Hung(Duration, String),
    /// It answers, but only when the limit was over for long: as slow as the service or the machine is.
    Slow(String),
    /// Nobody starts it, and that is not its fault.
    NotStarted(String),
    /// The user wants an end.
    Interrupted,
    /// plugpull could not look.
    Failed(String),
}

/// The end of a service's process.
pub(super) struct Death {
    /// What was seen of the service before.
    pub(super) before: Seen,
    /// When it was known to be dead.
    pub(super) since: Instant,
    /// It was stopped in a way that only plugpull will start it after.
    pub(super) stopped: bool,
}

impl<'a> ReadinessProbe<'_, 'a> {
    /// Waits for a new process to answer, and until its supervision shows that it is another one.
    pub(super) fn after(&self, death: Death) -> Result<ServiceReady<'a>, NotReady> {
        let since = death.since;
        let mut deadline = since + self.limit;
        let wait = match death.stopped {
            true => Duration::ZERO,
            false => self.supervision.wait,
        };
        let mut watch = Watch {
            old: death.before.identity.clone(),
            since,
            wait,
            before: death.before,
            lives: BTreeMap::new(),
            last: Seen::default(),
            oom: false,
            by_us: false,
            patient: false,
        };
        let mut answered = None;
        loop {
            if answered.is_none() && watch.alive(self.supervision.local()) {
                let limit = deadline.min(Instant::now() + QUESTION);
                let asked = ask(self.endpoint, limit).ok();
                answered = asked.map(|up| (up, Instant::now()));
            }
            // It may have been up before it was looked at.
            watch
                .look(self.supervision)
                .map_err(|error| NotReady::Failed(format!("{error:#}")))?;
            let mut doubt = String::new();
            if let Some(((connection, client), at)) = answered.take() {
                match self.is_another(&watch) {
                    Ok(()) if watch.patient => {
                        return Err(NotReady::Slow(too_slow(
                            self.limit,
                            at.saturating_duration_since(since),
                        )));
                    }
                    Ok(()) => {
                        let began = watch.first_start().unwrap_or(since);
                        return Ok(ServiceReady {
                            _connection: connection,
                            client,
                            recovery: at.saturating_duration_since(began),
                            notes: watch.notes(at.saturating_duration_since(since)),
                        });
                    }
                    Err(why) => doubt = why,
                }
                answered = Some(((connection, client), at));
            }
            if self.stop.load(Ordering::Relaxed) {
                return Err(NotReady::Interrupted);
            }
            if doubt.is_empty()
                && let Some(down) = self.given_up(&mut watch)?
            {
                return Err(down);
            }
            if Instant::now() >= deadline {
                if self.waits_longer(&mut watch) {
                    deadline += self.limit * PATIENCE;
                    continue;
                }
                return Err(match doubt.is_empty() {
                    true => watch.too_late(self.supervision),
                    false => {
                        NotReady::NotStarted(format!("clients have answers again, but {doubt}"))
                    }
                });
            }
            std::thread::sleep(self.supervision.pace());
        }
    }

    /// Whether a service that reached the limit may still be slow and no more: that is not so where it came
    /// back in less than a tenth of that time before.
    fn waits_longer(&self, watch: &mut Watch) -> bool {
        let longer = watch.another() && !watch.patient && patience(self.limit, self.quickest) > 0;
        watch.patient |= longer;
        longer
    }

    /// Whether what answers is another life of the service.
    fn is_another(&self, watch: &Watch) -> Result<(), String> {
        let source = self.supervision.describe_source();
        let last = &watch.last;
        if last.identity.is_none() {
            return Err(format!("{source} shows no service that runs"));
        }
        if last.identity == watch.old {
            return Err(format!(
                "{source} shows the same start of the service as before"
            ));
        }
        match last.pid {
            Some(pid) if self.supervision.local() => belongs(pid, self.endpoint, self.data)
                .map(drop)
                .map_err(|why| format!("{source}: {why}")),
            _ => Ok(()),
        }
    }

    /// Starts the service where nobody else will. Says when there is nothing left to wait for.
    fn given_up(&self, watch: &mut Watch) -> Result<Option<NotReady>, NotReady> {
        let starts = watch.starts();
        if watch.last.at_rest && starts > 0 {
            return Ok(Some(NotReady::Refused(format!(
                "its supervisor has given up ({}) after {starts} starts",
                watch.result()
            ))));
        }
        if starts >= CRASH_LOOP {
            return Ok(Some(NotReady::Refused(format!(
                "a crash loop: started {starts} times within {:.1} s, and never answered{}",
                watch.since.elapsed().as_secs_f64(),
                watch.describe_oom()
            ))));
        }
        let waited = watch.since.elapsed() >= watch.wait;
        if watch.by_us || starts > 0 || !(waited || watch.last.at_rest) {
            return Ok(None);
        }
        if !self.supervision.can_start() {
            return match watch.last.at_rest {
                true => Ok(Some(NotReady::NotStarted(watch.result()))),
                false => Ok(None),
            };
        }
        watch.by_us = true;
        match self.supervision.start() {
            Ok(()) => Ok(None),
            Err(error) => Err(NotReady::Refused(format!(
                "it cannot be started: {error:#}"
            ))),
        }
    }
}

/// How many times the limit a service that reached it is waited for besides, where it came back in
/// `quickest` before.
pub(super) fn patience(limit: Duration, quickest: Option<Duration>) -> u32 {
    match quickest {
        Some(took) if took * HUNG_FACTOR <= limit => 0,
        _ => PATIENCE,
    }
}

/// What there is to say of a service that answered behind the limit.
pub(super) fn too_slow(limit: Duration, took: Duration) -> String {
    format!(
        "it answered after {took:.1?}, when the limit of {limit:.1?} was over: the service or the machine is \
         too slow for this limit; --start-limit raises it"
    )
}

/// One attempt to get an answer.
pub(super) fn ask(
    endpoint: &Endpoint,
    deadline: Instant,
) -> Result<(Connection<'_>, Prefixed), String> {
    let connection = endpoint.open(deadline)?;
    let mut client = connection
        .connect(deadline)
        .map_err(|error| error.to_string())?;
    client
        .get(PROBE, deadline)
        .map_err(|error| error.to_string())?;
    Ok((connection, client))
}

struct Watch {
    /// The life that ended.
    old: Option<String>,
    since: Instant,
    /// How long somebody else has to start it.
    wait: Duration,
    before: Seen,
    /// When each new life began.
    lives: BTreeMap<String, Instant>,
    last: Seen,
    oom: bool,
    /// plugpull started it.
    by_us: bool,
    /// It is waited for although the limit was reached.
    patient: bool,
}

impl Watch {
    fn look(&mut self, supervision: &Supervision) -> anyhow::Result<()> {
        self.last = supervision.look()?;
        self.oom |= self.last.result == "oom-kill";
        let Some(identity) = self.last.identity.clone().filter(|_| self.another()) else {
            return Ok(());
        };
        let known = self.last.pid.filter(|_| supervision.local());
        self.lives.entry(identity).or_insert_with(|| {
            let started = known.and_then(process::started);
            started.unwrap_or_else(Instant::now)
        });
        Ok(())
    }

    /// Whether another life was there when it was looked at last.
    fn another(&self) -> bool {
        self.last.identity.is_some() && self.last.identity != self.old
    }

    /// Whether it is worth asking: what answers may not be the old process. On this machine that
    /// is dead for certain.
    fn alive(&self, local: bool) -> bool {
        local || self.another()
    }

    fn starts(&self) -> u64 {
        let counted = self.last.restarts.saturating_sub(self.before.restarts);
        counted.max(self.lives.len() as u64)
    }

    fn first_start(&self) -> Option<Instant> {
        // A hundredth of a second is what the kernel tells: never before the death.
        self.lives.values().min().map(|at| (*at).max(self.since))
    }

    fn result(&self) -> String {
        match self.last.result.as_str() {
            "" => "no result is known".into(),
            result => format!("its result is {result}"),
        }
    }

    fn describe_oom(&self) -> &'static str {
        match self.oom {
            true => "; the kernel killed it for want of memory",
            false => "",
        }
    }

    fn notes(&self, down: Duration) -> Vec<String> {
        let mut notes = vec![format!("back after {:.0} ms", down.as_secs_f64() * 1e3)];
        if let Some(pid) = self.last.pid {
            notes.push(format!("as process {pid}"));
        }
        if self.by_us {
            notes.push("started by plugpull".into());
        }
        let starts = self.starts();
        if starts > 1 {
            notes.push(format!("it took {starts} starts"));
        }
        if self.oom {
            notes.push("the kernel killed it for want of memory".into());
        }
        if self.last.active_since_us > self.before.active_since_us {
            let us = self.last.active_since_us - self.before.active_since_us;
            notes.push(format!(
                "systemd calls it active again, {:.1} s after the time before",
                us as f64 / 1e6
            ));
        }
        notes
    }

    fn too_late(&self, supervision: &Supervision) -> NotReady {
        let waited = self.since.elapsed();
        if self.last.identity.is_some() && self.last.identity == self.old && !supervision.local() {
            return NotReady::NotStarted(format!(
                "{waited:.1?} after the connection broke {} shows the same start of the service as before",
                supervision.describe_source()
            ));
        }
        let runs = self.another();
        match (runs, self.starts()) {
            (true, _) => {
                let pid = self.last.pid.filter(|_| supervision.local());
                let used = pid.map(|pid| plugpull_sandbox::used_by([pid]).to_string());
                NotReady::Hung(waited, used.unwrap_or_default())
            }
            (false, 0) if self.by_us => NotReady::Refused(format!(
                "{waited:.1?} after it was started it neither runs nor answers"
            )),
            (false, 0) => NotReady::NotStarted(format!(
                "nobody started it again within {waited:.1?}, and there is no --start-cmd"
            )),
            (false, starts) => NotReady::Refused(format!(
                "it was started {starts} times within {waited:.1?} and does not run{}",
                self.describe_oom()
            )),
        }
    }
}
