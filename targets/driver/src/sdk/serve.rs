//! The driver's main loop: requests from standard input, answers to standard output.
//!
//! A driver with one client answers it in the main thread. With the second client each gets a
//! thread of its own, so that one that waits (for a lock, say) keeps nobody else waiting.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc::{self, Sender};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use plugpull_workloads::{EventLog, Promise};
use serde::Serialize;
use serde_json::Value;

use super::{Driver, Place, Store, System, fork};
use crate::protocol::{
    Call, DATA_VARIABLE, Event, EventKind, LaunchAnswer, MAX_LINE, OLDEST, OpaqueCheck, PROTOCOL,
    Request, Verdict, txn,
};
use crate::{
    Action, BUILD, Client, ClientError, Description, MutantDescription, SettingDescription,
    UsageError,
};

/// How long a service may take to open its store.
const LISTEN_LIMIT: Duration = Duration::from_secs(3600);

/// Wrong use: the exit code.
const WRONG_USE: u8 = 2;

/// A driver's whole program: `[NAME=VALUE]...` speaks the protocol on standard input and standard
/// output; `--listen PORT [NAME=VALUE]...` opens the store, says `ready PORT` and takes
/// connections on 127.0.0.1, as a service; `inspect ARGS...` looks at files, where the system can.
pub fn main(system: &System) -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let (Some("inspect"), Some(inspect)) = (args.first().map(String::as_str), system.inspect) {
        return inspect(&args[1..]);
    }
    let data = std::env::var_os(DATA_VARIABLE).map_or_else(|| ".".into(), Into::into);
    let place = Place { data };
    let (port, settings) = match args.as_slice() {
        [flag, port, settings @ ..] if flag == "--listen" => match port.parse() {
            Ok(port) => (Some(port), settings),
            Err(_) => return wrong_use(system, &format!("{port:?} is no port: 0 to 65535")),
        },
        settings => (None, settings),
    };
    let values = match values(settings) {
        Ok(values) => values,
        Err(why) => return wrong_use(system, &why),
    };
    match port {
        Some(port) => {
            note(&listen(system, &values, &place, port));
            ExitCode::FAILURE
        }
        None => alone(system, &values, &place),
    }
}

/// A driver with its settings, or what is wrong with them.
type Opened = Result<Box<dyn Driver>, UsageError>;

/// Serves plugpull alone, over standard input and standard output; in a child for each life where
/// plugpull has started this process to be forked.
fn alone(system: &System, values: &BTreeMap<String, String>, place: &Place) -> ExitCode {
    let driver = (system.open)(values);
    if fork::is_parent() {
        // What is computed once is computed now.
        let reseed = || driver.as_ref().map(|driver| driver.reseed());
        drop(driver.as_ref().map(|driver| driver.describe()));
        match fork::children(&place.data, || reseed().unwrap_or_default()) {
            // A child, which goes on and ends as a started driver does.
            Ok(true) => {}
            Ok(false) => return ExitCode::SUCCESS,
            Err(error) => {
                note(&error.to_string());
                return ExitCode::FAILURE;
            }
        }
    }
    let (input, output) = (io::stdin(), io::stdout());
    converse(system, values, driver, place, None, input, output)
}

fn wrong_use(system: &System, why: &str) -> ExitCode {
    note(&format!("{}: {why}", system.name));
    ExitCode::from(WRONG_USE)
}

/// Serves a store to everybody who connects. Returns why it cannot, or no longer.
fn listen(system: &System, values: &BTreeMap<String, String>, place: &Place, port: u16) -> String {
    let store: Arc<dyn Store> = match (system.open)(values) {
        Ok(driver) => match driver.open(place, Instant::now() + LISTEN_LIMIT) {
            Ok(store) => store.into(),
            Err(why) => return why,
        },
        Err(error) => return error.to_string(),
    };
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).and_then(|listener| {
        let port = listener.local_addr()?.port();
        writeln!(io::stdout(), "ready {port}")?;
        Ok(listener)
    });
    let listener = match listener {
        Ok(listener) => listener,
        Err(error) => return format!("cannot serve: {error}"),
    };
    thread::scope(|scope| {
        loop {
            let stream = match listener.accept() {
                Ok((stream, _)) => stream,
                // The client was gone before it was taken: nobody's loss.
                Err(error) if error.kind() == ErrorKind::ConnectionAborted => continue,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return format!("cannot serve: {error}"),
            };
            let store = Arc::clone(&store);
            scope.spawn(move || {
                // An answer is one small packet that somebody waits for.
                let output = stream.set_nodelay(true).and_then(|()| stream.try_clone());
                match output {
                    Ok(output) => {
                        let driver = (system.open)(values);
                        converse(system, values, driver, place, Some(store), stream, output)
                    }
                    Err(_) => ExitCode::FAILURE,
                }
            });
        }
    })
}

/// Writes a line to standard error. That nobody may be listening must not end a driver, so this is
/// not `eprintln!`, which panics then.
pub fn note(text: &str) {
    writeln!(io::stderr(), "{text}").unwrap_or_default();
}

fn values(args: &[String]) -> Result<BTreeMap<String, String>, String> {
    let mut values = BTreeMap::new();
    for arg in args {
        let (name, value) = arg
            .split_once('=')
            .ok_or_else(|| format!("{arg:?} is not NAME=VALUE"))?;
        values.insert(name.to_owned(), value.to_owned());
    }
    Ok(values)
}

/// Speaks the protocol over any two streams, until the first one ends. The exit code is a failure
/// where the store could not be opened, or an answer could not be written.
pub fn serve(
    system: &System,
    values: &BTreeMap<String, String>,
    place: &Place,
    input: impl Read,
    output: impl Write + Send + 'static,
) -> ExitCode {
    let driver = (system.open)(values);
    converse(system, values, driver, place, None, input, output)
}

fn converse(
    system: &System,
    values: &BTreeMap<String, String>,
    driver: Opened,
    place: &Place,
    store: Option<Arc<dyn Store>>,
    input: impl Read,
    output: impl Write + Send + 'static,
) -> ExitCode {
    let mut serving = Serving {
        system,
        values,
        driver,
        place,
        output: Output(Arc::new(Mutex::new(Box::new(output)))),
        store,
        clients: Clients::default(),
    };
    let mut input = BufReader::new(input);
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = (&mut input).take(MAX_LINE).read_until(b'\n', &mut line);
        match read {
            Ok(1..) if line.last() == Some(&b'\n') => {}
            // A cut line is plugpull's end.
            _ => return ExitCode::SUCCESS,
        }
        match serving.line(&line) {
            Ok(true) => {}
            Ok(false) => return ExitCode::FAILURE,
            // Nobody reads any more.
            Err(_) => return ExitCode::SUCCESS,
        }
    }
}

/// Standard output: a line at a time, whoever writes.
#[derive(Clone)]
struct Output(Arc<Mutex<Box<dyn Write + Send>>>);

impl Output {
    fn line(&self, value: &impl Serialize) -> io::Result<()> {
        let mut bytes = serde_json::to_vec(value)?;
        bytes.push(b'\n');
        let mut output = self.0.lock();
        output.write_all(&bytes)?;
        output.flush()
    }

    fn answer(&self, id: Option<u64>, result: Result<Returned, ClientError>) -> io::Result<()> {
        let (answer, text, returned) = match result {
            Ok(returned) => (Verdict::Ok, None, returned),
            Err(ClientError::Fail(text)) => (Verdict::Fail, Some(text), Returned::Nothing {}),
            Err(ClientError::Info(text)) => (Verdict::Info, Some(text), Returned::Nothing {}),
            Err(ClientError::Gone(text)) => (Verdict::Gone, Some(text), Returned::Nothing {}),
        };
        self.line(&AnswerLine {
            id,
            answer,
            text,
            returned,
        })
    }
}

/// An answer as it is written.
#[derive(Serialize)]
struct AnswerLine {
    id: Option<u64>,
    answer: Verdict,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    #[serde(flatten)]
    returned: Returned,
}

/// What a call returns: the fields of its answer.
#[derive(Serialize)]
#[serde(untagged)]
enum Returned {
    Nothing {},
    Value { value: Option<String> },
    Values { values: BTreeMap<String, String> },
    Complaint { complaint: Option<String> },
    Log { log: Option<EventLog> },
    Opaque(OpaqueCheck),
    Launch(LaunchAnswer),
    Description(Box<Description>),
    Hello(Box<Hello>),
}

/// The answer to hello.
#[derive(Serialize)]
struct Hello {
    protocol: u64,
    name: &'static str,
    version: String,
    build: &'static str,
    shapes: Vec<String>,
    capabilities: Vec<String>,
    actions: Vec<Action>,
    fork: Vec<String>,
    check_parts: Vec<String>,
    /// Of version 1 alone: later ones have it in their description.
    #[serde(skip_serializing_if = "Option::is_none")]
    promises: Option<Vec<Promise>>,
}

/// Where an opaque workload says what happens.
pub struct Events {
    id: u64,
    output: Output,
}

impl Events {
    pub(super) fn send(&self, event: EventKind, item: Option<&str>) {
        let line = Event {
            id: self.id,
            event,
            item: item.map(str::to_owned),
        };
        // Where nobody reads, standard input ends too, and with it the driver.
        self.output.line(&line).unwrap_or_default();
    }
}

/// A request of a client, to be answered.
struct Job {
    id: u64,
    call: Call<'static>,
    deadline: Instant,
}

/// The clients, by number.
#[derive(Default)]
enum Clients {
    /// None yet.
    #[default]
    None,
    /// One, which the main thread answers.
    One(u32, Serve),
    /// Several, each with a thread.
    Several(HashMap<u32, Sender<Job>>),
}

/// Answers one client.
struct Serve {
    number: u32,
    store: Arc<dyn Store>,
    client: Option<Box<dyn Client>>,
    output: Output,
}

struct Serving<'a> {
    system: &'a System,
    values: &'a BTreeMap<String, String>,
    driver: Opened,
    place: &'a Place,
    output: Output,
    store: Option<Arc<dyn Store>>,
    clients: Clients,
}

impl Serving<'_> {
    /// Answers a line; false when the driver shall end because its store did not open.
    fn line(&mut self, line: &[u8]) -> io::Result<bool> {
        let request = match serde_json::from_slice::<Request<'static>>(line) {
            Ok(request) => request,
            Err(error) => {
                let value = serde_json::from_slice::<Value>(line).unwrap_or_default();
                let id = value.get("id").and_then(Value::as_u64);
                let fail = ClientError::Fail(format!("not a request: {error}"));
                return self.output.answer(id, Err(fail)).map(|()| true);
            }
        };
        let deadline = Instant::now() + Duration::from_millis(request.timeout_ms);
        let id = request.id;
        let answer = match request.call {
            Call::Describe { .. } => self.describe(),
            Call::Launch => self.launch(deadline),
            Call::Hello { protocol } => match self.hello(protocol, deadline) {
                (Err(ClientError::Fail(why)), true) => {
                    note(&why);
                    return Ok(false);
                }
                (answer, _) => answer,
            },
            Call::Act {
                ref action,
                amount,
                depth,
            } if request.client.is_none() => self.act_down(action, amount.or(depth), deadline),
            call => {
                let job = Job { id, call, deadline };
                match self.job(request.client, job)? {
                    None => return Ok(true),
                    Some(why) => Err(ClientError::Fail(why)),
                }
            }
        };
        self.output.answer(Some(id), answer)?;
        Ok(true)
    }

    fn driver(&self) -> Result<&dyn Driver, ClientError> {
        match &self.driver {
            Ok(driver) => Ok(&**driver),
            Err(error) => Err(ClientError::Fail(error.to_string())),
        }
    }

    fn describe(&self) -> Result<Returned, ClientError> {
        let described = self.driver()?.describe();
        let settings = self.system.settings.iter();
        let defaults = settings.clone().map(|s| (s.name.into(), s.default.into()));
        let mut values: BTreeMap<String, String> = defaults.collect();
        values.extend(self.values.clone());
        let settings = settings.map(|setting| SettingDescription {
            name: setting.name.into(),
            values: setting.values.into(),
            default: setting.default.into(),
            about: setting.about.into(),
        });
        let mutants = self.system.mutants.iter().map(|mutant| MutantDescription {
            name: mutant.name.into(),
            about: mutant.about.into(),
        });
        let described = Description {
            protocol: PROTOCOL,
            name: self.system.name.into(),
            build: Some(BUILD.into()),
            about: self.system.about.into(),
            settings: settings.collect(),
            values,
            mutants: mutants.collect(),
            ..described
        };
        Ok(Returned::Description(Box::new(described)))
    }

    fn launch(&self, deadline: Instant) -> Result<Returned, ClientError> {
        let launch = self.driver()?.launch(self.place, deadline);
        let launch = launch.map_err(ClientError::Fail)?;
        Ok(Returned::Launch(launch))
    }

    /// Opens the store. What a description says at length is left out: this is asked at every
    /// start. True beside an error when the driver itself is the target: it ends then.
    fn hello(&mut self, protocol: u64, deadline: Instant) -> (Result<Returned, ClientError>, bool) {
        if !(OLDEST..=PROTOCOL).contains(&protocol) {
            let why = format!("this driver speaks the versions {OLDEST} to {PROTOCOL}");
            return (Err(ClientError::Fail(why)), false);
        }
        let driver = match self.driver() {
            Ok(driver) => driver,
            Err(error) => return (Err(error), true),
        };
        let described = driver.describe();
        if self.store.is_none() {
            match driver.open(self.place, deadline) {
                Ok(store) => self.store = Some(store.into()),
                Err(why) => return (Err(ClientError::Fail(why)), !described.daemon),
            }
        }
        let answer = Hello {
            protocol,
            name: self.system.name,
            version: described.version,
            build: BUILD,
            shapes: described.shapes,
            capabilities: described.capabilities,
            actions: described.actions,
            fork: described.fork,
            check_parts: described.check_parts,
            promises: (protocol == OLDEST).then_some(described.promises),
        };
        (Ok(Returned::Hello(Box::new(answer))), false)
    }

    fn act_down(
        &self,
        action: &str,
        amount: Option<u32>,
        deadline: Instant,
    ) -> Result<Returned, ClientError> {
        let driver = self.driver()?;
        let done = driver.act_down(self.place, action, amount, deadline);
        done.map(|()| Returned::Nothing {})
    }

    /// Does a client's request, or says why that cannot be.
    fn job(&mut self, client: Option<u32>, job: Job) -> io::Result<Option<String>> {
        let Some(store) = self.store.clone() else {
            return Ok(Some("the first call is hello".into()));
        };
        if let Call::Work { life } = job.call {
            self.work(store, job.id, life)?;
            return Ok(None);
        }
        let Some(number) = client else {
            return Ok(Some("this call needs a client".into()));
        };
        let output = self.output.clone();
        let serve = |number| Serve {
            number,
            store: Arc::clone(&store),
            client: None,
            output: output.clone(),
        };
        self.clients = match std::mem::take(&mut self.clients) {
            Clients::None => Clients::One(number, serve(number)),
            Clients::One(one, first) if one != number => {
                Clients::Several(HashMap::from([(one, first.in_a_thread()?)]))
            }
            clients => clients,
        };
        match &mut self.clients {
            Clients::None => {}
            Clients::One(_, serve) => serve.job(job)?,
            Clients::Several(threads) => {
                let thread = match threads.get(&number) {
                    Some(thread) => thread,
                    None => {
                        let thread = serve(number).in_a_thread()?;
                        threads.entry(number).or_insert(thread)
                    }
                };
                if thread.send(job).is_err() {
                    return Err(io::ErrorKind::BrokenPipe.into());
                }
            }
        }
        Ok(None)
    }

    fn work(&self, store: Arc<dyn Store>, id: u64, life: u64) -> io::Result<()> {
        let output = self.output.clone();
        thread::Builder::new()
            .name("workload".into())
            .spawn(move || {
                let events = Events {
                    id,
                    output: output.clone(),
                };
                let done = match store.opaque() {
                    Some(opaque) => opaque.work(life, &events).map(|()| Returned::Nothing {}),
                    None => Err(ClientError::Fail("it has no workload of its own".into())),
                };
                // Where nobody reads, standard input ends too, and with it the driver.
                output.answer(Some(id), done).unwrap_or_default();
            })?;
        Ok(())
    }
}

impl Serve {
    fn in_a_thread(mut self) -> io::Result<Sender<Job>> {
        let (jobs, queue) = mpsc::channel();
        thread::Builder::new()
            .name(format!("client {}", self.number))
            .spawn(move || {
                for job in queue {
                    if self.job(job).is_err() {
                        // Nobody reads any more.
                        return;
                    }
                }
            })?;
        Ok(jobs)
    }

    fn job(&mut self, job: Job) -> io::Result<()> {
        let answer = self.answer(job.call, job.deadline);
        if matches!(answer, Err(ClientError::Gone(_))) {
            self.client = None;
        }
        self.output.answer(Some(job.id), answer)
    }

    fn answer(&mut self, call: Call<'_>, deadline: Instant) -> Result<Returned, ClientError> {
        if let Call::Check { acked: Some(acked) } = &call {
            let opaque = self.store.opaque();
            let opaque =
                opaque.ok_or_else(|| ClientError::Fail("it has no workload of its own".into()))?;
            return opaque.check(acked, deadline).map(Returned::Opaque);
        }
        let client = match &mut self.client {
            Some(client) => client,
            None => {
                let client = self.store.connect(self.number, deadline)?;
                self.client.insert(client)
            }
        };
        let nothing = |()| Returned::Nothing {};
        match call {
            Call::Apply {
                txn: id,
                abort,
                writes,
            } => {
                let txn = txn(id, self.number, abort, writes);
                client.apply(&txn, deadline).map(nothing)
            }
            Call::Barrier => client.barrier(deadline).map(nothing),
            Call::Get { key } => {
                let value = client.get(&key, deadline)?;
                Ok(Returned::Value { value })
            }
            Call::ReadAll => {
                let values = client.read_all(deadline)?;
                Ok(Returned::Values { values })
            }
            Call::Check { .. } => {
                let complaint = client.check(deadline)?;
                Ok(Returned::Complaint { complaint })
            }
            Call::EventLog => {
                let log = client.event_log(deadline)?;
                Ok(Returned::Log { log })
            }
            Call::Act {
                action,
                amount,
                depth,
            } => client.act(&action, amount.or(depth), deadline).map(nothing),
            Call::Reorg { depth } => client.act("reorg", Some(depth), deadline).map(nothing),
            Call::Describe { .. } | Call::Launch | Call::Hello { .. } | Call::Work { .. } => {
                Err(ClientError::Fail("this call has no client".into()))
            }
        }
    }
}

#[cfg(test)]
#[path = "serve_test.rs"]
mod tests;
